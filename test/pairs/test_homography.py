# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The random maps: what the public sampler is known to draw, and what the wide one promises.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.pairs.homography import (
    AFFINE_UNIFORMS,
    CORNERS,
    HOMOGRAPHY_NORMALS,
    HOMOGRAPHY_UNIFORMS,
    AffineConfig,
    HomographyConfig,
    homographies_to_quads,
    quad_areas,
    sample_affines,
    sample_homographies,
    transform_points,
)

ASPECT = 240 / 320
DRAWS = 4000


def draw(config: Any, rng: np.random.Generator, count: Any = DRAWS, aspect: Any = ASPECT) -> Any:
    uniforms, normals = rng.random((count, HOMOGRAPHY_UNIFORMS)), rng.standard_normal((count, HOMOGRAPHY_NORMALS))
    return sample_homographies(config, aspect, uniforms, normals)


def quads_of(matrices: Any) -> Any:
    """
    The corners of S in T, in the metric coordinates of the sampler.
    """
    return transform_points(matrices, np.broadcast_to(CORNERS, (len(matrices), 4, 2))) * (1, ASPECT)


def rotations_deg(quads: Any) -> Any:
    along = quads[:, [2, 3]].mean(axis=1) - quads[:, [0, 1]].mean(axis=1)
    return np.rad2deg(np.arctan2(along[:, 1], along[:, 0]))


def side_ratios(quads: Any) -> Any:
    def length(i: Any, j: Any) -> Any:
        return np.linalg.norm(quads[:, i] - quads[:, j], axis=1)

    ratios = np.stack([length(0, 1) / length(2, 3), length(0, 2) / length(1, 3)])
    return np.maximum(ratios, 1 / ratios)


def test_public_sampler_has_its_measured_statistics(rng: np.random.Generator) -> None:
    quads = quads_of(draw(HomographyConfig(), rng))
    share = quad_areas(quads) / (4 * ASPECT)
    assert share.mean() == pytest.approx(0.49, abs=0.01)
    assert np.percentile(share, [5, 95]) == pytest.approx([0.31, 0.72], abs=0.015)
    assert np.mean(share**-0.5) == pytest.approx(1.46, abs=0.015)
    assert np.percentile(np.abs(rotations_deg(quads)), [50, 90, 99]) == pytest.approx([3.2, 14, 32], rel=0.12)
    assert np.percentile(side_ratios(quads), [50, 90]) == pytest.approx([1.24, 1.65], abs=0.03)


def test_public_sampler_never_leaves_the_target(rng: np.random.Generator) -> None:
    assert np.abs(transform_points(draw(HomographyConfig(), rng), np.tile(CORNERS, (DRAWS, 1, 1)))).max() <= 1 + 1e-9


def test_a_patch_as_large_as_the_image_still_fits(rng: np.random.Generator) -> None:
    config = HomographyConfig(patch_ratio=1.0, distribution='uniform', scale_amplitude=0.9)
    corners = transform_points(draw(config, rng, 500), np.tile(CORNERS, (500, 1, 1)))
    assert np.abs(corners).max() <= 1 + 1e-9


def test_extreme_random_numbers_give_finite_maps() -> None:
    ends = np.array([[0.0] * HOMOGRAPHY_UNIFORMS, [np.nextafter(1, 0)] * HOMOGRAPHY_UNIFORMS])
    for sampler in ('inside', 'wide'):
        for normals in (np.full((2, HOMOGRAPHY_NORMALS), 40.0), np.full((2, HOMOGRAPHY_NORMALS), -40.0)):
            matrices = sample_homographies(HomographyConfig(sampler=sampler), ASPECT, ends, normals)
            assert np.isfinite(matrices).all()
            assert np.all(np.linalg.det(matrices) > 0)


def test_one_share_in_a_hundred_keeps_the_scale_of_the_patch(rng: np.random.Generator) -> None:
    config = HomographyConfig(perspective_amplitude=0.0, max_angle_deg=0.0)
    side = np.sqrt(quad_areas(quads_of(draw(config, rng))) / (4 * ASPECT)) / config.patch_ratio
    assert side.min() == pytest.approx(0.9) and side.max() == pytest.approx(1.1)
    assert np.mean(np.isclose(side, 1, atol=1e-9)) == pytest.approx(0.01, abs=0.006)
    assert np.mean(np.isclose(side, 1.1)) == pytest.approx(0.157, abs=0.02)  # clipped at one sigma


def test_uniform_distribution_spreads_the_scale_evenly(rng: np.random.Generator) -> None:
    config = HomographyConfig(distribution='uniform', perspective_amplitude=0.0, max_angle_deg=0.0, scale_amplitude=0.2)
    side = np.sqrt(quad_areas(quads_of(draw(config, rng))) / (4 * ASPECT)) / config.patch_ratio
    assert np.percentile(side, [0, 25, 50, 75, 100]) == pytest.approx([0.8, 0.9, 1, 1.1, 1.2], abs=0.015)


def test_wide_sampler_turns_evenly_up_to_the_largest_angle(rng: np.random.Generator) -> None:
    config = HomographyConfig(sampler='wide', max_angle_deg=120, corner_shift=0.0)
    angles = rotations_deg(quads_of(draw(config, rng)))
    assert np.percentile(angles, [0, 25, 50, 75, 100]) == pytest.approx([-120, -60, 0, 60, 120], abs=4)


