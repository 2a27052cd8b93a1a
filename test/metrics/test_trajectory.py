# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.se3 import rotation_from_vector, transform_from
from kp2d_ros.core.trajectories import Trajectory

pytest.importorskip('evo', reason='evo is not installed (extra: evaluation)')

from kp2d_ros.metrics.trajectory import Alignment, score_trajectory

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
    assert score.ate.maximum == pytest.approx(0, abs=1e-9)
    assert score.rpe_translation.maximum == pytest.approx(0, abs=1e-9)
    assert score.rpe_rotation_deg.maximum == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(score.aligned.world_from_camera, truth.world_from_camera, atol=1e-9)


def test_se3_leaves_a_wrong_scale_in_the_error(truth: Trajectory) -> None:
    score = score_trajectory(moved(scaled(truth, 1.1)), truth, Alignment.SE3)
    centred = truth.world_from_camera[:, :3, 3] - truth.world_from_camera[:, :3, 3].mean(axis=0)
    assert score.scale == 1.0
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
