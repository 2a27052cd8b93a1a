# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The launch files, read and really launched.
"""

import logging

import pytest

from kp2d_ros.core.resources import find_shipped_file

# The folder launch/ in the root would do for `launch` itself.
pytest.importorskip('launch.actions', reason='needs the ROS package launch', exc_type=ImportError)
pytest.importorskip('launch_ros.actions', reason='needs the ROS package launch_ros', exc_type=ImportError)
pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from launch import LaunchContext, LaunchDescription, LaunchService  # noqa: E402
from launch.actions import (  # noqa: E402
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessExit, OnProcessIO  # noqa: E402
from launch.events import Shutdown  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402
from launch_ros.actions import Node  # noqa: E402

logging.setLoggerClass(logging.Logger)  # launch puts a class of its own there, whose loggers do not propagate

VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')


def read(name):
    source = PythonLaunchDescriptionSource(str(find_shipped_file(f'launch/{name}.launch.py')))
    return source.get_launch_description(LaunchContext())


def arguments_of(description):
    return {a.name for a in description.get_launch_arguments()}


def profiles_of(description):
    context = LaunchContext()
    actions = [a for a in description.entities if isinstance(a, SetEnvironmentVariable)]
    return [''.join(part.perform(context) for part in action.value) for action in actions]


@pytest.fixture
def environment(monkeypatch):
    for name in (*VARIABLES, 'RMW_IMPLEMENTATION', 'ROS_AUTOMATIC_DISCOVERY_RANGE', 'ROS_LOCALHOST_ONLY'):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_have_the_usual_arguments():
    usual = {'namespace', 'params_file', 'use_sim_time', 'log_level', 'autostart', 'mode', 'image', 'camera_info'}
    assert arguments_of(read('frontend')) == usual
    assert arguments_of(read('replay')) == usual | {'bag', 'rate', 'delay', 'exit_at_end'}


def test_fast_dds_gets_the_shipped_profile(environment):
    assert [path.endswith('config/fastdds.xml') for path in profiles_of(read('frontend'))] == [True]
    environment.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    assert [path.endswith('config/fastdds_localhost.xml') for path in profiles_of(read('frontend'))] == [True]


def test_other_middleware_and_profiles_of_the_user_are_left_alone(environment):
    environment.setenv('RMW_IMPLEMENTATION', 'rmw_cyclonedds_cpp')
    assert profiles_of(read('frontend')) == []
    environment.delenv('RMW_IMPLEMENTATION')
    for name in VARIABLES:
        environment.setenv(name, '/my/profile.xml')
    assert profiles_of(read('frontend')) == []


@pytest.mark.parametrize(
    ('image', 'camera_info'),
    [('image', 'camera_info'), ('/cam/image_raw', '/cam/camera_info'), ('cam/image', 'cam/camera_info')],
)
def test_calibration_lies_beside_the_images(image, camera_info):
    description, context = read('frontend'), LaunchContext()
    context.launch_configurations['image'] = image
    for action in description.entities:
        if isinstance(action, DeclareLaunchArgument):
            action.execute(context)
    (make_node,) = [a for a in description.entities if isinstance(a, OpaqueFunction)]
    (node,) = make_node.execute(context)
    assert isinstance(node, Node)
    node._perform_substitutions(context)
    assert node.expanded_remapping_rules == [('image', image), ('camera_info', camera_info)]


def test_launched_frontend_becomes_active_and_ends_cleanly():
    pytest.importorskip('ament_index_python')
    from ament_index_python import PackageNotFoundError, get_package_prefix

    try:
        get_package_prefix('kp2d_ros')
    except PackageNotFoundError:
        pytest.skip('the package is not installed: make build')
    said, codes = [], []

    def listen(event):
        said.append(event.text.decode())
        return [EmitEvent(event=Shutdown())] if 'active: mode replay' in said[-1] else None

    def note_end(event, context):
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
