# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The shipped profile of Fast DDS for what is launched after it: images and features do not fit into its default memory.
"""

import os

from launch import LaunchDescription
from launch.actions import SetEnvironmentVariable
from launch.substitutions import PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

# Fast DDS was Fast RTPS before Kilted; a node that finds both variables reads the file twice, and complains.
_FORMER_NAME = os.environ.get('ROS_DISTRO') in ('humble', 'iron', 'jazzy')
_PROFILE_VARIABLE = f'{"FASTRTPS" if _FORMER_NAME else "FASTDDS"}_DEFAULT_PROFILES_FILE'


def generate_launch_description() -> LaunchDescription:
    """
    The profile, unless another middleware runs or the user has one.
    """
    is_fast_dds = 'fastrtps' in os.environ.get('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp')
    if not is_fast_dds or _PROFILE_VARIABLE in os.environ:
        return LaunchDescription([])
    stays_here = os.environ.get('ROS_LOCALHOST_ONLY') == '1' or (
        os.environ.get('ROS_AUTOMATIC_DISCOVERY_RANGE') == 'LOCALHOST'
    )
    file = 'fastdds_localhost.xml' if stays_here else 'fastdds.xml'
    path = PathJoinSubstitution([FindPackageShare('kp2d_ros'), 'config', file])
    return LaunchDescription([SetEnvironmentVariable(_PROFILE_VARIABLE, path)])
