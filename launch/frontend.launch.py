# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The frontend on a live camera: ``ros2 launch kp2d_ros frontend.launch.py image:=/camera/image_raw rviz:=true``.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from kp2d_ros.ros.launch_topics import TOPICS, topic_remappings

_SHARE = FindPackageShare('kp2d_ros')
_ARGUMENTS = {
    **TOPICS,
    'namespace': ('', 'namespace of the node and its topics'),
    'params_file': (PathJoinSubstitution([_SHARE, 'config', 'frontend.yaml']), 'file of parameters'),
    'log_level': ('info', 'debug, info, warn, error or fatal'),
    'respawn': ('true', 'start the node again, two seconds after it ended'),
    'rviz': ('false', 'true: RViz beside it; odometry is "unit" then, unless it is given'),
}
_PARAMETERS = {  # empty: by params_file
    'sensor': 'mono, stereo or rgbd',
    'approx_sync': 'true, false or auto: whether the stamps of a pair may differ',
    'sync_tolerance_s': 'how far they may be apart',
    'baseline': 'stereo: metres between the cameras where nobody else says it',
    'depth_scale': 'rgbd: metres that a 1 in a depth image stands for',
    'extractor': 'kp2d, sift or orb: the parameter extractor.name',
    'model': 'a network that ships, or the path of one: the parameter extractor.model',
    'odometry': 'never; metric: only in metres; unit: also in the unknown unit of one camera',
    'publish_tf': 'true: odometry as a transform as well',
    'base_frame': 'frame of the robot',
    'odom_frame': 'frame that odometry and path are in',
    'mode': 'live: the newest image wins; replay: every image is processed',
    'use_sim_time': 'true: take the time from /clock',
    'autostart': 'false: leave it to a lifecycle manager',
}
_LONG_NAMES = {'extractor': 'extractor.name', 'model': 'extractor.model'}
_TRUTHS = ('publish_tf', 'use_sim_time', 'autostart')


def generate_launch_description() -> LaunchDescription:
    """
    One node, with the profile of Fast DDS that large messages need, and RViz if it is wanted.
    """
    arguments = {**_ARGUMENTS, **{name: ('', f'{text}; default: by params_file') for name, text in _PARAMETERS.items()}}
    declared = [DeclareLaunchArgument(n, default_value=v, description=text) for n, (v, text) in arguments.items()]
    fast_dds, rviz = (
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(PathJoinSubstitution([_SHARE, 'launch', f'{name}.launch.py'])),
            condition=condition,
        )
        for name, condition in (('fast_dds', None), ('rviz', IfCondition(LaunchConfiguration('rviz'))))
    )
    return LaunchDescription([*declared, fast_dds, OpaqueFunction(function=_make_node), rviz])


def _make_node(context: LaunchContext) -> list[Node]:
    value = {name: LaunchConfiguration(name).perform(context) for name in (*_ARGUMENTS, *_PARAMETERS)}
    value['odometry'] = value['odometry'] or ('unit' if IfCondition(value['rviz']).evaluate(context) else '')
    value['approx_sync'] = {'true': 'approximate', 'false': 'exact'}.get(value['approx_sync'], value['approx_sync'])
    given = {name: value[name] for name in _PARAMETERS if value[name]}
    given.update({name: IfCondition(given[name]).evaluate(context) for name in _TRUTHS if name in given})
    node = Node(
        package='kp2d_ros',
        executable='frontend',
        name='frontend',
        namespace=value['namespace'],
        parameters=[value['params_file'], {_LONG_NAMES.get(name, name): v for name, v in given.items()}],
        remappings=topic_remappings(value),
        arguments=['--ros-args', '--log-level', value['log_level']],
        respawn=IfCondition(value['respawn']).evaluate(context),
        respawn_delay=2.0,
        output='screen',
    )
    return [node]
