# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.se3 import (
    angle_between,
    hat,
    invert_transform,
    rotation_angle,
    transform_points,
    vector_from_rotation,
)
from kp2d_ros.odometry.geometry import (
    PlaneMotion,
    _essential_and_derivatives,
    _turn,
    direction_basis,
    find_rotation,
    fixed_axes,
    image_jacobian,
    move,
    parallax_angles,
    plane_motions,
    project,
    refine_direction,
    refine_plane_motion,
    refine_rotation,
    sampson_residuals,
    transfer_residuals,
    triangulate,
    turn_residuals,
)
from kp2d_ros.odometry.rays import Rays

if TYPE_CHECKING:
    from test.odometry.conftest import Scene


def test_the_jacobian_is_that_of_small_steps(rng: np.random.Generator, pose: Callable[..., NDArray[Any]]) -> None:
    motion, step = pose((0.3, -0.1, 0.2), (0.1, 0.2, -0.3)), 1e-6
    points = rng.uniform((-2, -2, 3), (2, 2, 8), (12, 3))

    def see(moved: Any) -> Any:
        return project(transform_points(invert_transform(moved), points))

    z = transform_points(invert_transform(motion), points)[:, 2]
    jacobian = image_jacobian(see(motion), 1 / z)
    for k, unit in enumerate(np.eye(6)):
        numeric = (see(move(motion, step * unit)) - see(move(motion, -step * unit))) / (2 * step)
        np.testing.assert_allclose(jacobian[:, :, k], numeric, atol=1e-7)


def test_covariances_turn_into_the_axes_of_the_reference(
    rng: np.random.Generator, pose: Callable[..., NDArray[Any]]
) -> None:
    motion = pose((1.0, 2.0, 3.0), (0.3, -0.4, 1.0))
    covariance = np.diag([1e-4, 4e-4, 9e-4, 1e-6, 4e-6, 9e-6])
    samples = []
    for step in rng.multivariate_normal(np.zeros(6), covariance, 4000):
        moved = move(motion, step)
        turn = vector_from_rotation(moved[:3, :3] @ motion[:3, :3].T)
        samples.append([*(moved[:3, 3] - motion[:3, 3]), *turn])
    scale = np.sqrt(np.diag(fixed_axes(motion, covariance)))
    difference = (np.cov(np.array(samples).T) - fixed_axes(motion, covariance)) / np.outer(scale, scale)
    assert np.abs(difference).max() < 0.1


def test_points_behind_the_camera_land_outside_the_image() -> None:
    assert np.linalg.norm(project(np.array([[0.5, 0.0, -1.0]]))) > 100


def on_plane(xy: NDArray[Any], px_per_unit: float = 500.0) -> Rays:
    return Rays(np.column_stack([xy, np.ones(len(xy))]), np.full(len(xy), px_per_unit))


def essential_of(motion: Any) -> Any:
    return hat(motion[:3, 3]) @ motion[:3, :3]


def test_true_pairs_have_no_residual(room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator) -> None:
    motion = pose((0.6, -0.1, 0.8), (0.02, -0.05, 0.1))
    residuals = sampson_residuals(*room.rays(pose(), motion, rng), motion)
    assert len(residuals) > 300
    np.testing.assert_allclose(residuals, 0, atol=1e-6)


@pytest.mark.parametrize('direction', [(1, 0, 0), (0.1, 0, 1)])
def test_the_residual_has_the_noise_of_one_pixel_coordinate(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator, direction: tuple[Any, ...]
) -> None:
    motion = pose(direction, (0.01, 0.03, -0.02))
    residuals = sampson_residuals(*room.rays(pose(), motion, rng, noise_px=0.4), motion)
    assert abs(np.std(residuals) - 0.4) < 0.04


def test_the_residual_is_the_distance_to_the_nearest_pair_on_the_epipolar_lines(
    pose: Callable[..., NDArray[Any]],
) -> None:
    # Sideways motion without rotation: a pair may differ in y alone, and splits the difference between both images.
    reference = on_plane(np.array([[0.0, 0.01]]))
    current = on_plane(np.array([[0.0, 0.0]]))
    residual = sampson_residuals(reference, current, pose((1, 0, 0)))
    np.testing.assert_allclose(np.abs(residual), 0.01 * 500 / np.sqrt(2))


