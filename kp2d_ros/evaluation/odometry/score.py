# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Everything that is measured of one run over a sequence, against the truth and on its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.evaluation.odometry.report import stage_spreads
from kp2d_ros.evaluation.odometry.run_file import StoredRun
from kp2d_ros.metrics.association import interpolate_poses
from kp2d_ros.metrics.drift import KITTI_LENGTHS, SegmentScore, score_segments
from kp2d_ros.metrics.frame_record import FrameRecord, ScaleSegment, chain_poses, scale_segments
from kp2d_ros.metrics.pose_curve import PoseCurve, pose_curve
from kp2d_ros.metrics.pose_error import PairError, PairScore, pair_errors, score_pairs
from kp2d_ros.metrics.spread import Spread
from kp2d_ros.metrics.tracking import Failure, find_failures
from kp2d_ros.metrics.trajectory import Alignment, TrajectoryScore, score_trajectory


@dataclass(frozen=True, slots=True)
class ScoreRules:
    """
    What may be fitted before a trajectory is scored, and the lengths in metres of the parts that drift is measured on.
    """

    alignment: Alignment = Alignment.SIM3
    segment_lengths: tuple[float, ...] = KITTI_LENGTHS


@dataclass(frozen=True, slots=True)
class RunScore:
    """
    A run against the truth; what could not be measured is None, and ``note`` says why the trajectory was not.

    ``with_truth`` counts the frames that have a true pose. ``whole`` scores the chained trajectory, ``longest`` its
    part in the longest scale segment, None where there is only one. ``drift`` is that of ``whole``.
    """

    frames: Sequence[FrameRecord]
    with_truth: int
    errors: Sequence[PairError]
    pairs: PairScore
    curve: PoseCurve
    track_frames: float | None
    failures: Sequence[Failure]
    scale_segments: Sequence[ScaleSegment]
    whole: TrajectoryScore | None
    longest: TrajectoryScore | None
    drift: SegmentScore | None
    stages: Mapping[str, Spread]
    note: str


def score_run(run: StoredRun, truth: Trajectory | None, rules: ScoreRules) -> RunScore:
    """
    Measure everything that the run and the truth allow.
    """
    frames = run.frames
    errors = pair_errors(frames, truth)
    segments = scale_segments(frames)
    whole, longest, note = None, None, ''
    path = chain_poses(frames)
    if not len(path):
        note = 'no image has a pose'
    elif truth is not None:
        try:
            whole = score_trajectory(path, truth, rules.alignment)
            if len(segments) > 1:
                longest = score_trajectory(_longest_part(frames, segments), truth, rules.alignment)
        except DataError as error:
            note = str(error)
    drift = None
    if whole is not None:
        poses = whole.truth.world_from_camera, whole.aligned.world_from_camera
        drift = score_segments(*poses, rules.segment_lengths)
    track_frames = run.values.get('track_frames')
    return RunScore(
        frames=frames,
        with_truth=_count_true(frames, truth),
        errors=errors,
        pairs=score_pairs(frames, truth),
        curve=pose_curve(errors),
        track_frames=None if track_frames is None else float(track_frames['mean']),
        failures=find_failures(frames),
        scale_segments=segments,
        whole=whole,
        longest=longest,
        drift=drift,
        stages=stage_spreads(frames),
        note=note,
    )


def _longest_part(frames: Sequence[FrameRecord], segments: Sequence[ScaleSegment]) -> Trajectory:
    number = max(segments, key=lambda segment: segment.frames).number
    return chain_poses([frame for frame in frames if frame.scale_segment == number])


def _count_true(frames: Sequence[FrameRecord], truth: Trajectory | None) -> int:
    if truth is None or not len(truth):
        return 0
    poses = interpolate_poses(truth, np.array([frame.stamp_ns for frame in frames], np.int64))
    return int(np.isfinite(poses).all(axis=(1, 2)).sum())
