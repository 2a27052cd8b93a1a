# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Large images made smaller, and the way back for the pixels found in them.
"""

from __future__ import annotations

import cv2
import numpy as np

from kp2d_ros.core.records import Float32Array, Float64Array, ImageArray


def shrink_image(image: ImageArray, max_side_px: int) -> tuple[ImageArray, Float64Array]:
    """
    An image whose longer side is at most ``max_side_px`` (0: any), and the scale (2,) of x and y that made it.

    The aspect is kept to the nearest pixel. An image that is small enough is given back as it is, with a scale of 1.
    """
    height, width = image.shape[:2]
    longer = max(height, width)
    if max_side_px <= 0 or longer <= max_side_px:
        return image, np.ones(2)
    size = max(1, round(width * max_side_px / longer)), max(1, round(height * max_side_px / longer))
    shrunk = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.uint8), np.array([size[0] / width, size[1] / height])


def unshrink_pixels(xy: Float32Array, scale: Float64Array) -> Float32Array:
    """
    Pixels (N, 2) of an image before it was shrunk by ``scale``, of those after; pixel edges fall on pixel edges.
    """
    return xy if (scale == 1.0).all() else np.asarray((xy + 0.5) / scale - 0.5, np.float32)
