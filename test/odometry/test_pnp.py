# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.se3 import rotation_angle, transform_points, vector_from_rotation
from kp2d_ros.odometry.pnp import adjust, solve_pnp
from kp2d_ros.odometry.ransac import RansacConfig
from kp2d_ros.odometry.rays import InverseDepths

if TYPE_CHECKING:
    from test.odometry.conftest import Scene


def scene_pairs(
    scene: Any,
    pose: Any,
    motion: Any,
    rng: np.random.Generator,
    noise_px: float = 0.0,
    outlier_share: float = 0.0,
    relative_sigma: float = 0.05,
) -> tuple[Any, Any, InverseDepths]:
    """
    Rays of both cameras and depths known with this relative sigma; the reference camera is the world.
    """
    rays = scene.rays(pose(), motion, rng, noise_px, outlier_share)
    common = np.intersect1d(scene.visible(pose())[0], scene.visible(motion)[0])
    value = 1 / scene.landmarks[common][:, 2]
    sigma = relative_sigma * value
    return *rays, InverseDepths(value + sigma * rng.normal(size=len(value)), sigma + 1e-9)


def errors_of(found: Any, truth: Any) -> NDArray[Any]:
    """
    Six errors over (x, y, z, rotation about the fixed axes).
    """
    return np.concatenate([found[:3, 3] - truth[:3, 3], vector_from_rotation(found[:3, :3] @ truth[:3, :3].T)])


