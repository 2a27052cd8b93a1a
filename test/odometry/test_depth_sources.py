# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Depths of keypoints against the truth: of crooked rigs, checked with OpenCV's own cameras, and of depth images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import least_squares

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.records import DepthImage, Keypoints, RightImage
from kp2d_ros.core.se3 import invert_transform, rotation_from_vector, transform_from, transform_points
from kp2d_ros.odometry.alignment import AlignableImage, AlignmentConfig
from kp2d_ros.odometry.depth_sources import DepthMap, RgbdConfig, StereoConfig, StereoDepth
from kp2d_ros.odometry.rays import InverseDepths, rays_from_pixels

SIZE = (480, 640)
BLANK = np.zeros(SIZE, np.uint8)
UNALIGNED = AlignmentConfig(window_px=0)


def camera_of(lens: LensModel, focal: float, coefficients: list[float]) -> CameraModel:
    matrix = np.array([[focal, 0, 322.0], [0, 1.02 * focal, 236.0], [0, 0, 1]])
    return CameraModel(640, 480, matrix, lens, np.array(coefficients))


PINHOLE = CameraModel(640, 480, np.array([[400.0, 0, 320], [0, 400, 240], [0, 0, 1]]), LensModel.PLUMB_BOB, np.zeros(0))
LEFT = camera_of(LensModel.PLUMB_BOB, 500.0, [-0.28, 0.09, 1e-3, -5e-4, 0.0])
RIGHTS = {
    'plumb_bob': camera_of(LensModel.PLUMB_BOB, 430.0, [-0.2, 0.05, -1e-3, 1e-3, 0.0]),
    'rational': camera_of(LensModel.RATIONAL_POLYNOMIAL, 480.0, [0.3, -0.1, 5e-4, 5e-4, 0.01, 0.6, -0.05, 0.01]),
    'fisheye': camera_of(LensModel.EQUIDISTANT, 400.0, [0.02, -0.01, 0.003, 0.0]),
}


def keypoints_at(xy: Any, descriptors: NDArray[np.float32] | None = None) -> Keypoints:
    """
    Keypoints that differ in everything unless descriptors are given.
    """
    where = np.array(xy, np.float32).reshape(-1, 2)
    names = np.eye(len(where), 8, dtype=np.float32) if descriptors is None else descriptors
    return Keypoints(where, np.ones(len(where), np.float32), names)


def measure_pair(
    left_xy: Any, right_xy: Any, descriptors: NDArray[np.float32] | None = None, **settings: float
) -> InverseDepths:
    """
    Depths from a rectified pair of 400 px and 0.1 m.
    """
    left, seen = keypoints_at(left_xy, descriptors), keypoints_at(right_xy, descriptors)
    right = RightImage(0, BLANK, PINHOLE, transform_from(np.eye(3), np.array([0.1, 0, 0])))
    source = StereoDepth(right, lambda image: seen, 0, StereoConfig(**settings), UNALIGNED)
    return source.measure(AlignableImage(BLANK), left, rays_from_pixels(PINHOLE, left.xy))


@dataclass
class CrookedRig:
    """
    Points (N, 3) in the left camera, and what the two cameras of an unrectified rig see of them.
    """

    right_camera: CameraModel
    left_from_right: NDArray[Any]
    points: NDArray[Any]
    descriptors: NDArray[np.float32]

    def __post_init__(self) -> None:
        self.left_xy = LEFT.project(self.points).astype(np.float32)
        self.right_xy = self.right_camera.project(transform_points(invert_transform(self.left_from_right), self.points))

    def measure(
        self, right_xy: NDArray[Any] | None = None, config: StereoConfig | None = None, left_xy: Any = None
    ) -> InverseDepths:
        """
        The inverse depths of the points, found with the right keypoints elsewhere if given.
        """
        ones = np.ones(len(self.points), np.float32)
        seen = (self.right_xy if right_xy is None else right_xy).astype(np.float32)
        right = RightImage(0, BLANK, self.right_camera, self.left_from_right)
        extract = lambda image: Keypoints(seen, ones, self.descriptors)  # noqa: E731
        source = StereoDepth(right, extract, 0, config or StereoConfig(), UNALIGNED)
        left = Keypoints(self.left_xy if left_xy is None else left_xy, ones, self.descriptors)
        return source.measure(AlignableImage(BLANK), left, rays_from_pixels(LEFT, left.xy))


