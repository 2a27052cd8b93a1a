# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Everything that is measured of one run over a sequence, against the truth and on its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kp2d_ros.core.errors import BackendError, DataError
from kp2d_ros.core.records import ScaleKind
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.metrics.frame_record import (
    Failure,
    FrameRecord,
    ScaleSegment,
    chain_poses,
    find_failures,
    scale_segments,
    stage_spreads,
)
from kp2d_ros.metrics.pose_error import (
    PairError,
    PairScore,
    PoseCurve,
    interpolate_poses,
    pair_errors,
    pose_curve,
    score_pairs,
)
from kp2d_ros.metrics.spread import Spread
from kp2d_ros.metrics.trajectory import (
    KITTI_LENGTHS,
    Alignment,
    SegmentScore,
    TrajectoryScore,
    score_segments,
    score_trajectory,
)


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

    ``path`` is the chained trajectory, the camera of the first frame its world. ``with_truth`` counts the frames that
    have a true pose. ``whole`` scores the path, ``longest`` its part in the longest scale segment, None where there is
    only one. ``drift`` is that of ``whole``. ``stages`` holds milliseconds by stage, ``track_frames``
    the mean number of frames that saw a keypoint.
    """

    frames: Sequence[FrameRecord]
    path: Trajectory
    segments: Sequence[ScaleSegment]
    failures: Sequence[Failure]
    stages: Mapping[str, Spread]
    with_truth: int
    errors: Sequence[PairError]
    pairs: PairScore
    curve: PoseCurve
    whole: TrajectoryScore | None
    longest: TrajectoryScore | None
    drift: SegmentScore | None
    track_frames: float | None
    note: str

    @property
    def is_metric(self) -> bool:
        """
        Whether the path is in metres as it is.
        """
        return _is_metric(self.frames)


def _is_metric(frames: Sequence[FrameRecord]) -> bool:
    return any(frame.pose is not None and frame.pose.scale is ScaleKind.METRIC for frame in frames)


def default_rules(frames: Sequence[FrameRecord]) -> ScoreRules:
    """
    What is fitted to a run: not the scale where it knows metres.
    """
    return ScoreRules(Alignment.SE3 if _is_metric(frames) else Alignment.SIM3)


def score_run(
    frames: Sequence[FrameRecord],
    truth: Trajectory | None,
    rules: ScoreRules | None = None,
    track_frames: float | None = None,
) -> RunScore:
    """
    Chain the poses of a run and measure everything that they and the truth allow.

    :param rules: None: those of :func:`default_rules`.
    :param track_frames: what :class:`kp2d_ros.metrics.frame_record.TrackLengths` found; frames do not tell.
    """
    rules = rules or default_rules(frames)
    errors = pair_errors(frames, truth)
    path, segments = chain_poses(frames), scale_segments(frames)
    whole, longest, drift, note = None, None, None, ''
    if truth is None:
        note = 'the source has no ground truth'
    elif not len(path):
        note = 'no image has a pose'
    else:
        try:
            whole = score_trajectory(path, truth, rules.alignment)
            poses = whole.truth.world_from_camera, whole.aligned.world_from_camera
            drift = score_segments(*poses, rules.segment_lengths)
            if len(segments) > 1:
                number = max(segments, key=lambda segment: segment.frames).number
                part = chain_poses([frame for frame in frames if frame.scale_segment == number])
                longest = score_trajectory(part, truth, rules.alignment)
        except (BackendError, DataError) as error:
            note = str(error)
    return RunScore(
        frames=frames,
        path=path,
        segments=segments,
        failures=find_failures(frames),
        stages=stage_spreads(frames),
        with_truth=_count_true(frames, truth),
        errors=errors,
        pairs=score_pairs(frames, errors),
        curve=pose_curve(errors),
        whole=whole,
        longest=longest,
        drift=drift,
        track_frames=track_frames,
        note=note,
    )


def _count_true(frames: Sequence[FrameRecord], truth: Trajectory | None) -> int:
    if truth is None or not len(truth):
        return 0
    poses = interpolate_poses(truth, np.array([frame.stamp_ns for frame in frames], np.int64))
    return int(np.isfinite(poses).all(axis=(1, 2)).sum())


def frame_counts(frames: Sequence[FrameRecord]) -> dict[str, Spread | None]:
    """
    How many keypoints the frames have, and how many matches and inliers the pairs; None without any.
    """
    poses = [frame.pose for frame in frames if frame.pose is not None]
    return {
        'keypoints': Spread.of(frame.keypoint_count for frame in frames),
        'matches': Spread.of(pose.match_count for pose in poses),
        'inliers': Spread.of(pose.inlier_count for pose in poses),
    }
