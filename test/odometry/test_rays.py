# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.odometry.rays import Rays, no_rays, rays_from_pixels

MATRIX = np.array([[400.0, 0, 320], [0, 400, 240], [0, 0, 1]])


def test_without_distortion_a_unit_is_the_focal_length():
    camera = CameraModel(640, 480, MATRIX, LensModel.PLUMB_BOB, np.zeros(0))
    rays = rays_from_pixels(camera, np.array([[320, 240], [0, 0], [639, 100]], np.float32))
    np.testing.assert_allclose(rays.vectors[0], [0, 0, 1])
    np.testing.assert_allclose(rays.xy[1], [-0.8, -0.6])
    np.testing.assert_allclose(rays.px_per_unit, 400.0, rtol=1e-6)


def test_a_wide_lens_has_fewer_pixels_per_unit_at_its_rim():
    camera = CameraModel(640, 480, MATRIX, LensModel.EQUIDISTANT, np.zeros(4))
    pixels = np.array([[320, 240], [320 + 400 * np.arctan(1.0), 240]])
    rays = rays_from_pixels(camera, pixels)
    # At 45 degrees: d angle / d radius is 1/2 along the radius, angle / radius is pi/4 across it.
    np.testing.assert_allclose(rays.px_per_unit, [400.0, 400.0 * np.sqrt(0.5 * np.pi / 4)], rtol=1e-3)


def test_pixels_without_a_ray_are_not_finite():
    camera = CameraModel(640, 480, MATRIX, LensModel.EQUIDISTANT, np.zeros(4))
    rays = rays_from_pixels(camera, np.array([[320.0, 240.0], [320.0 + 400 * 1.7, 240.0]]))
    assert rays.is_finite.tolist() == [True, False]


def test_no_keypoints_have_no_rays():
    camera = CameraModel(640, 480, MATRIX, LensModel.PLUMB_BOB, np.array([-0.2, 0.1, 0, 0]))
    rays = rays_from_pixels(camera, np.empty((0, 2), np.float32))
    assert (len(rays), rays.vectors.shape, rays.px_per_unit.shape) == (0, (0, 3), (0,))


def test_without_a_camera_nothing_is_finite():
    assert not no_rays(3).is_finite.any()


def test_rows_are_taken_by_mask_and_by_index():
    rays = Rays(np.array([[0.0, 1, 1], [2, 3, 1], [4, 5, 1]]), np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(rays.take(np.array([2, 0])).px_per_unit, [3, 1])
    np.testing.assert_array_equal(rays.take(np.array([False, True, False])).vectors, [[2, 3, 1]])
