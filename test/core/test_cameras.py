# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kp2d_ros.core.cameras import CameraModel, LensModel, lens_model_from_name
from kp2d_ros.core.errors import DataError, ShapeError

MATRIX = np.array([[400.0, 0.0, 319.5], [0.0, 410.0, 239.5], [0.0, 0.0, 1.0]])
COEFFICIENTS = {
    LensModel.PLUMB_BOB: np.array([-0.28, 0.07, 2e-4, 2e-5, 0.005]),
    LensModel.RATIONAL_POLYNOMIAL: np.array([0.4, 0.05, 1e-3, -5e-4, 0.002, 0.7, 0.1, 0.005]),
    LensModel.EQUIDISTANT: np.array([0.02, -0.01, 0.004, -0.001]),
}


def camera_of(lens: Any, coefficients: Any = None, matrix: NDArray[Any] = MATRIX) -> CameraModel:
    return CameraModel(640, 480, matrix, lens, COEFFICIENTS[lens] if coefficients is None else coefficients)


@pytest.fixture(params=LensModel)
def camera(request: pytest.FixtureRequest) -> Any:
    return camera_of(request.param)


def points_in_view(rng: np.random.Generator, count: int = 200) -> NDArray[Any]:
    depth = rng.uniform(0.5, 20.0, (count, 1))
    return np.hstack([rng.uniform(-0.7, 0.7, (count, 2)) * depth, depth])


def opencv_projection(camera: Any, points: NDArray[Any]) -> Any:
    nothing = np.zeros(3)
    if camera.lens is LensModel.EQUIDISTANT:
        pixels, _ = cv2.fisheye.projectPoints(points[:, None], nothing, nothing, camera.matrix, camera.coefficients)
    else:
        pixels, _ = cv2.projectPoints(points, nothing, nothing, camera.matrix, camera.coefficients)
    return pixels.reshape(-1, 2)


def test_projects_like_opencv(camera: Any, rng: np.random.Generator) -> None:
    points = points_in_view(rng)
    np.testing.assert_allclose(camera.project(points), opencv_projection(camera, points), atol=1e-9)


@pytest.mark.parametrize('count', [0, 4])
def test_projects_like_opencv_with_fewer_coefficients(rng: np.random.Generator, count: int) -> None:
    camera = camera_of(LensModel.PLUMB_BOB, COEFFICIENTS[LensModel.PLUMB_BOB][:count])
    points = points_in_view(rng)
    np.testing.assert_allclose(camera.project(points), opencv_projection(camera, points), atol=1e-9)


def test_pixels_become_rays_that_project_to_the_same_pixels(camera: Any) -> None:
    x, y = np.meshgrid(np.linspace(0, 639, 40), np.linspace(0, 479, 30))
    pixels = np.stack([x.ravel(), y.ravel()], axis=1)
    rays = camera.unproject(pixels)
    assert np.isfinite(rays).all()
    again = opencv_projection(camera, np.column_stack([rays, np.ones(len(rays))]))
    np.testing.assert_allclose(again, pixels, atol=1e-5)


def test_the_ray_does_not_depend_on_the_depth_of_the_point(camera: Any, rng: np.random.Generator) -> None:
    points = points_in_view(rng)
    rays = camera.unproject(camera.project(points))
    np.testing.assert_allclose(rays, points[:, :2] / points[:, 2:], atol=1e-8)


def test_a_pinhole_without_distortion_is_a_division(rng: np.random.Generator) -> None:
    camera = camera_of(LensModel.PLUMB_BOB, np.zeros(5), np.array([[400.0, 3.0, 319.5], [0, 410.0, 239.5], [0, 0, 1]]))
    points = points_in_view(rng)
    pixels = points @ camera.matrix.T
    np.testing.assert_allclose(camera.project(points), pixels[:, :2] / pixels[:, 2:], atol=1e-9)
    np.testing.assert_allclose(camera.unproject(camera.project(points)), points[:, :2] / points[:, 2:], atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    lens=st.sampled_from([LensModel.PLUMB_BOB, LensModel.RATIONAL_POLYNOMIAL]),
    values=st.lists(st.floats(-0.4, 0.4), min_size=8, max_size=8),
    angle=st.floats(0, 6.28),
    radius=st.floats(0, 0.8),
)
def test_any_lens_gives_the_ray_back_or_nan(lens: Any, values: Any, angle: Any, radius: Any) -> None:
    values = np.array(values)
    values[2:4] *= 0.01  # tangential
    camera = camera_of(lens, values[: 5 if lens is LensModel.PLUMB_BOB else 8])
    ray = np.array([[radius * np.cos(angle), radius * np.sin(angle)]])
    pixel = camera.project(np.column_stack([ray, [1.0]]))
    found = camera.unproject(pixel)
    assume(np.isfinite(found).all())
    # Where the lens folds, two rays meet in one pixel: the one found must be one of them.
    np.testing.assert_allclose(camera.project(np.column_stack([found, [1.0]])), pixel, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(-0.02, 0.02), min_size=4, max_size=4), radius=st.floats(0, 6.0), angle=st.floats(0, 6.28)
)
def test_a_fisheye_gives_the_ray_back_up_to_eighty_degrees(values: Any, radius: Any, angle: Any) -> None:
    camera = camera_of(LensModel.EQUIDISTANT, np.array(values))
    ray = np.array([[radius * np.cos(angle), radius * np.sin(angle)]])
    assume(_fisheye_rises(values))
    found = camera.unproject(camera.project(np.column_stack([ray, [1.0]])))
    np.testing.assert_allclose(found, ray, atol=1e-5)


