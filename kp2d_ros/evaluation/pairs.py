# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Measures of a monocular frontend that need no scale: each relative pose against the true one of the same two images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kp2d_ros.core.records import RelativePose, TrackingState
from kp2d_ros.core.se3 import angle_between, invert_transform, rotation_angle
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.evaluation.association import interpolate_poses
from kp2d_ros.evaluation.records import FrameRecord, lost_runs
from kp2d_ros.evaluation.spread import Spread

MIN_BASELINE = 1e-3  # metres; the direction of a shorter true motion is not asked for


@dataclass(frozen=True, slots=True)
class PairScore:
    """
    How good the relative poses are, and how often there was none.

    ``rotation_deg`` is the angle of the rotation that is left over; ``direction_deg`` the angle between the estimated
    and the true direction of motion, over pairs where both moved. ``inlier_ratio`` is inliers over matches. None:
    no pair had both an estimate and ground truth. ``lost`` counts frames; ``recoveries`` the runs of lost frames that
    ended, ``longest_lost`` the frames of the longest run.
    """

    rotation_deg: Spread | None
    direction_deg: Spread | None
    inlier_ratio: Spread | None
    lost: int
    recoveries: int
    longest_lost: int


def score_pairs(frames: Sequence[FrameRecord], truth: Trajectory | None) -> PairScore:
    """
    Compare every estimated relative pose with the ground truth; without truth only what needs none is filled in.
    """
    estimated = [(frame.stamp_ns, frame.pose) for frame in frames if frame.pose is not None and frame.has_estimate]
    rotation_deg: list[float] = []
    direction_deg: list[float] = []
    if truth is not None and len(truth):
        for stamp_ns, pose in estimated:
            true_motion = _true_motion(truth, pose.reference_stamp_ns, stamp_ns)
            rotation_deg.append(_rotation_error_deg(pose, true_motion))
            direction_deg.append(_direction_error_deg(pose, true_motion))
    runs = list(lost_runs(frames))
    ended = sum(run[-1] is not frames[-1] for run in runs)
    return PairScore(
        rotation_deg=Spread.of(rotation_deg),
        direction_deg=Spread.of(direction_deg),
        inlier_ratio=Spread.of(pose.inlier_count / pose.match_count for _, pose in estimated if pose.match_count),
        lost=sum(frame.state is TrackingState.LOST for frame in frames),
        recoveries=ended,
        longest_lost=max((len(run) for run in runs), default=0),
    )


def _true_motion(truth: Trajectory, reference_stamp_ns: int, current_stamp_ns: int) -> np.ndarray:
    """
    The true ``reference_from_current`` (4, 4); NaN where there is no ground truth.
    """
    reference, current = interpolate_poses(truth, np.array([reference_stamp_ns, current_stamp_ns], np.int64))
    return np.asarray(invert_transform(reference) @ current)


def _rotation_error_deg(pose: RelativePose, true_motion: np.ndarray) -> float:
    if not np.isfinite(true_motion).all():
        return float('nan')
    return float(np.degrees(rotation_angle(true_motion[:3, :3].T @ pose.reference_from_current[:3, :3])))


def _direction_error_deg(pose: RelativePose, true_motion: np.ndarray) -> float:
    moved = np.linalg.norm(true_motion[:3, 3]) >= MIN_BASELINE  # False for NaN
    if not moved or not pose.reference_from_current[:3, 3].any():
        return float('nan')
    return float(np.degrees(angle_between(true_motion[:3, 3], pose.reference_from_current[:3, 3])))
