# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Where keypoints may be: not on the parts of the robot that the camera sees, and not at the border of the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from kp2d_ros.core.checks import are_of_one_shape
from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.records import BoolArray, Float64Array

_JPEG_START = b'\xff\xd8'
_JPEG_BLACK = 127  # a lossy image has no clean black


@dataclass(frozen=True, slots=True, eq=False)
class KeypointMask:
    """
    ``pixels`` (H, W), True where keypoints may be, of an image of any size but one shape; None: everywhere.

    ``border_px``: the widths at the left, top, right and bottom where none may be, in pixels of the image as it came.

    :raises ConfigError: if the borders are not four.
    """

    pixels: BoolArray | None = None
    border_px: tuple[int, ...] = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        if len(self.border_px) != 4:
            raise ConfigError(f'mask_border_px: found {list(self.border_px)}, expected left, top, right and bottom')

    @property
    def is_empty(self) -> bool:
        """
        Whether keypoints may be everywhere.
        """
        return self.pixels is None and not any(self.border_px)

    def allows(
        self, xy: npt.NDArray[np.floating], size: tuple[int, int], scale: Float64Array | float = 1.0
    ) -> BoolArray:
        """
        (N,) whether keypoints may be at pixels (N, 2) of an image of a ``size`` (height, width), shrunk by ``scale``.

        :raises ConfigError: if the mask is for images of another shape, or the borders leave nothing.
        """
        xy = np.nan_to_num(xy.astype(np.float64), nan=-1.0)
        corner = np.array([size[1], size[0]])
        left, top, right, bottom = np.array(self.border_px) * np.broadcast_to(scale, 2)[[0, 1, 0, 1]]
        if left + right >= size[1] or top + bottom >= size[0]:
            raise ConfigError(
                f'mask_border_px: found {list(self.border_px)}, expected to leave something of an image of '
                f'{_written(np.round(corner / scale))}'
            )
        edges = xy + 0.5  # from the edges of the image on
        inside = ((edges >= (left, top)) & (edges < corner - (right, bottom))).all(axis=1)
        if self.pixels is None:
            return np.asarray(inside)
        if not are_of_one_shape((self.pixels.shape[0], self.pixels.shape[1]), size):
            raise ConfigError(
                f'mask: found an image of {_written(self.pixels.shape[::-1])} for images of '
                f'{_written(np.round(corner / scale))}, expected one of that size or that shape'
            )
        place = np.floor(edges * (np.array(self.pixels.shape[::-1]) / corner)).astype(np.intp)
        column, row = np.clip(place, 0, np.array(self.pixels.shape[::-1]) - 1).T
        return np.asarray(inside & self.pixels[row, column])


def free_pixels(mask: KeypointMask, size: tuple[int, int]) -> BoolArray:
    """
    (H, W) where keypoints may be in an image of a ``size`` (height, width) as it came.

    :raises ConfigError: as :meth:`KeypointMask.allows`.
    """
    rows, columns = np.indices(size)
    return mask.allows(np.column_stack([columns.ravel(), rows.ravel()]).astype(np.float64), size).reshape(size)


def load_mask(path: str, border_px: tuple[int, ...]) -> KeypointMask:
    """
    The mask of the settings ``mask`` and ``mask_border_px``: an image file, or none if the path is empty.

    Keypoints may be where the image is not 0; in a JPEG, which has no clean black, where it is brighter than half.

    :raises ConfigError: if the file is no image, or all of it is black, or the borders are not four.
    """
    if not path:
        return KeypointMask(None, border_px)
    pixels = _read(Path(path).expanduser())
    if not pixels.any():
        raise ConfigError(
            f'mask: {path}: found an image that is black everywhere, expected white where keypoints may be'
        )
    return KeypointMask(pixels, border_px)


def _read(path: Path) -> BoolArray:
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise ConfigError(f'mask: {path}: cannot be read: {getattr(error, "strerror", None) or error}') from error
    image = None
    if content:
        try:
            # Colours count by their brightness and transparency does not; 16 bits stay, or 1 of them would become 0.
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
        except cv2.error:  # larger than OpenCV takes
            image = None
    if image is None:
        raise ConfigError(f'mask: {path}: found no image, expected a PNG or another image, black where none may be')
    return np.asarray(image > (_JPEG_BLACK if content.startswith(_JPEG_START) else 0))


def _written(size: npt.ArrayLike) -> str:
    width, height = np.asarray(size, np.intp)
    return f'{width}x{height}'
