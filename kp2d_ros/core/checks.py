# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Shape and type checks for arrays at the borders of the package.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.errors import DataError, ShapeError


def check_shape(name: str, array: npt.NDArray[Any], expected: Sequence[int | str]) -> None:
    """
    Refuse an array whose shape differs from the expected one.

    :param name: what the array is called in the message.
    :param expected: one entry per axis: a length, or a letter for any length (``('N', 2)``); a letter used twice
        stands for the same length.
    :raises ShapeError: if the number of axes or a length differs.
    """
    lengths: dict[str, int] = {}
    fits = array.ndim == len(expected)
    for found, wanted in zip(array.shape, expected, strict=False):
        if isinstance(wanted, str):
            wanted = lengths.setdefault(wanted, found)
        fits = fits and found == wanted
    if not fits:
        text = ', '.join(str(e) for e in expected)
        raise ShapeError(f'{name}: found shape {tuple(array.shape)}, expected ({text})')


def check_image(image: npt.NDArray[Any]) -> None:
    """
    Refuse what is not an 8-bit gray (H, W) or RGB (H, W, 3) image with at least one pixel.

    :raises ShapeError: if the type or shape differs.
    """
    if not isinstance(image, np.ndarray):
        raise ShapeError(f'image: found {type(image).__name__}, expected a NumPy array')
    fits = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype != np.uint8 or not fits or image.size == 0:
        raise ShapeError(
            f'image: found {image.dtype} of shape {tuple(image.shape)}, '
            'expected uint8 of shape (H, W) or (H, W, 3) with at least one pixel'
        )


def are_of_one_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """
    Whether one image is the other resized, by their sizes (height, width): a pixel more or less may be left of a
    division.
    """
    return abs(size[1] * other[0] - size[0] * other[1]) <= max(*size, *other)


def check_registered(image_size: tuple[int, int], depth_size: tuple[int, int]) -> None:
    """
    Refuse depth that cannot belong to an image: its (height, width) must be that of the image, or another by a factor.

    :raises DataError: if it is not.
    """
    (height, width), (rows, columns) = image_size, depth_size
    if not are_of_one_shape(image_size, depth_size):
        raise DataError(
            f'found depth of {columns}x{rows} for an image of {width}x{height}, expected one of its shape: '
            'depth must be registered to the image'
        )
