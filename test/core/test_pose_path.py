# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from kp2d_ros.core.pose_path import PosePath, composed_covariance
from kp2d_ros.core.records import UNKNOWN_VARIANCE, Float64Array, RelativePose, TrackingState
from kp2d_ros.core.se3 import rotation_from_vector, transform_from, vector_from_rotation

SMALL = 1e-4 * np.eye(6)
LOST = RelativePose(
    reference_seq=0,
    reference_stamp_ns=0,
    state=TrackingState.LOST,
    reference_from_current=np.eye(4),
    covariance=UNKNOWN_VARIANCE * np.eye(6),
)


def step_from(reference_seq: int, step: Float64Array, state: TrackingState = TrackingState.OK) -> RelativePose:
    return RelativePose(
        reference_seq=reference_seq,
        reference_stamp_ns=reference_seq * 10,
        state=state,
        reference_from_current=step,
        covariance=SMALL,
    )


def random_steps(rng: np.random.Generator, count: int) -> list[Float64Array]:
    return [transform_from(rotation_from_vector(rng.normal(0, 0.1, 3)), rng.normal(0, 1.0, 3)) for _ in range(count)]


def test_a_pose_is_added_to_that_of_its_own_reference(rng: np.random.Generator) -> None:
    steps = random_steps(rng, 3)
    path = PosePath()
    path.add(0, 0, None)
    path.add(1, 10, step_from(0, steps[0]))
    path.add(2, 20, step_from(0, steps[1]))
    found = path.add(3, 30, step_from(2, steps[2]))
    np.testing.assert_array_equal(found.world_from_camera, steps[1] @ steps[2])
    np.testing.assert_array_equal(found.step_covariance, SMALL)
    assert found.stamp_ns == 30
    assert path.latest is found


def test_the_path_stands_at_its_origin_until_the_first_estimate(rng: np.random.Generator) -> None:
    path = PosePath()
    assert path.latest.stamp_ns == 0
    for seq, pose in enumerate([None, LOST, step_from(0, np.eye(4), TrackingState.INITIALISING)]):
        np.testing.assert_array_equal(path.add(seq, seq, pose).world_from_camera, np.eye(4))
        np.testing.assert_array_equal(path.latest.covariance, np.zeros((6, 6)))
        assert not path.has_begun
    (step,) = random_steps(rng, 1)
    np.testing.assert_array_equal(path.add(3, 3, step_from(2, step)).world_from_camera, step)
    assert path.has_begun


def test_a_lost_frame_keeps_the_last_pose_and_nothing_is_known_from_there_on(rng: np.random.Generator) -> None:
    first, second = random_steps(rng, 2)
    path = PosePath()
    path.add(0, 0, None)
    path.add(1, 1, step_from(0, first))
    for lost in (path.add(2, 2, LOST), path.add(3, 3, None)):
        np.testing.assert_array_equal(lost.world_from_camera, first)
        np.testing.assert_array_equal(lost.covariance, UNKNOWN_VARIANCE * np.eye(6))
        np.testing.assert_array_equal(lost.step_covariance, UNKNOWN_VARIANCE * np.eye(6))
    after = path.add(4, 4, step_from(3, second))
    np.testing.assert_array_equal(after.world_from_camera, first @ second)
    np.testing.assert_array_equal(after.covariance, UNKNOWN_VARIANCE * np.eye(6))
    np.testing.assert_array_equal(after.step_covariance, SMALL)


def test_a_reference_that_is_not_known_is_taken_for_the_last_frame(rng: np.random.Generator) -> None:
    first, second = random_steps(rng, 2)
    path = PosePath()
    path.add(0, 0, None)
    path.add(1, 1, step_from(0, first))
    np.testing.assert_array_equal(path.add(5, 5, step_from(4, second)).world_from_camera, first @ second)


def test_the_reference_in_use_is_remembered_and_others_are_forgotten_in_time() -> None:
    path = PosePath()
    path.add(0, 0, None)
    step = transform_from(np.eye(3), np.array([1.0, 0.0, 0.0]))
    for seq in range(1, 200):
        path.add(seq, seq, step_from(0, step, TrackingState.STATIONARY))
    assert path.add(200, 200, step_from(0, step)).world_from_camera[0, 3] == 1.0
    for seq in range(201, 251):
        path.add(seq, seq, step_from(seq - 1, step))
    assert path.latest.world_from_camera[0, 3] == 51.0
    assert path.add(251, 251, step_from(0, step)).world_from_camera[0, 3] == 52.0


def perturbed(transform: Float64Array, noise: Float64Array) -> Float64Array:
    return transform_from(rotation_from_vector(noise[3:]) @ transform[:3, :3], transform[:3, 3] + noise[:3])


def deviation(transform: Float64Array, mean: Float64Array) -> Float64Array:
    turn = transform[:3, :3] @ mean[:3, :3].T
    return np.concatenate([transform[:3, 3] - mean[:3, 3], vector_from_rotation(turn)])


def test_covariance_of_two_steps_is_that_of_many_noisy_pairs(rng: np.random.Generator) -> None:
    a_from_b, b_from_c = random_steps(rng, 2)
    roots = rng.normal(0, 0.004, (2, 6, 6))
    first, second = roots @ roots.transpose(0, 2, 1)
    noise = [rng.multivariate_normal(np.zeros(6), c, 4000) for c in (first, second)]
    samples = [
        deviation(perturbed(a_from_b, n) @ perturbed(b_from_c, m), a_from_b @ b_from_c)
        for n, m in zip(*noise, strict=True)
    ]
    measured = np.cov(np.array(samples).T)
    predicted = composed_covariance(a_from_b, first, b_from_c, second)
    np.testing.assert_allclose(predicted, measured, atol=0.1 * np.diag(measured).max())
