# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Publishes a recorded sequence as a camera would, at its own pace or another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image

from kp2d_ros.core.records import Frame
from kp2d_ros.msg import FrontendStatus
from kp2d_ros.recordings.sequence import SequenceReader
from kp2d_ros.ros.conversions import camera_info_message, header_from, ns_from_time, pose_message, time_from_ns
from kp2d_ros.ros.image_messages import image_message

_CLOCK_SECONDS = 0.01  # between two messages on /clock while waiting for the next image
_POLL_SECONDS = 0.05
_ANSWER_SECONDS = 10.0  # in lockstep, for a frontend that does not answer an image
_ACK_SECONDS = 10.0
_ALSO_SECONDS = 1.0
_DEPTH = 100
_WORLD = 'world'


@dataclass(frozen=True, slots=True)
class PlayOptions:
    """
    How to play: ``rate`` times as fast as recorded; 0: the next image when the frontend has answered the last one.
    """

    rate: float = 1.0
    loop: bool = False
    wait_s: float = 10.0
    max_frames: int | None = None
    frame_id: str = 'camera'


class Player(Node):
    """
    Publishes ``image``, ``camera_info``, ``ground_truth`` and ``/clock``.
    """

    def __init__(self, sequence: SequenceReader, options: PlayOptions) -> None:
        super().__init__('replay')
        self._sequence = sequence
        self._options = options
        qos = QoSProfile(reliability=ReliabilityPolicy.RELIABLE, depth=_DEPTH)
        self._images = self.create_publisher(Image, 'image', qos)
        self._camera_infos = self.create_publisher(CameraInfo, 'camera_info', qos)
        self._ground_truth = self.create_publisher(PoseStamped, 'ground_truth', qos)
        self._clock_publisher = self.create_publisher(Clock, '/clock', 10)
        self._answered_ns = -1
        if options.rate == 0:
            self.create_subscription(FrontendStatus, 'status', self._on_status, qos)

    def play(self) -> int:
        """
        Publish the whole sequence, again and again if it loops; gives the number of images that went out.
        """
        if not self._wait(self._is_heard, self._options.wait_s):
            self.get_logger().warning(f'nobody subscribes to {self._images.topic_name}: playing nevertheless')
        # Who takes the images mostly wants their calibration, and is found on that topic a moment later.
        self._wait(lambda: self._camera_infos.get_subscription_count() > 0, min(_ALSO_SECONDS, self._options.wait_s))
        published = self._play_once()
        while self._options.loop and published:
            published += self._play_once()
        if self._options.rate > 0:  # a process that ends takes with it what was not delivered
            self._images.wait_for_all_acked(Duration(seconds=_ACK_SECONDS))
        return published

    def _is_heard(self) -> bool:
        answers = self._options.rate > 0 or self.count_publishers('status') > 0
        return answers and self._images.get_subscription_count() > 0

    def _play_once(self) -> int:
        published = poses = 0
        began, first_ns = monotonic(), -1
        self._answered_ns = -1
        for frame in self._sequence:
            if published == self._options.max_frames:
                break
            # A stamp of zero means "no stamp" in ROS; some recordings begin with it.
            stamp_ns = max(1, frame.stamp_ns)
            if first_ns < 0:
                began, first_ns = monotonic(), stamp_ns
            self._keep_pace(began, first_ns, stamp_ns)
            poses = self._publish_poses(poses, stamp_ns)
            self._publish(frame, stamp_ns)
            published += 1
            if self._options.rate == 0:
                self._await_answer(stamp_ns)
        return published

    def _publish_poses(self, begin: int, until_ns: int) -> int:
        """
        Publish the true poses from a row on that are not later than a time; gives the row after them.
        """
        truth = self._sequence.ground_truth
        if truth is None:
            return begin
        end = int(np.searchsorted(truth.stamps_ns, until_ns, 'right'))
        for stamp_ns, pose in zip(truth.stamps_ns[begin:end].tolist(), truth.world_from_camera[begin:end], strict=True):
            self._ground_truth.publish(PoseStamped(header=header_from(stamp_ns, _WORLD), pose=pose_message(pose)))
        return end

    def _publish(self, frame: Frame, stamp_ns: int) -> None:
        header = header_from(stamp_ns, frame.frame_id or self._options.frame_id)
        self._clock_publisher.publish(Clock(clock=time_from_ns(stamp_ns)))
        if frame.camera is not None:
            self._camera_infos.publish(camera_info_message(frame.camera, header))
        self._images.publish(image_message(frame.image, header))

    def _keep_pace(self, began: float, first_ns: int, stamp_ns: int) -> None:
        """
        Wait until the time of an image has come, the simulated clock going on.
        """
        rate = self._options.rate
        if rate == 0:
            return
        due = began + (stamp_ns - first_ns) * 1e-9 / rate
        while (left := due - monotonic()) > 0:
            now_ns = first_ns + round((monotonic() - began) * rate * 1e9)
            self._clock_publisher.publish(Clock(clock=time_from_ns(min(now_ns, stamp_ns))))
            rclpy.spin_once(self, timeout_sec=min(left, _CLOCK_SECONDS))

    def _await_answer(self, stamp_ns: int) -> None:
        if not self._wait(lambda: self._answered_ns >= stamp_ns, _ANSWER_SECONDS):
            self.get_logger().warning(f'the frontend did not answer an image within {_ANSWER_SECONDS:g} s: going on')

    def _wait(self, is_true: Callable[[], bool], timeout: float) -> bool:
        deadline = monotonic() + timeout
        while not is_true():
            if monotonic() > deadline:
                return False
            rclpy.spin_once(self, timeout_sec=_POLL_SECONDS)
        return True

    def _on_status(self, message: FrontendStatus) -> None:
        self._answered_ns = ns_from_time(message.header.stamp)
