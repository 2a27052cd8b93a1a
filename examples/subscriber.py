# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a mapper or a SLAM backend writes first: keypoints, matches and relative pose of one image, joined and used.

    ros2 run kp2d_ros frontend --ros-args -r image:=/camera/image_raw -r camera_info:=/camera/camera_info
    python3 examples/subscriber.py

It needs the messages of this package (source the workspace) and NumPy, nothing else of it. Topics may be remapped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from kp2d_ros.msg import KeypointArray, MatchArray, RelativePose

# What carries the number of the image in each message.
TOPICS = {
    'keypoints': (KeypointArray, 'frame_seq'),
    'matches': (MatchArray, 'current_seq'),
    'relative_pose': (RelativePose, 'current_seq'),
}
WAITING = 30  # images whose messages have not all come; older ones are given up
USABLE = (RelativePose.OK, RelativePose.DEGRADED, RelativePose.STATIONARY)


@dataclass(frozen=True)
class Observation:
    """
    What was seen in one image, and how the camera came there.

    ``track_ids`` (N,) name the same point across images, with its pixel ``xy`` (N, 2) and its undistorted ray
    ``bearing_xy`` (N, 2) at z = 1, empty without calibration. ``pairs_xy`` (M, 4) are the matched pixels of the
    reference image and of this one that agree with ``reference_from_current``, a translation and a quaternion xyzw;
    ``covariance`` (6, 6) is over translation and rotation. ``state``, ``scale`` and ``scale_segment`` say what the pose
    is worth: see RelativePose.msg.
    """

    seq: int
    reference_seq: int
    track_ids: npt.NDArray[np.uint32]
    xy: npt.NDArray[np.float32]
    bearing_xy: npt.NDArray[np.float32]
    pairs_xy: npt.NDArray[np.float32]
    reference_from_current: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64]
    state: int
    scale: int
    scale_segment: int


def observation_from(keypoints: KeypointArray, matches: MatchArray, pose: RelativePose) -> Observation:
    """
    Flat arrays of messages become NumPy arrays without a copy.
    """
    pairs = [np.frombuffer(xy, np.float32).reshape(-1, 2) for xy in (matches.reference_xy, matches.current_xy)]
    agree = np.frombuffer(matches.inlier, np.uint8).astype(bool)
    position, rotation = pose.reference_from_current.pose.position, pose.reference_from_current.pose.orientation
    return Observation(
        seq=keypoints.frame_seq,
        reference_seq=matches.reference_seq,
        track_ids=np.frombuffer(keypoints.track_ids, np.uint32),
        xy=np.frombuffer(keypoints.xy, np.float32).reshape(-1, 2),
        bearing_xy=np.frombuffer(keypoints.bearing_xy, np.float32).reshape(-1, 2),
        pairs_xy=np.hstack(pairs)[agree],
        reference_from_current=np.array(
            [position.x, position.y, position.z, rotation.x, rotation.y, rotation.z, rotation.w]
        ),
        covariance=np.array(pose.reference_from_current.covariance).reshape(6, 6),
        state=pose.state,
        scale=pose.scale,
        scale_segment=pose.scale_segment,
    )


class Subscriber(Node):
    """
    Joins the three messages of an image by its number, and hands them on.
    """

    def __init__(self, use: Callable[[Observation], None], **arguments: Any) -> None:
        super().__init__('kp2d_subscriber', **arguments)
        self._use = use
        self._waiting: dict[int, dict[str, Any]] = {}
        qos = QoSProfile(depth=WAITING, reliability=ReliabilityPolicy.RELIABLE)
        for topic, (message_class, number) in TOPICS.items():
            self.create_subscription(message_class, topic, partial(self._take, topic, number), qos)

    def _take(self, topic: str, number: str, message: Any) -> None:
        seq = getattr(message, number)
        messages = self._waiting.setdefault(seq, {})
        messages[topic] = message
        if len(messages) == len(TOPICS):
            del self._waiting[seq]
            self._use(observation_from(**{'pose' if n == 'relative_pose' else n: m for n, m in messages.items()}))
        elif len(self._waiting) > WAITING:  # the first image has keypoints only
            del self._waiting[next(iter(self._waiting))]


class TrackCounter:
    """
    In the place of a backend: counts how long points are followed, and says so.
    """

    def __init__(self, say: Callable[[str], Any]) -> None:
        self._say = say
        self._seen: dict[int, int] = {}  # images by track

    def use(self, seen: Observation) -> None:
        """
        A backend would add factors here: one between two poses, and one for each observation of a track.
        """
        self._seen = {track: self._seen.get(track, 0) + 1 for track in seen.track_ids.tolist()}
        followed = sum(images > 1 for images in self._seen.values())
        pose = 'no pose'
        if seen.state in USABLE:
            x, y, z = seen.reference_from_current[:3]
            pose = f'({x:+.3f}, {y:+.3f}, {z:+.3f}) from image {seen.reference_seq}, segment {seen.scale_segment}'
        self._say(f'image {seen.seq}: {followed} of {len(seen.xy)} points followed, {len(seen.pairs_xy)} pairs, {pose}')


def main() -> None:
    """
    Print a line per image until it is interrupted.
    """
    rclpy.init()
    try:
        rclpy.spin(Subscriber(TrackCounter(print).use))
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
