# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Play a bag or a dataset folder as topics (--publish), or run the frontend offline over it (kp2d replay).
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import remove_ros_args
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image

from kp2d_ros.core.errors import Kp2dError
from kp2d_ros.core.records import Frame, Sensor
from kp2d_ros.msg import FrontendStatus
from kp2d_ros.recordings.sequence import Recording
from kp2d_ros.recordings.sources import add_source_options, open_sources
from kp2d_ros.recordings.stereo_rig import fields_from_frame
from kp2d_ros.ros.conversions import (
    camera_info_message,
    depth_message,
    header_from,
    image_message,
    ns_from_time,
    pose_message,
    time_from_ns,
)
from kp2d_ros.ros.interruption import ignore_signals, ros_context

NAME = 'replay'
_OFFLINE = 'kp2d_ros.cli.replay'
_EPILOG = (
    'Without --publish all arguments go to `kp2d replay`, which runs the frontend offline and writes the trajectory: '
    'see `kp2d replay --help`.'
)
_CLOCK_SECONDS = 0.01  # between two messages on /clock while waiting for the next image
_POLL_SECONDS = 0.05
_ANSWER_SECONDS = 10.0  # in lockstep, for a frontend that does not answer an image
_ACK_SECONDS = 10.0
_ALSO_SECONDS = 1.0
_DEPTH = 100
_WORLD = 'world'
_RIGHT, _RIGHT_INFO, _DEPTH_IMAGE = 'right/image', 'right/camera_info', 'depth/image'
_PARTNER_TOPICS = {Sensor.STEREO: {_RIGHT_INFO: CameraInfo, _RIGHT: Image}, Sensor.RGBD: {_DEPTH_IMAGE: Image}}


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
    Publishes ``image``, ``camera_info``, ``ground_truth`` and ``/clock``; of a stereo rig also ``right/image`` and
    ``right/camera_info``, of a depth camera ``depth/image``.
    """

    def __init__(self, sequence: Recording, options: PlayOptions) -> None:
        super().__init__(NAME)
        self._sequence = sequence
        self._options = options
        qos = QoSProfile(reliability=ReliabilityPolicy.RELIABLE, depth=_DEPTH)
        self._images = self.create_publisher(Image, 'image', qos)
        self._camera_infos = self.create_publisher(CameraInfo, 'camera_info', qos)
        topics = _PARTNER_TOPICS.get(sequence.sensor, {})
        self._partners = {topic: self.create_publisher(kind, topic, qos) for topic, kind in topics.items()}
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
        # Who takes the images mostly wants what belongs to them, and is found on those topics a moment later.
        others = [self._camera_infos, *self._partners.values()]
        self._wait(
            lambda: all(each.get_subscription_count() for each in others), min(_ALSO_SECONDS, self._options.wait_s)
        )
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
        calibration, right_calibration = fields_from_frame(frame)
        if calibration is not None:
            self._camera_infos.publish(camera_info_message(calibration, header))
        if frame.right is not None:
            right_header = header_from(max(1, frame.right.stamp_ns), f'right_{header.frame_id}')
            if right_calibration is not None:
                self._partners[_RIGHT_INFO].publish(camera_info_message(right_calibration, right_header))
            self._partners[_RIGHT].publish(image_message(frame.right.image, right_header))
        if frame.depth is not None:
            depth_header = header_from(max(1, frame.depth.stamp_ns), header.frame_id)
            self._partners[_DEPTH_IMAGE].publish(depth_message(frame.depth.metres, depth_header))
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


def main(argv: Sequence[str] | None = None) -> int:
    """
    Play, or hand over to the offline command; gives the exit status.

    :param argv: the arguments without the program's name; None takes those of the process.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    own = remove_ros_args([NAME, *arguments])[1:]
    if '--publish' not in own and not {'-h', '--help'} & set(own):
        # Another program in the place of this one: nobody imports the commands.
        os.execv(sys.executable, [sys.executable, '-m', _OFFLINE, *own])
    options = _parse(own)
    with ros_context([NAME, *arguments]):
        try:
            _play(options)
        except Kp2dError as error:
            get_logger(NAME).fatal(' '.join(str(error).split()))
            return 1
    return 0


def _play(options: argparse.Namespace) -> None:
    (sequence,) = open_sources([options.source], options)
    how = PlayOptions(options.rate, options.loop, options.wait, options.max_frames, options.frame_id)
    player = Player(sequence, how)
    try:
        player.get_logger().info(f'{sequence.name}: {len(sequence)} images at rate {options.rate:g}')
        player.get_logger().info(f'{player.play()} images published')
    finally:
        ignore_signals()
        player.destroy_node()


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='ros2 run kp2d_ros replay', description=__doc__, epilog=_EPILOG)
    add_source_options(parser)
    group = parser.add_argument_group('how to play')
    group.add_argument('--publish', action='store_true', help='publish image, camera_info, ground_truth and /clock')
    group.add_argument(
        '--rate',
        type=_rate,
        default=1.0,
        metavar='X',
        help='times as fast as recorded; 0: as fast as the frontend answers (default: %(default)s)',
    )
    group.add_argument('--loop', action='store_true', help='again and again')
    group.add_argument(
        '--wait', type=float, default=10.0, metavar='S', help='seconds to wait for a subscriber (default: %(default)s)'
    )
    group.add_argument('--max-frames', type=int, metavar='N', help='stop after so many images')
    group.add_argument('--frame-id', default='camera', help='frame of images that name none (default: %(default)s)')
    return parser.parse_args(arguments)


def _rate(text: str) -> float:
    rate = float(text)
    if not math.isfinite(rate) or rate < 0:
        raise argparse.ArgumentTypeError(f'found {text}, expected a number that is not negative')
    return rate


if __name__ == '__main__':
    raise SystemExit(main())
