# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.records import PoseModel
from kp2d_ros.core.se3 import angle_between, rotation_angle, vector_from_rotation
from kp2d_ros.odometry.model_fits import Fit
from kp2d_ros.odometry.ransac import RansacConfig
from kp2d_ros.odometry.rays import Rays
from kp2d_ros.odometry.two_view import estimate_two_view, gric

if TYPE_CHECKING:
    from test.odometry.conftest import Scene

CONFIG = RansacConfig()


def on_plane(xy: NDArray[Any], px_per_unit: float = 500.0) -> Rays:
    return Rays(np.column_stack([xy, np.ones(len(xy))]), np.full(len(xy), px_per_unit))


def unit(motion: Any) -> Any:
    return motion[:3, 3] / np.linalg.norm(motion[:3, 3])


def check_motion(found: Any, truth: Any, rotation_deg: Any, direction_deg: Any) -> None:
    turn = np.degrees(rotation_angle(found.reference_from_current[:3, :3].T @ truth[:3, :3]))
    direction = np.degrees(angle_between(found.reference_from_current[:3, 3], truth[:3, 3]))
    assert turn < rotation_deg
    assert direction < direction_deg
    np.testing.assert_allclose(np.linalg.norm(found.reference_from_current[:3, 3]), 1.0)


@pytest.mark.parametrize(
    ('translation', 'rotation'),
    [((0.8, 0.1, 0.1), (0.02, -0.1, 0.05)), ((0.05, -0.02, 0.8), (0.0, 0.02, 0.0)), ((0, 0.7, -0.4), (0.1, 0, 0.5))],
)
def test_recovers_known_motion(
    room: Scene,
    pose: Callable[..., NDArray[Any]],
    rng: np.random.Generator,
    translation: tuple[Any, ...],
    rotation: tuple[Any, ...],
) -> None:
    truth = pose(translation, rotation)
    found = estimate_two_view(*room.rays(pose(), truth, rng, noise_px=0.5), CONFIG)
    assert found.model is PoseModel.ESSENTIAL
    check_motion(found, truth, 0.15, 1.5)
    assert found.inlier.mean() > 0.98
    assert abs(found.rms_px - 0.5) < 0.05
    assert not found.is_ambiguous


