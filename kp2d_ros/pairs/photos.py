# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Photographs for training: from folders, tar files and bags, all of one size, decoded once.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.records import Float64Array, ImageArray
from kp2d_ros.core.settings import setting, validate
from kp2d_ros.pairs.photo_sources import FitImage, PhotoEntry, PhotoSource, is_tar, keep_frames, open_folder, open_tar
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
    The images of all sources by row, the latest ones kept in memory as far as the limit allows.
    """

    def __init__(self, sources: Sequence[PhotoSource], fit: FitImage, min_side: int, memory_limit: int) -> None:
        self.sources = sources
        self.fit = fit
        self._min_side = min_side
        self._places = [(number, i) for number, source in enumerate(sources) for i in range(len(source.entries))]
        self.source = np.array([number for number, _ in self._places], np.int64)
        self._image = lru_cache(max(1, memory_limit // (3 * fit.height * fit.width)))(self._decode)

    def __len__(self) -> int:
        return len(self._places)

    def entry(self, row: int) -> PhotoEntry:
        number, i = self._places[row]
        return self.sources[number].entries[i]

    def label(self, row: int) -> str:
        return f'{self.sources[self._places[row][0]].location}/{self.entry(row).name}'

    def problem(self, row: int) -> str:
        """
        Why an image cannot be used; empty if it can, and is kept.
        """
        try:
            self._image(row)
        except DataError as error:
            return f'{self.label(row)!r}: {error}'
        return ''

    def read(self, rows: IndexArray) -> ImageArray:
        images = np.empty((len(rows), 3, self.fit.height, self.fit.width), np.uint8)
        for image, row in zip(images, rows.tolist(), strict=True):
            try:
                image[:] = self._image(row)
            except DataError as error:
                raise DataError(f'{self.label(row)}: could be read before, now: {error}') from error
        return images

    def _decode(self, row: int) -> ImageArray:
        number, i = self._places[row]
        image = self.sources[number].read(i)
        if min(image.shape[:2]) < self._min_side:
            raise DataError(
                f'found {image.shape[1]}x{image.shape[0]} pixels, expected sides of at least {self._min_side}'
            )
        return np.ascontiguousarray(self.fit(image).transpose(2, 0, 1))


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
    sources = [_open_source(path, config, fit) for path in paths]
    store = _Store(sources, fit, config.min_side_px, int(config.memory_limit_mb * 1e6))
    with ThreadPoolExecutor(min(_SCAN_THREADS, os.cpu_count() or 1)) as pool:
        reasons = list(pool.map(store.problem, range(len(store))))
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


def _open_source(path: Path, config: PhotosConfig, fit: FitImage) -> PhotoSource:
    max_file_bytes = int(config.max_file_mb * 1e6)
    if not path.exists():
        raise DataError(f'{path}: does not exist, expected a folder, tar file or bag of images')
    if find_bag(path) is not None:
        frames = open_sequence(path, image_topic=config.bag_topic or None)
        return keep_frames(path, frames, fit, config.bag_every, int(config.memory_limit_mb * 1e6))
    if path.is_dir():
        return open_folder(path, config.recursive, max_file_bytes)
    if is_tar(path):
        return open_tar(path, max_file_bytes)
    raise DataError(f'{path}: found a file that is no tar file or bag, expected a folder, tar file or bag of images')
