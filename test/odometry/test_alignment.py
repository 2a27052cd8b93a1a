# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.records import Frame, Keypoints
from kp2d_ros.core.se3 import rotation_angle
from kp2d_ros.core.settings import build
from kp2d_ros.odometry.alignment import AlignableImage, AlignmentConfig, align
from kp2d_ros.odometry.frontend import Frontend, FrontendConfig
from kp2d_ros.simulation.textures import paint_plaster

SIZE = (240, 320)
CAMERA = CameraModel(
    640, 480, np.array([[500.0, 0, 319.5], [0, 500.0, 239.5], [0, 0, 1]]), LensModel.PLUMB_BOB, np.zeros(0)
)
OFF = {'alignment': {'window_px': 0}}


@pytest.fixture
def picture(rng: np.random.Generator) -> NDArray[Any]:
    """
    A wall with something to see everywhere, larger than an image.
    """
    return cv2.GaussianBlur(paint_plaster(rng, 480, 640, 300.0), (0, 0), 1.0)


def seen(picture: NDArray[Any], affine: Any) -> NDArray[Any]:
    """
    The image of the wall that an affine map (2, 3) makes.
    """
    return cv2.warpAffine(picture, affine, SIZE[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def turned(angle_deg: float = 0.0, zoom: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)) -> Any:
    """
    The middle of the wall, turned and zoomed about the middle of the image.
    """
    affine = cv2.getRotationMatrix2D((320, 240), angle_deg, zoom)
    affine[:, 2] += np.subtract(shift, (160, 120))
    return affine


def mapped(affine: Any, xy: NDArray[Any]) -> Any:
    return xy @ affine[:, :2].T + affine[:, 2]


def points_between(
    first: Any, second: Any, rng: np.random.Generator, count: int = 300, margin: int = 16
) -> tuple[Any, Any]:
    """
    (N, 2) pixels of points of the wall in two images, well inside of both.
    """
    wall_xy = rng.uniform((100, 60), (540, 420), (20 * count, 2))
    first_xy, second_xy = mapped(first, wall_xy), mapped(second, wall_xy)
    low, high = margin, np.subtract(SIZE[::-1], margin + 1)
    inside = ((np.minimum(first_xy, second_xy) >= low) & (np.maximum(first_xy, second_xy) <= high)).all(axis=1)
    return first_xy[inside][:count].astype(np.float32), second_xy[inside][:count].astype(np.float32)


def errors(found: Any, true: Any) -> Any:
    return np.linalg.norm(found - true, axis=1)


@pytest.mark.parametrize(('angle_deg', 'zoom'), [(0, 1), (4, 1.02), (25, 1), (-90, 1), (0, 1.3), (170, 0.8)])
def test_what_was_found_a_pixel_off_is_moved_to_where_it_is(
    picture: Any, rng: np.random.Generator, angle_deg: int, zoom: float
) -> None:
    first, second = turned(), turned(angle_deg, zoom, (3.3, -2.6))
    images = AlignableImage(seen(picture, first)), AlignableImage(seen(picture, second))
    first_xy, true_xy = points_between(first, second, rng)
    found_xy = (true_xy + rng.normal(0, 0.8, true_xy.shape)).astype(np.float32)
    aligned_xy, moved = align(*images, first_xy, found_xy, AlignmentConfig())
    assert moved.mean() > 0.9
    assert np.median(errors(found_xy, true_xy)) > 0.8
    assert np.median(errors(aligned_xy, true_xy)) < 0.15
    np.testing.assert_array_equal(aligned_xy[~moved], found_xy[~moved])


@pytest.mark.parametrize(('gain', 'level'), [(0.6, 10), (1.0, 30), (1.2, 0)])
def test_exposure_does_not_matter(picture: Any, rng: np.random.Generator, gain: float, level: int) -> None:
    first, second = turned(), turned(2, 1.01, (1.4, 0.7))
    later = np.clip(seen(picture, second) * gain + level, 0, 255).astype(np.uint8)
    first_xy, true_xy = points_between(first, second, rng)
    found_xy = (true_xy + rng.normal(0, 0.8, true_xy.shape)).astype(np.float32)
    earlier = AlignableImage(seen(picture, first))
    aligned_xy, moved = align(earlier, AlignableImage(later), first_xy, found_xy, AlignmentConfig())
    assert moved.mean() > 0.9
    assert np.median(errors(aligned_xy, true_xy)) < 0.1


def test_what_is_found_far_off_or_has_nothing_around_it_stays_as_found(picture: Any, rng: np.random.Generator) -> None:
    image = AlignableImage(seen(picture, turned()))
    xy, _ = points_between(turned(), turned(), rng)
    far = xy + np.float32(3.0)
    np.testing.assert_array_equal(align(image, image, xy, far, AlignmentConfig(max_shift_px=2.0))[0], far)
    blank = AlignableImage(np.full(SIZE, 90, np.uint8))
    for pair in [(blank, blank), (image, blank), (blank, image)]:
        aligned_xy, moved = align(*pair, xy, far, AlignmentConfig())
        assert not moved.any()
        np.testing.assert_array_equal(aligned_xy, far)


def test_what_does_not_come_back_to_where_it_began_stays_as_found(rng: np.random.Generator) -> None:
    first, second = (cv2.GaussianBlur(paint_plaster(rng, *SIZE, 300.0), (0, 0), 1.0) for _ in range(2))
    xy = rng.uniform((20, 20), (300, 220), (400, 2)).astype(np.float32)
    _, moved = align(AlignableImage(first), AlignableImage(second), xy, xy, AlignmentConfig())
    assert moved.mean() < 0.045  # two walls that have nothing in common


@pytest.mark.parametrize(
    ('shift', 'start', 'step'),
    [((-2, 0), (1, 20), (0, 6)), ((2, 0), (318, 20), (0, 6)), ((0, -2), (40, 1), (6, 0)), ((0, 2), (40, 238), (6, 0))],
)
def test_what_left_the_image_stays_as_found(
    rng: np.random.Generator, shift: tuple[int, int], start: tuple[int, int], step: tuple[int, int]
) -> None:
    wall = cv2.GaussianBlur(paint_plaster(rng, 300, 400, 300.0), (0, 0), 1.0)
    dx, dy = shift
    images = AlignableImage(wall[30:270, 40:360]), AlignableImage(wall[30 - dy : 270 - dy, 40 - dx : 360 - dx])
    first_xy = (np.array(start) + np.arange(34)[:, None] * step).astype(np.float32)
    found_xy = np.clip(first_xy + np.array(shift), 0, (319, 239)).astype(np.float32)  # a pixel outside in truth
    aligned_xy, moved = align(*images, first_xy, found_xy, AlignmentConfig())
    assert ((aligned_xy >= 0) & (aligned_xy <= (319, 239))).all()
    np.testing.assert_array_equal(aligned_xy[~moved], found_xy[~moved])


def test_wrong_matches_do_not_hinder_the_right_ones(picture: Any, rng: np.random.Generator) -> None:
    first, second = turned(), turned(15, 1.1)
    first_xy, true_xy = points_between(first, second, rng)
    found_xy = (true_xy + rng.normal(0, 0.8, true_xy.shape)).astype(np.float32)
    found_xy[::3] = rng.uniform(16, 220, found_xy[::3].shape)
    right = np.arange(len(found_xy)) % 3 > 0
    images = AlignableImage(seen(picture, first)), AlignableImage(seen(picture, second))
    aligned_xy, moved = align(*images, first_xy, found_xy, AlignmentConfig())
    assert np.median(errors(aligned_xy, true_xy)[right]) < 0.1
    assert moved[~right].mean() < 0.5


@pytest.mark.parametrize('count', [0, 1, 2, 3])
def test_few_points_or_points_at_the_edge_are_no_trouble(picture: Any, count: int) -> None:
    image = AlignableImage(seen(picture, turned()))
    corners = np.array([(0, 0), (319, 239), (318.7, 0.2)], np.float32)[:count]
    aligned_xy, moved = align(image, image, corners, corners, AlignmentConfig())
    assert aligned_xy.shape == (count, 2)
    assert moved.shape == (count,)
    assert ((aligned_xy >= 0) & (aligned_xy <= (319, 239))).all()


def test_matches_that_all_lie_on_one_point_are_no_trouble(picture: Any) -> None:
    image = AlignableImage(seen(picture, turned()))
    same = np.full((20, 2), 100, np.float32)
    aligned_xy, _ = align(image, image, same, same, AlignmentConfig())
    assert np.isfinite(aligned_xy).all()


def test_an_image_is_flat_in_gray_as_in_colour(picture: Any) -> None:
    color = seen(picture, turned())
    gray = cv2.cvtColor(color, cv2.COLOR_RGB2GRAY)
    np.testing.assert_array_equal(AlignableImage(color).flat, AlignableImage(gray).flat)
    assert AlignableImage(color).size == SIZE


def turning_camera(wall: Any, rng: np.random.Generator, settings: Any) -> tuple[float, list[Any]]:
    """
    Median error in degrees of the rotations of a camera that turns about its axis, found with 0.8 pixels of noise.
    """
    middle = (CAMERA.matrix[0, 2], CAMERA.matrix[1, 2])
    wall_xy = rng.uniform((60, 60), (580, 420), (400, 2))
    names = rng.normal(size=(400, 48)).astype(np.float32)
    names /= np.linalg.norm(names, axis=1, keepdims=True)
    upcoming = []
    frontend = Frontend(lambda image: upcoming.pop(0), build(FrontendConfig, settings))
    found = []
    for index in range(8):
        affine = cv2.getRotationMatrix2D(middle, -2.0 * index, 1.0)
        xy = mapped(affine, wall_xy) + rng.normal(0, 0.8, wall_xy.shape)
        upcoming.append(Keypoints(xy.astype(np.float32), np.ones(400, np.float32), names))
        image = cv2.warpAffine(wall, affine, (640, 480), flags=cv2.INTER_CUBIC)
        found.append(frontend.process(Frame(index, index * 33_000_000, image, CAMERA)))
    turns = [result.world_from_camera[:3, :3] for result in found]
    angles = [np.degrees(rotation_angle(before.T @ after)) for before, after in itertools.pairwise(turns)]
    return float(np.median(np.abs(np.array(angles) - 2.0))), found


def test_the_frontend_publishes_aligned_keypoints_and_its_poses_gain(picture: Any, rng: np.random.Generator) -> None:
    seed = rng.integers(1 << 30)
    plain, _ = turning_camera(picture, np.random.default_rng(seed), OFF)
    better, found = turning_camera(picture, np.random.default_rng(seed), {})
    assert better < plain / 3
    last = found[-1]
    columns = last.matches.current_index
    np.testing.assert_array_equal(last.current_xy, last.keypoints.xy[columns])
    rays = np.c_[last.bearing_xy.astype(float), np.ones(len(last.keypoints))]
    np.testing.assert_allclose(CAMERA.project(rays), last.keypoints.xy, atol=1e-3)
