# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A bag and the frontend on it: ``ros2 launch kp2d_ros replay.launch.py bag:=PATH image:=/camera/image_raw``.
"""

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

_ARGUMENTS = {
    'bag': (None, 'bag to play'),
    'rate': ('1.0', 'times as fast as recorded'),
    'delay': ('3.0', 'seconds until it plays: the frontend starts first'),
    'exit_at_end': ('false', 'end everything with the bag; what still waits to be processed is lost'),
    'mode': ('replay', 'replay: every image is processed; live: the newest image wins'),
    'use_sim_time': ('true', 'take the time from the bag'),
}


def generate_launch_description() -> LaunchDescription:
    """
    ``ros2 bag play`` beside frontend.launch.py, whose arguments all work here.
    """
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in _ARGUMENTS.items()
    ]
    frontend = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(
            PathJoinSubstitution([FindPackageShare('kp2d_ros'), 'launch', 'frontend.launch.py'])
        ),
        launch_arguments={name: LaunchConfiguration(name) for name in ('mode', 'use_sim_time')}.items(),
    )
    player = ExecuteProcess(
        cmd=[
            *('ros2', 'bag', 'play', LaunchConfiguration('bag'), '--clock'),
            *('--rate', LaunchConfiguration('rate'), '--delay', LaunchConfiguration('delay')),
        ],
        output='screen',
    )
    at_the_end = RegisterEventHandler(
        OnProcessExit(target_action=player, on_exit=[Shutdown(reason='the bag has ended')]),
        condition=IfCondition(LaunchConfiguration('exit_at_end')),
    )
    return LaunchDescription([*arguments, OpaqueFunction(function=_require_rosbag2), frontend, player, at_the_end])


def _require_rosbag2(_: LaunchContext) -> None:
    """
    :raises RuntimeError: which ends the launch with this one line.
    """
    try:
        get_package_prefix('ros2bag')
    except PackageNotFoundError as error:
        raise RuntimeError(
            'rosbag2 is not installed, nothing can play the bag: sudo apt install ros-$ROS_DISTRO-rosbag2; '
            'or without it: ros2 run kp2d_ros replay BAG --publish'
        ) from error
