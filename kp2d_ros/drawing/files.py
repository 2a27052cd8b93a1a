# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Where pictures go: one file, a folder of files, or a video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.files import atomic_path, claim_folder, write_bytes
from kp2d_ros.core.records import ImageArray

PICTURE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.webp')
_CODECS = {'.mp4': 'mp4v', '.avi': 'MJPG'}

AddPicture = Callable[[str, ImageArray], None]  # takes a name and an RGB picture


def is_video_name(path: Path) -> bool:
    """
    Whether pictures written there become a video.
    """
    return path.suffix.lower() in _CODECS


@contextmanager
def open_sink(out: Path, rate_hz: float) -> Iterator[AddPicture]:
    """
    What takes pictures one after the other: into a video for a name that ends in .mp4 or .avi, else into a folder of
    JPEG files, which is claimed until the ``with`` block ends.

    A video has the size of its first picture, begins with it, and is there when the ``with`` block has ended well.

    :raises DataError: if the name is that of a single picture, something cannot be written, or a picture of a video
        has another size than the first one.
    """
    if out.suffix.lower() in PICTURE_SUFFIXES:
        raise DataError(f'{out}: found the name of one picture for many, expected a folder, or a name in .mp4 or .avi')
    if not is_video_name(out):
        with claim_folder(out):
            yield lambda name, picture: write_picture(out / f'{name}.jpg', picture)
        return
    with ExitStack() as stack:
        video = _Video(out, rate_hz)

        def add(name: str, picture: ImageArray) -> None:
            if video.part is None:
                video.begin(stack.enter_context(atomic_path(out)), (picture.shape[1], picture.shape[0]))
            video.add(name, picture)

        yield add
        video.finish()


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


class _Video:
    """
    A video that is being written, into a file beside the one that it will be.
    """

    def __init__(self, path: Path, rate_hz: float) -> None:
        self.part: Path | None = None
        self._path = path
        self._rate_hz = rate_hz
        self._count = 0

    def begin(self, part: Path, size: tuple[int, int]) -> None:
        self.part, self._size = part, size
        even = (size[0] // 2 * 2, size[1] // 2 * 2)  # what most codecs want
        codec = cv2.VideoWriter.fourcc(*_CODECS[part.suffix.lower()])
        self._writer = cv2.VideoWriter(str(part), codec, self._rate_hz, even)
        if not self._writer.isOpened():
            raise DataError(f'{self._path}: OpenCV cannot write this video; another suffix (.avi, .mp4) may do')

    def add(self, name: str, picture: ImageArray) -> None:
        width, height = self._size
        if picture.shape[:2] != (height, width):
            raise DataError(
                f'{self._path}: found a picture of {picture.shape[1]}x{picture.shape[0]} ({name}), expected '
                f'{width}x{height} as of the first one; write to a folder instead'
            )
        self._writer.write(cv2.cvtColor(picture[: height // 2 * 2, : width // 2 * 2], cv2.COLOR_RGB2BGR))
        self._count += 1

    def finish(self) -> None:
        if self.part is None:
            return
        self._writer.release()
        # OpenCV does not say when a disk is full.
        written = int(cv2.VideoCapture(str(self.part)).get(cv2.CAP_PROP_FRAME_COUNT))
        if written < max(1, self._count):
            raise DataError(
                f'{self._path}: cannot be written: found {max(0, written)} pictures in it, expected {self._count}; '
                'the disk may be full'
            )
