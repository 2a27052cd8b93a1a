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
from kp2d_ros.metrics.pose_error import (
    PairError,
    PairScore,
    PoseCurve,
    interpolate_poses,
    pair_errors,
    pose_curve,
    score_pairs,
)

MakeFrames = Callable[..., list[FrameRecord]]
NAN, INFINITE = float('nan'), float('inf')


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


SECOND = 10**9
START = 1_700_000_000 * SECOND + 1  # odd nanoseconds that a float64 of seconds cannot hold


def turning() -> Trajectory:
    stamps = START + np.array([0, 1, 2, 5], np.int64) * SECOND // 10
    poses = [
        transform_from(rotation_from_vector(np.array([0, 0, 0.2 * k])), np.array([k, 0, 0])) for k in (0, 1, 2, 5.0)
    ]
    return Trajectory(stamps, np.array(poses))


def test_a_stamp_of_the_trajectory_gives_its_pose_unchanged() -> None:
    trajectory = turning()
    np.testing.assert_array_equal(interpolate_poses(trajectory, trajectory.stamps_ns), trajectory.world_from_camera)


def test_between_two_poses_the_motion_is_even() -> None:
    (pose,) = interpolate_poses(turning(), np.array([START + SECOND // 40]))
    np.testing.assert_allclose(pose[:3, 3], [0.25, 0, 0], atol=1e-12)
    np.testing.assert_allclose(pose[:3, :3], rotation_from_vector(np.array([0, 0, 0.05])), atol=1e-12)


def test_outside_and_in_long_holes_nothing_is_made_up() -> None:
    stamps = START + np.array([-1, SECOND // 10 * 3, SECOND // 10 * 5 + 1], np.int64)
    assert np.isnan(interpolate_poses(turning(), stamps)).all()
    assert np.isfinite(interpolate_poses(turning(), stamps[1:2], max_gap_ns=SECOND)).all()


def test_no_stamps_give_no_poses() -> None:
    assert interpolate_poses(turning(), np.empty(0, np.int64)).shape == (0, 4, 4)


def curve(*errors_deg: float) -> PoseCurve:
    return pose_curve([PairError(seq, seq, NAN, NAN, error) for seq, error in enumerate(errors_deg)])


def area_by_small_steps(errors: np.ndarray, limit: float) -> float:
    """
    The same area, slowly: the broken line through the points is summed over a fine grid.
    """
    known = np.sort(errors[errors < limit])
    x = np.concatenate([[0.0], known, [limit]])
    y = np.concatenate([np.arange(len(known) + 1), [len(known)]]) / len(errors)
    grid = (np.arange(400_000) + 0.5) * limit / 400_000
    return float(np.interp(grid, x, y).mean())


@pytest.mark.parametrize(
    ('errors', 'area'),
    [
        ((0.0, 0.0), 1.0),
        ((2.5,), 0.75),
        ((5.0,), 0.0),  # only what is below the limit counts
        ((7.0, INFINITE), 0.0),
        ((2.0, INFINITE), 0.4),
        ((1.0, 2.0, 3.0, 10.0), (0.5 * 0.25 + 0.375 + 0.625 + 2 * 0.75) / 5),
    ],
)
def test_the_area_of_small_curves_is_that_of_hand_and_paper(errors: tuple[float, ...], area: float) -> None:
    assert curve(*errors).area(5.0) == pytest.approx(area, abs=1e-12)


def test_the_area_is_that_under_the_broken_line(rng: np.random.Generator) -> None:
    errors = np.concatenate([rng.exponential(4.0, 57), [INFINITE] * 5])
    assert curve(*rng.permutation(errors)).area(5.0) == pytest.approx(area_by_small_steps(errors, 5.0), abs=1e-6)


def test_pairs_without_truth_are_left_out_and_failed_ones_stay() -> None:
    assert len(curve(1.0, NAN, INFINITE)) == 2
    np.testing.assert_array_equal(curve(1.0, NAN, INFINITE).recall(np.array([0.5, 1.0, 90.0])), [0.0, 0.5, 0.5])


def test_nothing_known_gives_no_figure() -> None:
    assert np.isnan(curve().area(5.0))
    assert np.isnan(curve(NAN).recall(np.array([1.0]))).all()


def test_the_error_of_a_pair_is_the_larger_one_of_both(truth: Trajectory, make_frames: MakeFrames) -> None:
    frames = make_frames(truth)
    for row, (turn_deg, bend_deg) in {3: (2.0, 0.0), 4: (0.0, 7.0), 5: (1.0, 4.0)}.items():
        pose = frames[row].pose
        assert pose is not None
        motion = pose.reference_from_current
        across = np.cross(motion[:3, 3], [1.0, 0.0, 0.0])
        bend = rotation_from_vector(np.radians(bend_deg) * across / np.linalg.norm(across))
        turn = rotation_from_vector(np.radians([0.0, turn_deg, 0.0]))
        wrong = transform_from(motion[:3, :3] @ turn, bend @ motion[:3, 3])
        frames[row] = replace(frames[row], pose=replace(pose, reference_from_current=wrong))
    errors = {error.seq: error for error in pair_errors(frames, truth)}
    assert [errors[row].pose_deg for row in (3, 4, 5)] == pytest.approx([2.0, 7.0, 4.0], abs=1e-9)
    assert errors[5].rotation_deg == pytest.approx(1.0, abs=1e-9)
    assert errors[6].pose_deg == pytest.approx(0.0, abs=1e-6)


def test_lost_frames_and_false_standstill_fail(truth: Trajectory, make_frames: MakeFrames) -> None:
    states = {3: TrackingState.LOST, 4: TrackingState.STATIONARY}
    errors = {error.seq: error for error in pair_errors(make_frames(truth, states=states), truth)}
    assert errors[3].pose_deg == errors[4].pose_deg == INFINITE
    assert np.isnan(errors[4].direction_deg) and errors[4].rotation_deg > 1.0


def test_at_rest_the_rotation_alone_counts(truth: Trajectory, make_frames: MakeFrames) -> None:
    still = Trajectory(truth.stamps_ns, np.tile(np.eye(4), (len(truth), 1, 1)))
    frames = make_frames(still, states=dict.fromkeys(range(1, 12), TrackingState.STATIONARY))
    assert [error.pose_deg for error in pair_errors(frames, still)] == [0.0] * 11
    assert pose_curve(pair_errors(frames, None)).errors_deg.shape == (0,)
