# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Where training photographs come from: folders, tar files and the image topics of bags.

A source lists what it has and reads one image at a time, from any thread. Nothing is unpacked to disk: the names of a
tar's members are labels, never paths.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Frame, ImageArray
from kp2d_ros.recordings.image_decoding import decode_file
from kp2d_ros.recordings.image_files import IMAGE_SUFFIXES

_TAR_SUFFIX = '.tar'


@dataclass(frozen=True, slots=True)
class PhotoEntry:
    """
    One image of a source: its name there, and its size in bytes as stored.
    """

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class PhotoSource:
    """
    Images that can be read in any order, from any thread: ``read`` gives the image (H, W, 3), RGB, of an entry, or
    raises a DataError if it is no whole image.

    ``is_sequence`` says that neighbours resemble each other. ``refused`` are the names, with reasons, of what looked
    like an image and was left out unread.
    """

    location: Path
    entries: tuple[PhotoEntry, ...]
    read: Callable[[int], ImageArray]
    is_sequence: bool = False
    refused: tuple[str, ...] = ()


def open_folder(location: Path, recursive: bool, max_file_bytes: int) -> PhotoSource:
    """
    The image files of a folder, in the order of their names.

    :raises DataError: if there are none.
    """
    found = location.rglob('*') if recursive else location.glob('*')
    files = sorted(f for f in found if _looks_like_image(f.name) and f.is_file())
    if not files:
        hint = '' if recursive else ' (its sub-folders are left out: photos.recursive=false)'
        raise DataError(f'{location}: found no image{hint}, expected files of {", ".join(sorted(IMAGE_SUFFIXES))}')
    sized = [PhotoEntry(f.relative_to(location).as_posix(), f.stat().st_size) for f in files]
    entries = tuple(e for e in sized if e.size <= max_file_bytes)
    refused = tuple(_too_large(e, max_file_bytes) for e in sized if e.size > max_file_bytes)
    return PhotoSource(location, entries, lambda i: _read_photo(location / entries[i].name), refused=refused)


def open_tar(location: Path, max_file_bytes: int) -> PhotoSource:
    """
    The image members of an uncompressed tar file, in its order, read at their offsets.

    Links, devices and sparse members are no images; a member that would reach beyond the file is left out.

    :raises DataError: if it is no such file, or holds no image.
    """
    entries, offsets, refused = [], [], []
    end = location.stat().st_size
    try:
        with tarfile.open(location, 'r:') as tar:
            for member in tar:
                if not (member.isfile() and _looks_like_image(Path(member.name).name)) or member.issparse():
                    continue
                entry = PhotoEntry(member.name, member.size)
                if not 0 <= member.size <= min(max_file_bytes, end - member.offset_data):
                    refused.append(_too_large(entry, max_file_bytes))
                    continue
                entries.append(entry)
                offsets.append(member.offset_data)
    except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
        raise DataError(f'{location}: cannot be read as an uncompressed tar file: {error}') from error
    if not entries and not refused:
        raise DataError(f'{location}: found no image, expected members of {", ".join(sorted(IMAGE_SUFFIXES))}')
    return PhotoSource(
        location,
        tuple(entries),
        lambda i: _read_photo(location, offsets[i], entries[i].size),
        refused=tuple(refused),
    )


def keep_frames(location: Path, frames: Iterable[Frame], fit: FitImage, every: int, max_bytes: int) -> PhotoSource:
    """
    Every n-th image of a recording, kept in memory at the size of the photographs: a bag cannot be read in any order.

    A recording that cannot be read to its end gives what comes before.

    :param frames: the recording, read once from the beginning.
    :param every: one image of this many is kept, since neighbours are almost the same.
    :param max_bytes: what they may take together.
    :raises DataError: if there is no image, or they take more.
    """
    images: list[ImageArray] = []
    entries: list[PhotoEntry] = []
    refused: tuple[str, ...] = ()
    try:
        for frame in islice(frames, 0, None, every):
            images.append(fit(as_rgb(frame.image)))
            entries.append(PhotoEntry(f'{frame.stamp_ns}', frame.image.nbytes))
            if len(images) * images[0].nbytes > max_bytes:
                break
    except DataError as error:
        if not entries:
            raise
        refused = (f'the rest: {error}',)
    if not entries:
        raise DataError(f'{location}: found no image message, expected some')
    if len(images) * images[0].nbytes > max_bytes:
        raise DataError(
            f'{location}: found images of more than {max_bytes / 1e6:.0f} MB, expected fewer of them '
            f'(photos.bag_every, now {every}) or a larger photos.memory_limit_mb'
        )
    return PhotoSource(location, tuple(entries), images.__getitem__, is_sequence=True, refused=refused)


@dataclass(frozen=True, slots=True)
class FitImage:
    """
    Brings an RGB image to one size: the whole image squeezed, or its largest centred part of that shape.
    """

    height: int
    width: int
    keep_aspect: bool

    def __call__(self, image: ImageArray) -> ImageArray:
        """
        The image (height, width, 3); the same array if it already has that size.
        """
        if self.keep_aspect:
            image = _centre_crop(image, self.width / self.height)
        height, width = image.shape[:2]
        if (height, width) == (self.height, self.width):
            return image
        shrinks = self.height <= height and self.width <= width
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(image, (self.width, self.height), interpolation=how), np.uint8)


def as_rgb(image: ImageArray) -> ImageArray:
    """
    RGB (H, W, 3) of a gray (H, W) or RGB image.
    """
    return image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)


def is_tar(path: Path) -> bool:
    """
    Whether a path is that of a tar file, by its name or what it holds.
    """
    return path.is_file() and (path.suffix.lower() == _TAR_SUFFIX or tarfile.is_tarfile(path))


def _read_photo(path: Path, offset: int = 0, size: int = -1) -> ImageArray:
    try:
        with path.open('rb') as file:
            file.seek(offset)
            content = file.read(size)
    except OSError as error:
        raise DataError(f'cannot be read: {error.strerror}') from error
    return as_rgb(decode_file(content))


def _looks_like_image(name: str) -> bool:
    return not name.startswith('.') and Path(name).suffix.lower() in IMAGE_SUFFIXES


def _too_large(entry: PhotoEntry, limit: int) -> str:
    return f'{entry.name!r}: {entry.size} bytes, more than its file holds or the limit of {limit}'


def _centre_crop(image: ImageArray, aspect: float) -> ImageArray:
    height, width = image.shape[:2]
    kept_width = min(width, max(1, round(height * aspect)))
    kept_height = min(height, max(1, round(width / aspect)))
    top, left = (height - kept_height) // 2, (width - kept_width) // 2
    return np.ascontiguousarray(image[top : top + kept_height, left : left + kept_width])
