# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Poses in ROS messages, as a trajectory of the camera.

Messages are taken by the names of their fields; whoever reads the bag hands them over.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.se3 import invert_transform, rotation_from_quaternion, transform_from
from kp2d_ros.core.trajectories import Trajectory

Float64Array = npt.NDArray[np.float64]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StampedPose:
    """
    ``parent_from_child`` (4x4) at a time; an empty child is whatever the publisher meant: the camera.
    """

    stamp_ns: int
    parent: str
    child: str
    parent_from_child: Float64Array


def stamp_ns_of(message: Any) -> int:
    """
    Integer nanoseconds of a message's header; 0 means the publisher set none.
    """
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def poses_of(message: Any) -> Iterator[StampedPose]:
    """
    The poses in a PoseStamped, PoseWithCovarianceStamped, Odometry, TransformStamped or TFMessage.

    :raises DataError: if a rotation is not one.
    """
    for part in message.transforms if hasattr(message, 'transforms') else (message,):
        if hasattr(part, 'transform'):
            shift, turn = part.transform.translation, part.transform.rotation
        else:
            pose = getattr(part.pose, 'pose', part.pose)  # one level deeper where it comes with a covariance
            shift, turn = pose.position, pose.orientation
        rotation = rotation_from_quaternion(np.array([turn.x, turn.y, turn.z, turn.w], np.float64))
        yield StampedPose(
            stamp_ns_of(part),
            part.header.frame_id.strip('/'),
            getattr(part, 'child_frame_id', '').strip('/'),
            transform_from(rotation, np.array([shift.x, shift.y, shift.z], np.float64)),
        )


def camera_trajectory(poses: Iterable[StampedPose], fixed: Iterable[StampedPose], camera_frame: str) -> Trajectory:
    """
    The trajectory of the camera from poses of the camera itself, or of a frame that it is fixed to.

    :param fixed: transforms that never change (``/tf_static``).
    :param camera_frame: frame_id of the images.
    :raises DataError: if there is no pose, or the poses of several frames might be meant.
    """
    by_child: dict[str, dict[int, Float64Array]] = defaultdict(dict)
    for pose in poses:
        by_child[pose.child][pose.stamp_ns] = pose.parent_from_child
    if not by_child:
        raise DataError('ground truth: found no pose, expected some')
    frame_from_camera = _reach(fixed, camera_frame.strip('/'))
    child = _choose(by_child, frame_from_camera)
    if child and child not in frame_from_camera:
        _log.warning('ground truth: no fixed transform from %r to %r: taken as the same', child, camera_frame)
    stamps = sorted(by_child[child])
    child_from_camera = frame_from_camera.get(child, np.eye(4))
    return Trajectory(np.array(stamps, np.int64), np.array([by_child[child][s] for s in stamps]) @ child_from_camera)


def fixed_transform(fixed: Iterable[StampedPose], frame: str, camera_frame: str) -> Float64Array | None:
    """
    ``frame_from_camera`` (4, 4) by transforms that never change; None where they do not join the two.
    """
    return _reach(fixed, camera_frame.strip('/')).get(frame.strip('/'))


def _choose(children: Iterable[str], reachable: Mapping[str, Float64Array]) -> str:
    candidates = sorted(set(children) & set(reachable)) or sorted(children)
    if len(candidates) != 1:
        raise DataError(f'ground truth: found poses of {", ".join(candidates)}, expected those of one frame')
    return candidates[0]


def _reach(fixed: Iterable[StampedPose], camera_frame: str) -> dict[str, Float64Array]:
    """
    ``frame_from_camera`` of every frame that fixed transforms join to the camera, the camera itself included.
    """
    neighbours: dict[str, list[tuple[str, Float64Array]]] = defaultdict(list)
    for pose in fixed:
        neighbours[pose.child].append((pose.parent, pose.parent_from_child))
        neighbours[pose.parent].append((pose.child, invert_transform(pose.parent_from_child)))
    reached = {camera_frame: np.eye(4)}
    frontier = [camera_frame]
    while frontier:
        near = frontier.pop()
        for far, far_from_near in neighbours[near]:
            if far not in reached:
                reached[far] = far_from_near @ reached[near]
                frontier.append(far)
    return reached
