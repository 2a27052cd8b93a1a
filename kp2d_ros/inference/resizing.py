# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Images shrunk and padded for a network or detector, and the way back for its points.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from kp2d_ros.core.records import Float32Array, ImageArray
from kp2d_ros.odometry.image_size import shrink_image


@dataclass(frozen=True, slots=True)
class ResizedImage:
    """
    ``image`` holds the input at the top left, shrunk by ``scale_x`` and ``scale_y``, then padding.
    """

    image: ImageArray
    scale_x: float
    scale_y: float

    def input_from_image(self, xy: Float32Array) -> Float32Array:
        """
        Pixels (N, 2) of the input image of pixels of this one; pixel edges fall on pixel edges.
        """
        scale = np.array([self.scale_x, self.scale_y])
        return np.asarray((xy + 0.5) / scale - 0.5, np.float32)


def resize_image(image: ImageArray, max_side: int = 0, multiple: int = 1) -> ResizedImage:
    """
    Shrink an image so that its longer side is at most ``max_side`` (0: keep it) and pad it to multiples of a number.

    The aspect is kept to the nearest pixel, and the scale is exact per axis. The padding repeats the last row and
    column: a constant would be an edge to find keypoints on, and a mirrored image would hold them twice.
    """
    shrunk, scale = shrink_image(image, max_side)
    made = np.ascontiguousarray(shrunk)
    right, bottom = -made.shape[1] % multiple, -made.shape[0] % multiple
    if right or bottom:
        made = np.asarray(cv2.copyMakeBorder(made, 0, bottom, 0, right, cv2.BORDER_REPLICATE), np.uint8)
    return ResizedImage(made, *scale.tolist())