def _fisheye_rises(values: NDArray[Any]) -> Any:
    theta = np.linspace(0, 1.57, 50)
    slope = 1 + sum((2 * i + 3) * k * theta ** (2 * i + 2) for i, k in enumerate(values))
    return (slope > 0.3).all()


def test_points_that_are_not_in_front_have_no_pixel(camera: Any) -> None:
    pixels = camera.project(np.array([[0.1, 0.1, -1.0], [0.1, 0.1, 0.0], [0.0, 0.0, 1.0]]))
    assert np.isnan(pixels[:2]).all()
    np.testing.assert_allclose(pixels[2], camera.matrix[:2, 2])


def test_pixels_that_no_ray_reaches_are_nan_and_others_are_not() -> None:
    strong = camera_of(LensModel.PLUMB_BOB, np.array([-0.5, 0.0, 0.0, 0.0]))
    # r (1 - r^2 / 2) has its largest value, 0.544, at r = 0.816: pixels farther out than 218 px see nothing.
    rays = strong.unproject(np.array([[319.5 + 200, 239.5], [319.5 + 225, 239.5]]))
    assert np.isfinite(rays[0]).all()
    assert np.isnan(rays[1]).all()
    fisheye = camera_of(LensModel.EQUIDISTANT, np.zeros(4))
    beyond = fisheye.unproject(np.array([[319.5 + 400 * 1.5, 239.5], [319.5 + 400 * 1.6, 239.5]]))
    assert beyond[0, 0] == pytest.approx(np.tan(1.5))
    assert np.isnan(beyond[1]).all()


def test_pixels_that_are_not_finite_give_nan_and_leave_the_others_alone(camera: Any) -> None:
    rays = camera.unproject(np.array([[np.nan, 5.0], [np.inf, 5.0], [319.5, 239.5]]))
    assert np.isnan(rays[:2]).any(axis=1).all()
    np.testing.assert_allclose(rays[2], 0, atol=1e-9)


def test_no_points_give_no_pixels_and_no_rays(camera: Any) -> None:
    assert camera.project(np.empty((0, 3))).shape == (0, 2)
    assert camera.unproject(np.empty((0, 2))).shape == (0, 2)


def test_takes_float32_pixels_and_computes_in_float64(camera: Any) -> None:
    rays = camera.unproject(np.array([[100.25, 50.5]], np.float32))
    assert rays.dtype == np.float64
    np.testing.assert_array_equal(rays, camera.unproject(np.array([[100.25, 50.5]])))


def test_refuses_points_of_another_shape(camera: Any) -> None:
    with pytest.raises(ShapeError, match=r'xy: found shape \(3,\)'):
        camera.unproject(np.zeros(3))
    with pytest.raises(ShapeError, match=r'points: found shape \(5, 2\)'):
        camera.project(np.zeros((5, 2)))


def test_focal_lengths_are_read_from_the_matrix() -> None:
    camera = camera_of(LensModel.PLUMB_BOB)
    assert (camera.fx, camera.fy) == (400.0, 410.0)
    assert camera.focal_px == pytest.approx(np.sqrt(400.0 * 410.0))


def changed(row: Any, column: Any, value: Any) -> Any:
    matrix = MATRIX.copy()
    matrix[row, column] = value
    return matrix


@pytest.mark.parametrize(
    ('fields', 'complaint'),
    [
        ({'width': 0}, 'camera size: found 0x480'),
        ({'height': -1}, 'camera size: found 640x-1'),
        ({'matrix': np.zeros((3, 3))}, r'K\[0\] == 0 means: not calibrated'),
        ({'matrix': changed(0, 0, np.nan)}, 'positive focal lengths'),
        ({'matrix': changed(1, 2, np.inf)}, 'expected finite numbers'),
        ({'matrix': changed(1, 1, -400.0)}, 'positive focal lengths'),
        ({'matrix': changed(2, 2, 2.0)}, r'expected \[\[fx, s, cx\]'),
        ({'matrix': changed(1, 0, 5.0)}, r'expected \[\[fx, s, cx\]'),
        ({'coefficients': np.zeros(3)}, 'distortion of plumb_bob: .*expected 0 or 4 or 5 finite'),
        ({'coefficients': np.array([np.nan] * 5)}, 'distortion of plumb_bob'),
        ({'lens': LensModel.EQUIDISTANT}, 'distortion of equidistant: .*expected 4'),
        ({'lens': LensModel.RATIONAL_POLYNOMIAL}, 'distortion of rational_polynomial: .*expected 8'),
    ],
)
def test_refuses_what_is_no_camera(fields: dict[str, Any], complaint: str) -> None:
    good = {'width': 640, 'height': 480, 'matrix': MATRIX, 'lens': LensModel.PLUMB_BOB, 'coefficients': np.zeros(5)}
    with pytest.raises(DataError, match=complaint):
        CameraModel(**{**good, **fields})


