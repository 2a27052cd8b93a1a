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

from kp2d_ros.ros.launch_arguments import PARAMETERS, TOPICS, node_parameters, topic_remappings

_SHARE = FindPackageShare('kp2d_ros')
_ARGUMENTS = {
    **TOPICS,
    'namespace': ('', 'namespace of the node and its topics'),
    'params_file': (PathJoinSubstitution([_SHARE, 'config', 'frontend.yaml']), 'file of parameters'),
    'log_level': ('info', 'debug, info, warn, error or fatal'),
    'respawn': ('true', 'start the node again, two seconds after it ended'),
    'rviz': ('false', 'true: RViz beside it; odometry is "unit" then, unless it is given'),
}


def generate_launch_description() -> LaunchDescription:
    """
    One node, with the profile of Fast DDS that large messages need, and RViz if it is wanted.
    """
    arguments = {**_ARGUMENTS, **{name: ('', f'{text}; default: by params_file') for name, text in PARAMETERS.items()}}
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
    value = {name: LaunchConfiguration(name).perform(context) for name in (*_ARGUMENTS, *PARAMETERS)}
    value['odometry'] = value['odometry'] or ('unit' if IfCondition(value['rviz']).evaluate(context) else '')
    parameters = node_parameters(value, lambda text: bool(IfCondition(text).evaluate(context)))
    node = Node(
        package='kp2d_ros',
        executable='frontend',
        name='frontend',
        namespace=value['namespace'],
        parameters=[value['params_file'], parameters],
        remappings=topic_remappings(value),
        arguments=['--ros-args', '--log-level', value['log_level']],
        respawn=IfCondition(value['respawn']).evaluate(context),
        respawn_delay=2.0,
        output='screen',
    )
    return [node]