@pytest.mark.parametrize('translation', [(0.3, -0.5, 0.8), (0, 0, 2.0), (-1.0, 0, 0)])
def test_derivatives_of_the_essential_matrix_are_those_of_small_steps(
    pose: Callable[..., NDArray[Any]], translation: tuple[Any, ...]
) -> None:
    motion, step = pose(translation, (0.3, -0.2, 0.1)), 1e-6
    derivatives = _essential_and_derivatives(motion)
    np.testing.assert_allclose(derivatives[0], essential_of(motion))
    for k, unit in enumerate(np.eye(5)):
        numeric = (essential_of(_turn(motion, step * unit)) - essential_of(_turn(motion, -step * unit))) / (2 * step)
        np.testing.assert_allclose(derivatives[1 + k], numeric, atol=1e-8)


def test_refinement_recovers_the_motion_and_keeps_its_length(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = pose((1.2, -0.2, 0.5), (0.05, -0.02, 0.1))
    start = pose((1.1, -0.4, 0.6), (0.06, -0.01, 0.12))
    found = refine_direction(*room.rays(pose(), truth, rng), start, 0.5).state
    assert rotation_angle(found[:3, :3].T @ truth[:3, :3]) < 1e-5
    assert angle_between(found[:3, 3], truth[:3, 3]) < 1e-4
    np.testing.assert_allclose(np.linalg.norm(found[:3, 3]), np.linalg.norm(start[:3, 3]))


def test_the_basis_is_orthonormal_and_perpendicular(rng: np.random.Generator) -> None:
    for translation in [*np.eye(3), *-np.eye(3), *rng.normal(size=(20, 3))]:
        basis = direction_basis(translation)
        np.testing.assert_allclose(basis.T @ basis, np.eye(2), atol=1e-12)
        np.testing.assert_allclose(basis.T @ translation, 0, atol=1e-12)


def test_triangulation_gives_the_depths_in_the_reference_camera(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    reference, current = pose((0.1, 0.2, -0.3), (0.02, 0, 0.01)), pose((0.7, 0.1, 0.2), (0, 0.05, 0))
    motion = np.linalg.inv(reference) @ current
    rays = room.rays(reference, current, rng)
    common = np.intersect1d(room.visible(reference)[0], room.visible(current)[0])
    z = transform_points(np.linalg.inv(reference), room.landmarks[common])[:, 2]
    np.testing.assert_allclose(triangulate(*rays, motion, 0.5).value, 1 / z, rtol=1e-6)


def test_the_sigma_of_a_depth_is_what_noise_does_to_it(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    motion = pose((0.8, 0, 0.1))
    exact = triangulate(*room.rays(pose(), motion, rng), motion, 0.5)
    noisy = triangulate(*room.rays(pose(), motion, rng, noise_px=0.5), motion, 0.5)
    assert abs(np.std((noisy.value - exact.value) / exact.sigma) - 1) < 0.1


def test_without_translation_no_depth_is_known(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    depths = triangulate(*room.rays(pose(), pose((0, 0, 0), (0, 0.1, 0)), rng), pose((0, 0, 0), (0, 0.1, 0)), 0.5)
    assert np.isinf(depths.sigma).all()
    assert (depths.value == 0).all()


def test_parallax_is_what_the_translation_alone_does(pose: Callable[..., NDArray[Any]]) -> None:
    reference = on_plane(np.array([[0.0, 0.0]]))
    current = on_plane(np.array([[np.tan(0.02), 0.0]]))
    np.testing.assert_allclose(parallax_angles(reference, current, np.eye(3)), [0.02], rtol=1e-9)
    turned = pose((0, 0, 0), (0, -0.02, 0))[:3, :3]
    np.testing.assert_allclose(parallax_angles(reference, current, turned), 0, atol=1e-8)


def true_plane_motion(motion: Any) -> PlaneMotion:
    # In the reference camera, which is the world: z = 6 + 0.5 x - 0.2 y, so n . X = d there.
    normal, distance = np.array([-0.5, 0.2, 1.0]), 6.0
    in_current, distance = motion[:3, :3].T @ normal, distance - normal @ motion[:3, 3]
    scale = np.linalg.norm(normal)
    scaled = motion.copy()
    scaled[:3, 3] /= distance / scale
    return PlaneMotion(scaled, in_current / scale)


def test_the_true_homography_maps_every_point(
    wall: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    motion = pose((0.7, 0.1, -0.3), (0.02, -0.1, 0.05))
    residuals = transfer_residuals(*wall.rays(pose(), motion, rng), true_plane_motion(motion).matrix)
    np.testing.assert_allclose(residuals, 0, atol=1e-6)


def test_one_of_the_decompositions_is_the_truth(
    wall: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    motion = pose((0.7, 0.1, -0.3), (0.02, -0.1, 0.05))
    truth = true_plane_motion(motion)
    for sign in (3.0, -0.2):  # a homography has no scale and no sign
        found = plane_motions(sign * truth.matrix, wall.rays(pose(), motion, rng)[1])
        errors = [np.abs(m.motion - truth.motion).max() + np.abs(m.normal - truth.normal).max() for m in found]
        assert min(errors) < 1e-6
        assert len(found) <= 2


def test_a_rotation_has_no_plane(room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator) -> None:
    motion = pose((0, 0, 0), (0.1, 0.2, 0.0))
    assert plane_motions(motion[:3, :3], room.rays(pose(), motion, rng)[1]) == []


def test_refinement_recovers_motion_and_plane(
    wall: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = true_plane_motion(pose((0.7, 0.1, -0.3), (0.02, -0.1, 0.05)))
    rays = wall.rays(pose(), pose((0.7, 0.1, -0.3), (0.02, -0.1, 0.05)), rng)
    start = PlaneMotion(truth.motion @ pose((0.02, -0.01, 0.01), (0.01, 0.0, 0.02)), np.array([0, 0, 1.0]))
    found = refine_plane_motion(*rays, start, 0.5).state
    assert rotation_angle(found.motion[:3, :3].T @ truth.motion[:3, :3]) < 1e-5
    assert angle_between(found.motion[:3, 3], truth.motion[:3, 3]) < 1e-3
    np.testing.assert_allclose(found.normal, truth.normal, atol=1e-4)


def test_finds_the_rotation_among_half_outliers(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = pose((0, 0, 0), (0.1, -0.2, 0.05))
    rays = room.rays(pose(), truth, rng, noise_px=0.5, outlier_share=0.5)
    found = find_rotation(*rays, 1.5)
    assert np.degrees(rotation_angle(found[:3, :3].T @ truth[:3, :3])) < 0.5
    agrees = np.linalg.norm(turn_residuals(*rays, truth), axis=1) < 2.0
    refined = refine_rotation(rays[0].take(agrees), rays[1].take(agrees), found, 0.5).state
    assert np.degrees(rotation_angle(refined[:3, :3].T @ truth[:3, :3])) < 0.01


def test_the_residual_of_a_rotation_has_the_noise_of_one_pixel_coordinate(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = pose((0, 0, 0), (0.05, 0.02, 0.1))
    residuals = turn_residuals(*room.rays(pose(), truth, rng, noise_px=0.4), truth)
    assert abs(np.std(residuals) - 0.4) < 0.03


def test_the_covariance_is_what_noise_does_to_the_rotation(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth, errors = pose((0, 0, 0), (0.1, 0.3, -0.2)), []
    for _ in range(60):
        rays = room.rays(pose(), truth, rng, noise_px=0.5)
        minimum = refine_rotation(*rays, truth, 0.5)
        errors.append(vector_from_rotation(minimum.state[:3, :3] @ truth[:3, :3].T))
    predicted = np.sqrt(np.diag(fixed_axes(minimum.state, minimum.covariance)))
    ratio = np.std(errors, axis=0) / predicted
    assert (ratio > 0.75).all()
    assert (ratio < 1.33).all()
