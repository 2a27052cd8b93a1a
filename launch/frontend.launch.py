# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The frontend on a live camera: ``ros2 launch kp2d_ros frontend.launch.py image:=/camera/image_raw``.
"""

import os

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

_SHARE = FindPackageShare('kp2d_ros')
_ARGUMENTS = {
    'image': ('image', 'topic of the images, raw or compressed'),
    'camera_info': ('', 'topic of their calibration; default: camera_info beside the images'),
    'namespace': ('', 'namespace of the node and its topics'),
    'params_file': (PathJoinSubstitution([_SHARE, 'config', 'frontend.yaml']), 'file of parameters'),
    'mode': ('', 'live: the newest image wins; replay: every image is processed; default: by params_file'),
    'use_sim_time': ('', 'true: take the time from /clock; default: by params_file'),
    'autostart': ('', 'false: leave it to a lifecycle manager; default: by params_file'),
    'log_level': ('info', 'debug, info, warn, error or fatal'),
}
# Fast DDS was Fast RTPS before Kilted; a node that finds both variables reads the file twice, and complains.
_FORMER_NAME = os.environ.get('ROS_DISTRO') in ('humble', 'iron', 'jazzy')
_PROFILE_VARIABLE = f'{"FASTRTPS" if _FORMER_NAME else "FASTDDS"}_DEFAULT_PROFILES_FILE'


def generate_launch_description() -> LaunchDescription:
    """
    One node, with the profile of Fast DDS that large messages need.
    """
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in _ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, *_fast_dds_profile(), OpaqueFunction(function=_make_node)])


def _make_node(context: LaunchContext) -> list[Node]:
    value = {name: LaunchConfiguration(name).perform(context) for name in _ARGUMENTS}
    given = {name: value[name] for name in ('mode', 'use_sim_time', 'autostart') if value[name]}
    parameters = {name: text if name == 'mode' else text.lower() == 'true' for name, text in given.items()}
    beside = '/'.join([*value['image'].split('/')[:-1], 'camera_info'])
    node = Node(
        package='kp2d_ros',
        executable='frontend',
        name='frontend',
        namespace=value['namespace'],
        parameters=[value['params_file'], parameters],
        remappings=[('image', value['image']), ('camera_info', value['camera_info'] or beside)],
        arguments=['--ros-args', '--log-level', value['log_level']],
        output='screen',
    )
    return [node]


def _fast_dds_profile() -> list[SetEnvironmentVariable]:
    """
    The shipped profile, unless another middleware runs or the user has a profile.
    """
    is_fast_dds = 'fastrtps' in os.environ.get('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp')
    if not is_fast_dds or _PROFILE_VARIABLE in os.environ:
        return []
    stays_here = os.environ.get('ROS_LOCALHOST_ONLY') == '1' or (
        os.environ.get('ROS_AUTOMATIC_DISCOVERY_RANGE') == 'LOCALHOST'
    )
    path = PathJoinSubstitution([_SHARE, 'config', 'fastdds_localhost.xml' if stays_here else 'fastdds.xml'])
    return [SetEnvironmentVariable(_PROFILE_VARIABLE, path)]