def crooked_rig(
    rng: np.random.Generator, right: str = 'plumb_bob', nearest: float = 1.5, count: int = 200
) -> CrookedRig:
    """
    Cameras turned by some degrees and put beside each other by eye; points at all depths that both see.
    """
    left_from_right = transform_from(rotation_from_vector(rng.normal(size=3) * 0.03), np.array([0.25, 0.015, -0.02]))
    camera = RIGHTS[right]
    rays = rng.uniform((-0.4, -0.3), (0.4, 0.3), (5 * count, 2))
    points = np.column_stack([rays, np.ones(len(rays))]) / rng.uniform(0.02, 1 / nearest, (len(rays), 1))
    seen = camera.project(transform_points(invert_transform(left_from_right), points))
    inside = ((seen > 5) & (seen < (634, 474))).all(axis=1)
    points = points[inside][:count]
    descriptors = rng.normal(size=(len(points), 48)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    return CrookedRig(camera, left_from_right, points, descriptors)


def opencv_projection(camera: CameraModel, points: NDArray[Any]) -> NDArray[Any]:
    """
    (N, 2) pixels by OpenCV's models, which know nothing of this package.
    """
    if camera.lens is LensModel.EQUIDISTANT:
        xy, _ = cv2.fisheye.projectPoints(points[:, None], np.zeros(3), np.zeros(3), camera.matrix, camera.coefficients)
    else:
        xy, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), camera.matrix, camera.coefficients)
    return np.asarray(xy).reshape(-1, 2)


def opencv_rays(camera: CameraModel, xy: NDArray[Any]) -> NDArray[Any]:
    """
    (N, 2) points at z = 1 that OpenCV projects to these pixels.
    """
    pixels = np.asarray(xy, np.float64)
    rays = (pixels - camera.matrix[:2, 2]) / camera.matrix[[0, 1], [0, 1]]
    for _ in range(60):
        seen = opencv_projection(camera, np.column_stack([rays, np.ones(len(rays))]))
        rays += (pixels - seen) / camera.matrix[[0, 1], [0, 1]]
    np.testing.assert_allclose(seen, pixels, atol=1e-6)
    return np.asarray(rays)


@pytest.mark.parametrize('right', list(RIGHTS))
def test_depths_of_a_crooked_rig_are_those_of_the_points(rng: np.random.Generator, right: str) -> None:
    rig = crooked_rig(rng, right)
    found = rig.measure()
    assert np.isfinite(found.sigma).mean() > 0.95
    known = np.isfinite(found.sigma)
    np.testing.assert_allclose(found.value[known], 1 / rig.points[known, 2], atol=2e-6)


@pytest.mark.parametrize('right', list(RIGHTS))
def test_depths_agree_with_opencv_triangulation(rng: np.random.Generator, right: str) -> None:
    rig = crooked_rig(rng, right)
    noisy = rig.right_xy + rng.normal(size=rig.right_xy.shape) * 0.02
    found = rig.measure(noisy)
    projections = [np.eye(3, 4), invert_transform(rig.left_from_right)[:3]]
    sides = opencv_rays(LEFT, rig.left_xy), opencv_rays(rig.right_camera, noisy)
    homogeneous = cv2.triangulatePoints(*projections, *(side.T for side in sides))
    oracle = homogeneous[3] / homogeneous[2]
    known = np.isfinite(found.sigma)
    assert known.mean() > 0.95
    # They share the noise differently between the images, of which a tenth of the assumed sigma was put in.
    np.testing.assert_allclose(found.value[known], oracle[known], atol=0.1 * found.sigma[known].max())


