# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
KP2D visual-odometry frontend for ROS 2 and the training of its network.

The sub-packages are layered: see the README, "How the code is laid out".
"""

import pkgutil

# The generated messages (kp2d_ros.msg) live in the build's copy of this package; joining the two
# paths lets the source tree find them as well.
__path__ = pkgutil.extend_path(__path__, __name__)
