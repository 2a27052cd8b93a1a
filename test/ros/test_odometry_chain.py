# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kp2d_ros.core.records import (
    UNKNOWN_VARIANCE,
    FrontendResult,
    Keypoints,
    Matches,
    RelativePose,
    ScaleKind,
    TrackingState,
)
from kp2d_ros.core.se3 import invert_transform, rotation_from_vector, transform_from, vector_from_rotation
from kp2d_ros.ros.odometry_chain import OPTICAL_ROTATION, OdometryChain

STEP_NS = 100_000_000
NOTHING = Keypoints(np.empty((0, 2), np.float32), np.empty(0, np.float32), np.empty((0, 8), np.float32))
EMPTY = np.empty((0, 2), np.float32)
UNKNOWN = UNKNOWN_VARIANCE * np.eye(6)


def result(seq: Any, pose: Any) -> FrontendResult:
    return FrontendResult(
        seq=seq,
        stamp_ns=seq * STEP_NS,
        keypoints=NOTHING,
        bearing_xy=None,
        track_ids=np.empty(0, np.uint32),
        track_ages=np.empty(0, np.uint16),
        matches=Matches.empty(),
        reference_xy=EMPTY,
        current_xy=EMPTY,
        inlier=np.empty(0, bool),
        inlier_probability=None,
        pose=pose,
        state=TrackingState.INITIALISING if pose is None else pose.state,
        world_from_camera=np.eye(4),
        scale_segment=0 if pose is None else pose.scale_segment,
    )


def motion(
    reference_seq: Any, step: Any, state: Any = TrackingState.OK, scale: Any = ScaleKind.CHAINED, covariance: Any = None
) -> RelativePose:
    covariance = 1e-4 * np.eye(6) if covariance is None else covariance
    return RelativePose(
        reference_seq=reference_seq,
        reference_stamp_ns=reference_seq * STEP_NS,
        state=state,
        reference_from_current=step,
        covariance=covariance,
        scale=scale,
    )


def random_steps(rng: np.random.Generator, count: int) -> list[Any]:
    return [transform_from(rotation_from_vector(rng.normal(0, 0.1, 3)), rng.normal(0, 1.0, 3)) for _ in range(count)]


def test_forward_motion_of_the_camera_is_motion_along_x_of_the_base() -> None:
    chain = OdometryChain()
    assert chain.add(result(0, None)) is None
    forward = transform_from(np.eye(3), np.array([0.0, 0.0, 2.0]))
    chained = chain.add(result(1, motion(0, forward)))
    np.testing.assert_allclose(chained.odom_from_base[:3, 3], [2, 0, 0], atol=1e-12)
    np.testing.assert_allclose(chained.velocity, [20, 0, 0, 0, 0, 0], atol=1e-9)


def test_turning_right_in_the_image_is_a_negative_turn_about_z() -> None:
    chain = OdometryChain()
    chain.add(result(0, None))
    right = transform_from(rotation_from_vector(np.array([0.0, 0.1, 0.0])), np.zeros(3))  # about y, which points down
    chained = chain.add(result(1, motion(0, right)))
    np.testing.assert_allclose(vector_from_rotation(chained.odom_from_base[:3, :3]), [0, 0, -0.1], atol=1e-12)


def test_chains_poses_against_a_reference_that_stays(rng: np.random.Generator) -> None:
    steps = random_steps(rng, 3)
    chain = OdometryChain(np.eye(4))
    chain.add(result(0, None))
    chain.add(result(1, motion(0, steps[0])))
    chain.add(result(2, motion(0, steps[1])))
    chained = chain.add(result(3, motion(2, steps[2])))
    np.testing.assert_allclose(chained.odom_from_base, steps[1] @ steps[2], atol=1e-12)


def test_goes_on_from_the_last_pose_while_lost_and_says_that_nothing_is_known(rng: np.random.Generator) -> None:
    first, second = random_steps(rng, 2)
    chain = OdometryChain(np.eye(4))
    chain.add(result(0, None))
    before = chain.add(result(1, motion(0, first)))
    lost = chain.add(result(2, motion(1, np.eye(4), TrackingState.LOST, ScaleKind.UNIT_NORM, UNKNOWN)))
    np.testing.assert_allclose(lost.odom_from_base, before.odom_from_base)
    np.testing.assert_array_equal(lost.covariance, UNKNOWN)
    np.testing.assert_array_equal(lost.velocity, np.zeros(6))
    assert lost.velocity_covariance.max() == UNKNOWN_VARIANCE
    after = chain.add(result(3, motion(2, second)))
    np.testing.assert_allclose(after.odom_from_base, before.odom_from_base @ second, atol=1e-12)
    assert np.diag(after.covariance).min() == UNKNOWN_VARIANCE
    assert np.diag(after.velocity_covariance).max() < 1.0  # the step itself is known well


def test_begins_with_the_first_estimate_and_not_while_initialising() -> None:
    chain = OdometryChain(np.eye(4))
    chain.add(result(0, None))
    waiting = motion(0, np.eye(4), TrackingState.INITIALISING, ScaleKind.UNIT_NORM, UNKNOWN)
    assert chain.add(result(1, waiting)) is None
    chained = chain.add(result(2, motion(1, np.eye(4))))
    assert np.diag(chained.covariance).max() < 1.0