def test_refuses_a_matrix_of_another_shape() -> None:
    with pytest.raises(ShapeError, match='camera matrix'):
        camera_of(LensModel.PLUMB_BOB, matrix=np.zeros((3, 4)))


@pytest.mark.parametrize(
    ('name', 'lens'),
    [
        ('plumb_bob', LensModel.PLUMB_BOB),
        (' Plumb_Bob ', LensModel.PLUMB_BOB),
        ('', LensModel.PLUMB_BOB),
        ('radtan', LensModel.PLUMB_BOB),
        ('radial-tangential', LensModel.PLUMB_BOB),
        ('rational_polynomial', LensModel.RATIONAL_POLYNOMIAL),
        ('equidistant', LensModel.EQUIDISTANT),
        ('fisheye', LensModel.EQUIDISTANT),
    ],
)
def test_knows_lenses_by_their_names(name: str, lens: Any) -> None:
    assert lens_model_from_name(name) is lens


def test_names_the_known_lenses_where_one_is_unknown() -> None:
    with pytest.raises(
        DataError, match="found 'spherical', expected one of plumb_bob, rational_polynomial, equidistant"
    ):
        lens_model_from_name('spherical')


def test_a_resized_camera_sees_the_same_rays_in_the_resized_image() -> None:
    matrix = np.array([[500.0, 0.3, 310.0], [0, 505.0, 250.0], [0, 0, 1]])
    camera = CameraModel(640, 480, matrix, LensModel.PLUMB_BOB, np.array([-0.2, 0.05, 0.001, -0.002]))
    small = camera.resized(320, 160)
    assert (small.width, small.height) == (320, 160)
    points = np.array([[0.1, 0.2, 1.0], [-0.4, 0.3, 1.0], [0, 0, 1.0]])
    # The edges of the image stay its edges: pixel p + 1/2 from the left becomes (p + 1/2) s.
    expected = (camera.project(points) + 0.5) * [320 / 640, 160 / 480] - 0.5
    np.testing.assert_allclose(small.project(points), expected, atol=1e-10)
    np.testing.assert_allclose(small.resized(640, 480).matrix, camera.matrix, atol=1e-10)
    assert camera.resized(640, 480) is camera


@pytest.mark.parametrize(
    ('matrix', 'message'),
    [
        ([[1e-30, 0, 320], [0, 500, 240], [0, 0, 1]], r'found 1e-30 and 500 px for an image of 640x480, expected 6\.4'),
        ([[500, 0, 320], [0, 1e30, 240], [0, 0, 1]], r'found 500 and 1e\+30 px for an image of 640x480'),
        ([[-500, 0, 320], [0, 500, 240], [0, 0, 1]], 'expected finite numbers with positive focal lengths'),
        ([[500, 0, np.nan], [0, 500, 240], [0, 0, 1]], 'expected finite numbers with positive focal lengths'),
        ([[500, 0, 1e9], [0, 500, 240], [0, 0, 1]], r'found a centre of \(1e\+09, 240\) px'),
        ([[500, 0, 320], [0, 500, -1e9], [0, 0, 1]], r'expected a centre within 640000 px'),
        ([[500, 501, 320], [0, 500, 240], [0, 0, 1]], 'a skew of 501 px for an image of 640x480'),
    ],
)
def test_a_matrix_that_no_camera_has_is_refused(matrix: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        CameraModel(640, 480, np.array(matrix, float), LensModel.PLUMB_BOB, np.zeros(0))


@pytest.mark.parametrize('lens', LensModel)
@pytest.mark.parametrize('size', [1.0, 1e3, 1e30, 1e150, 1e300])
@pytest.mark.filterwarnings('error')
def test_absurd_distortion_gives_finite_numbers_or_nan_and_no_warning(
    lens: Any, size: float, rng: np.random.Generator
) -> None:
    count = {LensModel.PLUMB_BOB: 5, LensModel.RATIONAL_POLYNOMIAL: 8, LensModel.EQUIDISTANT: 4}[lens]
    matrix = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    camera = CameraModel(640, 480, matrix, lens, size * rng.choice([-1.0, 1.0], count))
    xy = rng.uniform((0, 0), (640, 480), (50, 2))
    points = np.column_stack([rng.uniform(-1, 1, (50, 2)), rng.uniform(-1, 3, 50)])
    for found in (camera.project(points), camera.unproject(xy)):
        assert not np.isinf(found).any()
        np.testing.assert_array_equal(np.isnan(found[:, 0]), np.isnan(found[:, 1]))
