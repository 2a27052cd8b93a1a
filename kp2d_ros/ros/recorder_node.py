# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A node that listens to everything the frontend publishes and writes it into one file at the end.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import cv2
import numpy as np
import rclpy
from nav_msgs.msg import Odometry
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image

from kp2d_ros.core.errors import Kp2dError
from kp2d_ros.core.records import TrackingState
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.evaluation.odometry.run_file import Recording, write_recording
from kp2d_ros.metrics.frame_record import FrameRecord
from kp2d_ros.msg import FrontendStatus, KeypointArray, MatchArray, RelativePose
from kp2d_ros.ros.conversions import (
    decode_message,
    ns_from_time,
    relative_pose_from_message,
    transform_from_pose,
)

NAME = 'recorder'
_RELIABLE = QoSProfile(reliability=ReliabilityPolicy.RELIABLE, depth=1000)
_PICTURES = QoSProfile(reliability=ReliabilityPolicy.BEST_EFFORT, depth=2)
_STAGES = ('wait', 'decode', 'inference', 'match', 'depth', 'pose', 'window', 'publish', 'total')
_STAGES_OF_SOME = ('depth', 'window')  # left out where they did not run
_SETTLE_SECONDS = 0.5  # what belongs to the last image arrives within this


class Recorder(Node):
    """
    Keeps what arrives, by the stamp of the image.
    """

    def __init__(self, picture_stamp_ns: int | None = None) -> None:
        """
        :param picture_stamp_ns: the first debug image at or after this time is kept; None keeps none.
        """
        super().__init__(NAME)
        self._picture_stamp_ns = picture_stamp_ns
        self.picture: np.ndarray | None = None
        self.topics: Counter[str] = Counter()
        self.last_arrival: float | None = None
        self.statuses: dict[int, FrontendStatus] = {}
        self._poses: dict[int, RelativePose] = {}
        self._odometry: dict[int, np.ndarray] = {}
        self._listen(KeypointArray, 'keypoints', lambda message: None)
        self._listen(MatchArray, 'matches', lambda message: None)
        self._listen(RelativePose, 'relative_pose', self._keep_pose)
        self._listen(Odometry, 'odometry', self._keep_odometry)
        self._listen(FrontendStatus, 'status', self._keep_status)
        if picture_stamp_ns is not None:
            self._listen(Image, 'debug_image', self._keep_picture, _PICTURES)

    def _listen(self, kind: Any, topic: str, keep: Callable[[Any], None], qos: QoSProfile = _RELIABLE) -> None:
        def take(message: Any) -> None:
            self.topics[topic] += 1
            self.last_arrival = monotonic()
            keep(message)

        self.create_subscription(kind, topic, take, qos)

    def _keep_pose(self, message: RelativePose) -> None:
        self._poses[ns_from_time(message.header.stamp)] = message

    def _keep_odometry(self, message: Odometry) -> None:
        self._odometry[ns_from_time(message.header.stamp)] = transform_from_pose(message.pose.pose)

    def _keep_status(self, message: FrontendStatus) -> None:
        self.statuses[ns_from_time(message.header.stamp)] = message

    def _keep_picture(self, message: Image) -> None:
        if self.picture is None and ns_from_time(message.header.stamp) >= (self._picture_stamp_ns or 0):
            self.picture = decode_message(message)

    def hears_everything(self) -> bool:
        """
        Whether every topic that is listened to has a publisher.
        """
        return all(self.count_publishers(subscription.topic_name) for subscription in self.subscriptions)

    def recording(self) -> Recording:
        """
        What has arrived so far, joined by frame.

        :raises DataError: if a message holds an unknown constant.
        """
        last = self.statuses[max(self.statuses)] if self.statuses else FrontendStatus()
        stamps = sorted(self._odometry)
        return Recording(
            model_id=last.model_id,
            backend=last.backend,
            device=last.device,
            received=last.frames_received,
            processed=last.frames_processed,
            dropped=last.frames_dropped,
            topics=dict(self.topics),
            frames=[self._frame(seq, stamp) for seq, stamp in enumerate(sorted(self.statuses))],
            odometry=Trajectory(
                np.array(stamps, np.int64), np.array([self._odometry[s] for s in stamps]).reshape(-1, 4, 4)
            ),
        )

    def _frame(self, row: int, stamp_ns: int) -> FrameRecord:
        status, message = self.statuses[stamp_ns], self._poses.get(stamp_ns)
        return FrameRecord(
            seq=row if message is None else message.current_seq,
            stamp_ns=stamp_ns,
            state=TrackingState(status.state),
            keypoint_count=status.keypoint_count,
            scale_segment=0 if message is None else message.scale_segment,
            pose=None if message is None else relative_pose_from_message(message),
            stage_ms=_stage_ms(status),
        )


def _stage_ms(status: FrontendStatus) -> dict[str, float]:
    by_stage = {stage: float(getattr(status, f'{stage}_ms')) for stage in _STAGES}
    return {stage: took for stage, took in by_stage.items() if took or stage not in _STAGES_OF_SOME}


def _record(recorder: Recorder, args: argparse.Namespace) -> None:
    """
    Spin until the last image was answered, nothing comes any more, or the time is up.
    """
    deadline = monotonic() + args.timeout
    heard = False
    while monotonic() < deadline:
        rclpy.spin_once(recorder, timeout_sec=0.05)
        if not heard and recorder.hears_everything():
            heard = True
            recorder.get_logger().info('listening: every topic has a publisher')
        if recorder.last_arrival is None:
            continue
        quiet = monotonic() - recorder.last_arrival
        if quiet > args.quiet or (quiet > _SETTLE_SECONDS and args.last_stamp_ns in recorder.statuses):
            return


def _write(recorder: Recorder, args: argparse.Namespace) -> None:
    write_recording(recorder.recording(), args.out)
    if args.picture is not None and recorder.picture is not None:
        picture = recorder.picture
        cv2.imwrite(str(args.picture), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=NAME, description='Record what the frontend publishes, into one file.')
    parser.add_argument('--out', type=Path, required=True, help='file to write (JSON)')
    parser.add_argument('--picture', type=Path, help='file for one debug image (PNG)')
    parser.add_argument('--picture-stamp-ns', type=int, default=0, help='take the first debug image from this time on')
    parser.add_argument('--last-stamp-ns', type=int, default=-1, help='stop after the status of the image of this time')
    parser.add_argument('--quiet', type=float, default=5.0, help='stop after so many seconds without a message')
    parser.add_argument('--timeout', type=float, default=600.0, help='stop after so many seconds in any case')
    return parser.parse_args(remove_ros_args([NAME, *arguments])[1:])


def main(argv: Sequence[str] | None = None) -> int:
    """
    Record until the end; whatever ends it, what arrived is written. Gives the exit status.

    :param argv: the arguments without the program's name; None takes those of the process.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    args = _parse(arguments)
    rclpy.init(args=[NAME, *arguments])
    recorder = Recorder(None if args.picture is None else args.picture_stamp_ns)
    try:
        with suppress(KeyboardInterrupt, ExternalShutdownException):  # asked to stop
            _record(recorder, args)
        _write(recorder, args)
    except Kp2dError as error:
        recorder.get_logger().error(str(error))
        return 1
    finally:
        recorder.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
