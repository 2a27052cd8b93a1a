# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Tests of shrinking, padding and the way back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.inference.extractor import resize_image


def test_an_image_that_fits_is_not_touched(texture: Callable[..., NDArray[Any]]) -> None:
    image = texture(64, 48)
    resized = resize_image(image, max_side=64, multiple=8)
    assert np.array_equal(resized.image, image)
    assert np.array_equal(resized.input_from_image(np.float32([[3, 4]])), [[3, 4]])


@pytest.mark.parametrize(('size', 'shape'), [((61, 45), (48, 64, 3)), ((1, 1), (8, 8, 3)), ((65, 8), (8, 72, 3))])
def test_pads_to_the_next_multiple_with_the_last_row_and_column(
    texture: Callable[..., NDArray[Any]], size: tuple[int, int], shape: tuple[int, int, int]
) -> None:
    image = texture(*size)
    padded = resize_image(image, multiple=8).image
    assert padded.shape == shape
    assert np.array_equal(padded[: size[1], : size[0]], image)
    assert (padded[:, size[0] :] == padded[:, size[0] - 1 : size[0]]).all()
    assert (padded[size[1] :] == padded[size[1] - 1 : size[1]]).all()


def test_shrinks_the_longer_side_and_keeps_the_aspect() -> None:
    image = np.zeros((376, 1241), np.uint8)
    resized = resize_image(image, max_side=640, multiple=8)
    assert resized.image.shape == (200, 640)
    assert (resized.scale_x, resized.scale_y) == (640 / 1241, 194 / 376)


def test_a_line_of_one_pixel_is_not_shrunk_away() -> None:
    assert resize_image(np.zeros((1, 1000), np.uint8), max_side=100).image.shape == (1, 100)


def test_points_go_back_to_the_middle_of_what_was_averaged() -> None:
    image = np.zeros((120, 160), np.uint8)
    image[40:44, 100:104] = 255  # centred on (101.5, 41.5)
    resized = resize_image(image, max_side=40)
    y, x = np.unravel_index(resized.image.argmax(), resized.image.shape)
    assert resized.image[y, x] == 255
    assert resized.input_from_image(np.float32([[x, y]])).tolist() == [[101.5, 41.5]]


def test_the_centroid_of_a_blob_survives_an_uneven_scale() -> None:
    y, x = np.mgrid[:200, :311]
    image = (250 * np.exp(-((x - 170.3) ** 2 + (y - 88.6) ** 2) / 200)).astype(np.uint8)
    resized = resize_image(image, max_side=100)
    moments = cv2.moments(resized.image)
    centroid = np.float32([[moments['m10'] / moments['m00'], moments['m01'] / moments['m00']]])
    assert resized.input_from_image(centroid)[0] == pytest.approx([170.3, 88.6], abs=0.05)


def test_takes_views_that_are_not_contiguous(texture: Callable[..., NDArray[Any]]) -> None:
    image = texture(64, 48)
    resized = resize_image(image[::-1, ::2], multiple=8)
    assert np.array_equal(resized.image, np.ascontiguousarray(image[::-1, ::2]))
