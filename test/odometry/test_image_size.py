# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import cv2
import numpy as np
import pytest

from kp2d_ros.odometry.image_size import shrink_image, unshrink_pixels


@pytest.mark.parametrize(
    ('size', 'max_side_px', 'shrunk_size'),
    [
        ((480, 640), 0, (480, 640)),
        ((480, 640), 640, (480, 640)),
        ((376, 1241), 1280, (376, 1241)),
        ((1080, 1920), 1280, (720, 1280)),
        ((3000, 4000), 1280, (960, 1280)),
        ((2160, 3840, 3), 1280, (720, 1280, 3)),
        ((100, 7), 50, (50, 4)),
        ((5000, 1), 100, (100, 1)),
    ],
)
def test_the_longer_side_is_at_most_what_is_asked_for(
    size: tuple[int, ...], max_side_px: int, shrunk_size: tuple[int, ...]
) -> None:
    image, scale = shrink_image(np.zeros(size, np.uint8), max_side_px)
    assert image.shape == shrunk_size
    np.testing.assert_allclose(scale, (shrunk_size[1] / size[1], shrunk_size[0] / size[0]))


def test_an_image_that_is_small_enough_is_given_back_untouched() -> None:
    image, xy = np.zeros((480, 640), np.uint8), np.array([[3.3, 4.4]], np.float32)
    same, scale = shrink_image(image, 1280)
    assert same is image
    assert unshrink_pixels(xy, scale) is xy


def test_what_is_found_in_the_shrunk_image_lies_where_it_is_in_the_large_one(rng: np.random.Generator) -> None:
    for _ in range(20):
        x, y = rng.uniform((60, 60), (900, 700))
        spot = np.zeros((763, 1001), np.uint8)
        cv2.circle(spot, (round(x * 16), round(y * 16)), 14 * 16, 255, -1, cv2.LINE_AA, 4)
        shrunk, scale = shrink_image(spot, 300)
        found_xy = unshrink_pixels(np.array([centroid(shrunk)], np.float32), scale)
        np.testing.assert_allclose(found_xy[0], centroid(spot), atol=0.03)


def centroid(image: np.ndarray) -> tuple[float, float]:
    moments = cv2.moments(image)
    return moments['m10'] / moments['m00'], moments['m01'] / moments['m00']
