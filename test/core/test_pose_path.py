# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import numpy as np

from kp2d_ros.core.pose_path import PosePath, composed_covariance
from kp2d_ros.core.records import UNKNOWN_VARIANCE, Float64Array, RelativePose, ScaleKind, TrackingState
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


def metric(reference_seq: int, step: Float64Array) -> RelativePose:
    return replace(step_from(reference_seq, step), scale=ScaleKind.METRIC)


METRIC_LOST = replace(LOST, scale=ScaleKind.METRIC)
SECOND = 10**9
FORWARD = transform_from(np.eye(3), np.array([0.0, 0.0, 2.0]))


def walked(frames: int) -> PosePath:
    """
    A path of 2 m per second, one frame a second.
    """
    path = PosePath()
    path.add(0, 0, None)
    for seq in range(1, frames):
        path.add(seq, seq * SECOND, metric(seq - 1, FORWARD))
    return path


def test_in_metres_a_lost_frame_holds_the_pose_and_the_covariance_grows_with_the_speed() -> None:
    path = walked(4)
    known = path.latest
    lost = [path.add(seq, seq * SECOND, METRIC_LOST) for seq in (4, 5, 6)]
    for seconds, pose in enumerate(lost, start=1):
        np.testing.assert_array_equal(pose.world_from_camera, known.world_from_camera)
        grown = np.diag(pose.covariance) - np.diag(known.covariance)
        # It may have gone on at 2 m/s, and have begun to turn at 0.1 rad/s.
        np.testing.assert_allclose(grown, [(2.0 * seconds) ** 2] * 3 + [(0.1 * seconds) ** 2] * 3)
        np.testing.assert_allclose(np.diag(pose.step_covariance), grown)
        assert path.before is not None and path.before.stamp_ns == known.stamp_ns
    assert path.is_metric


def test_in_metres_a_camera_that_stood_may_have_begun_to_move_slowly() -> None:
    path = PosePath()
    path.add(0, 0, None)
    path.add(1, SECOND, metric(0, np.eye(4)))
    lost = path.add(2, 3 * SECOND, METRIC_LOST)
    np.testing.assert_allclose(np.diag(lost.step_covariance), [0.2**2] * 6)


def test_in_metres_the_covariance_of_a_path_that_is_lost_for_an_hour_stays_finite() -> None:
    path = walked(4)
    lost = path.add(4, 3600 * SECOND, METRIC_LOST)
    assert 1000 < lost.covariance[0, 0] < 9999  # what rtabmap takes for an order to start anew
    assert lost.covariance[3, 3] < 4 * np.pi**2


def test_in_metres_the_motion_after_a_loss_counts_from_the_last_known_pose() -> None:
    path = walked(4)
    known = path.latest
    path.add(4, 4 * SECOND, METRIC_LOST)
    path.add(5, 5 * SECOND, None)
    found = path.add(6, 6 * SECOND, metric(3, transform_from(np.eye(3), np.array([0.0, 0.0, 6.0]))))
    np.testing.assert_allclose(found.world_from_camera[2, 3], 12.0)
    assert path.before is known
    assert np.diag(found.covariance).max() < 1.0  # as sure as before the loss


def test_in_metres_a_path_that_goes_on_from_a_lost_frame_counts_from_there_and_stays_unsure() -> None:
    path = walked(4)
    known = path.latest
    path.add(4, 4 * SECOND, METRIC_LOST)
    lost = path.add(5, 5 * SECOND, METRIC_LOST)
    found = path.add(6, 6 * SECOND, metric(5, FORWARD))
    np.testing.assert_array_equal(found.world_from_camera, known.world_from_camera @ FORWARD)
    assert path.before is lost
    assert found.covariance[0, 0] >= lost.covariance[0, 0]
    after = path.add(7, 7 * SECOND, metric(6, FORWARD))
    assert path.before is found
    assert after.covariance[0, 0] < 1.1 * found.covariance[0, 0]


def test_in_metres_the_first_frame_after_a_restart_is_a_lost_one() -> None:
    path = walked(4)
    known = path.latest
    begun = path.add(4, 4 * SECOND, None)
    np.testing.assert_array_equal(begun.world_from_camera, known.world_from_camera)
    assert 1.0 < begun.covariance[0, 0] < 9999
    assert path.is_metric