@pytest.mark.parametrize('right', list(RIGHTS))
def test_depths_are_the_most_likely_ones_along_the_left_rays(rng: np.random.Generator, right: str) -> None:
    rig = crooked_rig(rng, right, count=40)
    noisy = rig.right_xy + rng.normal(size=rig.right_xy.shape) * 0.2
    found = rig.measure(noisy)
    rays = np.column_stack([opencv_rays(LEFT, rig.left_xy), np.ones(len(rig.points))])
    right_from_left = invert_transform(rig.left_from_right)
    known = np.flatnonzero(np.isfinite(found.sigma))
    assert len(known) > 30
    for k in known.tolist():

        def residuals(inverse_depth: NDArray[Any], k: int = k) -> NDArray[Any]:
            point = right_from_left[:3, :3] @ rays[k] + inverse_depth[0] * right_from_left[:3, 3]
            off = opencv_projection(rig.right_camera, point[None])[0] - noisy[k]
            return np.asarray(off / StereoConfig().disparity_sigma_px)

        oracle = least_squares(residuals, [1 / rig.points[k, 2]], x_scale=0.01, xtol=1e-12)
        sigma = 1 / np.linalg.norm(oracle.jac)
        assert abs(found.value[k] - oracle.x[0]) < 0.25 * sigma
        assert found.sigma[k] == pytest.approx(sigma, rel=0.15)


@pytest.mark.parametrize('right', list(RIGHTS))
def test_sigmas_are_what_the_depths_scatter_by(rng: np.random.Generator, right: str) -> None:
    rig, config = crooked_rig(rng, right, count=60), StereoConfig(disparity_sigma_px=0.3, max_aligned_row_px=5.0)
    runs = [rig.measure(rig.right_xy + rng.normal(size=rig.right_xy.shape) * 0.3, config) for _ in range(150)]
    pulls = np.array([(run.value - 1 / rig.points[:, 2]) / run.sigma for run in runs])
    known = np.array([np.isfinite(run.sigma) for run in runs])
    assert known.mean() > 0.9
    assert abs(pulls[known].mean()) < 0.1
    assert pulls[known].std() == pytest.approx(1.0, abs=0.1)


def test_a_rectified_pair_gives_disparity_over_focal_length_and_baseline() -> None:
    found = measure_pair([[300, 200], [100, 50], [320, 240]], [[280, 200], [96, 50.5], [319.9, 240]])
    np.testing.assert_allclose(found.value, [0.5, 0.1, 0.0025], rtol=1e-3)  # d / (f b)
    np.testing.assert_allclose(found.sigma, 0.005, rtol=1e-3)  # 0.2 px of it


@pytest.mark.parametrize('offset', [(-0.25, 0.0, 0.0), (0.0, 0.2, 0.01)])
def test_the_second_camera_may_be_to_the_left_or_below(rng: np.random.Generator, offset: tuple[float, ...]) -> None:
    rig = crooked_rig(rng, nearest=3.0)
    other = CrookedRig(rig.right_camera, transform_from(np.eye(3), np.array(offset)), rig.points, rig.descriptors)
    found = other.measure()
    known = np.isfinite(found.sigma)
    assert known.mean() > 0.9
    np.testing.assert_allclose(found.value[known], 1 / rig.points[known, 2], atol=3e-6)


@pytest.mark.parametrize(('shift', 'is_found'), [(0.9, True), (1.1, False), (-0.9, True), (-1.1, False), (3.0, False)])
def test_what_is_off_its_row_is_no_pair(shift: float, is_found: bool) -> None:
    found = measure_pair([[300, 200]], [[290, 200 + shift]], max_aligned_row_px=1.0)
    assert bool(np.isfinite(found.sigma[0])) is is_found


