# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The launch files, read and really launched.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from kp2d_ros.core.resources import find_shipped_file
from kp2d_ros.core.settings import flatten

# The folder launch/ in the root would do for `launch` itself.
pytest.importorskip('launch.actions', reason='needs the ROS package launch', exc_type=ImportError)
pytest.importorskip('launch_ros.actions', reason='needs the ROS package launch_ros', exc_type=ImportError)
pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

import ament_index_python.packages  # noqa: E402
from launch import LaunchContext, LaunchDescription, LaunchService  # noqa: E402
from launch.actions import (  # noqa: E402
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessExit, OnProcessIO  # noqa: E402
from launch.events import Shutdown  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402
from launch_ros.actions import Node  # noqa: E402

from kp2d_ros.ros.node_config import NodeConfig  # noqa: E402

logging.setLoggerClass(logging.Logger)  # launch puts a class of its own there, whose loggers do not propagate

VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')


def read(name: str) -> Any:
    source = PythonLaunchDescriptionSource(str(find_shipped_file(f'launch/{name}.launch.py')))
    return source.get_launch_description(LaunchContext())


def arguments_of(description: Any) -> Any:
    return {a.name for a in description.get_launch_arguments()}


def entities_of(name: str, context: Any, **arguments: Any) -> Any:
    """
    What the function of a launch file makes of its arguments.
    """
    description = read(name)
    context.launch_configurations.update(arguments)
    for action in description.entities:
        if isinstance(action, DeclareLaunchArgument):
            action.execute(context)
    (make,) = [a for a in description.entities if isinstance(a, OpaqueFunction)]
    return make.execute(context)


def parameters_of(**arguments: Any) -> dict[Any, Any]:
    """
    The parameters that the frontend is given beside those of its file.
    """
    context = LaunchContext()
    (node,) = entities_of('frontend', context, **arguments)
    node._perform_substitutions(context)
    files = [file for file, is_file in node._Node__expanded_parameter_arguments if is_file]
    assert files[0].endswith('config/frontend.yaml')
    made = [yaml.safe_load(Path(file).read_text()) for file in files[1:]]
    return {name: value for each in made for node in each.values() for name, value in node['ros__parameters'].items()}


def profiles_of(description: Any) -> list[Any]:
    context = LaunchContext()
    actions = [a for a in description.entities if isinstance(a, SetEnvironmentVariable)]
    return [''.join(part.perform(context) for part in action.value) for action in actions]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*VARIABLES, 'RMW_IMPLEMENTATION', 'ROS_AUTOMATIC_DISCOVERY_RANGE', 'ROS_LOCALHOST_ONLY'):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_have_the_usual_arguments() -> None:
    usual = {'namespace', 'params_file', 'use_sim_time', 'log_level', 'autostart', 'mode', 'image', 'camera_info'}
    usual |= {'extractor', 'model', 'odometry', 'publish_tf', 'base_frame', 'odom_frame', 'rviz', 'respawn'}
    usual |= {'sensor', 'right_image', 'right_camera_info', 'depth_image', 'baseline', 'depth_scale'}
    usual |= {'approx_sync', 'sync_tolerance_s'}
    assert arguments_of(read('frontend')) == usual
    assert arguments_of(read('replay')) == usual | {'bag', 'rate', 'delay', 'exit_at_end'}


def test_fast_dds_gets_the_shipped_profile(environment: Any) -> None:
    assert [path.endswith('config/fastdds.xml') for path in profiles_of(read('fast_dds'))] == [True]
    environment.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    assert [path.endswith('config/fastdds_localhost.xml') for path in profiles_of(read('fast_dds'))] == [True]


def test_other_middleware_and_profiles_of_the_user_are_left_alone(environment: Any) -> None:
    environment.setenv('RMW_IMPLEMENTATION', 'rmw_cyclonedds_cpp')
    assert profiles_of(read('fast_dds')) == []
    environment.delenv('RMW_IMPLEMENTATION')
    for name in VARIABLES:
        environment.setenv(name, '/my/profile.xml')
    assert profiles_of(read('fast_dds')) == []


@pytest.mark.parametrize(
    ('image', 'camera_info'),
    [('image', 'camera_info'), ('/cam/image_raw', '/cam/camera_info'), ('cam/image', 'cam/camera_info')],
)
def test_calibration_lies_beside_the_images(image: str, camera_info: str) -> None:
    context = LaunchContext()
    (node,) = entities_of('frontend', context, image=image)
    node._perform_substitutions(context)
    assert node.expanded_remapping_rules[:2] == [('image', image), ('camera_info', camera_info)]


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        ({'image': 'image'}, ('right/image', 'right/camera_info', 'depth/image')),
        ({'image': '/rig/left/image_raw'}, ('/rig/right/image_raw', '/rig/right/camera_info', 'depth/image')),
        ({'image': '/left_arm/cam0/image'}, ('right/image', 'right/camera_info', 'depth/image')),  # which one?
        ({'image': '/cam0/image'}, ('/cam1/image', '/cam1/camera_info', 'depth/image')),
        ({'right_image': '/r/i', 'depth_image': '/d'}, ('/r/i', '/r/camera_info', '/d')),
        ({'right_image': '/r/i', 'right_camera_info': '/info'}, ('/r/i', '/info', 'depth/image')),
    ],
)
def test_partner_topics_are_named_or_follow_from_the_images(given: dict[str, str], expected: tuple[str, ...]) -> None:
    context = LaunchContext()
    (node,) = entities_of('frontend', context, **given)
    node._perform_substitutions(context)
    rules = dict(node.expanded_remapping_rules)
    assert (rules['right/image'], rules['right/camera_info'], rules['depth/image']) == expected


