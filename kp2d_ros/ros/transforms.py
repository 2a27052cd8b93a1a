# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Transforms between coordinate frames, where tf2_ros is installed.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any

from geometry_msgs.msg import Point, Pose, TransformStamped
from rclpy.node import Node
from rclpy.time import Time

from kp2d_ros.core.records import Float64Array
from kp2d_ros.ros.conversions import header_from, pose_message, transform_from_pose

try:
    import tf2_ros
except ImportError:  # a ROS 2 installation without it, or the wheels from PyPI
    tf2_ros = None

MISSING = (
    'tf2_ros is not installed: odometry is not published as a transform, and the camera is taken to sit at the base '
    'looking forward; `sudo apt install ros-$ROS_DISTRO-tf2-ros-py` changes that'
)
_WAIT_SECONDS = 2.0  # a static transform comes within a second of its publisher

_logger = logging.getLogger(__name__)


def has_tf() -> bool:
    """
    Whether anybody can say where coordinate frames are.
    """
    return tf2_ros is not None


class TransformListener:
    """
    Knows where coordinate frames are to each other, from :meth:`start` on.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._buffer: Any = None
        self._listener: Any = None

    def start(self) -> None:
        """
        Listen, on the executor's thread; where tf2_ros is missing nobody ever says anything.
        """
        if self._listener is None and has_tf():
            self._buffer = tf2_ros.Buffer()
            self._listener = tf2_ros.TransformListener(self._buffer, self._node)

    def a_from_b(self, a: str, b: str) -> Float64Array | None:
        """
        4x4, the pose of frame b in frame a; None if nobody says.
        """
        if self._buffer is None:
            return None
        try:
            found = self._buffer.lookup_transform(a, b, Time())
        except tf2_ros.TransformException:
            return None
        place = found.transform.translation
        position = Point(x=place.x, y=place.y, z=place.z)
        return transform_from_pose(Pose(position=position, orientation=found.transform.rotation))

    def close(self) -> None:
        """
        Listen no more.
        """
        if self._listener is not None:
            self._listener.unregister()
            self._listener = None


class Transforms:
    """
    Says where the camera sits on the robot, and sends where the robot is.
    """

    def __init__(self, node: Node, base_frame: str, publishes: bool) -> None:
        self._base_frame = base_frame
        self._asked_at: float | None = None
        self._listener = TransformListener(node)
        self._broadcaster: Any = None
        if not has_tf():
            _logger.warning(MISSING)
            return
        self._listener.start()
        if publishes:
            self._broadcaster = tf2_ros.TransformBroadcaster(node)

    def is_pending(self, camera_frame: str) -> bool:
        """
        Whether it is worth while to wait for the place of the camera a little longer.
        """
        if not has_tf() or self._listener.a_from_b(self._base_frame, camera_frame) is not None:
            return False
        self._asked_at = self._asked_at or monotonic()
        return monotonic() - self._asked_at < _WAIT_SECONDS

    def base_from_camera(self, camera_frame: str) -> Float64Array | None:
        """
        4x4, where the camera sits on the robot; None if nobody says.
        """
        found = self._listener.a_from_b(self._base_frame, camera_frame)
        if found is None and has_tf():
            _logger.warning(
                'no transform from %r to %r: the camera is taken to sit at the base looking forward',
                camera_frame,
                self._base_frame,
            )
        return found

    def send(self, stamp_ns: int, odom_frame: str, odom_from_base: Float64Array) -> None:
        """
        Publish where the robot is, if transforms are published at all.
        """
        if self._broadcaster is None:
            return
        pose = pose_message(odom_from_base)
        message = TransformStamped(header=header_from(stamp_ns, odom_frame), child_frame_id=self._base_frame)
        message.transform.translation.x = pose.position.x
        message.transform.translation.y = pose.position.y
        message.transform.translation.z = pose.position.z
        message.transform.rotation = pose.orientation
        self._broadcaster.sendTransform(message)

    def close(self) -> None:
        """
        Listen no more.
        """
        self._listener.close()
