# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Whether there is anything to see around a keypoint.

A detector that was trained to find points finds some in a black image as well, always at the same places: matched with
the next black image they say that the camera stands still. The image itself tells: what a scene shows is larger than a
pixel and steeper than a vignette, noise is neither.
"""

from __future__ import annotations

import cv2
import numpy as np

from kp2d_ros.core.records import Float32Array, ImageArray

_CELL_PX = 4  # noise of one pixel is an eighth of it in the mean of 2 x 2 cells
_SIDE = 5  # cells of the surroundings


def texture_at(gray: ImageArray, xy: Float32Array) -> Float32Array:
    """
    (N,) gray levels by which the surroundings of pixels (N, 2) of an image (H, W) vary; 0 where a pixel is NaN.

    Single hot pixels, noise of single pixels and slopes of brightness hardly count.
    """
    height, width = gray.shape
    size = max(1, round(width / _CELL_PX)), max(1, round(height / _CELL_PX))
    clean = cv2.medianBlur(np.ascontiguousarray(gray), 3)
    cells = cv2.resize(clean.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    smooth = cv2.boxFilter(cells, cv2.CV_32F, (2, 2))
    detail = cv2.subtract(smooth, cv2.boxFilter(smooth, cv2.CV_32F, (_SIDE, _SIDE)))
    variance = np.asarray(cv2.sqrBoxFilter(detail, cv2.CV_32F, (_SIDE, _SIDE)))  # rounded, it may be below 0
    place = np.nan_to_num((xy + 0.5) * np.array([size[0] / width, size[1] / height]))
    column, row = np.clip(place, 0, np.array(size) - 1).astype(np.intp).T
    variation = np.sqrt(np.maximum(variance[row, column], 0))
    return np.where(np.isfinite(xy).all(axis=1), variation, 0).astype(np.float32)
