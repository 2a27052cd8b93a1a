# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Made-up runs with errors of known size give exactly those errors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kp2d_ros.core.records import PoseModel, RelativePose, ScaleKind, TrackingState
from kp2d_ros.core.se3 import invert_transform, rotation_from_vector, transform_from
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.evaluation.odometry.figures import FIGURES, take_figures
from kp2d_ros.metrics.frame_record import FrameRecord
from kp2d_ros.metrics.run_score import ScoreRules, score_run
from kp2d_ros.metrics.trajectory import Alignment

STEP_NS = 100_000_000
EXACT = {'abs': 1e-9}


def drive(count: int, turn_deg: float = 0.0) -> Trajectory:
    """
    One metre forward and a turn about y for each pose.
    """
    step = transform_from(rotation_from_vector(np.radians([0.0, turn_deg, 0.0])), np.array([0.0, 0.0, 1.0]))
    poses = [np.eye(4)]
    for _ in range(count - 1):
        poses.append(poses[-1] @ step)
    return Trajectory(np.arange(count, dtype=np.int64) * STEP_NS, np.array(poses))


def follow(truth: Trajectory, error: np.ndarray, scale: float = 1.0) -> list[FrameRecord]:
    """
    A frontend whose every step is the true one, its length scaled, and then a small wrong motion.
    """
    frames = []
    for row, pose in enumerate(truth.world_from_camera):
        relative = None
        if row:
            motion = invert_transform(truth.world_from_camera[row - 1]) @ pose
            motion[:3, 3] *= scale
            relative = RelativePose(
                reference_seq=row - 1,
                reference_stamp_ns=(row - 1) * STEP_NS,
                state=TrackingState.OK,
                reference_from_current=motion @ error,
                covariance=np.eye(6),
                scale=ScaleKind.CHAINED,
                model=PoseModel.ESSENTIAL,
                match_count=100,
                inlier_count=80,
            )
        state = TrackingState.OK if row else TrackingState.INITIALISING
        frames.append(FrameRecord(row, row * STEP_NS, state, 300 + row, 0, relative, {'total': 10.0 + row}))
    return frames


def figures(frames: list[FrameRecord], truth: Trajectory | None, **rules: Any) -> dict[str, float | None]:
    return take_figures(score_run(frames, truth, ScoreRules(**rules), track_frames=4.5))


def test_a_run_without_error_has_none_in_any_unit() -> None:
    truth = drive(150, turn_deg=0.5)
    found = figures(follow(truth, np.eye(4), scale=0.07), truth)
    for name in ('rotation_deg', 'direction_deg', 'rpe_rotation_deg', 'ate_m', 'rpe_translation_m', 't_rel_percent'):
        assert found[name] == pytest.approx(0.0, abs=1e-5), name  # angles near 0 keep half of the digits
    assert found['r_rel_deg_per_m'] == pytest.approx(0.0, abs=1e-7)
    assert found['auc_5'] == pytest.approx(100.0, abs=1e-5)
    assert found['path_m'] == pytest.approx(149.0, **EXACT)


def test_a_wrong_scale_gives_the_errors_of_that_scale() -> None:
    truth = drive(160)
    frames = follow(truth, np.eye(4), scale=1.02)
    score = score_run(frames, truth, ScoreRules(Alignment.NONE))
    found = take_figures(score)
    places = np.arange(160.0)
    assert found['ate_m'] == pytest.approx(0.02 * np.sqrt(np.mean(places**2)), **EXACT)
    assert found['ate_percent'] == pytest.approx(2 * np.sqrt(np.mean(places**2)) / 159, **EXACT)
    assert found['rpe_translation_m'] == pytest.approx(0.02, **EXACT)
    assert found['t_rel_percent'] == pytest.approx(2.02, **EXACT)  # parts of 100 m end at the first pose beyond
    assert found['direction_deg'] == pytest.approx(0.0, **EXACT)  # a direction knows no scale
    bent = drive(160, turn_deg=0.5)  # a straight line does not fix a rotation about itself
    fitted = score_run(follow(bent, np.eye(4), scale=1.02), bent, ScoreRules(Alignment.SIM3))
    assert fitted.whole is not None
    assert fitted.whole.scale == pytest.approx(1 / 1.02, **EXACT)
    assert take_figures(fitted)['ate_m'] == pytest.approx(0.0, abs=1e-9)