@pytest.mark.parametrize(
    ('disparity', 'is_found'), [(132.0, True), (135.0, False), (0.0, True), (-0.5, True), (-0.7, False), (-3.0, False)]
)
def test_disparities_reach_from_a_little_beyond_infinity_to_the_nearest_depth(disparity: float, is_found: bool) -> None:
    # 400 px * 0.1 m / 0.3 m are 133.3 px; three sigmas 0.6 px.
    found = measure_pair([[300, 200]], [[300 - disparity, 200]], min_depth=0.3, disparity_sigma_px=0.2)
    assert bool(np.isfinite(found.sigma[0])) is is_found


@pytest.mark.parametrize(('row', 'count'), [(200.0, 0), (230.0, 2)])
def test_lookalikes_on_one_row_are_no_pair_and_on_two_rows_are(row: float, count: int) -> None:
    alike = np.full((2, 8), 8**-0.5, np.float32)
    found = measure_pair([[300, 200], [340, row]], [[288, 200], [328, row]], alike)
    assert np.isfinite(found.sigma).sum() == count


def test_a_lookalike_that_would_be_too_near_is_no_rival() -> None:
    left = keypoints_at([[400, 200]])
    right = RightImage(0, BLANK, PINHOLE, transform_from(np.eye(3), np.array([0.1, 0, 0])))
    seen = keypoints_at([[380, 200], [200, 200]], np.repeat(left.descriptors, 2, axis=0))  # the other one: at 0.2 m
    source = StereoDepth(right, lambda image: seen, 0, StereoConfig(min_depth=0.3), UNALIGNED)
    found = source.measure(AlignableImage(BLANK), left, rays_from_pixels(PINHOLE, left.xy))
    np.testing.assert_allclose(found.value, 0.5, rtol=1e-3)


def test_a_lens_of_less_focal_length_at_the_right_knows_depths_less_well() -> None:
    wide = camera_of(LensModel.PLUMB_BOB, 250.0, [])
    right = RightImage(0, BLANK, wide, transform_from(np.eye(3), np.array([0.1, 0, 0])))
    point = np.array([[0.2, -0.1, 2.0]])
    left = keypoints_at(PINHOLE.project(point))
    seen = keypoints_at(wide.project(point - np.array([0.1, 0, 0])))
    source = StereoDepth(right, lambda image: seen, 0, StereoConfig(disparity_sigma_px=0.2), UNALIGNED)
    found = source.measure(AlignableImage(BLANK), left, rays_from_pixels(PINHOLE, left.xy))
    np.testing.assert_allclose(found.value, 0.5, rtol=1e-5)
    np.testing.assert_allclose(found.sigma, 0.2 / (250 * np.sqrt(1.02)) / 0.1, rtol=1e-3)


def test_when_no_disparity_is_more_than_noise_all_points_are_far(rng: np.random.Generator) -> None:
    rig = crooked_rig(rng)
    far = CrookedRig(rig.right_camera, rig.left_from_right, rig.points * 1000, rig.descriptors)
    found = far.measure(far.right_xy + rng.normal(size=far.right_xy.shape) * 0.2)
    known = np.isfinite(found.sigma)
    assert known.mean() > 0.9
    assert not found.value.any()
    assert (found.sigma[known] < 0.004).all()
    # As many near points as mismatches could never be: the others stay as measured.
    mixed = CrookedRig(
        rig.right_camera, rig.left_from_right, np.concatenate([rig.points[:20], far.points[20:]]), rig.descriptors
    )
    assert np.count_nonzero(mixed.measure().value) > 150


