# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
RViz on the outputs of the frontend: the image with keypoints and tracks, the path, odometry and TF.
"""

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

_MISSING = 'rviz2 is not installed, going on without it: sudo apt install ros-$ROS_DISTRO-rviz2'


def generate_launch_description() -> LaunchDescription:
    """
    One RViz, or a line that says how to get it.
    """
    return LaunchDescription(
        [
            DeclareLaunchArgument('namespace', default_value='', description='namespace of the frontend'),
            DeclareLaunchArgument('odom_frame', default_value='', description='frame to draw in; default: odom'),
            OpaqueFunction(function=_make_rviz),
        ]
    )


def _make_rviz(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    try:
        get_package_prefix('rviz2')
    except PackageNotFoundError:
        return [LogInfo(msg=_MISSING)]
    frame = LaunchConfiguration('odom_frame').perform(context) or 'odom'
    config = PathJoinSubstitution([FindPackageShare('kp2d_ros'), 'config', 'frontend.rviz'])
    rviz = Node(
        package='rviz2',
        executable='rviz2',
        namespace=LaunchConfiguration('namespace'),
        arguments=['-d', config, '-f', frame],
        output='screen',
    )
    return [rviz]
