# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kp2d_ros.core.checks import are_of_one_shape, check_image, check_registered, check_shape
from kp2d_ros.core.errors import BackendError, ConfigError, DataError, Kp2dError, ShapeError


@pytest.mark.parametrize(
    ('shape', 'expected'),
    [((5, 2), ('N', 2)), ((0, 2), ('N', 2)), ((3, 3), ('N', 'N')), ((2, 3), ('N', 'M')), ((), ()), ((4,), (4,))],
)
def test_accepts_the_shape_that_was_asked_for(shape: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
    check_shape('xy', np.zeros(shape), expected)


@pytest.mark.parametrize(
    ('shape', 'expected', 'text'),
    [
        ((5, 3), ('N', 2), r'xy: found shape \(5, 3\), expected \(N, 2\)'),
        ((5,), ('N', 2), r'found shape \(5,\)'),
        ((5, 2, 1), ('N', 2), r'found shape \(5, 2, 1\)'),
        ((2, 3), ('N', 'N'), r'expected \(N, N\)'),
        ((), ('N',), r'found shape \(\)'),
    ],
)
def test_names_the_array_and_both_shapes_where_they_differ(
    shape: tuple[Any, ...], expected: tuple[Any, ...], text: str
) -> None:
    with pytest.raises(ShapeError, match=text):
        check_shape('xy', np.zeros(shape), expected)


@pytest.mark.parametrize('shape', [(1, 1), (4, 5), (4, 5, 3)])
def test_accepts_gray_and_rgb_images(shape: tuple[Any, ...]) -> None:
    check_image(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ('shape', 'kind'),
    [
        ((4, 5, 4), np.uint8),
        ((4, 5, 1), np.uint8),
        ((4,), np.uint8),
        ((0, 5), np.uint8),
        ((4, 0, 3), np.uint8),
        ((4, 5), float),
    ],
)
def test_refuses_what_is_no_image(shape: tuple[Any, ...], kind: Any) -> None:
    with pytest.raises(ShapeError, match=r'image: found .*expected uint8'):
        check_image(np.zeros(shape, kind))


def test_a_list_is_no_image() -> None:
    image: Any = [[1, 2]]
    with pytest.raises(ShapeError, match='found list, expected a NumPy array'):
        check_image(image)


@pytest.mark.parametrize('error', [ConfigError, ShapeError, DataError, BackendError])
def test_every_error_belongs_to_one_family(error: Any) -> None:
    assert issubclass(error, Kp2dError)


@pytest.mark.parametrize(
    ('size', 'other', 'fits'),
    [
        ((480, 640), (480, 640), True),
        ((240, 320), (480, 640), True),
        ((375, 1242), (187, 621), True),
        ((376, 1241), (188, 620), True),
        ((480, 640), (720, 1280), False),
        ((480, 848), (480, 640), False),
        ((640, 480), (480, 640), False),
        ((48, 48), (48, 64), False),
    ],
)
def test_sizes_fit_if_one_image_is_the_other_resized(size: tuple[int, int], other: tuple[int, int], fits: bool) -> None:
    assert are_of_one_shape(size, other) is fits
    assert are_of_one_shape(other, size) is fits


def test_depth_of_another_shape_does_not_belong_to_an_image() -> None:
    check_registered((480, 640), (240, 320))
    with pytest.raises(DataError, match='found depth of 848x480 for an image of 1280x720, expected one of its shape'):
        check_registered((720, 1280), (480, 848))
