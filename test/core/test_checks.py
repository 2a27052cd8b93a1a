# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kp2d_ros.core.checks import check_image, check_shape
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
