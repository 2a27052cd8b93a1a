# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Photographs for training: from folders, tar files and bags, all of one size, decoded once.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.records import Float64Array, ImageArray
from kp2d_ros.core.settings import setting, validate
from kp2d_ros.pairs.photo_sources import (
    FitImage,
    FolderSource,
    FrameSource,
    PhotoEntry,
    PhotoSource,
    TarSource,
    is_tar,
)
from kp2d_ros.recordings.sources import find_bag, open_sequence

_NAMED_SKIPS = 5  # skipped images named in a report
_SCAN_THREADS = 8

_log = logging.getLogger(__name__)

IndexArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PhotosConfig:
    """
    How photographs are found and kept.
    """

    recursive: bool = setting(True, 'folders: also their sub-folders')
    keep_aspect: bool = setting(False, 'cut the centre out instead of squeezing the image (public code: false)')
    storage_scale: float = setting(
        1.0, 'photographs are kept this much larger than the views; more than 1 is sharper', minimum=1, maximum=4
    )
    min_side_px: int = setting(64, 'images with a shorter side are skipped', minimum=1)
    max_file_mb: float = setting(256.0, 'larger image files are skipped', minimum=0.001)
    memory_limit_mb: float = setting(
        4096.0, 'decoded photographs kept in memory; if all of them need more, the latest ones', minimum=1
    )
    weights: tuple[float, ...] = setting((), 'share of each data path in an epoch; empty: by number of photographs')
    bag_topic: str = setting('', 'bags: the image topic; empty: the only one')
    bag_every: int = setting(5, 'bags: one image of this many, neighbours are almost the same', minimum=1)

    def __post_init__(self) -> None:
        validate(self)
        if any(not w >= 0 for w in self.weights) or (self.weights and not sum(self.weights) > 0):
            raise ConfigError(f'weights: found {list(self.weights)}, expected numbers from 0 on, not all 0')


@dataclass(frozen=True, slots=True)
class SkippedPhotos:
    """
    What could not be used: how many, and the first few with reasons.
    """

    count: int
    first: tuple[str, ...]

    def __str__(self) -> str:
        if not self.count:
            return 'no image skipped'
        more = f'; and {self.count - len(self.first)} more' if self.count > len(self.first) else ''
        return f'{self.count} images skipped: {"; ".join(self.first)}{more}'


class Photos:
    """
    N photographs (3, height, width), uint8 RGB; a selection of them shares their memory.

    ``names`` are (N,) labels; ``source`` is (N,), which data path each comes from; ``weights`` is (paths,), the share
    of each path in an epoch, or None for "by number".
    """

    def __init__(self, store: _Store, rows: IndexArray, weights: Float64Array | None, skipped: SkippedPhotos) -> None:
        self._store = store
        self._rows = rows
        self.source = store.source[rows]
        self.weights = weights
        self.skipped = skipped

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def height(self) -> int:
        """
        Rows of every photograph.
        """
        return self._store.fit.height

    @property
    def width(self) -> int:
        """
        Columns of every photograph.
        """
        return self._store.fit.width

    @property
    def names(self) -> tuple[str, ...]:
        """
        A label for each photograph: its data path and its name there.
        """
        return tuple(self._store.label(row) for row in self._rows)

    @property
    def fingerprint(self) -> str:
        """
        Says which data this is: a hash over the names and stored sizes of the photographs, not over where they lie.
        """
        digest = hashlib.sha256(f'{self.height}x{self.width}'.encode())
        for row in self._rows:
            entry = self._store.entry(row)
            digest.update(f'\n{self._store.source[row]}\0{entry.name}\0{entry.size}'.encode(errors='replace'))
        return digest.hexdigest()

    def read(self, indices: IndexArray) -> ImageArray:
        """
        A copy (B, 3, height, width) of some photographs.

        :raises DataError: if a file has changed since it was looked at and cannot be read any more.
        """
        return self._store.read(self._rows[indices])

    def take(self, indices: IndexArray) -> Photos:
        """
        Some of the photographs, in the order given.
        """
        return Photos(self._store, self._rows[indices], self.weights, self.skipped)

    def hold_out(self, count: int, seed: int) -> tuple[Photos, Photos]:
        """
        Two disjoint parts, for training and for validation, the second one of ``count`` photographs.

        They are drawn by chance from folders and tar files. Recordings give their last images, since neighbours are
        too much alike to be on both sides.

        :raises DataError: if there are not more photographs than that.
        """
        if not 0 < count < len(self):
            raise DataError(f'photographs held out: found {count} of {len(self)}, expected 1 to {len(self) - 1}')
        rank = np.random.default_rng(seed).random(len(self))
        for number, source in enumerate(self._store.sources):
            if source.is_sequence:
                rank[self.source == number] = np.linspace(0, 1, int(np.sum(self.source == number)), endpoint=False)
        order = np.argsort(rank, kind='stable')
        return self.take(np.sort(order[:-count])), self.take(np.sort(order[-count:]))


