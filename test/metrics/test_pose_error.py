# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from kp2d_ros.core.records import TrackingState
from kp2d_ros.core.se3 import rotation_from_vector, transform_from
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.metrics.frame_record import FrameRecord
from kp2d_ros.metrics.pose_error import PairScore, pair_errors, score_pairs

MakeFrames = Callable[..., list[FrameRecord]]


def errors_of(frames: list[FrameRecord], truth: Trajectory | None) -> PairScore:
    return score_pairs(frames, pair_errors(frames, truth))


def with_motion(frame: FrameRecord, motion: np.ndarray) -> FrameRecord:
    assert frame.pose is not None
    return replace(frame, pose=replace(frame.pose, reference_from_current=motion))


def test_right_poses_in_any_unit_have_no_error(truth: Trajectory, make_frames: MakeFrames) -> None:
    score = errors_of(make_frames(truth, unit=0.01), truth)
    assert score.rotation_deg is not None and score.direction_deg is not None and score.inlier_ratio is not None
    assert score.rotation_deg.count == score.direction_deg.count == 11
    assert score.rotation_deg.maximum == pytest.approx(0, abs=1e-5)
    assert score.direction_deg.maximum == pytest.approx(0, abs=1e-5)
    assert score.inlier_ratio.median == 0.75
    assert (score.lost, score.recoveries, score.longest_lost) == (0, 0, 0)


def test_a_known_turn_of_the_motion_is_the_rotation_error(truth: Trajectory, make_frames: MakeFrames) -> None:
    turn = transform_from(rotation_from_vector(np.radians([0.0, 0.3, 0.0])), np.zeros(3))
    frames = [f if f.pose is None else with_motion(f, f.pose.reference_from_current @ turn) for f in make_frames(truth)]
    score = errors_of(frames, truth)
    assert score.rotation_deg is not None and score.direction_deg is not None
    assert score.rotation_deg.median == pytest.approx(0.3, abs=1e-6)
    assert score.rotation_deg.maximum == pytest.approx(0.3, abs=1e-6)
    assert score.direction_deg.maximum == pytest.approx(0, abs=1e-5)


def test_a_known_turn_of_the_translation_is_the_direction_error(truth: Trajectory, make_frames: MakeFrames) -> None:
    frames = make_frames(truth)
    assert frames[6].pose is not None
    motion = frames[6].pose.reference_from_current.copy()
    across = np.cross(motion[:3, 3], [1.0, 0.0, 0.0])
    motion[:3, 3] = rotation_from_vector(np.radians(25) * across / np.linalg.norm(across)) @ motion[:3, 3]
    frames[6] = with_motion(frames[6], motion)
    score = errors_of(frames, truth)
    assert score.direction_deg is not None
    assert score.direction_deg.maximum == pytest.approx(25, abs=1e-6)
    assert score.direction_deg.median == pytest.approx(0, abs=1e-5)


def test_standing_still_has_a_rotation_but_no_direction(truth: Trajectory, make_frames: MakeFrames) -> None:
    still = Trajectory(truth.stamps_ns, np.tile(np.eye(4), (len(truth), 1, 1)))
    score = errors_of(make_frames(still, states=dict.fromkeys(range(1, 12), TrackingState.STATIONARY)), still)
    assert score.rotation_deg is not None and score.rotation_deg.maximum == 0
    assert score.direction_deg is None


def test_failures_and_recoveries_are_counted_and_not_scored(truth: Trajectory, make_frames: MakeFrames) -> None:
    lost = dict.fromkeys((3, 4, 8, 11), TrackingState.LOST)
    score = errors_of(make_frames(truth, states=lost), truth)
    assert score.rotation_deg is not None and score.rotation_deg.count == 7
    assert (score.lost, score.recoveries, score.longest_lost) == (4, 2, 2)


def test_pairs_outside_the_ground_truth_are_left_out(truth: Trajectory, make_frames: MakeFrames) -> None:
    part = Trajectory(truth.stamps_ns[:5], truth.world_from_camera[:5])
    score = errors_of(make_frames(truth), part)
    assert score.rotation_deg is not None and score.rotation_deg.count == 4


def test_without_ground_truth_the_inlier_ratio_is_left(truth: Trajectory, make_frames: MakeFrames) -> None:
    score = errors_of(make_frames(truth), None)
    assert score.rotation_deg is None and score.direction_deg is None
    assert score.inlier_ratio is not None and score.inlier_ratio.count == 11


def test_no_frames_give_an_empty_score() -> None:
    score = errors_of([], None)
    assert (score.rotation_deg, score.inlier_ratio, score.lost) == (None, None, 0)