def test_exact_rays_give_the_exact_motion(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = pose((0.5, 0.3, 0.8), (0.02, -0.1, 0.05))
    found = estimate_two_view(*room.rays(pose(), truth, rng), CONFIG)
    check_motion(found, truth, 1e-4, 1e-3)


def test_half_outliers_are_told_apart(room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator) -> None:
    truth = pose((0.7, 0.1, 0.3), (0.02, -0.1, 0.05))
    found = estimate_two_view(*room.rays(pose(), truth, rng, noise_px=0.5, outlier_share=0.5), CONFIG)
    check_motion(found, truth, 0.3, 2.0)
    assert 0.45 < found.inlier.mean() < 0.58


def test_a_plane_is_a_homography(wall: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator) -> None:
    truth = pose((0.9, 0.1, -0.4), (0.02, -0.1, 0.05))
    found = estimate_two_view(*wall.rays(pose(), truth, rng, noise_px=0.3, outlier_share=0.2), CONFIG)
    assert found.model is PoseModel.HOMOGRAPHY
    if found.is_ambiguous:  # then a steady rotation tells which
        rays = wall.rays(pose(), truth, rng, noise_px=0.3)
        found = estimate_two_view(*rays, CONFIG, truth[:3, :3])
    check_motion(found, truth, 0.5, 4.0)


def test_points_off_the_plane_decide_between_its_two_motions(
    wall: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator, new_scene: Callable[..., Scene]
) -> None:
    near = rng.uniform((-1.5, -1, 2.5), (1.5, 1, 4), (60, 3))
    mixed = new_scene(np.concatenate([wall.landmarks, near]))
    truth = pose((0.9, 0.1, -0.4), (0.02, -0.1, 0.05))
    found = estimate_two_view(*mixed.rays(pose(), truth, rng, noise_px=0.3), CONFIG)
    assert not found.is_ambiguous
    check_motion(found, truth, 0.3, 2.0)


def test_a_pure_rotation_is_no_translation(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = pose((0, 0, 0), (0.05, -0.1, 0.3))
    found = estimate_two_view(*room.rays(pose(), truth, rng, noise_px=0.5, outlier_share=0.3), CONFIG)
    assert found.model is PoseModel.ROTATION
    assert not found.reference_from_current[:3, 3].any()
    assert np.degrees(rotation_angle(found.reference_from_current[:3, :3].T @ truth[:3, :3])) < 0.05
    np.testing.assert_allclose(found.covariance[:3, :3], np.eye(3))


def test_far_points_do_not_fail_the_chirality(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator, new_scene: Callable[..., Scene]
) -> None:
    far = new_scene(room.landmarks * np.where(rng.random(len(room.landmarks)) < 0.7, 100.0, 1.0)[:, None])
    truth = pose((0.3, 0, 0.1), (0.01, 0, 0))
    found = estimate_two_view(*far.rays(pose(), truth, rng, noise_px=0.4), CONFIG)
    check_motion(found, truth, 0.1, 5.0)
    assert found.inlier.mean() > 0.97


def test_a_fisheye_is_as_good_as_a_pinhole(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator, new_scene: Callable[..., Scene]
) -> None:
    matrix = np.array([[280.0, 0, 319.5], [0, 280, 239.5], [0, 0, 1]])
    camera = CameraModel(640, 480, matrix, LensModel.EQUIDISTANT, np.array([0.02, -0.01, 0.003, 0]))
    scene = new_scene(rng.uniform((-25, -20, 3), (25, 20, 12), (2000, 3)), camera)
    truth = pose((0.8, 0.1, 0.2), (0.02, -0.1, 0.05))
    found = estimate_two_view(*scene.rays(pose(), truth, rng, noise_px=0.4, outlier_share=0.2), CONFIG)
    check_motion(found, truth, 0.2, 1.5)
    assert 0.76 < found.inlier.mean() < 0.88
    assert abs(found.rms_px - 0.4) < 0.08


def test_rays_of_nan_take_no_part(room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator) -> None:
    truth = pose((0.7, 0.1, 0.3), (0.02, -0.1, 0.05))
    reference, current = room.rays(pose(), truth, rng, noise_px=0.3)
    reference.vectors[::3, :2] = np.nan
    current.vectors[1::3, 0] = np.nan
    found = estimate_two_view(reference, current, CONFIG)
    check_motion(found, truth, 0.3, 2.5)
    assert not found.inlier[0::3].any()
    assert not found.inlier[1::3].any()
    assert found.inlier[2::3].mean() > 0.95


@pytest.mark.parametrize('count', [0, 1, 5, 11])
def test_too_few_matches_are_a_result(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator, count: int
) -> None:
    rays = room.rays(pose(), pose((0.5, 0, 0)), rng)
    few = np.arange(len(rays[0])) < count
    found = estimate_two_view(rays[0].take(few), rays[1].take(few), CONFIG)
    assert found.model is PoseModel.NONE
    assert found.reason == f'only {count} matches, 12 are needed'
    np.testing.assert_array_equal(found.reference_from_current, np.eye(4))
    np.testing.assert_array_equal(found.covariance, np.eye(6) * 1e6)
    assert found.inlier.shape == (count,)


def test_random_pairs_are_no_motion(rng: np.random.Generator) -> None:
    rays = [on_plane(rng.uniform(-0.6, 0.6, (200, 2))) for _ in range(2)]
    found = estimate_two_view(*rays, CONFIG)
    assert found.model is PoseModel.NONE
    assert 'of 200 matches agree' in found.reason


def degenerate_rays(kind: Any, rng: np.random.Generator) -> list[Any]:
    xy = rng.uniform(-0.5, 0.5, (40, 2))
    moved = xy + np.array([0.02, 0.0])
    if kind == 'collinear':
        xy[:, 1] = moved[:, 1] = 0.0
    elif kind == 'one point':
        xy[:], moved[:] = xy[0], moved[0]
    elif kind == 'no motion':
        moved = xy
    elif kind == 'at infinity':
        xy, moved = xy * 1e6, moved * 1e6
    return [on_plane(p) for p in (xy, moved)]


@pytest.mark.parametrize('kind', ['collinear', 'one point', 'no motion', 'at infinity'])
def test_degenerate_pairs_give_finite_numbers(kind: str, rng: np.random.Generator) -> None:
    found = estimate_two_view(*degenerate_rays(kind, rng), CONFIG)
    assert np.isfinite(found.reference_from_current).all()
    assert np.isfinite(found.covariance).all()
    assert np.linalg.eigvalsh(found.covariance)[0] > -1e-12
    if kind == 'no motion':
        assert found.model is PoseModel.ROTATION


def test_the_same_pairs_give_the_same_bits(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    rays = room.rays(pose(), pose((0.7, 0.1, 0.3), (0.02, -0.1, 0.05)), rng, noise_px=0.7, outlier_share=0.4)
    first, second = (estimate_two_view(*rays, CONFIG) for _ in range(2))
    assert first.reference_from_current.tobytes() == second.reference_from_current.tobytes()
    assert first.covariance.tobytes() == second.covariance.tobytes()
    assert first.inlier.tobytes() == second.inlier.tobytes()


@pytest.mark.parametrize('translation', [(0.8, 0.1, 0.1), (0.03, 0.02, 0.8)])
def test_the_covariance_is_what_noise_does_to_the_motion(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator, translation: tuple[float, float, float]
) -> None:
    truth, errors, predicted = pose(translation, (0.05, -0.05, 0.2)), [], []
    for _ in range(40):
        reference, current = room.rays(pose(), truth, rng, noise_px=0.5)
        found = estimate_two_view(reference.take(slice(150)), current.take(slice(150)), CONFIG)
        motion = found.reference_from_current
        turn = vector_from_rotation(motion[:3, :3] @ truth[:3, :3].T)
        errors.append([*(motion[:3, 3] - unit(truth)), *turn])
        # Along the translation the estimate is exact by definition, the covariance says that the length is unknown.
        across = np.eye(6)
        across[:3, :3] -= np.outer(unit(truth), unit(truth))
        predicted.append(np.sqrt(np.diag(across @ found.covariance @ across)))
        assert abs(unit(truth) @ found.covariance[:3, :3] @ unit(truth) - 1.0) < 0.1
    ratio = np.std(errors, axis=0)[1:] / np.mean(predicted, axis=0)[1:]
    if translation[2] > translation[0]:
        ratio = np.delete(np.std(errors, axis=0) / np.mean(predicted, axis=0), 2)
    assert (ratio > 0.65).all(), ratio
    assert (ratio < 1.5).all(), ratio


def test_the_covariance_grows_with_the_noise(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = pose((0.7, 0.1, 0.3))
    calm = estimate_two_view(*room.rays(pose(), truth, rng, noise_px=0.1), CONFIG)
    loud = estimate_two_view(*room.rays(pose(), truth, rng, noise_px=0.5), CONFIG)
    ratio = np.diag(loud.covariance)[3:] / np.diag(calm.covariance)[3:]
    assert (ratio > 12).all()
    assert (ratio < 50).all()


def test_parallax_counts_the_translation_and_not_the_rotation(
    room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    turned = pose((0, 0, 0), (0, 0.2, 0))
    still = estimate_two_view(*room.rays(pose(), turned, rng, noise_px=0.1), CONFIG)
    moved = estimate_two_view(*room.rays(pose(), pose((0.8, 0, 0), (0, 0.2, 0)), rng, noise_px=0.1), CONFIG)
    assert still.parallax_deg < 0.05
    assert 3 < moved.parallax_deg < 9  # 0.8 at 4 to 12
    assert 0.3 < moved.unturned_deg < moved.parallax_deg


@pytest.mark.parametrize(
    ('model', 'parameters', 'freedom'),
    [(PoseModel.ESSENTIAL, 5, 1), (PoseModel.HOMOGRAPHY, 8, 2), (PoseModel.ROTATION, 3, 2)],
)
def test_a_model_pays_for_its_parameters_and_for_what_it_leaves_open(model: Any, parameters: int, freedom: int) -> None:
    residuals = np.array([0.0, 0.5, -0.75, 40.0])
    fit = Fit(model, np.eye(4), np.eye(5), residuals, np.array([True, True, True, False]))
    squares = (0.0 + 0.25 + 0.5625) / 0.5**2
    expected = squares + 3 * (4 - freedom) * np.log(4) + 8.0 + parameters * np.log(4 * 4)
    np.testing.assert_allclose(gric(fit, 0.5), expected)


def test_a_threshold_of_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match='threshold_px: found 0'):
        RansacConfig(threshold_px=0.0)
