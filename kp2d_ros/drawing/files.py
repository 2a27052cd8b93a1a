# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Where pictures go: one file, a folder of files, or a video.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.files import write_bytes
from kp2d_ros.core.records import ImageArray

PICTURE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.webp')
_CODECS = {'.mp4': 'mp4v', '.avi': 'MJPG'}


class PictureSink(Protocol):
    """
    Takes RGB pictures one after the other.
    """

    def add(self, name: str, picture: ImageArray) -> None:
        """
        Write the next picture.

        :raises DataError: if it cannot be written.
        """

    def close(self) -> None:
        """
        Finish; nothing is added any more.
        """


def is_video_name(path: Path) -> bool:
    """
    Whether pictures written there become a video.
    """
    return path.suffix.lower() in _CODECS


def open_sink(out: Path, rate_hz: float) -> PictureSink:
    """
    A video for a name that ends in .mp4 or .avi, else a folder.

    :raises DataError: if the name is that of a single picture.
    """
    if is_video_name(out):
        return VideoSink(out, rate_hz)
    if out.suffix.lower() in PICTURE_SUFFIXES:
        raise DataError(f'{out}: found the name of one picture for many, expected a folder, or a name in .mp4 or .avi')
    return FolderSink(out)


def write_picture(path: Path, picture: ImageArray) -> None:
    """
    Write an RGB picture; folders above it are made.

    :raises DataError: if the name is of no known kind, or the file cannot be written.
    """
    try:
        encodable, content = cv2.imencode(path.suffix or '.png', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    except cv2.error:
        encodable = False
    if not encodable:
        raise DataError(f'{path}: cannot write pictures of this kind, expected a name that ends in .png or .jpg')
    write_bytes(path, content.tobytes())


class FolderSink:
    """
    One JPEG file for each picture.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, name: str, picture: ImageArray) -> None:
        """
        Write ``name.jpg``.

        :raises DataError: if it cannot be written.
        """
        write_picture(self._folder / f'{name}.jpg', picture)

    def close(self) -> None:
        """
        Nothing is left to do.
        """


class VideoSink:
    """
    A video whose size is that of the first picture; it begins with the first one.
    """

    def __init__(self, path: Path, rate_hz: float) -> None:
        self._path = path
        self._rate_hz = rate_hz
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def add(self, name: str, picture: ImageArray) -> None:
        """
        Append a picture.

        :raises DataError: if the video cannot be written, or the picture has another size than the first one.
        """
        size = (picture.shape[1], picture.shape[0])
        if self._writer is None:
            self._size = size
            self._writer = self._begin()
        if size != self._size:
            raise DataError(
                f'{self._path}: found a picture of {size[0]}x{size[1]} ({name}), expected {self._size[0]}x'
                f'{self._size[1]} as of the first one; write to a folder instead'
            )
        even = picture[: size[1] // 2 * 2, : size[0] // 2 * 2]  # what most codecs want
        self._writer.write(cv2.cvtColor(even, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """
        Finish the file.
        """
        if self._writer is not None:
            self._writer.release()

    def _begin(self) -> cv2.VideoWriter:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f'{self._path}: cannot be written: {error.strerror}') from error
        codec = cv2.VideoWriter.fourcc(*_CODECS[self._path.suffix.lower()])
        even = (self._size[0] // 2 * 2, self._size[1] // 2 * 2)
        writer = cv2.VideoWriter(str(self._path), codec, self._rate_hz, even)
        if not writer.isOpened():
            raise DataError(f'{self._path}: OpenCV cannot write this video; another suffix (.avi, .mp4) may do')
        return writer
