# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Measures of a monocular frontend that need no scale: each relative pose against the true one of the same two images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.records import RelativePose
from kp2d_ros.core.se3 import (
    angle_between,
    invert_transform,
    rotation_angle,
    rotation_from_vector,
    transform_from,
    vector_from_rotation,
)
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.metrics.frame_record import FrameRecord, find_failures
from kp2d_ros.metrics.spread import Spread

MIN_BASELINE = 1e-3  # metres; the direction of a shorter true motion is not asked for
MAX_GAP_NS = 200_000_000  # nothing is interpolated over a longer hole in the ground truth

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PairError:
    """
    The relative pose of one frame against the truth, in degrees; NaN where it cannot be told.

    ``rotation_deg`` is the angle of the rotation that is left over, NaN without estimate or truth. ``direction_deg`` is
    the angle between the estimated and the true direction of motion, NaN also where one of them did not move.
    ``pose_deg`` is the larger one of both: the rotation alone where the truth did not move by ``MIN_BASELINE``;
    infinite where there is no estimate, or one without translation while the truth moves; NaN without truth.
    """

    seq: int
    stamp_ns: int
    rotation_deg: float
    direction_deg: float
    pose_deg: float


@dataclass(frozen=True, slots=True)
class PairScore:
    """
    The errors of all pairs that have both an estimate and ground truth (None: no pair has), the share of the matches
    that agree with the estimate, and how often there was none.

    ``lost`` counts frames; ``recoveries`` the runs of lost frames that ended, ``longest_lost`` the frames of the
    longest run.
    """

    rotation_deg: Spread | None
    direction_deg: Spread | None
    inlier_ratio: Spread | None
    lost: int
    recoveries: int
    longest_lost: int


@dataclass(frozen=True, slots=True)
class PoseCurve:
    """
    The N known errors in degrees, rising; failed pairs are infinite and stay in N.
    """

    errors_deg: Array

    def __len__(self) -> int:
        return len(self.errors_deg)

    def recall(self, limits_deg: Array) -> Array:
        """
        Share of the pairs whose error is not larger than each limit; NaN without pairs.
        """
        counts = np.searchsorted(self.errors_deg, limits_deg, side='right')
        return np.asarray(counts / len(self.errors_deg) if len(self.errors_deg) else np.full(len(limits_deg), np.nan))

    def area(self, limit_deg: float) -> float:
        """
        Area under the curve from 0 to a limit, over the limit: 1 is a curve of pairs without error; NaN without pairs.

        The curve joins (0, 0) and the points (i-th error, i / N) by straight lines, up to the last error below the
        limit, and is level from there, as in the evaluation of SuperGlue (Sarlin et al., CVPR 2020).
        """
        if not len(self.errors_deg):
            return float('nan')
        below = int(np.searchsorted(self.errors_deg, limit_deg, side='left'))
        x = np.concatenate([[0.0], self.errors_deg[:below], [limit_deg]])
        y = np.concatenate([np.arange(below + 1), [below]]) / len(self.errors_deg)
        return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) / limit_deg)


def pose_curve(errors: Sequence[PairError]) -> PoseCurve:
    """
    The curve of ``pose_deg``; pairs without truth are left out.
    """
    values = np.array([error.pose_deg for error in errors], np.float64)
    return PoseCurve(np.sort(values[~np.isnan(values)]))


def score_pairs(frames: Sequence[FrameRecord], errors: Sequence[PairError]) -> PairScore:
    """
    What the errors of the frames (see :func:`pair_errors`) come to.
    """
    estimated = [frame.pose for frame in frames if frame.pose is not None and frame.has_estimate]
    failures = find_failures(frames)
    return PairScore(
        rotation_deg=Spread.of(error.rotation_deg for error in errors),
        direction_deg=Spread.of(error.direction_deg for error in errors),
        inlier_ratio=Spread.of(pose.inlier_count / pose.match_count for pose in estimated if pose.match_count),
        lost=sum(failure.frames for failure in failures),
        recoveries=sum(failure.seconds is not None for failure in failures),
        longest_lost=max((failure.frames for failure in failures), default=0),
    )


def pair_errors(frames: Sequence[FrameRecord], truth: Trajectory | None) -> list[PairError]:
    """
    The errors of every frame that is compared with an earlier one, in the order of the frames.
    """
    return [_pair_error(frame, frame.pose, truth) for frame in frames if frame.pose is not None]


def _pair_error(frame: FrameRecord, pose: RelativePose, truth: Trajectory | None) -> PairError:
    nan = float('nan')
    true_motion = np.full((4, 4), nan)
    if truth is not None and len(truth):
        stamps_ns = np.array([pose.reference_stamp_ns, frame.stamp_ns], np.int64)
        reference, current = interpolate_poses(truth, stamps_ns)
        true_motion = invert_transform(reference) @ current
    if not np.isfinite(true_motion).all():
        return PairError(frame.seq, frame.stamp_ns, nan, nan, nan)
    if not frame.has_estimate:
        return PairError(frame.seq, frame.stamp_ns, nan, nan, float('inf'))
    motion = pose.reference_from_current
    moved = float(np.linalg.norm(true_motion[:3, 3])) >= MIN_BASELINE
    rotation_deg = float(np.degrees(rotation_angle(true_motion[:3, :3].T @ motion[:3, :3])))
    direction_deg = nan
    if moved and motion[:3, 3].any():
        direction_deg = float(np.degrees(angle_between(true_motion[:3, 3], motion[:3, 3])))
    pose_deg = max(rotation_deg, direction_deg)
    if not np.isfinite(direction_deg):
        pose_deg = float('inf') if moved else rotation_deg
    return PairError(frame.seq, frame.stamp_ns, rotation_deg, direction_deg, pose_deg)


def interpolate_poses(trajectory: Trajectory, stamps_ns: npt.NDArray[np.int64], max_gap_ns: int = MAX_GAP_NS) -> Array:
    """
    Poses (S, 4, 4) at the stamps (S,): constant velocity and turn rate between the two neighbours in time.

    NaN before the first pose, after the last one, and between neighbours more than ``max_gap_ns`` apart. A stamp that
    the trajectory has gives its pose unchanged.
    """
    poses = np.full((len(stamps_ns), 4, 4), np.nan)
    known = trajectory.stamps_ns
    after = np.searchsorted(known, stamps_ns)
    for row, (stamp, right) in enumerate(zip(stamps_ns, after, strict=True)):
        if right < len(known) and known[right] == stamp:
            poses[row] = trajectory.world_from_camera[right]
        elif 0 < right < len(known) and known[right] - known[right - 1] <= max_gap_ns:
            share = float(stamp - known[right - 1]) / float(known[right] - known[right - 1])
            first, second = trajectory.world_from_camera[right - 1 : right + 1]
            turn = vector_from_rotation(first[:3, :3].T @ second[:3, :3])
            rotation = first[:3, :3] @ rotation_from_vector(share * turn)
            poses[row] = transform_from(rotation, (1 - share) * first[:3, 3] + share * second[:3, 3])
    return poses