def test_arguments_become_parameters_and_what_is_not_given_stays_with_the_file() -> None:
    given = {'extractor': 'sift', 'publish_tf': 'true', 'odometry': 'unit', 'odom_frame': 'map'}
    assert parameters_of(**given) == {
        'extractor.name': 'sift',
        'odometry': 'unit',
        'publish_tf': True,
        'odom_frame': 'map',
    }
    metric = {'sensor': 'stereo', 'baseline': '0.12', 'sync_tolerance_s': '1', 'approx_sync': 'true'}
    made = {'sensor': 'stereo', 'baseline': 0.12, 'sync_tolerance_s': 1, 'approx_sync': 'approximate'}
    assert parameters_of(**metric) == made
    assert parameters_of(approx_sync='false') == {'approx_sync': 'exact'}
    assert parameters_of() == {}
    assert parameters_of(rviz='true') == {'odometry': 'unit'}
    assert parameters_of(rviz='true', odometry='never') == {'odometry': 'never'}


def test_every_argument_is_a_parameter_of_the_node() -> None:
    arguments = {'extractor': 'orb', 'model': 'x', 'odometry': 'unit', 'mode': 'live', 'autostart': 'false'}
    arguments |= {'base_frame': 'b', 'odom_frame': 'o', 'publish_tf': 'false', 'use_sim_time': 'true'}
    arguments |= {
        'sensor': 'rgbd',
        'approx_sync': 'auto',
        'sync_tolerance_s': '0.1',
        'baseline': '1',
        'depth_scale': '2',
    }
    found = parameters_of(**arguments)
    known = {path for path, _, _ in flatten(NodeConfig())} | {'use_sim_time'}
    assert len(found) == len(arguments)
    assert set(found) <= known


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """
    The packages that launch files look for, empty: none of them is installed.
    """
    names = set()

    def prefix(name: str) -> str:
        if name not in names:
            raise ament_index_python.packages.PackageNotFoundError(name)
        return '/opt/ros'

    monkeypatch.setattr(ament_index_python.packages, 'get_package_prefix', prefix)
    return names


def test_rviz_draws_what_the_frontend_publishes_in_its_namespace(installed: Any) -> None:
    installed.add('rviz2')
    context = LaunchContext()
    (rviz,) = entities_of('rviz', context, namespace='robot', odom_frame='map')
    assert isinstance(rviz, Node)
    config = find_shipped_file('config/frontend.rviz')
    displays = yaml.safe_load(config.read_text())['Visualization Manager']['Displays']
    assert {d['Topic']['Value'] for d in displays if 'Topic' in d} == {'path', 'odometry', 'points', 'debug_image'}


def test_without_rviz_the_rest_goes_on_with_one_line(installed: Any) -> None:
    context = LaunchContext()
    (line,) = entities_of('rviz', context)
    assert isinstance(line, LogInfo)
    assert 'apt install ros-$ROS_DISTRO-rviz2' in ''.join(part.perform(context) for part in line.msg)


def test_replay_without_rosbag2_says_so_in_one_line_and_ends(installed: Any) -> None:
    with pytest.raises(RuntimeError, match='rosbag2 is not installed') as caught:
        entities_of('replay', LaunchContext(), bag='somewhere')
    assert '\n' not in str(caught.value)
    installed.add('ros2bag')
    assert not entities_of('replay', LaunchContext(), bag='somewhere')


def test_launched_frontend_becomes_active_and_ends_cleanly() -> None:
    pytest.importorskip('ament_index_python')
    from ament_index_python import PackageNotFoundError, get_package_prefix

    try:
        get_package_prefix('kp2d_ros')
    except PackageNotFoundError:
        pytest.skip('the package is not installed: make build')
    said, codes = [], []

    def listen(event: Any) -> Any:
        said.append(event.text.decode())
        return [EmitEvent(event=Shutdown())] if 'active: mode replay' in said[-1] else None

    def note_end(event: Any, context: Any) -> None:
        codes.append(event.returncode)

    frontend = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(find_shipped_file('launch/frontend.launch.py'))),
        launch_arguments={'mode': 'replay', 'namespace': 'robot', 'image': 'cam/image'}.items(),
    )
    handlers = [OnProcessIO(on_stdout=listen, on_stderr=listen), OnProcessExit(on_exit=note_end)]
    service = LaunchService()
    service.include_launch_description(LaunchDescription([*map(RegisterEventHandler, handlers), frontend]))
    assert service.run() == 0
    assert codes == [0]
    assert 'images from /robot/cam/image' in ''.join(said)