class _Store:
    """
    The images of all sources by row, kept in memory as far as the limit allows.
    """

    def __init__(self, sources: Sequence[PhotoSource], fit: FitImage, memory_limit: int) -> None:
        self.sources = sources
        self.fit = fit
        counts = [len(s.entries) for s in sources]
        self.source = np.repeat(np.arange(len(sources)), counts)
        self._first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        shape = (3, fit.height, fit.width)
        self._shape = shape
        self._capacity = max(1, memory_limit // int(np.prod(shape)))
        fits = len(self.source) <= self._capacity
        self._images: ImageArray | None = np.empty((len(self.source), *shape), np.uint8) if fits else None
        self._latest: OrderedDict[int, ImageArray] = OrderedDict()
        self._lock = threading.Lock()

    def entry(self, row: int) -> PhotoEntry:
        source = int(self.source[row])
        return self.sources[source].entries[row - int(self._first[source])]

    def label(self, row: int) -> str:
        return f'{self.sources[self.source[row]].location}/{self.entry(row).name}'

    def fill(self, row: int, min_side: int) -> str:
        """
        Read an image and keep it; the answer is empty, or says why it cannot be used.
        """
        try:
            image = self._decode(row, min_side)
        except DataError as error:
            return f'{self.label(row)!r}: {error}'
        if self._images is not None:
            self._images[row] = image
        else:
            self._remember(row, image)
        return ''

    def read(self, rows: IndexArray) -> ImageArray:
        if self._images is not None:
            return np.asarray(self._images[rows])
        images = np.empty((len(rows), *self._shape), np.uint8)
        for i, row in enumerate(rows.tolist()):
            images[i] = self._recall(row)
        return images

    def _decode(self, row: int, min_side: int) -> ImageArray:
        source = int(self.source[row])
        image = self.sources[source].read(row - int(self._first[source]))
        if min(image.shape[:2]) < min_side:
            raise DataError(f'found {image.shape[1]}x{image.shape[0]} pixels, expected sides of at least {min_side}')
        return np.ascontiguousarray(self.fit(image).transpose(2, 0, 1))

    def _recall(self, row: int) -> ImageArray:
        with self._lock:
            image = self._latest.get(row)
            if image is not None:
                self._latest.move_to_end(row)
                return image
        try:
            image = self._decode(row, 1)
        except DataError as error:
            raise DataError(f'{self.label(row)}: could be read before, now: {error}') from error
        self._remember(row, image)
        return image

    def _remember(self, row: int, image: ImageArray) -> None:
        with self._lock:
            self._latest[row] = image
            while len(self._latest) > self._capacity:
                self._latest.popitem(last=False)


def open_photos(paths: Sequence[Path], config: PhotosConfig, height: int, width: int) -> Photos:
    """
    Look at every image of some folders, tar files and bags, and keep what can be used.

    All are decoded once here, by several threads, so that their number is known before training starts.

    :param height: rows of the views made from them; ``storage_scale`` more are kept.
    :raises DataError: if a path does not exist, holds no image, or none that can be used.
    :raises ConfigError: if there are weights, but not one for each path.
    """
    if not paths:
        raise DataError('data: found no path, expected at least one folder, tar file or bag of images')
    if config.weights and len(config.weights) != len(paths):
        raise ConfigError(f'weights: found {len(config.weights)}, expected one for each of the {len(paths)} data paths')
    fit = FitImage(round(config.storage_scale * height), round(config.storage_scale * width), config.keep_aspect)
    store = _Store([open_source(p, config, fit) for p in paths], fit, int(config.memory_limit_mb * 1e6))
    with ThreadPoolExecutor(min(_SCAN_THREADS, os.cpu_count() or 1)) as pool:
        reasons = list(pool.map(lambda row: store.fill(row, config.min_side_px), range(len(store.source))))
    rows = np.flatnonzero([not reason for reason in reasons])
    problems = [f'{s.location}/{text}' for s in store.sources for text in s.refused] + [r for r in reasons if r]
    skipped = SkippedPhotos(len(problems), tuple(problems[:_NAMED_SKIPS]))
    for number, path in enumerate(paths):
        if not np.any(store.source[rows] == number):
            raise DataError(f'{path}: none of its images can be used; {skipped}')
    if skipped.count:
        _log.warning('%s', skipped)
    weights = np.asarray(config.weights, np.float64) if config.weights else None
    return Photos(store, rows, weights, skipped)


def open_source(path: Path, config: PhotosConfig, fit: FitImage) -> PhotoSource:
    """
    The source that reads a path: a folder, a tar file or a bag.

    :raises DataError: if it is none of them.
    """
    max_file_bytes = int(config.max_file_mb * 1e6)
    if not path.exists():
        raise DataError(f'{path}: does not exist, expected a folder, tar file or bag of images')
    if find_bag(path) is not None:
        frames = open_sequence(path, image_topic=config.bag_topic or None)
        return FrameSource(path, frames, fit, config.bag_every, int(config.memory_limit_mb * 1e6))
    if path.is_dir():
        return FolderSource(path, config.recursive, max_file_bytes)
    if is_tar(path):
        return TarSource(path, max_file_bytes)
    raise DataError(f'{path}: found a file that is no tar file or bag, expected a folder, tar file or bag of images')