def test_wide_sampler_zooms_in_and_out_within_its_range(rng: np.random.Generator) -> None:
    config = HomographyConfig(sampler='wide', corner_shift=0.0, zoom_in=2.0, zoom_out=3.0)
    side = np.sqrt(quad_areas(quads_of(draw(config, rng))) / (4 * ASPECT))
    assert side.min() == pytest.approx(1 / 2, rel=0.01) and side.max() == pytest.approx(3, rel=0.01)
    assert np.median(side) == pytest.approx(np.sqrt(3 / 2), rel=0.04)  # even in the logarithm


def test_wide_sampler_draws_angles_towards_zero_by_their_exponent(rng: np.random.Generator) -> None:
    config = HomographyConfig(sampler='wide', max_angle_deg=160, corner_shift=0.0, angle_exponent=3)
    angles = rotations_deg(quads_of(draw(config, rng)))
    assert np.percentile(angles, [0, 25, 75, 100]) == pytest.approx([-160, -20, 20, 160], abs=4)  # 160 / 2^3
    assert np.median(angles) == pytest.approx(0, abs=0.2)


def test_wide_sampler_draws_zooms_towards_one_by_their_exponent(rng: np.random.Generator) -> None:
    config = HomographyConfig(sampler='wide', corner_shift=0.0, zoom_in=4.0, zoom_out=2.0, zoom_exponent=2)
    log_side = np.log2(quad_areas(quads_of(draw(config, rng))) / (4 * ASPECT)) / 2
    assert np.percentile(log_side, [0, 25, 75, 100]) == pytest.approx([-2, -2 / 4, 1 / 4, 1], abs=0.09)
    assert np.median(log_side) == pytest.approx(0, abs=0.01)


def test_wide_sampler_moves_every_corner_on_its_own(rng: np.random.Generator) -> None:
    config = HomographyConfig(sampler='wide', max_angle_deg=0, zoom_in=1, zoom_out=1, translation=0, corner_shift=0.3)
    moves = transform_points(draw(config, rng), np.tile(CORNERS, (DRAWS, 1, 1))) - CORNERS
    assert np.abs(moves).max() <= 0.3 + 1e-9
    correlation = np.corrcoef(moves.reshape(DRAWS, 8).T) - np.eye(8)
    assert np.abs(correlation).max() < 0.07


def test_a_sample_depends_on_its_own_row_only(rng: np.random.Generator) -> None:
    uniforms, normals = rng.random((5, HOMOGRAPHY_UNIFORMS)), rng.standard_normal((5, HOMOGRAPHY_NORMALS))
    for sampler in ('inside', 'wide'):
        config = HomographyConfig(sampler=sampler)
        together = sample_homographies(config, ASPECT, uniforms, normals)
        alone = sample_homographies(config, ASPECT, uniforms[3:4], normals[3:4])
        np.testing.assert_array_equal(together[3:4], alone)


def test_four_point_transform_equals_opencv(rng: np.random.Generator) -> None:
    quads = 0.7 * CORNERS + rng.uniform(-0.2, 0.2, (6, 4, 2))
    for matrix, quad in zip(homographies_to_quads(quads), quads, strict=True):
        expected = cv2.getPerspectiveTransform(CORNERS.astype(np.float32), quad.astype(np.float32))
        np.testing.assert_allclose(matrix, expected, atol=1e-5)


def test_area_of_a_known_quadrilateral() -> None:
    assert quad_areas(CORNERS[None] * (1, 0.75)) == pytest.approx([3.0])


def test_affine_map_without_changes_is_the_identity() -> None:
    config = AffineConfig(0.0, 0.0, 0.0, 0.0, 0.0)
    matrices = sample_affines(config, ASPECT, np.full((2, AFFINE_UNIFORMS), 0.3))
    np.testing.assert_allclose(matrices, np.tile(np.eye(3), (2, 1, 1)), atol=1e-15)


def test_affine_map_undoes_flip_turn_scale_and_shift_of_the_content() -> None:
    # Flipped both ways, then turned by 15 degrees, enlarged 1.1 times, moved by a tenth of the image right and down.
    uniforms = np.array([[0.0, 0.0, 1.0, 1.0, 1.0, 1.0]])
    stored = np.array([[0.4, -0.2]])
    x, y = stored[0] * (-1, -ASPECT)
    cos, sin = np.cos(np.pi / 12), np.sin(np.pi / 12)
    seen = np.array([[1.1 * (cos * x - sin * y) + 0.2, (1.1 * (sin * x + cos * y)) / ASPECT + 0.2]])
    matrix = sample_affines(AffineConfig(), ASPECT, uniforms)
    np.testing.assert_allclose(transform_points(matrix, seen[None])[0], stored, atol=1e-12)


def test_flips_are_as_frequent_as_asked(rng: np.random.Generator) -> None:
    config = AffineConfig(0.25, 0.75, 0.0, 0.0, 0.0)
    matrices = sample_affines(config, ASPECT, rng.random((DRAWS, AFFINE_UNIFORMS)))
    assert np.mean(matrices[:, 1, 1] < 0) == pytest.approx(0.25, abs=0.03)
    assert np.mean(matrices[:, 0, 0] < 0) == pytest.approx(0.75, abs=0.03)


def test_refuses_a_patch_that_perspective_would_fold() -> None:
    with pytest.raises(ConfigError, match=r'patch_ratio: found 0\.2, expected more than perspective_amplitude'):
        HomographyConfig(patch_ratio=0.2)
