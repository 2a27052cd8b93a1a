# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Video files as sequences, decoded by OpenCV.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from kp2d_ros.core.cameras import CameraModel
from kp2d_ros.core.errors import DataError, ShapeError
from kp2d_ros.core.records import Frame
from kp2d_ros.core.trajectories import Trajectory

VIDEO_SUFFIXES = frozenset({'.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpg', '.mpeg', '.webm'})
_NOMINAL_RATE_HZ = 30.0  # of a file that does not say


@dataclass(frozen=True, slots=True)
class VideoSequence:
    """
    The frames of a video at its nominal rate; each iteration decodes them anew.

    ``frame_count`` is what the file says, which is an estimate for some formats.
    """

    name: str
    path: Path
    frame_count: int
    rate_hz: float
    camera: CameraModel | None = None
    ground_truth: Trajectory | None = None

    def __len__(self) -> int:
        return self.frame_count

    def __iter__(self) -> Iterator[Frame]:
        video = _open(self.path)
        try:
            seq = 0
            while (found := video.read())[0]:
                image = np.asarray(cv2.cvtColor(found[1], cv2.COLOR_BGR2RGB), np.uint8)
                try:
                    yield Frame(seq, round(seq * 1e9 / self.rate_hz), image, self.camera)
                except ShapeError as error:
                    raise DataError(f'{self.path}: {error}') from error
                seq += 1
        finally:
            video.release()
        if seq == 0:
            raise DataError(f'{self.path}: found no frame that OpenCV can decode')


def is_video(path: Path) -> bool:
    """
    Whether a path is that of a video, by its name.
    """
    return path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES


def open_video(path: Path) -> VideoSequence:
    """
    The frames of a video file.

    :raises DataError: if it is no video that OpenCV reads.
    """
    video = _open(path)
    try:
        rate_hz, count = float(video.get(cv2.CAP_PROP_FPS)), int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    finally:
        video.release()
    rate_hz = rate_hz if np.isfinite(rate_hz) and rate_hz > 0 else _NOMINAL_RATE_HZ
    return VideoSequence(path.stem, path, max(count, 0), rate_hz)


def _open(path: Path) -> cv2.VideoCapture:
    video = cv2.VideoCapture(str(path))
    if not video.isOpened():
        raise DataError(f'{path}: is not a video that OpenCV can read, or is cut short')
    return video
