# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Pictures of what a network sees: keypoints on the image, and the map of scores.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from kp2d_ros.core.records import BoolArray, Float32Array, ImageArray, Keypoints
from kp2d_ros.drawing.caption import LegendEntry

SCORE_SCALE = ((255, 64, 64), (64, 255, 64))  # RGB, from the worst to the best
_MAP_SCALE = cv2.COLORMAP_INFERNO
_SHADE = (90, 0, 0)  # RGB, added where a mask lies
SUBPIXEL_BITS = 4  # OpenCV draws at sixteenths of a pixel


def as_rgb(image: ImageArray, factor: float = 1.0) -> ImageArray:
    """
    A copy of a gray or RGB image in RGB, ``factor`` times as large.
    """
    picture = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else image
    if factor == 1.0:
        return np.array(picture, np.uint8)
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    height, width = (max(1, round(side * factor)) for side in picture.shape[:2])  # OpenCV refuses to leave nothing
    return np.asarray(cv2.resize(picture, (width, height), interpolation=way), np.uint8)


def dimmed(image: ImageArray, factor: float = 1.0) -> ImageArray:
    """
    The same, darker, so that the colours of a drawing stand out.
    """
    return np.asarray(cv2.convertScaleAbs(as_rgb(image, factor), alpha=0.75), np.uint8)


def shade(image: ImageArray, is_free: BoolArray) -> ImageArray:
    """
    An RGB picture of an image (H, W), dark and reddish where a mask (H, W) is False: no keypoint is looked for there.
    """
    picture = as_rgb(image)
    picture[~is_free] = picture[~is_free] // 3 + np.array(_SHADE, np.uint8)
    return picture


def scale_points(xy: npt.NDArray[np.floating], factor: float) -> npt.NDArray[np.float64]:
    """
    Pixels (N, 2) of an image in a picture ``factor`` times as large; pixel edges fall on pixel edges.
    """
    return np.asarray((xy.astype(np.float64) + 0.5) * factor - 0.5)


def fixed_point(xy: npt.NDArray[np.floating]) -> npt.NDArray[np.int32]:
    """
    Pixels (N, 2) as OpenCV's fixed-point numbers with :data:`SUBPIXEL_BITS`; what is far outside stays outside.
    """
    return np.asarray(np.rint(np.clip(xy, -1e4, 1e5) * (1 << SUBPIXEL_BITS)), np.int32)


def blend(scale: npt.ArrayLike, shares: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """
    (N, 3) colours at N shares in [0, 1] of the way along a scale of colours (C, 3).
    """
    places = np.linspace(0.0, 1.0, len(np.asarray(scale)))
    return np.stack([np.interp(shares, places, channel) for channel in np.asarray(scale, np.float64).T], axis=-1)


def score_colors(scores: Float32Array) -> npt.NDArray[np.float64]:
    """
    (N, 3) RGB by the rank of N scores, from red for the lowest to green for the highest.
    """
    share = np.empty(len(scores))
    share[np.argsort(-scores, kind='stable')] = np.arange(len(scores)) / max(len(scores) - 1, 1)
    return blend(SCORE_SCALE[::-1], share)


def draw_keypoints(image: ImageArray, keypoints: Keypoints, count: int = 300, factor: float = 1.0) -> ImageArray:
    """
    RGB picture of an image with its best keypoints, from green for the highest score to red for the lowest one drawn.

    :param factor: size of the picture over that of the image.
    """
    drawn = as_rgb(image, factor)
    order = np.argsort(-keypoints.scores, kind='stable')[:count]
    colors = score_colors(keypoints.scores[order]).tolist()
    places = fixed_point(scale_points(keypoints.xy[order], factor)).tolist()
    radius = 2 if factor == 1.0 and max(image.shape[:2]) < 640 else 3  # pixels
    for place, color in reversed(list(zip(places, colors, strict=True))):
        cv2.circle(drawn, place, radius << SUBPIXEL_BITS, color, 1, cv2.LINE_AA, SUBPIXEL_BITS)
    return drawn


def draw_scores(score_map: Float32Array, size: tuple[int, int]) -> ImageArray:
    """
    A map of scores in [0, 1] (Hc, Wc) as an RGB picture of a size (width, height): dark is 0, bright is 1.
    """
    levels = np.round(255 * np.clip(score_map, 0, 1)).astype(np.uint8)
    large = cv2.resize(levels, size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(large, _MAP_SCALE), cv2.COLOR_BGR2RGB))


def keypoint_legend() -> list[LegendEntry]:
    """
    What the colours of :func:`draw_keypoints` mean.
    """
    return [LegendEntry('keypoints, from the lowest to the highest score', SCORE_SCALE)]


def score_legend(lowest: float = 0.0, highest: float = 1.0) -> list[LegendEntry]:
    """
    What the colours of :func:`draw_scores` mean, if scores from the lowest to the highest were stretched to [0, 1].
    """
    levels = cv2.applyColorMap(np.linspace(0, 255, 9).astype(np.uint8)[None], _MAP_SCALE)[0, :, ::-1]
    return [
        LegendEntry(f'score map, from {lowest:.3g} to {highest:.3g}', tuple((r, g, b) for r, g, b in levels.tolist()))
    ]


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
