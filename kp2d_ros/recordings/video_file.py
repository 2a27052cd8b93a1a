# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Video files as sequences, decoded by OpenCV.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from kp2d_ros.core.errors import DataError
from kp2d_ros.recordings.sequence import RecordedImage, Recording

VIDEO_SUFFIXES = frozenset({'.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpg', '.mpeg', '.webm'})
_NOMINAL_RATE_HZ = 30.0  # of a file that does not say


def is_video(path: Path) -> bool:
    """
    Whether a path is that of a video, by its name.
    """
    return path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES


def open_video(path: Path) -> Recording:
    """
    The frames of a video file at its nominal rate; their number is what the file says, an estimate for some formats.

    :raises DataError: if it is no video that OpenCV reads.
    """
    with _opened(path) as video:
        rate_hz, count = float(video.get(cv2.CAP_PROP_FPS)), int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    rate_hz = rate_hz if np.isfinite(rate_hz) and rate_hz > 0 else _NOMINAL_RATE_HZ

    def read() -> Iterator[RecordedImage]:
        seq = 0
        with _opened(path) as video:
            while (found := video.read())[0]:
                image = np.asarray(cv2.cvtColor(found[1], cv2.COLOR_BGR2RGB), np.uint8)
                yield RecordedImage(round(seq * 1e9 / rate_hz), image, str(path))
                seq += 1
        if seq == 0:
            raise DataError(f'{path}: found no frame that OpenCV can decode')

    return Recording(path.stem, max(count, 0), read)


@contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    video = cv2.VideoCapture(str(path))
    try:
        if not video.isOpened():
            raise DataError(f'{path}: is not a video that OpenCV can read, or is cut short')
        yield video
    finally:
        video.release()
