# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.records import Frame, FrontendResult, ImageArray, Keypoints, TrackingState
from kp2d_ros.odometry.frontend import Frontend, FrontendConfig
from kp2d_ros.odometry.texture import texture_at

SIZE = (240, 320)
CAMERA = CameraModel(
    320, 240, np.array([[250.0, 0, 159.5], [0, 250.0, 119.5], [0, 0, 1]]), LensModel.PLUMB_BOB, np.zeros(0)
)
MIN_TEXTURE = FrontendConfig().min_texture
GRID_XY = np.stack(np.meshgrid(np.arange(8, 312, 8), np.arange(8, 232, 8)), axis=-1).reshape(-1, 2).astype(np.float32)


def with_noise(levels: np.ndarray, sigma: float, rng: np.random.Generator) -> ImageArray:
    return np.clip(np.rint(levels + rng.normal(0, sigma, levels.shape)), 0, 255).astype(np.uint8)


def posters(rng: np.random.Generator) -> ImageArray:
    image = np.full(SIZE, 90, np.uint8)
    for x, y, gray in zip(*rng.integers(0, ((320,), (240,), (256,)), (3, 150)), strict=True):
        image[y : y + 24, x : x + 30] = gray
    return image


def lens_cap(rng: np.random.Generator) -> ImageArray:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return with_noise(12.0 - 8.0 * ((rows - 120) ** 2 + (columns - 160) ** 2) / 200**2, 1.0, rng)


def lit_wall(rng: np.random.Generator) -> ImageArray:
    return with_noise(np.broadcast_to(np.linspace(60.0, 200.0, SIZE[1]), SIZE), 2.0, rng)


def hot_pixels(rng: np.random.Generator) -> ImageArray:
    image = with_noise(np.zeros(SIZE), 1.0, rng)
    image[rng.integers(0, SIZE[0], 100), rng.integers(0, SIZE[1], 100)] = 255
    return image


NOTHING = {
    'black': lambda rng: np.zeros(SIZE, np.uint8),
    'gray': lambda rng: np.full(SIZE, 128, np.uint8),
    'black with noise': lambda rng: with_noise(np.zeros(SIZE), 3.0, rng),
    'gray with noise': lambda rng: with_noise(np.full(SIZE, 128.0), 3.0, rng),
    'a lens cap': lens_cap,
    'a lit wall': lit_wall,
    'hot pixels': hot_pixels,
    'black after JPEG': lambda rng: cv2.imdecode(
        cv2.imencode('.jpg', with_noise(np.zeros(SIZE), 3.0, rng))[1], cv2.IMREAD_GRAYSCALE
    ),
}


@pytest.mark.parametrize('make', NOTHING.values(), ids=list(NOTHING))
def test_where_there_is_nothing_to_see_there_is_no_texture(
    make: Callable[[np.random.Generator], ImageArray], rng: np.random.Generator
) -> None:
    assert texture_at(make(rng), GRID_XY).max() < 0.8 * MIN_TEXTURE


def test_a_scene_in_the_dark_has_texture(rng: np.random.Generator) -> None:
    scene = posters(rng).astype(float)
    dark = with_noise(scene * (10.0 / scene.mean()), 2.0, rng)
    assert (texture_at(dark, GRID_XY) > MIN_TEXTURE).sum() > 300


def test_texture_is_measured_around_the_pixel_and_is_zero_where_that_is_nan() -> None:
    image = np.zeros((100, 200), np.uint8)
    image[45:55] = 100
    image[:, 60:] = 0
    xy = np.array([[30, 50], [150, 50], [np.nan, 50], [0, 0], [199, 99]], np.float32)
    texture = texture_at(image, xy)
    assert texture[0] > 10
    np.testing.assert_array_equal(texture[1:], 0)
    assert texture_at(np.zeros((1, 1), np.uint8), np.zeros((1, 2), np.float32)).tolist() == [0]


class Fixed:
    """
    A detector that finds the same 80 points in every image, as a network does in the dark; some may move.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        descriptors = rng.normal(size=(80, 32)).astype(np.float32)
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
        xy = rng.uniform((10, 10), (150, 230), (80, 2)).astype(np.float32)
        self.keypoints = Keypoints(xy, np.ones(80, np.float32), descriptors)

    def __call__(self, image: ImageArray) -> Keypoints:
        return self.keypoints

    def move(self, rows: slice, step_px: float) -> None:
        xy = self.keypoints.xy.copy()
        xy[rows] += np.float32((step_px, 0.0))
        self.keypoints = replace(self.keypoints, xy=xy)


def show(frontend: Frontend, images: list[ImageArray]) -> list[FrontendResult]:
    return [frontend.process(Frame(seq, seq, image, CAMERA)) for seq, image in enumerate(images)]


@pytest.mark.parametrize('make', NOTHING.values(), ids=list(NOTHING))
def test_a_covered_camera_is_lost_and_does_not_stand_still(
    make: Callable[[np.random.Generator], ImageArray], rng: np.random.Generator
) -> None:
    results = show(Frontend(Fixed(rng), FrontendConfig()), [make(rng) for _ in range(8)])
    assert {result.state for result in results} == {TrackingState.LOST}
    assert results[-1].pose is not None
    assert results[-1].pose.reason.startswith('0 of 80 keypoints have texture around them, 12 are needed')
    assert len(results[-1].matches) == 0


def test_the_reason_says_how_dark_the_image_is(rng: np.random.Generator) -> None:
    results = show(Frontend(Fixed(rng), FrontendConfig()), [np.full(SIZE, 3, np.uint8)] * 2)
    assert results[-1].pose is not None
    assert results[-1].pose.reason.endswith('(mean brightness 3 of 255)')


def test_a_camera_that_is_covered_for_a_while_goes_on_afterwards(rng: np.random.Generator) -> None:
    seen = posters(rng)
    results = show(Frontend(Fixed(rng), FrontendConfig()), [seen, seen, *[np.zeros(SIZE, np.uint8)] * 9, seen])
    assert [result.state for result in results[1:]] == [
        TrackingState.STATIONARY,
        *[TrackingState.LOST] * 9,
        TrackingState.STATIONARY,
    ]
    assert {result.scale_segment for result in results} == {0}
    assert results[-1].pose is not None
    assert results[-1].pose.reference_seq == 0


def test_points_on_the_dark_part_of_an_image_do_not_say_that_the_camera_stands_still(rng: np.random.Generator) -> None:
    detector = Fixed(rng)
    is_left = detector.keypoints.xy[:, 0] < 80
    order = np.argsort(~is_left, kind='stable')
    detector.keypoints = Keypoints(
        detector.keypoints.xy[order], detector.keypoints.scores, detector.keypoints.descriptors
    )
    seen = posters(rng)
    half = seen.copy()
    half[:, 80:] = 0  # the points from here on are found in nothing, and stay where they are
    count = int(is_left.sum())
    config = FrontendConfig()
    frontend = Frontend(detector, replace(config, alignment=replace(config.alignment, window_px=0)))
    frontend.process(Frame(0, 0, half, CAMERA))
    still = frontend.process(Frame(1, 1, half, CAMERA))
    assert still.state is TrackingState.STATIONARY
    detector.move(slice(count - 20), 8.0)
    assert frontend.process(Frame(2, 2, half, CAMERA)).state is not TrackingState.STATIONARY
