# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the frontend makes of images without anything to see, with the extractors that ship.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.errors import Kp2dError
from kp2d_ros.core.records import Frame, FrontendResult, ImageArray, TrackingState
from kp2d_ros.inference.extractor import ExtractorConfig
from kp2d_ros.inference.pipeline import PipelineConfig, build_extractor, build_frontend

SIZE = (240, 320)
CAMERA = CameraModel(
    320, 240, np.array([[250.0, 0, 159.5], [0, 250.0, 119.5], [0, 0, 1]]), LensModel.PLUMB_BOB, np.zeros(0)
)


def show(method: str, images: list[ImageArray]) -> list[FrontendResult]:
    config = PipelineConfig(extractor=ExtractorConfig(name=method, max_keypoints=300, threads=1))
    try:
        extractor = build_extractor(config.extractor)
    except Kp2dError as error:
        pytest.skip(f'{method}: {error}')
    frontend = build_frontend(config, extractor)
    return [frontend.process(Frame(seq, seq * 50_000_000, image, CAMERA)) for seq, image in enumerate(images)]


def with_noise(levels: np.ndarray, sigma: float, rng: np.random.Generator) -> ImageArray:
    return np.clip(np.rint(levels + rng.normal(0, sigma, SIZE)), 0, 255).astype(np.uint8)


def dark_scene(rng: np.random.Generator, count: int) -> list[ImageArray]:
    """
    A wall of patches, 10 gray levels bright on average, that moves by 3 pixels from image to image.
    """
    wall = np.full((300, 400), 80.0)
    for x, y, gray in zip(*rng.integers(0, ((400,), (300,), (256,)), (3, 300)), strict=True):
        wall[y : y + 24, x : x + 30] = gray
    wall = cv2.GaussianBlur(wall * (10.0 / wall.mean()), (0, 0), 0.8)
    return [with_noise(wall[20:260, 10 + 3 * k : 330 + 3 * k], 1.0, rng) for k in range(count)]


@pytest.mark.parametrize('method', ['kp2d', 'sift', 'orb'])
@pytest.mark.parametrize(('gray', 'sigma'), [(0, 0), (0, 2), (128, 0), (128, 3)])
def test_a_camera_that_shows_nothing_is_lost_from_the_first_image_on(
    method: str, gray: int, sigma: float, rng: np.random.Generator
) -> None:
    results = show(method, [with_noise(np.full(SIZE, float(gray)), sigma, rng) for _ in range(8)])
    assert {result.state for result in results} == {TrackingState.LOST}
    for result in results[1:]:
        assert result.pose is not None
        assert 'texture' in result.pose.reason


def test_a_dark_scene_still_gives_its_motion(rng: np.random.Generator) -> None:
    results = show('kp2d', dark_scene(rng, 6))
    assert {result.state for result in results[1:]} <= {TrackingState.OK, TrackingState.DEGRADED}
    assert all(result.inlier.sum() > 30 for result in results[1:])
