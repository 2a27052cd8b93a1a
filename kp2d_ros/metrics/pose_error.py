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
from kp2d_ros.metrics.association import interpolate_poses
from kp2d_ros.metrics.frame_record import FrameRecord, lost_runs
from kp2d_ros.metrics.spread import Spread

MIN_BASELINE = 1e-3  # metres; the direction of a shorter true motion is not asked for


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
    errors = pair_errors(frames, truth)
    estimated = [frame.pose for frame in frames if frame.pose is not None and frame.has_estimate]
    runs = list(lost_runs(frames))
    ended = sum(run[-1] is not frames[-1] for run in runs)
    return PairScore(
        rotation_deg=Spread.of(error.rotation_deg for error in errors),
        direction_deg=Spread.of(error.direction_deg for error in errors),
        inlier_ratio=Spread.of(pose.inlier_count / pose.match_count for pose in estimated if pose.match_count),
        lost=sum(frame.state is TrackingState.LOST for frame in frames),
        recoveries=ended,
        longest_lost=max((len(run) for run in runs), default=0),
    )


def pair_errors(frames: Sequence[FrameRecord], truth: Trajectory | None) -> list[PairError]:
    """
    The errors of every frame that is compared with an earlier one, in the order of the frames.
    """
    return [_pair_error(frame, frame.pose, truth) for frame in frames if frame.pose is not None]


def _pair_error(frame: FrameRecord, pose: RelativePose, truth: Trajectory | None) -> PairError:
    true_motion = np.full((4, 4), np.nan)
    if truth is not None and len(truth):
        true_motion = _true_motion(truth, pose.reference_stamp_ns, frame.stamp_ns)
    if not np.isfinite(true_motion).all():
        return PairError(frame.seq, frame.stamp_ns, *[float('nan')] * 3)
    if not frame.has_estimate:
        return PairError(frame.seq, frame.stamp_ns, float('nan'), float('nan'), float('inf'))
    rotation_deg = _rotation_error_deg(pose, true_motion)
    direction_deg = _direction_error_deg(pose, true_motion)
    pose_deg = max(rotation_deg, direction_deg)
    if not np.isfinite(direction_deg):
        pose_deg = float('inf') if _moved(true_motion) else rotation_deg
    return PairError(frame.seq, frame.stamp_ns, rotation_deg, direction_deg, pose_deg)


def _true_motion(truth: Trajectory, reference_stamp_ns: int, current_stamp_ns: int) -> np.ndarray:
    """
    The true ``reference_from_current`` (4, 4); NaN where there is no ground truth.
    """
    reference, current = interpolate_poses(truth, np.array([reference_stamp_ns, current_stamp_ns], np.int64))
    return np.asarray(invert_transform(reference) @ current)


def _rotation_error_deg(pose: RelativePose, true_motion: np.ndarray) -> float:
    return float(np.degrees(rotation_angle(true_motion[:3, :3].T @ pose.reference_from_current[:3, :3])))


def _direction_error_deg(pose: RelativePose, true_motion: np.ndarray) -> float:
    if not _moved(true_motion) or not pose.reference_from_current[:3, 3].any():
        return float('nan')
    return float(np.degrees(angle_between(true_motion[:3, 3], pose.reference_from_current[:3, 3])))


def _moved(true_motion: np.ndarray) -> bool:
    return bool(np.linalg.norm(true_motion[:3, 3]) >= MIN_BASELINE)