def test_a_turn_at_every_step_is_the_rotation_error_and_the_drift() -> None:
    truth = drive(160)
    turn = transform_from(rotation_from_vector(np.radians([0.0, 0.1, 0.0])), np.zeros(3))
    found = figures(follow(truth, turn), truth, alignment=Alignment.NONE)
    assert found['rotation_deg'] == found['rotation_p90_deg'] == pytest.approx(0.1, **EXACT)
    assert found['rpe_rotation_deg'] == pytest.approx(0.1, **EXACT)
    assert found['direction_deg'] == pytest.approx(0.0, **EXACT)
    assert found['r_rel_deg_per_m'] == pytest.approx(0.1 * 101 / 100, **EXACT)
    # The chord between the arc that is driven, 101 steps of 0.1 degrees, and the straight way.
    angles = np.radians(0.1) * np.arange(101)
    end = np.array([np.sin(angles).sum(), np.cos(angles).sum() - 101.0])
    assert found['t_rel_percent'] == pytest.approx(float(np.linalg.norm(end)), **EXACT)
    assert found['auc_5'] == pytest.approx(100 * (4.9 + 0.1 / 159 / 2) / 5, abs=1e-6)


def test_a_bent_direction_is_the_direction_error_and_fills_the_curve() -> None:
    truth = drive(50)
    frames = follow(truth, np.eye(4))
    bend = rotation_from_vector(np.radians([0.0, 2.0, 0.0]))
    for frame in frames[1:]:
        assert frame.pose is not None
        frame.pose.reference_from_current[:3, 3] = bend @ frame.pose.reference_from_current[:3, 3]
    found = figures(frames, truth)
    assert found['direction_deg'] == pytest.approx(2.0, **EXACT)
    assert found['rotation_deg'] == pytest.approx(0.0, abs=1e-6)
    # 49 errors of 2 degrees: a wall there, and a slope up to the first of them.
    assert found['auc_5'] == pytest.approx(100 * (3.0 + 2.0 / 49 / 2) / 5, abs=1e-6)


def test_an_offset_counts_only_where_nothing_is_fitted() -> None:
    truth = drive(30, turn_deg=1.0)
    moved = transform_from(rotation_from_vector(np.array([0.1, 0.2, 0.3])), np.array([3.0, 4.0, 0.0]))
    shifted = Trajectory(truth.stamps_ns, moved @ truth.world_from_camera)
    frames = follow(truth, np.eye(4))
    assert figures(frames, shifted, alignment=Alignment.SE3)['ate_m'] == pytest.approx(0.0, abs=1e-9)
    only_shift = transform_from(np.eye(3), np.array([3.0, 4.0, 0.0]))
    shifted = Trajectory(truth.stamps_ns, only_shift @ truth.world_from_camera)
    assert figures(frames, shifted, alignment=Alignment.NONE)['ate_m'] == pytest.approx(5.0, **EXACT)


def test_failures_and_recoveries_are_those_that_were_made(
    truth: Trajectory, make_frames: Callable[..., list[FrameRecord]]
) -> None:
    lost = dict.fromkeys((3, 4, 5, 8, 11), TrackingState.LOST)
    found = figures(make_frames(truth, states=lost), truth)
    assert found['lost_percent'] == pytest.approx(100 * 5 / 12)
    assert found['failures'] == 3
    assert found['recovery_frames'] == 2.0  # 3 and 1; the last one did not end
    assert found['recovery_s'] == pytest.approx(0.2)
    assert found['inlier_percent'] == 75.0
    assert found['track_frames'] == 4.5
    assert found['auc_5'] is not None and found['auc_5'] < 60.0


def test_scale_segments_are_counted_and_the_longest_is_scored_alone(
    truth: Trajectory, make_frames: Callable[..., list[FrameRecord]]
) -> None:
    found = figures(make_frames(truth, segments={8: 1}), truth)
    assert found['scale_segments'] == 2
    assert found['ate_longest_m'] == pytest.approx(0.0, abs=1e-9)
    assert figures(make_frames(truth), truth)['ate_longest_m'] is None


def test_without_truth_what_needs_none_is_there() -> None:
    found = figures(follow(drive(20), np.eye(4)), None)
    known = {name for name, value in found.items() if value is not None}
    assert {'keypoints', 'matches', 'inlier_percent', 'track_frames', 'lost_percent', 'total_ms'} <= known
    assert not known & {'rotation_deg', 'direction_deg', 'auc_5', 'ate_m', 'rpe_translation_m', 't_rel_percent'}
    assert set(found) == set(FIGURES)


def test_a_run_that_never_moves_says_why_it_has_no_score(
    truth: Trajectory, make_frames: Callable[..., list[FrameRecord]]
) -> None:
    frames = make_frames(truth, states=dict.fromkeys(range(1, 12), TrackingState.LOST))
    score = score_run(frames, truth, ScoreRules())
    assert score.whole is None and score.note == 'no image has a pose'
    assert take_figures(score)['auc_5'] == 0.0
