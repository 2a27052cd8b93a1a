# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Pictures of what a network sees: keypoints on the image, and the map of scores.
"""

from __future__ import annotations

import cv2
import numpy as np

from kp2d_ros.core.records import Float32Array, ImageArray, Keypoints

_BEST, _WORST = np.array([64.0, 255.0, 64.0]), np.array([255.0, 64.0, 64.0])
_SHIFT = 3  # OpenCV draws at eighths of a pixel


def draw_keypoints(image: ImageArray, keypoints: Keypoints, count: int = 300) -> ImageArray:
    """
    An RGB image (H, W, 3) with its best keypoints, from green for the highest score to red for the lowest one drawn.
    """
    drawn: ImageArray = image.copy()
    order = np.argsort(-keypoints.scores, kind='stable')[:count]
    places = np.round(keypoints.xy[order] * (1 << _SHIFT)).astype(int).tolist()
    for rank, (x, y) in reversed(list(enumerate(places))):
        share = rank / max(len(places) - 1, 1)
        color = ((1 - share) * _BEST + share * _WORST).tolist()
        cv2.circle(drawn, (x, y), 2 << _SHIFT, color, 1, cv2.LINE_AA, _SHIFT)
    return drawn


def draw_scores(score_map: Float32Array, size: tuple[int, int]) -> ImageArray:
    """
    A map of scores in [0, 1] (Hc, Wc) as an RGB picture of a size (width, height): dark is 0, bright is 1.
    """
    levels = np.round(255 * np.clip(score_map, 0, 1)).astype(np.uint8)
    large = cv2.resize(levels, size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(large, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB))


def draw_pair(
    images: tuple[ImageArray, ImageArray],
    keypoints: tuple[Keypoints, Keypoints],
    score_maps: tuple[Float32Array, Float32Array],
) -> ImageArray:
    """
    Both views of a pair beside each other: keypoints, then scores.
    """
    height, width = images[0].shape[:2]
    with_points = [draw_keypoints(image, found) for image, found in zip(images, keypoints, strict=True)]
    return np.concatenate([*with_points, *(draw_scores(scores, (width, height)) for scores in score_maps)], axis=1)
