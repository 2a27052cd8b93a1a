# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Bilinear values of a dense map at pixels, for runtimes that leave the map in memory; the twin of ``networks.cells``.
"""

from __future__ import annotations

import numpy as np

from kp2d_ros.core.checks import check_shape
from kp2d_ros.core.records import Float32Array

_TINY_SQUARE = 1e-12  # as in networks.cells


def sample_map(values: Float32Array, xy: Float32Array, width: int, height: int) -> Float32Array:
    """
    Bilinear values (N, C) of a map (C, H, W) at pixels (N, 2) of the image that the map spans.

    The first element of the map lies at the first pixel centre, its last element at the last one; outside are zeros.

    :raises ShapeError: if the map or the points have another shape.
    """
    check_shape('map', values, ('C', 'H', 'W'))
    check_shape('xy', xy, ('N', 2))
    channels, rows, columns = values.shape
    scale = np.array([(columns - 1) / max(width - 1, 1), (rows - 1) / max(height - 1, 1)])
    place = xy.astype(np.float64) * scale
    first = np.floor(place)
    right, down = (place - first).T
    flat = values.reshape(channels, rows * columns)
    sampled = np.zeros((channels, len(xy)), np.float32)
    for dx, dy, weight in (
        (0, 0, (1 - right) * (1 - down)),
        (1, 0, right * (1 - down)),
        (0, 1, (1 - right) * down),
        (1, 1, right * down),
    ):
        column, row = first[:, 0] + dx, first[:, 1] + dy
        inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)  # False for NaN
        index = np.where(inside, row * columns + column, 0).astype(np.intp)
        sampled += flat[:, index] * np.where(inside, weight, 0).astype(np.float32)
    return np.ascontiguousarray(sampled.T)


def sample_descriptors(descriptors: Float32Array, xy: Float32Array, width: int, height: int) -> Float32Array:
    """
    Descriptors (N, D) of unit length at pixels (N, 2), from the dense map (D, Hd, Wd) of a network.

    :raises ShapeError: if the map or the points have another shape.
    """
    sampled = sample_map(descriptors, xy, width, height)
    squares = np.einsum('nd,nd->n', sampled, sampled, dtype=np.float32)
    lengths = np.sqrt(squares + _TINY_SQUARE).astype(np.float32)
    return np.asarray(sampled / lengths[:, None])
