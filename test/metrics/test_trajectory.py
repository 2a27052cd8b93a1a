# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

from kp2d_ros.core.errors import DataError, ShapeError
from kp2d_ros.core.se3 import rotation_from_vector, transform_from
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.metrics.trajectory import KITTI_LENGTHS, Alignment, score_segments, score_trajectory

ELSEWHERE = transform_from(rotation_from_vector(np.array([0.4, -1.0, 0.3])), np.array([5.0, -2.0, 9.0]))


def scaled(trajectory: Trajectory, factor: float) -> Trajectory:
    poses = trajectory.world_from_camera.copy()
    poses[:, :3, 3] *= factor
    return Trajectory(trajectory.stamps_ns, poses)


def moved(trajectory: Trajectory) -> Trajectory:
    return Trajectory(trajectory.stamps_ns, ELSEWHERE @ trajectory.world_from_camera)


def test_sim3_takes_away_place_and_scale(truth: Trajectory) -> None:
    score = score_trajectory(moved(scaled(truth, 0.25)), truth)
    assert score.scale == pytest.approx(4.0)
    assert score.scale_error_percent is None
    assert score.ate.maximum == pytest.approx(0, abs=1e-9)
    assert score.rpe_translation.maximum == pytest.approx(0, abs=1e-9)
    assert score.rpe_rotation_deg.maximum == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(score.aligned.world_from_camera, truth.world_from_camera, atol=1e-9)


def test_se3_leaves_a_wrong_scale_in_the_error(truth: Trajectory) -> None:
    score = score_trajectory(moved(scaled(truth, 1.1)), truth, Alignment.SE3)
    centred = truth.world_from_camera[:, :3, 3] - truth.world_from_camera[:, :3, 3].mean(axis=0)
    assert score.scale == 1.0
    assert score.scale_error_percent == pytest.approx(10.0)
    assert score.ate.rms == pytest.approx(0.1 * math.sqrt(np.mean(np.sum(centred**2, axis=1))))


def test_without_alignment_an_offset_is_the_error(truth: Trajectory) -> None:
    poses = truth.world_from_camera.copy()
    poses[:, :3, 3] += [3.0, 0.0, 4.0]
    score = score_trajectory(Trajectory(truth.stamps_ns, poses), truth, Alignment.NONE)
    assert score.ate.median == pytest.approx(5.0)
    assert score.ate.rms == pytest.approx(5.0)
    assert score.rpe_translation.maximum == pytest.approx(0, abs=1e-9)


def test_a_known_turn_per_step_is_the_relative_rotation_error(truth: Trajectory) -> None:
    poses = truth.world_from_camera.copy()
    for row in range(len(poses)):
        poses[row, :3, :3] = poses[row, :3, :3] @ rotation_from_vector(np.radians([0.0, 0.0, 0.2 * row]))
    score = score_trajectory(Trajectory(truth.stamps_ns, poses), truth, Alignment.NONE)
    assert score.rpe_rotation_deg.count == len(truth) - 1
    # The turn of 0.2 deg is about the camera's own axis, which moves little between two frames.
    assert score.rpe_rotation_deg.median == pytest.approx(0.2, rel=0.05)
    assert score.ate.maximum == pytest.approx(0, abs=1e-9)


def test_path_length_is_that_of_the_truth(truth: Trajectory) -> None:
    steps = np.linalg.norm(np.diff(truth.world_from_camera[:, :3, 3], axis=0), axis=1)
    assert score_trajectory(scaled(truth, 3.0), truth).path_length == pytest.approx(steps.sum())


def test_truth_is_taken_at_the_time_of_the_estimate(truth: Trajectory) -> None:
    halfway = Trajectory(truth.stamps_ns[:-1] + 50_000_000, truth.world_from_camera[:-1])
    middle = (truth.world_from_camera[1:, :3, 3] + truth.world_from_camera[:-1, :3, 3]) / 2
    score = score_trajectory(halfway, truth, Alignment.NONE)
    np.testing.assert_allclose(score.truth.world_from_camera[:, :3, 3], middle, atol=1e-12)


def test_trajectories_without_common_times_are_refused(truth: Trajectory) -> None:
    later = Trajectory(truth.stamps_ns + 10**12, truth.world_from_camera)
    with pytest.raises(DataError, match='found 0 of 12 poses with ground truth'):
        score_trajectory(later, truth)


def test_an_estimate_that_never_moves_cannot_be_aligned(truth: Trajectory) -> None:
    still = Trajectory(truth.stamps_ns, np.tile(np.eye(4), (len(truth), 1, 1)))
    with pytest.raises(DataError, match='cannot be aligned by sim3'):
        score_trajectory(still, truth)


