# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Relative poses added up to one path that never jumps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kp2d_ros.core.records import UNKNOWN_VARIANCE, Float64Array, RelativePose, ScaleKind
from kp2d_ros.core.se3 import hat, invert_transform, vector_from_rotation

_REMEMBERED = 32  # frames that a later one may refer to; the reference in use is always one of them
# In metres and radians per second, what a camera that stood may have begun while nothing was seen.
_LEAST_SPEEDS = (0.1, 0.1)
# In metres and radians; beyond is lost anyhow. rtabmap takes a variance of 9999 for an order to start anew.
_FARTHEST = (90.0, np.pi)


@dataclass(frozen=True, slots=True)
class PathPose:
    """
    A camera (4, 4) in the world, which is the first camera, at a time.

    ``covariance`` is 6x6 over position and rotation about the fixed axes of the world, ``step_covariance`` that of the
    last relative pose alone, about the axes of its reference.
    """

    stamp_ns: int
    world_from_camera: Float64Array
    covariance: Float64Array
    step_covariance: Float64Array


class PosePath:
    """
    Adds up relative poses, each to the pose of its own reference.

    A frame without an estimate keeps the last pose. Of a path without metres nothing is known then, and where the scale
    chain breaks, the new segment goes on from the last pose in a unit of its own. In metres there is an idea of how far
    a camera gets: the covariance grows as if it went on as fast as it was.
    """

    def __init__(self) -> None:
        self._poses: dict[int, PathPose] = {}  # by frame number, oldest first
        self._has_begun = False
        self._is_metric = False
        self._estimate = self._before = _origin(0)  # of the last estimate, and what its motion is counted from
        self._speeds = (0.0, 0.0)  # of the last estimate, in metres and radians per second

    @property
    def has_begun(self) -> bool:
        """
        Whether there was an estimate; the path stands at its origin until then.
        """
        return self._has_begun

    @property
    def is_metric(self) -> bool:
        """
        Whether lengths are metres, as the last relative pose says.
        """
        return self._is_metric

    @property
    def latest(self) -> PathPose:
        """
        The pose of the last frame; the origin at the time 0 before the first one.
        """
        return next(reversed(self._poses.values()), _origin(0))

    @property
    def before(self) -> PathPose:
        """
        The pose that the motion to :attr:`latest` is counted from: the one before it; in metres, the last known one.
        """
        return self._before

    def add(self, seq: int, stamp_ns: int, pose: RelativePose | None) -> PathPose:
        """
        The pose of one more frame with its relative pose, None if it has none; a reference not known is the last frame.
        """
        has_estimate = pose is not None and pose.is_estimate
        self._is_metric = self._is_metric if pose is None else pose.scale is ScaleKind.METRIC
        if not self._has_begun and not has_estimate:
            self._poses = {seq: _origin(stamp_ns)}
            self._estimate = self._before = self._poses[seq]
            return self._poses[seq]
        self._has_begun = True
        added = self._follow(stamp_ns, pose) if pose is not None and has_estimate else self._wait(stamp_ns)
        self._poses.pop(seq, None)  # a number that comes again is the latest all the same
        self._poses[seq] = added
        kept = {seq, seq if pose is None else pose.reference_seq}
        for old in [number for number in list(self._poses)[:-_REMEMBERED] if number not in kept]:
            del self._poses[old]
        return added

    def _follow(self, stamp_ns: int, pose: RelativePose) -> PathPose:
        latest = self.latest
        reference = self._poses.get(pose.reference_seq, latest)
        world_from_reference, step = reference.world_from_camera, pose.reference_from_current
        covariance = composed_covariance(world_from_reference, reference.covariance, step, pose.covariance)
        added = PathPose(stamp_ns, world_from_reference @ step, covariance, pose.covariance)
        # From a reference that was lost itself the motion tells nothing of the time before.
        since_known = self._estimate if reference.stamp_ns <= self._estimate.stamp_ns else reference
        self._before = since_known if self._is_metric else latest
        self._estimate = added
        self._speeds = _speeds(self._before, added)
        return added

    def _drift(self, stamp_ns: int) -> Float64Array:
        """
        Covariance (6, 6) of where a camera got since the last estimate at the speed that it had.
        """
        seconds = (stamp_ns - self._estimate.stamp_ns) * 1e-9
        speeds = np.maximum(self._speeds, _LEAST_SPEEDS)
        return np.diag(np.repeat(np.minimum(speeds * max(seconds, 0.0), _FARTHEST) ** 2, 3))

    def _wait(self, stamp_ns: int) -> PathPose:
        latest, step_covariance = self.latest, UNKNOWN_VARIANCE * np.eye(6)
        if not self._is_metric:
            self._before = latest
            pose = latest.world_from_camera
            covariance = composed_covariance(pose, latest.covariance, np.eye(4), step_covariance)
            return PathPose(stamp_ns, pose, covariance, step_covariance)
        known, self._before = self._estimate, self._estimate
        step_covariance = self._drift(stamp_ns)
        covariance = composed_covariance(known.world_from_camera, known.covariance, np.eye(4), step_covariance)
        return PathPose(stamp_ns, known.world_from_camera, covariance, step_covariance)


def composed_covariance(
    a_from_b: Float64Array, covariance_ab: Float64Array, b_from_c: Float64Array, covariance_bc: Float64Array
) -> Float64Array:
    """
    Covariance (6, 6) of ``a_from_b @ b_from_c`` from those of the two, which are independent.

    All are over translation and rotation about the fixed axes of the left frame. At ``UNKNOWN_VARIANCE`` it stays:
    nothing is known.
    """
    rotation = a_from_b[:3, :3]
    by_first = np.eye(6)
    by_first[:3, 3:] = -hat(rotation @ b_from_c[:3, 3])
    by_second = np.kron(np.eye(2), rotation)
    covariance = by_first @ covariance_ab @ by_first.T + by_second @ covariance_bc @ by_second.T
    if not np.isfinite(covariance).all() or np.diag(covariance).max() >= UNKNOWN_VARIANCE:
        return UNKNOWN_VARIANCE * np.eye(6)
    return np.asarray(0.5 * (covariance + covariance.T))


def _speeds(before: PathPose, after: PathPose) -> tuple[float, float]:
    seconds = max(after.stamp_ns - before.stamp_ns, 1) * 1e-9
    motion = invert_transform(before.world_from_camera) @ after.world_from_camera
    turn = np.linalg.norm(vector_from_rotation(motion[:3, :3]))
    return float(np.linalg.norm(motion[:3, 3])) / seconds, float(turn) / seconds


def _origin(stamp_ns: int) -> PathPose:
    return PathPose(stamp_ns, np.eye(4), np.zeros((6, 6)), np.zeros((6, 6)))
