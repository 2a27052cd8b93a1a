# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Where matched keypoints are exactly: the patches around them, laid on one another (Lucas and Kanade, 1981).

A detector finds each keypoint twice, independently, and errs twice. What odometry needs is how far a point moved, and
that two images tell more precisely than two detections. The match says where to look; the images decide by how much it
is off. What goes further than a detector errs, or does not come back to where it began, stays as found.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from kp2d_ros.core.records import BoolArray, Float32Array, Float64Array, ImageArray
from kp2d_ros.core.settings import setting, validate

_STEPS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 15, 0.01)
_RETURN_PX = 0.25  # forth and back may end this far from the beginning
_FLAT_SIDE_PX = 15  # of the surroundings that give a pixel its brightness and contrast
_FLAT_NOISE = 4.0  # gray levels of deviation that are as likely noise
_FLAT_GAIN = 40.0  # gray levels of one deviation
_TURN_PX = 8.0  # matches this near to a common turn and zoom support it
_NO_TURN = 0.02  # patches need no turning if a turn and zoom differs from none by less


@dataclass(frozen=True, slots=True)
class AlignmentConfig:
    """
    On what matched keypoints are aligned, and how far.
    """

    window_px: int = setting(
        15,
        'side of the patches that are compared; below 3: keypoints stay as found',
        minimum=0,
        maximum=99,
        runtime=True,
    )
    max_shift_px: float = setting(
        4.0, 'a keypoint that would move further stays as found', minimum=0.0, maximum=100.0, runtime=True
    )

    def __post_init__(self) -> None:
        validate(self)


class AlignableImage:
    """
    An image of which patches are compared.

    :param image: (H, W) gray or (H, W, 3) RGB, uint8.
    """

    def __init__(self, image: ImageArray) -> None:
        self._image = image

    @property
    def size(self) -> tuple[int, int]:
        """
        (height, width).
        """
        return self._image.shape[0], self._image.shape[1]

    @cached_property
    def gray(self) -> ImageArray:
        """
        (H, W) uint8.
        """
        return self._image if self._image.ndim == 2 else np.asarray(cv2.cvtColor(self._image, cv2.COLOR_RGB2GRAY))

    @cached_property
    def flat(self) -> ImageArray:
        """
        (H, W) uint8: every pixel relative to its surroundings, which takes out exposure, vignettes and shadows.
        """
        gray = self.gray
        side = (_FLAT_SIDE_PX, _FLAT_SIDE_PX)
        mean = np.asarray(cv2.boxFilter(gray, cv2.CV_32F, side), np.float32)
        deviation = np.asarray(cv2.sqrBoxFilter(gray, cv2.CV_32F, side), np.float32)
        deviation -= mean * mean
        np.sqrt(np.maximum(deviation, 0.0, out=deviation), out=deviation)
        relative = np.subtract(gray, mean, dtype=np.float32)
        relative /= deviation + _FLAT_NOISE
        relative *= _FLAT_GAIN
        relative += 128.0
        return np.asarray(np.clip(relative, 0, 255, out=relative), np.uint8)


def align(
    reference: AlignableImage,
    current: AlignableImage,
    reference_xy: Float32Array,
    current_xy: Float32Array,
    config: AlignmentConfig,
    *,
    may_turn: bool = True,
) -> tuple[Float32Array, BoolArray]:
    """
    (M, 2) positions in the current image of the points at ``reference_xy`` (M, 2), and (M,) which of them moved.

    :param current_xy: (M, 2) where they were found; those that cannot be aligned stay there.
    :param may_turn: whether the patches of the current image are turned and zoomed as most of the matches say; not so
        between the cameras of a rig, which stand side by side.
    """
    if config.window_px < 3 or not len(current_xy):
        return current_xy, np.zeros(len(current_xy), np.bool_)
    turn = _common_turn(reference_xy, current_xy) if may_turn else None
    height, width = current.size
    patches, found_xy = current.flat, current_xy
    if turn is not None:
        patches = _warped(patches, turn)
        found_xy = _transformed(turn, current_xy)
    ahead, is_there = _follow(reference.flat, patches, reference_xy, found_xy, config.window_px)
    back, is_here = _follow(patches, reference.flat, ahead, reference_xy, config.window_px)
    aligned_xy = ahead if turn is None else _transformed(np.asarray(cv2.invertAffineTransform(turn), np.float64), ahead)
    moved = is_there & is_here
    moved &= np.linalg.norm(back - reference_xy, axis=1) < _RETURN_PX
    moved &= np.linalg.norm(aligned_xy - current_xy, axis=1) < config.max_shift_px
    moved &= ((aligned_xy >= 0) & (aligned_xy <= (width - 1, height - 1))).all(axis=1)
    return np.where(moved[:, None], aligned_xy, current_xy), moved


def _common_turn(reference_xy: Float32Array, current_xy: Float32Array) -> Float64Array | None:
    """
    (2, 3) reference from current: the turn, zoom and shift of most of the points; None if it neither turns nor zooms.
    """
    if len(current_xy) < 3:
        return None
    turn, _ = cv2.estimateAffinePartial2D(current_xy, reference_xy, ransacReprojThreshold=_TURN_PX)
    if turn is None or np.abs(turn[:, :2] - np.eye(2)).max() < _NO_TURN:
        return None
    return np.asarray(turn, np.float64)


def _transformed(affine: Float64Array, xy: Float32Array) -> Float32Array:
    return np.asarray(xy @ affine[:, :2].T + affine[:, 2], np.float32)


def _warped(image: ImageArray, affine: Float64Array) -> ImageArray:
    size = (image.shape[1], image.shape[0])
    warped = cv2.warpAffine(image, affine, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


def _follow(
    first: ImageArray, second: ImageArray, first_xy: Float32Array, second_xy: Float32Array, window: int
) -> tuple[Float32Array, BoolArray]:
    """
    (M, 2) where the patches around ``first_xy`` are in the second image, searched from ``second_xy`` on, and (M,) if at
    all.
    """
    found, status, _ = cv2.calcOpticalFlowPyrLK(
        first,
        second,
        first_xy.reshape(-1, 1, 2),
        second_xy.reshape(-1, 1, 2).copy(),
        winSize=(window, window),
        maxLevel=0,
        criteria=_STEPS,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    return np.asarray(found[:, 0], np.float32), status[:, 0].astype(np.bool_)