def straight(count: int, step: float = 1.0, yaw_deg_per_step: float = 0.0) -> np.ndarray:
    """
    Poses along z, ``step`` apart, whose orientation turns about y as they go; the places stay on the line.
    """
    turns = [rotation_from_vector(np.radians([0.0, yaw_deg_per_step * k, 0.0])) for k in range(count)]
    return np.array([transform_from(turn, np.array([0.0, 0.0, step * k])) for k, turn in enumerate(turns)])


def slow_score(truth: np.ndarray, estimate: np.ndarray, lengths: tuple[float, ...]) -> tuple[float, float, int]:
    """
    The benchmark's rules word by word.
    """
    distances = [0.0]
    for k in range(1, len(truth)):
        distances.append(distances[-1] + float(np.linalg.norm(truth[k, :3, 3] - truth[k - 1, :3, 3])))
    shifts, turns = [], []
    for first in range(0, len(truth), 10):
        for length in lengths:
            last = next((k for k in range(first, len(truth)) if distances[k] > distances[first] + length), None)
            if last is None:
                continue
            true_delta = np.linalg.inv(truth[first]) @ truth[last]
            delta = np.linalg.inv(estimate[first]) @ estimate[last]
            error = np.linalg.inv(delta) @ true_delta
            cosine = np.clip(0.5 * (np.trace(error[:3, :3]) - 1.0), -1.0, 1.0)
            shifts.append(np.linalg.norm(error[:3, 3]) / length)
            turns.append(np.degrees(np.arccos(cosine)) / length)
    return 100 * float(np.mean(shifts)), float(np.mean(turns)), len(shifts)


def test_a_wrong_scale_is_that_many_percent() -> None:
    truth, estimate = straight(160), straight(160, 1.02)
    score = score_segments(truth, estimate)
    assert score is not None
    # Parts of 100 m end at the first pose that is more than 100 m away: 101 steps of 2 cm too much each.
    assert score.translation_percent == pytest.approx(100 * 101 * 0.02 / 100, abs=1e-9)
    assert score.rotation_deg_per_m == pytest.approx(0.0, abs=1e-12)
    assert score.count == 6 and list(score.by_length) == [100.0]


def test_a_steady_turn_of_the_camera_is_that_many_degrees_per_metre() -> None:
    score = score_segments(straight(300), straight(300, yaw_deg_per_step=0.01))
    assert score is not None
    # 101 steps in 100 m, 201 in 200 m: 20 and 10 parts.
    assert score.rotation_deg_per_m == pytest.approx((20 * 1.01 + 10 * 1.005) * 0.01 / 30, abs=1e-9)
    assert {length: part.count for length, part in score.by_length.items()} == {100.0: 20, 200.0: 10}


def test_any_path_is_scored_as_by_the_rules_of_the_benchmark(rng: np.random.Generator) -> None:
    steps = [
        transform_from(rotation_from_vector(0.05 * rng.standard_normal(3)), np.array([0.0, 0.0, 1.0 + rng.random()]))
        for _ in range(140)
    ]
    truth, estimate = [np.eye(4)], [np.eye(4)]
    for step in steps:
        noise = transform_from(rotation_from_vector(0.01 * rng.standard_normal(3)), 0.05 * rng.standard_normal(3))
        truth.append(truth[-1] @ step)
        estimate.append(estimate[-1] @ step @ noise)
    lengths = (20.0, 50.0, 100.0, 5000.0)
    score = score_segments(np.array(truth), np.array(estimate), lengths)
    assert score is not None
    shift, turn, count = slow_score(np.array(truth), np.array(estimate), lengths)
    assert score.translation_percent == pytest.approx(shift, rel=1e-9)
    assert score.rotation_deg_per_m == pytest.approx(turn, rel=1e-9)
    assert score.count == count and 5000.0 not in score.by_length


def test_the_world_that_a_path_is_in_does_not_matter() -> None:
    move = transform_from(rotation_from_vector(np.array([0.3, -1.0, 0.2])), np.array([5.0, 6.0, 7.0]))
    score = score_segments(straight(160), move @ straight(160))
    assert score is not None
    assert score.translation_percent == pytest.approx(0.0, abs=1e-9)
    assert score.rotation_deg_per_m == pytest.approx(0.0, abs=1e-7)


def test_a_path_shorter_than_every_length_has_no_score() -> None:
    assert score_segments(straight(100), straight(100)) is None
    assert score_segments(np.empty((0, 4, 4)), np.empty((0, 4, 4)), KITTI_LENGTHS) is None


def test_poses_without_partners_are_refused() -> None:
    with pytest.raises(ShapeError, match='found 5 true and 4 estimated poses'):
        score_segments(straight(5), straight(4))
