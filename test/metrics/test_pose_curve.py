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
from kp2d_ros.metrics.pose_error import PairError, PoseCurve, pair_errors, pose_curve

MakeFrames = Callable[..., list[FrameRecord]]
NAN, INFINITE = float('nan'), float('inf')


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
