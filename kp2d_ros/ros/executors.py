# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Which executor spins the node.
"""

from __future__ import annotations

from rclpy.executors import Executor, SingleThreadedExecutor


def make_executor(mode: str) -> Executor:
    """
    The executor for a mode of the node.
    """
    return SingleThreadedExecutor()
