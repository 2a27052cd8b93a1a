# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.odometry.geometry import triangulate
from kp2d_ros.odometry.rays import (
    InverseDepths,
    Rays,
    carry_depths,
    fuse_depths,
    is_known,
    no_rays,
    place_depths,
    rays_from_pixels,
    scale_ratio,
    unknown_depths,
)

if TYPE_CHECKING:
    from test.odometry.conftest import Scene

MATRIX = np.array([[400.0, 0, 320], [0, 400, 240], [0, 0, 1]])


def test_without_distortion_a_unit_is_the_focal_length() -> None:
    camera = CameraModel(640, 480, MATRIX, LensModel.PLUMB_BOB, np.zeros(0))
    rays = rays_from_pixels(camera, np.array([[320, 240], [0, 0], [639, 100]], np.float32))
    np.testing.assert_allclose(rays.vectors[0], [0, 0, 1])
    np.testing.assert_allclose(rays.xy[1], [-0.8, -0.6])
    np.testing.assert_allclose(rays.px_per_unit, 400.0, rtol=1e-6)


def test_a_wide_lens_has_fewer_pixels_per_unit_at_its_rim() -> None:
    camera = CameraModel(640, 480, MATRIX, LensModel.EQUIDISTANT, np.zeros(4))
    pixels = np.array([[320, 240], [320 + 400 * np.arctan(1.0), 240]])
    rays = rays_from_pixels(camera, pixels)
    # At 45 degrees: d angle / d radius is 1/2 along the radius, angle / radius is pi/4 across it.
    np.testing.assert_allclose(rays.px_per_unit, [400.0, 400.0 * np.sqrt(0.5 * np.pi / 4)], rtol=1e-3)


def test_pixels_without_a_ray_are_not_finite() -> None:
    camera = CameraModel(640, 480, MATRIX, LensModel.EQUIDISTANT, np.zeros(4))
    rays = rays_from_pixels(camera, np.array([[320.0, 240.0], [320.0 + 400 * 1.7, 240.0]]))
    assert rays.is_finite.tolist() == [True, False]


def test_no_keypoints_have_no_rays() -> None:
    camera = CameraModel(640, 480, MATRIX, LensModel.PLUMB_BOB, np.array([-0.2, 0.1, 0, 0]))
    rays = rays_from_pixels(camera, np.empty((0, 2), np.float32))
    assert (len(rays), rays.vectors.shape, rays.px_per_unit.shape) == (0, (0, 3), (0,))


def test_without_a_camera_nothing_is_finite() -> None:
    assert not no_rays(3).is_finite.any()