def test_the_size_that_images_are_worked_on_changes_no_depth(rng: np.random.Generator) -> None:
    rig = crooked_rig(rng, 'fisheye')
    ones = np.ones(len(rig.points), np.float32)
    large = rig.right_camera.resized(1280, 960)
    right = RightImage(0, np.zeros((960, 1280), np.uint8), large, rig.left_from_right)
    seen = Keypoints(rig.right_xy.astype(np.float32), ones, rig.descriptors)  # in the image as it is worked on
    source = StereoDepth(right, lambda image: seen, 640, StereoConfig(), UNALIGNED)
    left = Keypoints(rig.left_xy, ones, rig.descriptors)
    found = source.measure(AlignableImage(BLANK), left, rays_from_pixels(LEFT, left.xy))
    np.testing.assert_allclose(found.value, rig.measure().value, atol=1e-7)


def test_pairs_whose_patches_cannot_be_compared_have_no_depth(rng: np.random.Generator) -> None:
    ones = np.ones(200, np.float32)
    rig = crooked_rig(rng)
    seen, left = (Keypoints(xy.astype(np.float32), ones, rig.descriptors) for xy in (rig.right_xy, rig.left_xy))
    right = RightImage(0, BLANK, rig.right_camera, rig.left_from_right)
    source = StereoDepth(right, lambda image: seen, 0, StereoConfig(), AlignmentConfig())
    found = source.measure(AlignableImage(BLANK), left, rays_from_pixels(LEFT, left.xy))
    assert not np.isfinite(found.sigma).any()


@pytest.mark.parametrize('side', ['left', 'right', 'both'])
def test_without_keypoints_nothing_is_measured(rng: np.random.Generator, side: str) -> None:
    rig, none = crooked_rig(rng, count=20), Keypoints(*(np.empty(s, np.float32) for s in ((0, 2), (0,), (0, 48))))
    some = Keypoints(rig.left_xy, np.ones(len(rig.points), np.float32), rig.descriptors)
    left, right = none if side != 'right' else some, none if side != 'left' else some
    image = RightImage(0, BLANK, rig.right_camera, rig.left_from_right)
    source = StereoDepth(image, lambda _: right, 0, StereoConfig(), UNALIGNED)
    found = source.measure(AlignableImage(BLANK), left, rays_from_pixels(LEFT, left.xy))
    assert (len(found.value), np.isfinite(found.sigma).any()) == (len(left), False)


def test_a_ray_that_the_lens_does_not_have_has_no_depth(rng: np.random.Generator) -> None:
    rig = crooked_rig(rng)
    left_xy = rig.left_xy.copy()
    left_xy[:3] = np.nan
    right_xy = rig.right_xy.copy()
    right_xy[5:8] = np.nan
    found = rig.measure(right_xy, left_xy=left_xy)
    assert not np.isfinite(found.sigma[[0, 1, 2, 5, 6, 7]]).any()
    assert np.isfinite(found.sigma[8:]).mean() > 0.95
    assert np.isfinite(found.value).all()


def depth_at(
    metres: NDArray[Any], xy: list[list[float]], size: tuple[int, int] | None = None, **settings: Any
) -> InverseDepths:
    """
    The inverse depths of keypoints in an image of a size, by default that of the depth image.
    """
    depth = DepthImage(0, metres.astype(np.float32))
    shape = size or (metres.shape[0], metres.shape[1])
    keypoints, image = keypoints_at(xy), AlignableImage(np.zeros(shape, np.uint8))
    rays = rays_from_pixels(LEFT, keypoints.xy)
    with np.errstate(all='raise'):
        return DepthMap(depth, shape, RgbdConfig(**settings)).measure(image, keypoints, rays)


def test_the_depth_of_a_wall_is_that_of_the_wall_and_its_sigma_grows_with_the_square() -> None:
    for metres in (0.5, 2.0, 8.0):
        found = depth_at(np.full((40, 60), metres), [[30, 20], [10.4, 7.6]], sigma_per_square=0.004)
        assert found.value.dtype == found.sigma.dtype == np.float64
        np.testing.assert_allclose(found.value, 1 / metres, rtol=1e-6)
        # d(1/z) = dz / z^2
        np.testing.assert_allclose(found.sigma * metres**2, 0.004 * metres**2, rtol=1e-6)