def test_goes_on_from_the_last_pose_after_the_frontend_began_anew(rng: np.random.Generator) -> None:
    first, second = random_steps(rng, 2)
    chain = OdometryChain(np.eye(4))
    chain.add(result(0, None))
    before = chain.add(result(1, motion(0, first)))
    chain.add(result(2, None))
    after = chain.add(result(3, motion(2, second)))
    np.testing.assert_allclose(after.odom_from_base, before.odom_from_base @ second, atol=1e-12)


def test_the_lever_arm_of_the_camera_counts_for_metres_only(rng: np.random.Generator) -> None:
    mount = transform_from(rotation_from_vector(rng.normal(0, 1, 3)), np.array([0.5, 0.1, 1.0]))
    (step,) = random_steps(rng, 1)
    for scale, used in ((ScaleKind.METRIC, mount), (ScaleKind.CHAINED, transform_from(mount[:3, :3], np.zeros(3)))):
        chain = OdometryChain(mount)
        chain.add(result(0, None))
        chained = chain.add(result(1, motion(0, step, scale=scale)))
        assert chained.is_metric == (scale is ScaleKind.METRIC)
        np.testing.assert_allclose(chained.odom_from_base, used @ step @ invert_transform(used), atol=1e-12)


def perturbed(transform: Any, noise: Any) -> Any:
    return transform_from(rotation_from_vector(noise[3:]) @ transform[:3, :3], transform[:3, 3] + noise[:3])


def deviation(transform: Any, mean: Any) -> NDArray[Any]:
    turn = transform[:3, :3] @ mean[:3, :3].T
    return np.concatenate([transform[:3, 3] - mean[:3, 3], vector_from_rotation(turn)])


def random_covariance(rng: np.random.Generator, size: Any) -> Any:
    root = rng.normal(0, size, (6, 6))
    return root @ root.T


def test_covariance_in_the_base_is_that_of_many_noisy_poses(rng: np.random.Generator) -> None:
    mount = transform_from(rotation_from_vector(rng.normal(0, 1, 3)), np.array([0.5, 0.1, 1.0]))
    (step,) = random_steps(rng, 1)
    covariance = random_covariance(rng, 0.004)

    def odom_from_base(noisy_step: Any) -> Any:
        chain = OdometryChain(mount)
        chain.add(result(0, None))
        return chain.add(result(1, motion(0, noisy_step, scale=ScaleKind.METRIC, covariance=covariance)))

    mean = odom_from_base(step)
    noise = rng.multivariate_normal(np.zeros(6), covariance, 2000)
    samples = [deviation(odom_from_base(perturbed(step, n)).odom_from_base, mean.odom_from_base) for n in noise]
    measured = np.cov(np.array(samples).T)
    np.testing.assert_allclose(mean.covariance, measured, atol=0.1 * np.diag(measured).max())


def test_covariance_of_the_velocity_in_the_base_is_that_of_many_noisy_steps(rng: np.random.Generator) -> None:
    mount = transform_from(rotation_from_vector(rng.normal(0, 1, 3)), np.array([0.5, 0.1, 1.0]))
    first, second = random_steps(rng, 2)
    covariance = random_covariance(rng, 0.004)

    def velocity(noisy_step: Any) -> Any:
        chain = OdometryChain(mount)
        chain.add(result(0, None))
        chain.add(result(1, motion(0, first, scale=ScaleKind.METRIC)))
        return chain.add(result(2, motion(1, noisy_step, scale=ScaleKind.METRIC, covariance=covariance)))

    mean = velocity(second)
    noise = rng.multivariate_normal(np.zeros(6), covariance, 2000)
    samples = [velocity(perturbed(second, n)).velocity - mean.velocity for n in noise]
    measured = np.cov(np.array(samples).T)
    np.testing.assert_allclose(mean.velocity_covariance, measured, atol=0.12 * np.diag(measured).max())


def test_in_metres_a_loss_is_no_jump_and_the_velocity_after_it_is_over_the_whole_time(rng: np.random.Generator) -> None:
    mount = transform_from(OPTICAL_ROTATION, np.array([0.5, 0.1, 1.0]))
    forward = transform_from(np.eye(3), np.array([0.0, 0.0, 0.2]))
    thrice = transform_from(np.eye(3), np.array([0.0, 0.0, 0.6]))
    chain = OdometryChain(mount)
    chain.add(result(0, None))
    before = chain.add(result(1, motion(0, forward, scale=ScaleKind.METRIC)))
    np.testing.assert_allclose(before.odom_from_camera, mount @ forward)
    for seq in (2, 3):
        no_pose = None if seq == 3 else motion(1, np.eye(4), TrackingState.LOST, ScaleKind.METRIC, UNKNOWN)
        lost = chain.add(result(seq, no_pose))
        assert lost.is_metric  # the lever arm counts all the same
        np.testing.assert_array_equal(lost.odom_from_base, before.odom_from_base)
        np.testing.assert_array_equal(lost.velocity, np.zeros(6))
        assert 1.0 < lost.velocity_covariance[0, 0] < 9.0  # it was 2 m/s
    after = chain.add(result(4, motion(1, thrice, scale=ScaleKind.METRIC)))
    np.testing.assert_allclose(after.velocity, [2, 0, 0, 0, 0, 0], atol=1e-9)
    np.testing.assert_allclose(after.odom_from_base[:3, 3], [0.8, 0, 0], atol=1e-9)
