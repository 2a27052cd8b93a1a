# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a depth camera makes of the surfaces before it.

The error of a depth that comes from a disparity grows with its square (Khoshelham and Elberink, 2012). It is found by
comparing patches, so neighbours err alike, and what is near spreads over an edge. A surface that is hardly lit from the
side, or too near or far, gives nothing. The result is in whole millimetres, as drivers give it.
"""

from __future__ import annotations

import cv2
import numpy as np

from kp2d_ros.core.records import Float32Array
from kp2d_ros.simulation.renderer import SeenSurfaces

_NEAREST = 0.25  # metres
_SMALLEST_COSINE = np.float32(np.cos(np.radians(80.0)))
_EDGE = 1.1  # ratio of neighbouring depths
_PATCH_PX = 2.0  # standard deviation of the smoothing that makes neighbours err alike
_MILLIMETRE = np.float32(0.001)


def measure_depth(
    seen: SeenSurfaces, sigma_per_square: float, farthest: float, rng: np.random.Generator
) -> Float32Array:
    """
    Depths (H, W) in metres, 0 where there is none.

    :param sigma_per_square: standard deviation of a depth of 1 m, in metres; it grows with the square.
    :param farthest: metres.
    """
    exact = np.where(np.isfinite(seen.depth), seen.depth, np.float32(0))
    # A pixel that sees nothing is no foreground.
    nearest = cv2.erode(np.where(exact > 0, exact, np.float32(1e6)), np.ones((3, 3), np.uint8))
    depth = np.where(exact > _EDGE * nearest, nearest, exact)
    white = rng.standard_normal(depth.shape, np.float32)
    # Smoothing makes white noise smaller by this factor.
    alike = cv2.GaussianBlur(white, (0, 0), _PATCH_PX) * np.float32(2 * np.sqrt(np.pi) * _PATCH_PX)
    noisy = depth + np.float32(sigma_per_square) * depth**2 * alike
    measured = (noisy >= _NEAREST) & (noisy <= farthest) & (seen.cosine >= _SMALLEST_COSINE)
    millimetres = np.rint(np.where(measured, noisy, 0) / _MILLIMETRE)
    return np.asarray(millimetres * _MILLIMETRE, np.float32)