def test_recovers_motion_and_scale_from_exact_points(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = pose((0.4, -0.2, 0.9), (0.05, 0.1, -0.02))
    found = adjust(*scene_pairs(room, pose, truth, rng, relative_sigma=0), [np.eye(4)], 1.5)
    np.testing.assert_allclose(found.motion, truth, atol=1e-6)
    assert found.inlier.all()
    assert found.rms_px < 0.01


def test_a_pure_rotation_has_a_translation_of_zero_with_a_real_covariance(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = pose((0, 0, 0), (0.02, 0.15, 0.01))
    found = adjust(*scene_pairs(room, pose, truth, rng, noise_px=0.5), [np.eye(4)], 1.5)
    errors, sigmas = errors_of(found.motion, truth), np.sqrt(np.diag(found.covariance))
    assert (np.abs(errors) < 4 * sigmas).all()
    assert (sigmas[:3] < 0.03).all()
    assert (sigmas[3:] < 0.003).all()


def test_outliers_and_wrong_depths_are_told_apart_from_the_rest(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = pose((0.5, 0.1, 0.3), (0.02, -0.05, 0.03))
    reference, current, depths = scene_pairs(room, pose, truth, rng, noise_px=0.3, outlier_share=0.3)
    depths.value[::7] *= 3.0
    starts = solve_pnp(reference, current, depths, RansacConfig())
    found = adjust(reference, current, depths, starts, 1.5)
    assert rotation_angle(found.motion[:3, :3].T @ truth[:3, :3]) < 0.002
    np.testing.assert_allclose(found.motion[:3, 3], truth[:3, 3], atol=0.02)
    assert 0.45 < found.inlier.mean() < 0.75
    assert found.inlier[::7].mean() < 0.3


def test_the_search_begins_at_the_best_start(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = pose((1.0, 0, 0), (0, 0.3, 0))
    pairs = scene_pairs(room, pose, truth, rng, noise_px=0.3)
    starts = [pose((0, 0, 3), (0, 0, 2.0)), truth @ pose((0.01, 0, 0)), pose((0, 0, 0), (0.5, -0.5, 0))]
    np.testing.assert_allclose(adjust(*pairs, starts, 1.5).motion, truth, atol=0.02)


def test_points_of_unknown_depth_sharpen_the_motion(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = pose((0.6, 0, 0.1), (0, 0.02, 0))
    reference, current, depths = scene_pairs(room, pose, truth, rng, noise_px=0.5)
    few = np.arange(len(reference)) < 25
    prior = depths.where(few)
    alone = adjust(reference.take(few), current.take(few), depths.take(few), [truth], 1.5)
    together = adjust(reference, current, prior, [truth], 1.5)
    assert (np.diag(together.covariance)[3:] < 0.3 * np.diag(alone.covariance)[3:]).all()
    assert (np.abs(errors_of(together.motion, truth)) < 4 * np.sqrt(np.diag(together.covariance))).all()


def test_points_of_unknown_depth_do_not_invent_a_translation(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth, squares = pose((0, 0, 0), (0.02, 0.1, 0.01)), []
    for _ in range(20):
        reference, current, depths = scene_pairs(room, pose, truth, rng, noise_px=0.5)
        few = np.arange(len(reference)) < 40
        found = adjust(reference, current, depths.where(few), [np.eye(4)], 1.5)
        error = errors_of(found.motion, truth)
        squares.append(error @ np.linalg.solve(found.covariance, error) / 6)
        assert np.isinf(found.depths.sigma[~few]).all()
    assert 0.5 < np.mean(squares) < 2.0


def test_a_wrong_pair_with_a_free_depth_has_no_lever(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = pose((0.02, 0.01, 0.6), (0, 0.02, 0))
    reference, current, depths = scene_pairs(room, pose, truth, rng, noise_px=0.4, outlier_share=0.4)
    found = adjust(reference, current, depths.where(np.arange(len(reference)) < 100), [truth], 1.5)
    errors, sigmas = errors_of(found.motion, truth), np.sqrt(np.diag(found.covariance))
    assert (np.abs(errors) < 4 * sigmas).all()
    baseline = np.linalg.norm(found.motion[:3, 3])
    assert (found.depths.value[found.inlier] * baseline < 1).all()


def test_depths_come_out_sharper_and_true(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = pose((0.8, 0.1, 0.1), (0, 0.05, 0))
    reference, current, depths = scene_pairs(room, pose, truth, rng, noise_px=0.3, relative_sigma=0.2)
    found = adjust(reference, current, depths, [truth], 1.5)
    common = np.intersect1d(room.visible(pose())[0], room.visible(truth)[0])
    z = transform_points(pose(), room.landmarks[common])[:, 2]
    errors = (found.depths.value - 1 / z)[found.inlier]
    assert np.median(found.depths.sigma / depths.sigma) < 0.4
    # What the motion leaves open errs together: one scene scatters less.
    assert 0.5 < np.std(errors / found.depths.sigma[found.inlier]) < 1.2


def test_the_residual_is_that_of_one_coordinate_in_one_image(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = pose((0.6, 0.1, 0.1), (0, 0.05, 0))
    found = adjust(*scene_pairs(room, pose, truth, rng, noise_px=0.5, relative_sigma=1e-4), [truth], 3.0)
    assert abs(found.rms_px - 0.5) < 0.03


def test_depths_are_as_uncertain_as_the_motion_leaves_them(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    # Few points of known depth: how far the camera went is hardly known, and so is how far away the others are.
    truth, squares = pose((0.8, 0.1, 0.1), (0, 0.05, 0)), []
    common = np.intersect1d(room.visible(pose())[0], room.visible(truth)[0])
    for _ in range(40):
        reference, current, depths = scene_pairs(room, pose, truth, rng, noise_px=0.3, relative_sigma=0.3)
        few = np.arange(len(reference)) < 8
        found = adjust(reference, current, depths.where(few), [truth], 3.0)
        rows = np.flatnonzero(found.inlier & ~few & np.isfinite(found.depths.sigma))
        errors = found.depths.value[rows] - 1 / room.landmarks[common][rows, 2]
        squares.append(np.mean((errors / found.depths.sigma[rows]) ** 2))
    assert 0.4 < np.mean(squares) < 2.0, squares


@pytest.mark.parametrize('translation', [(0.6, 0.1, 0.1), (0.0, 0.05, 0.8), (0, 0, 0)])
def test_the_covariance_is_what_noise_does_to_the_motion(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator, translation: tuple[Any, ...]
) -> None:
    truth, errors, predicted = pose(translation, (0.1, -0.1, 0.3)), [], []
    for _ in range(50):
        pairs = scene_pairs(room, pose, truth, rng, noise_px=0.5, relative_sigma=0.1)
        few = np.arange(len(pairs[0])) < 120
        found = adjust(pairs[0].take(few), pairs[1].take(few), pairs[2].take(few), [truth], 2.0)
        errors.append(errors_of(found.motion, truth))
        predicted.append(np.sqrt(np.diag(found.covariance)))
    ratio = np.std(errors, axis=0) / np.mean(predicted, axis=0)
    assert (ratio > 0.6).all(), ratio
    assert (ratio < 1.5).all(), ratio


def test_ransac_finds_the_motion_among_half_outliers(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = pose((0.5, 0.1, 0.3), (0.02, -0.05, 0.03))
    pairs = scene_pairs(room, pose, truth, rng, noise_px=0.3, outlier_share=0.5, relative_sigma=0.01)
    (found,) = solve_pnp(*pairs, RansacConfig())
    np.testing.assert_allclose(found, truth, atol=0.05)


def test_too_few_points_have_no_motion(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    pairs = scene_pairs(room, pose, pose((0.5, 0, 0)), rng)
    few = np.arange(len(pairs[0])) < 3
    assert solve_pnp(pairs[0].take(few), pairs[1].take(few), pairs[2].take(few), RansacConfig()) == []