@pytest.mark.parametrize('hole', [0.0, np.nan, np.inf, -np.inf, -1.0, 0.05, 20.0])
def test_what_was_not_measured_or_is_out_of_range_does_not_count(hole: float) -> None:
    metres = np.full((40, 60), 2.0)
    metres[18:23, 28:30] = hole  # ten of the 25 around the keypoint
    np.testing.assert_allclose(depth_at(metres, [[30, 20]]).value, 0.5)
    metres[18:23, 28:31] = hole  # fifteen
    assert depth_at(metres, [[30, 20]]).sigma.tolist() == [np.inf]
    metres[:] = hole
    assert depth_at(metres, [[30, 20]]).sigma.tolist() == [np.inf]


@pytest.mark.parametrize(('step', 'is_edge'), [(0.02, False), (0.15, False), (0.3, True), (3.0, True)])
def test_no_depth_is_taken_from_an_edge(step: float, is_edge: bool) -> None:
    metres = np.full((40, 60), 2.0)
    metres[:, 31:] += step
    (near, edge, far) = depth_at(metres, [[25, 20], [30, 20], [40, 20]]).sigma
    assert np.isfinite([near, far]).all()
    assert np.isinf(edge) == is_edge


def test_on_a_slope_the_depth_is_that_of_the_keypoint_as_well_as_the_sigma_says() -> None:
    columns = np.arange(60.0)
    metres = np.broadcast_to(1.0 / (0.3 + 0.002 * columns), (40, 60))  # a slanted plane: the inverse is linear
    places = [[20.0, 20], [20.3, 20], [20.5, 20], [33.49, 12]]
    found = depth_at(metres, places)
    truth = 0.3 + 0.002 * np.array(places)[:, 0]
    assert (np.abs(found.value - truth) <= 0.001 + 1e-9).all()  # half a pixel of the slope
    assert (found.sigma > 0.004).all()
    np.testing.assert_allclose(found.sigma, np.hypot(RgbdConfig().sigma_per_square, 0.5 * 4 * 0.002), rtol=1e-4)


def test_near_the_border_less_is_known_and_outside_nothing() -> None:
    metres = np.full((40, 60), 2.0)
    inside = np.isfinite(depth_at(metres, [[0, 20], [59, 20], [0, 0], [30, 39.4], [-30, 20], [1e6, 1e6]]).sigma)
    assert inside.tolist() == [True, True, False, True, False, False]


def test_a_smaller_depth_image_is_looked_up_where_the_pixel_lies() -> None:
    metres = np.full((240, 320), 2.0)
    metres[:, 100:] = 4.0
    found = depth_at(metres, [[190.0, 100], [212.0, 100], [639, 479], [600, 400]], size=(480, 640))
    np.testing.assert_allclose(found.value, [0.5, 0.25, 0.0, 0.25])
    # Pixel edges fall on pixel edges: 199.5 is the edge between columns 99 and 100.
    one = {'window_px': 1}
    np.testing.assert_allclose(depth_at(metres, [[199.4, 9], [199.6, 9]], size=(480, 640), **one).value, [0.5, 0.25])


def test_no_keypoints_have_no_depth() -> None:
    assert len(depth_at(np.full((40, 60), 2.0), []).value) == 0


def test_depth_of_another_shape_is_refused() -> None:
    with pytest.raises(DataError, match='found depth of 60x40 for an image of 64x48, expected one of its shape'):
        DepthMap(DepthImage(0, np.ones((40, 60), np.float32)), (48, 64), RgbdConfig())


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match=r'window_px: found 0, expected a number from 1 to 31'):
        RgbdConfig(window_px=0)
    with pytest.raises(ConfigError, match=r'disparity_sigma_px: found 0\.0'):
        StereoConfig(disparity_sigma_px=0.0)
