# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What never moves in the image while the camera does: the robot itself, the rim of the lens; and a mask without it.

The mean of images of a moving camera is a blur, in which only what moves along with the camera stays sharp; there the
images hardly deviate from their mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from kp2d_ros.core.records import BoolArray, Float32Array, Float64Array, ImageArray
from kp2d_ros.doctor.findings import Finding, Severity
from kp2d_ros.doctor.look import Look

_SIDE = 160  # of the images that are compared, their longer side
_FEWEST_LOOKS = 10  # with motion between them
_MOVED_SHARE = 0.03  # of the longer side, by which points move from one to the next
_LONGEST_PAUSE_S = 3.0  # after which the same motion cannot be assumed any more
_STILL, _STILL_SHARE = 3.0, 0.2  # gray levels, and share of the median deviation, by which still parts deviate
_LIVELY = 8.0  # gray levels of median deviation; with less nothing is told
_SHARP = 4.0  # gray levels of contrast within still parts: a wall may be as still
_SHARP_SHARE = 0.1  # of the area of a still part
_DARK, _BRIGHT = 25.0, 245.0  # gray levels; the rim of a lens shows nothing, and so does the sky
_SMALLEST_SHARE = 0.003  # of the image


@dataclass(frozen=True, slots=True, eq=False)
class StillParts:
    """
    ``mask`` (H, W) uint8 of the size of the images: 255 where pixels may be used, 0 where nothing ever moves; ``share``
    of the image that the latter are.
    """

    mask: ImageArray
    share: float


@dataclass(slots=True)
class _Sums:
    """
    Sums over ``count`` small images and their squares, of images of a ``size`` (height, width).
    """

    size: tuple[int, int]
    count: int = 0
    values: Float64Array | float = 0.0
    squares: Float64Array | float = 0.0
    last_ns: int = 0


class StaticPartsCheck:
    """
    Sums up small images while the camera moves; what it remembers is two of them.
    """

    def __init__(self) -> None:
        self._sums = _Sums((0, 0))

    def add(self, look: Look) -> None:
        """
        Take an image, if what it shows has moved since the last one.
        """
        image = look.shrunk.image.gray
        height, width = look.frame.image.shape[:2]
        if (height, width) != self._sums.size:
            self._sums = _Sums((height, width))
        if not self._has_moved(look, max(image.shape)):
            return
        factor = _SIDE / max(image.shape)
        size = max(8, round(image.shape[1] * factor)), max(8, round(image.shape[0] * factor))
        small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float64)
        sums = self._sums
        sums.values, sums.squares = sums.values + small, sums.squares + small**2
        sums.count, sums.last_ns = sums.count + 1, look.frame.stamp_ns

    def _has_moved(self, look: Look, side: int) -> bool:
        speed, sums = look.speed, self._sums
        if not np.isfinite(speed):
            return False
        # A looped bag goes back.
        seconds = abs(look.frame.stamp_ns - sums.last_ns) * 1e-9 if sums.count else _LONGEST_PAUSE_S
        return speed * min(seconds, _LONGEST_PAUSE_S) > _MOVED_SHARE * side

    def still_parts(self) -> StillParts | None:
        """
        What never moved so far; None if too little moved to say.
        """
        sums = self._sums
        if sums.count < _FEWEST_LOOKS:
            return None
        mean = np.asarray(sums.values) / sums.count
        deviation = np.sqrt(np.maximum(sums.squares / sums.count - mean**2, 0.0))
        lively = float(np.median(deviation))
        if lively < _LIVELY:
            return None
        is_still = deviation < max(_STILL, _STILL_SHARE * lively)
        parts = _parts_of_the_robot(mean.astype(np.float32), is_still)
        mask = cv2.resize(np.where(parts, 0, 255).astype(np.uint8), sums.size[::-1], interpolation=cv2.INTER_NEAREST)
        return StillParts(np.asarray(mask, np.uint8), float(parts.mean()))

    def findings(self) -> list[Finding]:
        """
        What can be said so far.
        """
        parts = self.still_parts()
        if parts is None:
            found = (
                f'whether parts of the image never move cannot be told: {self._sums.count} images of a moving camera'
            )
            return [Finding('mask', Severity.UNKNOWN, found, 'drive or carry the camera around for some seconds')]
        values = {'still_share': parts.share}
        if parts.share == 0.0:
            return [
                Finding('mask', Severity.OK, 'nothing in the image stands still while the camera moves', '', values)
            ]
        found = f'{parts.share:.1%} of the image stand still while the camera moves'
        advice = 'look at mask.png (kp2d doctor --out) and give it as the setting mask'
        return [Finding('mask', Severity.WARNING, found, advice, values)]


def _parts_of_the_robot(mean: Float32Array, is_still: BoolArray) -> BoolArray:
    """
    (H, W) the still parts that show sharp things or are dark: a plain wall or the sky is as still, and none.
    """
    is_still = np.asarray(is_still & (mean < _BRIGHT))
    sharp = _contrast_within(mean, is_still) > _SHARP
    count, labels = cv2.connectedComponents(is_still.astype(np.uint8), connectivity=4)
    parts = np.zeros(is_still.shape, np.uint8)
    for label in range(1, count):
        part = labels == label
        is_dark = float(np.median(mean[part])) < _DARK
        if part.mean() >= _SMALLEST_SHARE and (is_dark or sharp[part].mean() > _SHARP_SHARE):
            parts[part] = 1
    closed = cv2.morphologyEx(parts, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    return np.asarray(cv2.dilate(closed, np.ones((3, 3), np.uint8)) > 0)  # keypoints reach over the edge


def _contrast_within(mean: Float32Array, inside: BoolArray) -> Float32Array:
    """
    (H, W) standard deviation of the mean image around each pixel, of those inside alone.
    """
    weight = inside.astype(np.float32)
    side = (5, 5)
    count, total, squares = (
        np.asarray(cv2.boxFilter(each, cv2.CV_32F, side, normalize=False))
        for each in (weight, weight * mean, weight * mean**2)
    )
    count = np.maximum(count, 1e-6)
    variance = np.where(count >= 5, squares / count - (total / count) ** 2, 0.0)
    return np.where(inside, np.sqrt(np.maximum(variance, 0.0)), 0.0).astype(np.float32)