def test_rows_are_taken_by_mask_and_by_index() -> None:
    rays = Rays(np.array([[0.0, 1, 1], [2, 3, 1], [4, 5, 1]]), np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(rays.take(np.array([2, 0])).px_per_unit, [3, 1])
    np.testing.assert_array_equal(rays.take(np.array([False, True, False])).vectors, [[2, 3, 1]])


def test_the_scale_is_the_ratio_that_most_points_share(rng: np.random.Generator) -> None:
    value = rng.uniform(0.05, 0.5, 200)
    old = InverseDepths(value * (1 + 0.02 * rng.normal(size=200)), 0.02 * value)
    new = InverseDepths(0.37 * value * (1 + 0.02 * rng.normal(size=200)), 0.37 * 0.02 * value)
    new.value[::3] *= rng.uniform(0.2, 5, 67)
    ratio = scale_ratio(old, new)
    assert abs(np.log(ratio.scale / 0.37)) < 4 * ratio.log_sigma < 0.02
    assert 120 < ratio.count < 150


def test_points_of_unknown_depth_do_not_vote() -> None:
    old = InverseDepths(np.array([0.1, 0.1, -0.2]), np.array([0.01, np.inf, 0.01]))
    new = InverseDepths(np.array([0.2, 7.0, 7.0]), np.array([0.01, 0.01, 0.01]))
    ratio = scale_ratio(old, new)
    assert (round(ratio.scale, 6), ratio.count) == (2.0, 1)
    assert scale_ratio(unknown_depths(4), unknown_depths(4)).count == 0


def test_a_depth_is_known_if_it_is_positive_and_certain() -> None:
    depths = InverseDepths(np.array([0.1, 0.1, -0.1, 0.0]), np.array([0.02, 0.09, 0.02, np.inf]))
    assert is_known(depths).tolist() == [True, False, False, False]


def test_depths_move_into_the_next_camera_and_back(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    motion = pose((0.5, -0.2, 1.0), (0.05, 0.02, -0.1))
    reference, current = room.rays(pose(), motion, rng)
    depths = triangulate(reference, current, motion, 0.5)
    carried = carry_depths(reference, depths, motion)
    back = carry_depths(current, carried, np.linalg.inv(motion))
    np.testing.assert_allclose(back.value, depths.value, rtol=1e-9)
    np.testing.assert_allclose(back.sigma, depths.sigma, rtol=0.05)  # along another ray


def test_the_sigma_moves_with_the_depth(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    motion = pose((0.5, -0.2, 1.0), (0.05, 0.02, -0.1))
    reference, current = room.rays(pose(), motion, rng)
    depths = triangulate(reference, current, motion, 0.5)
    shifted = carry_depths(reference, InverseDepths(depths.value + 1e-6, depths.sigma), motion)
    carried = carry_depths(reference, depths, motion)
    np.testing.assert_allclose((shifted.value - carried.value) / 1e-6, carried.sigma / depths.sigma, rtol=1e-4)


def test_a_point_that_the_camera_passes_is_forgotten(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    reference, _ = room.rays(pose(), pose(), rng)
    near = InverseDepths(np.full(len(reference), 1.0), np.full(len(reference), 0.01))
    assert np.isinf(carry_depths(reference, near, pose((0, 0, 2.0))).sigma).all()


def test_depths_are_placed_in_their_rows() -> None:
    placed = place_depths(4, np.array([2, 0]), InverseDepths(np.array([0.5, 0.25]), np.array([0.1, 0.2])))
    np.testing.assert_array_equal(placed.value, [0.25, 0, 0.5, 0])
    np.testing.assert_array_equal(placed.sigma, [0.2, np.inf, 0.1, np.inf])


def test_depths_outside_a_mask_are_unknown() -> None:
    kept = InverseDepths(np.array([0.5, 0.25]), np.array([0.1, 0.2])).where(np.array([False, True]))
    assert is_known(kept).tolist() == [False, False]
    assert kept.value[1] == 0.25


def depths_of(*pairs: tuple[float, float]) -> InverseDepths:
    """
    Of values and sigmas.
    """
    return InverseDepths(*np.array(pairs, float).reshape(-1, 2).T)


def test_two_estimates_of_a_depth_are_fused_by_their_weights() -> None:
    fused = fuse_depths(
        depths_of((1.0, 0.1), (1.0, 0.1), (-0.01, 0.02)), depths_of((1.2, 0.1), (1.1, 0.2), (0.03, 0.02))
    )
    np.testing.assert_allclose(fused.value, [1.1, 1.02, 0.01])
    np.testing.assert_allclose(fused.sigma, [0.1 / np.sqrt(2), np.sqrt(1 / 125), 0.02 / np.sqrt(2)])


def test_where_one_estimate_is_missing_the_other_one_counts() -> None:
    unknown = (0.0, np.inf)
    fused = fuse_depths(depths_of((1.0, 0.1), unknown, unknown), depths_of(unknown, (0.5, 0.2), unknown))
    np.testing.assert_array_equal(fused.value, [1.0, 0.5, 0.0])
    np.testing.assert_array_equal(fused.sigma, [0.1, 0.2, np.inf])
    alone = depths_of((1.0, 0.1), (2.0, 0.3))
    assert fuse_depths(alone, unknown_depths(2)) is alone  # with one camera nothing is touched
    assert len(fuse_depths(depths_of(), depths_of()).value) == 0


@pytest.mark.parametrize('sign', [-1, 1])
def test_of_contradicting_estimates_the_second_one_counts_as_uncertain_as_they_differ(sign: int) -> None:
    spread = np.hypot(0.1, 0.2)
    first = depths_of((1.0, 0.1), (1.0, 0.1))
    second = depths_of((1.0 + sign * 2.99 * spread, 0.2), (1.0 + sign * 3.01 * spread, 0.2))
    fused = fuse_depths(first, second)
    assert fused.sigma[0] < 0.1
    assert fused.value[1] == second.value[1]
    assert fused.sigma[1] == pytest.approx(3.01 * spread)


def test_fused_depths_are_as_uncertain_as_they_say(rng: np.random.Generator) -> None:
    sigmas = rng.uniform(0.01, 0.05, (2, 4000))
    first, second = (InverseDepths(0.4 + rng.normal(size=4000) * sigma, sigma) for sigma in sigmas)
    fused = fuse_depths(first, second)
    pulls = (fused.value - 0.4) / fused.sigma
    assert abs(pulls.mean()) < 0.06
    assert pulls.std() == pytest.approx(1.0, abs=0.04)
