# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A close look at one frame: its keypoints, and how fast they move.
"""

from __future__ import annotations

from collections.abc import Callable
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


def take_look(number: int, previous: Frame | None, frame: Frame, extract: Extract, max_side_px: int) -> Look:
    """
    The keypoints of a frame, followed back into the one before.

    :param previous: the frame before, None if there is none; without it, or long after it, nothing has a velocity.
    """
    shrunk = shrink(frame.image, max_side_px)
    keypoints = extract(np.ascontiguousarray(shrunk.image.gray))
    velocity = np.full((len(keypoints), 2), np.nan)
    if previous is not None and previous.image.shape[:2] == frame.image.shape[:2] and len(keypoints):
        seconds = (frame.stamp_ns - previous.stamp_ns) * 1e-9
        if 0.0 < seconds < _LONGEST_STEP_S:
            before = shrink(previous.image, max_side_px).image.gray
            velocity = (keypoints.xy - _follow_back(shrunk.image.gray, before, keypoints.xy)) / seconds
    return Look(number, frame, shrunk, keypoints, velocity)


def _follow_back(current: ImageArray, previous: ImageArray, xy: Float32Array) -> Float64Array:
    """
    (N, 2) where pixels were in the image before, NaN where that does not come back (Bouguet, 2000).
    """
    back, there = _flow(current, previous, xy)
    again, here = _flow(previous, current, back)
    good = there & here & (np.linalg.norm(again - xy, axis=1) < _RETURN_PX)
    return np.where(good[:, None], back, np.nan).astype(np.float64)


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
