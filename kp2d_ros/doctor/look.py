# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A close look at one frame: its keypoints, and how fast they move.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from kp2d_ros.core.records import BoolArray, Float32Array, Float64Array, Frame, ImageArray, Keypoints
from kp2d_ros.odometry.alignment import AlignableImage
from kp2d_ros.odometry.image_size import shrink_image

Extract = Callable[[ImageArray], Keypoints]

_WINDOW_PX, _LEVELS = 21, 4  # fast motion: 16 times the window
_STEPS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 0.01)
_RETURN_PX = 0.5  # forth and back may end this far from the beginning
_LONGEST_STEP_S = 0.5  # between two images whose motion is taken for a velocity


@dataclass(frozen=True, slots=True, eq=False)
class ShrunkImage:
    """
    An image as it is looked at, ``scale`` (2,) times as large as it came.
    """

    image: AlignableImage
    scale: Float64Array

    def input_pixels(self, xy: Float32Array) -> Float64Array:
        """
        Pixels (N, 2) of the image as it came.
        """
        return np.asarray((xy.astype(np.float64) + 0.5) / self.scale - 0.5)


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """
    One frame with its N ``keypoints`` in pixels of the shrunk image and their ``velocity`` (N, 2) in pixels of the
    shrunk image per second, NaN where it is not known.
    """

    number: int
    frame: Frame
    shrunk: ShrunkImage
    keypoints: Keypoints
    velocity: Float64Array

    @property
    def speed(self) -> float:
        """
        Speed that a quarter of the keypoints exceed, in pixels of the shrunk image per second; NaN if it is not known.

        Many may lie on parts of the robot, which stand still.
        """
        known = np.isfinite(self.velocity).all(axis=1)
        return float(np.percentile(np.linalg.norm(self.velocity[known], axis=1), 75)) if known.any() else float('nan')


def shrink(image: ImageArray, max_side_px: int) -> ShrunkImage:
    """
    An image as it is looked at.
    """
    shrunk, scale = shrink_image(image, max_side_px)
    return ShrunkImage(AlignableImage(shrunk), scale)


def take_look(number: int, frame: Frame, neighbours: Sequence[Frame], extract: Extract, max_side_px: int) -> Look:
    """
    The keypoints of a frame, followed into its neighbours.

    :param neighbours: the frames before and after it; those of another size or far away in time tell no velocity. Where
        both tell one, it is the mean: what it would be in the middle, at the time of the frame.
    """
    shrunk = shrink(frame.image, max_side_px)
    keypoints = extract(np.ascontiguousarray(shrunk.image.gray))
    found = [np.full((len(keypoints), 2), np.nan)]
    for other in neighbours:
        seconds = (other.stamp_ns - frame.stamp_ns) * 1e-9
        if len(keypoints) and other.image.shape[:2] == frame.image.shape[:2] and 0 < abs(seconds) < _LONGEST_STEP_S:
            there = _follow(shrunk.image.gray, shrink(other.image, max_side_px).image.gray, keypoints.xy)
            found.append((there - keypoints.xy) / seconds)
    velocities = np.array(found)
    known = np.isfinite(velocities)
    velocity = np.where(known.any(axis=0), np.nansum(velocities, axis=0) / np.maximum(known.sum(axis=0), 1), np.nan)
    return Look(number, frame, shrunk, keypoints, velocity)


def _follow(first: ImageArray, second: ImageArray, xy: Float32Array) -> Float64Array:
    """
    (N, 2) where pixels of an image are in another, NaN where that does not come back (Bouguet, 2000).
    """
    ahead, there = _flow(first, second, xy)
    back, here = _flow(second, first, ahead)
    good = there & here & (np.linalg.norm(back - xy, axis=1) < _RETURN_PX)
    return np.where(good[:, None], ahead, np.nan).astype(np.float64)


def _flow(first: ImageArray, second: ImageArray, xy: Float32Array) -> tuple[Float32Array, BoolArray]:
    found, status, _ = cv2.calcOpticalFlowPyrLK(
        first,
        second,
        np.ascontiguousarray(xy, np.float32).reshape(-1, 1, 2),
        None,  # type: ignore[call-overload]
        winSize=(_WINDOW_PX, _WINDOW_PX),
        maxLevel=_LEVELS,
        criteria=_STEPS,
    )
    return np.asarray(found[:, 0], np.float32), status[:, 0].astype(np.bool_)
