# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a network thinks of each part of an image: its map of scores, to look at.
"""

from __future__ import annotations

import cv2
import numpy as np

from kp2d_ros.core.checks import check_image
from kp2d_ros.core.records import Float32Array, ImageArray
from kp2d_ros.inference.backend import KeypointBackend
from kp2d_ros.inference.resizing import resize_image


def score_map(backend: KeypointBackend, image: ImageArray, max_side: int = 0) -> Float32Array:
    """
    (H, W) scores in [0, 1] of a uint8 image, one colour per cell of the network; the padding is cut off.

    :param max_side: as for the keypoints: larger images are shrunk for the network.
    :raises ShapeError: if the image is not (H, W) gray or (H, W, 3) RGB.
    """
    check_image(image)
    height, width = image.shape[:2]
    info = backend.info
    resized = resize_image(image, max_side, info.size_multiple)
    cells = backend.infer(resized.image).score
    pixels = np.repeat(np.repeat(cells, info.stride, axis=0), info.stride, axis=1)
    shown = pixels[: round(height * resized.scale_y), : round(width * resized.scale_x)]
    return np.asarray(cv2.resize(shown, (width, height), interpolation=cv2.INTER_NEAREST), np.float32)
