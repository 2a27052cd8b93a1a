# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Relative poses added up to one path that never jumps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kp2d_ros.core.records import UNKNOWN_VARIANCE, Float64Array, RelativePose
from kp2d_ros.core.se3 import hat

_REMEMBERED = 32  # frames that a later one may refer to; the reference in use is always one of them


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

    A frame without an estimate keeps the last pose, of which nothing is known then. Where the scale chain breaks, the
    new segment goes on from the last pose in a unit of its own.
    """

    def __init__(self) -> None:
        self._poses: dict[int, PathPose] = {}  # by frame number, oldest first
        self._has_begun = False

    @property
    def has_begun(self) -> bool:
        """
        Whether there was an estimate; the path stands at its origin until then.
        """
        return self._has_begun

    @property
    def latest(self) -> PathPose:
        """
        The pose of the last frame; the origin at the time 0 before the first one.
        """
        return next(reversed(self._poses.values()), _origin(0))

    def add(self, seq: int, stamp_ns: int, pose: RelativePose | None) -> PathPose:
        """
        The pose of one more frame with its relative pose, None if it has none; a reference not known is the last frame.
        """
        has_estimate = pose is not None and pose.is_estimate
        if not self._has_begun and not has_estimate:
            self._poses = {seq: _origin(stamp_ns)}
            return self._poses[seq]
        self._has_begun = True
        latest = self.latest
        if pose is not None and has_estimate:
            reference = self._poses.get(pose.reference_seq, latest)
            step, step_covariance = pose.reference_from_current, pose.covariance
        else:
            reference, step, step_covariance = latest, np.eye(4), UNKNOWN_VARIANCE * np.eye(6)
        world_from_reference = reference.world_from_camera
        covariance = composed_covariance(world_from_reference, reference.covariance, step, step_covariance)
        self._poses.pop(seq, None)  # a number that comes again is the latest all the same
        self._poses[seq] = PathPose(stamp_ns, world_from_reference @ step, covariance, step_covariance)
        kept = {seq, seq if pose is None else pose.reference_seq}
        for old in [number for number in list(self._poses)[:-_REMEMBERED] if number not in kept]:
            del self._poses[old]
        return self._poses[seq]


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


def _origin(stamp_ns: int) -> PathPose:
    return PathPose(stamp_ns, np.eye(4), np.zeros((6, 6)), np.zeros((6, 6)))
