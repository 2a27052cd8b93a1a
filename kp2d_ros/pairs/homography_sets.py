# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Pairs of images under known homographies: folders in the layout of HPatches, and pairs made from photographs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import BoolArray, Float64Array, ImageArray
from kp2d_ros.core.settings import build, merge, setting, validate
from kp2d_ros.pairs.photo_sources import as_rgb
from kp2d_ros.recordings.image_decoding import read_image
from kp2d_ros.recordings.text_tables import numbers_of, read_rows

if TYPE_CHECKING:
    from kp2d_ros.pairs.pair_maker import PairBatch

VIEWPOINT, ILLUMINATION = 'v_', 'i_'  # how the names of the folders begin

_FIRST, _OTHERS = 1, range(2, 7)
_SUFFIXES = ('.ppm', '.png', '.jpg', '.jpeg')
_WORST_CONDITION = 1e14


@dataclass(frozen=True, slots=True)
class HomographyPair:
    """
    Two images of a sequence by the names that their set reads, and the (3, 3) homography between their pixels.
    """

    sequence: str
    source: str
    target: str
    target_from_source: Float64Array


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """
    An RGB image (H, W, 3); ``valid`` (H, W) is False where it shows nothing of the scene, None if it does everywhere.
    """

    image: ImageArray
    valid: BoolArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class HomographySet:
    """
    Pairs, sequence after sequence; ``read`` gives an image that a pair names, or raises a DataError if it cannot.

    ``name`` is what a report calls the set.
    """

    name: str
    pairs: tuple[HomographyPair, ...]
    read: Callable[[str], View]


@dataclass(frozen=True, slots=True)
class SyntheticConfig:
    """
    How pairs are made from photographs.
    """

    preset: str = setting(
        'wide',
        'views and light as in training: official_code (rotations of a few degrees), paper, wide',
        choices=('official_code', 'paper', 'wide'),
    )
    pairs: int = setting(5, 'pairs of each photograph', minimum=1, maximum=1000)
    photographs: int = setting(0, 'use so many of the photographs, evenly spread; 0: all', minimum=0)
    seed: int = setting(0, 'of the views', minimum=0, maximum=2**31)

    def __post_init__(self) -> None:
        validate(self)


def open_hpatches(folder: Path) -> HomographySet:
    """
    A folder of sequences ``i_*`` and ``v_*``: images 1 to 6 (ppm, png or jpg) and matrices ``H_1_2`` to ``H_1_6``.

    Matrices are looked at now, images (their pixels as they are stored) when they are read.

    :raises DataError: if there is no sequence, an image or matrix is missing, or a matrix is none.
    """
    sequences = _sequence_folders(folder)
    if not sequences:
        hint = '; this folder is a sequence itself' if (folder / 'H_1_2').is_file() else ''
        raise DataError(f'{folder}: found no sequence, expected folders whose names begin with i_ or v_{hint}')
    pairs = tuple(pair for sequence in sequences for pair in _pairs_of(sequence))
    return HomographySet(folder.name, pairs, lambda image: View(as_rgb(read_image(folder / image))))


def open_synthetic(path: Path, size: tuple[int, int], config: SyntheticConfig) -> HomographySet:
    """
    Pairs of views of photographs, made when they are read; the same for the same photographs, size and settings.

    Both views are made new for each pair, as in training: by a random homography, with other light and noise. They are
    called by the number of the pair and ``S`` or ``T``.

    :param path: a folder or tar file of photographs, or a bag.
    :param size: width and height of the views.
    :raises DataError: if there is no photograph.
    """
    # torch is needed for this set alone.
    from kp2d_ros.pairs.pair_maker import PAIR_PRESETS, PairConfig, PairMaker, draw_pairs
    from kp2d_ros.pairs.photos import open_photos

    width, height = size
    settings = build(PairConfig, merge(PAIR_PRESETS[config.preset], {'height': height, 'width': width}))
    photos = open_photos([path], settings.photos, height, width)
    if config.photographs and config.photographs < len(photos):
        photos = photos.take(np.linspace(0, len(photos) - 1, config.photographs).round().astype(np.int64))
    indices = (np.arange(len(photos))[:, None] + len(photos) * np.arange(config.pairs)).reshape(-1)
    draw = draw_pairs(settings, config.seed, 0, indices)
    names = _distinct([Path(name).name for name in photos.names])
    to_pixels = _pixels_from_normalised(width, height)
    to_normalised = np.linalg.inv(to_pixels)
    pairs = tuple(
        HomographyPair(names[index % len(photos)], f'{index}S', f'{index}T', to_pixels @ matrix @ to_normalised)
        for index, matrix in zip(indices.tolist(), draw.target_from_source, strict=True)
    )
    maker = PairMaker(photos, settings, config.seed)

    @lru_cache(1)  # both views of a pair are made together, and read one after the other
    def make(index: int) -> PairBatch:
        return maker.make(np.array([index]), epoch=0)

    def read(image: str) -> View:
        batch = make(int(image[:-1]))
        source = image[-1] == 'S'
        view, valid = (batch.source, batch.source_valid) if source else (batch.target, batch.target_valid)
        pixels = (view[0] * 255).round().byte().permute(1, 2, 0).numpy()
        shown = valid[0, 0].numpy()
        return View(np.ascontiguousarray(pixels), None if shown.all() else shown)

    name = f'{path.name}, {len(photos)} photographs, preset {config.preset}, seed {config.seed}'
    return HomographySet(name, pairs, read)


def open_homography_set(path: Path, size: tuple[int, int], synthetic: SyntheticConfig) -> HomographySet:
    """
    The HPatches folder at a path; anything else is taken for photographs to make pairs of this size from.

    :raises DataError: if the path does not exist, or holds neither sequences nor photographs.
    """
    if not path.exists():
        raise DataError(f'{path}: does not exist, expected an HPatches folder, or a folder, tar or bag of photographs')
    if path.is_dir() and (_sequence_folders(path) or (path / 'H_1_2').is_file()):
        return open_hpatches(path)
    try:
        return open_synthetic(path, size, synthetic)
    except DataError as error:
        raise DataError(f'{error}; nor has it sequences of HPatches (folders i_* and v_*)') from error


def set_fingerprint(pairs: Sequence[HomographyPair], image_hashes: dict[str, str]) -> str:
    """
    Says which data was evaluated: a hash over the names, matrices and images of the pairs.
    """
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update('\0'.join([pair.sequence, image_hashes[pair.source], image_hashes[pair.target]]).encode())
        digest.update(np.ascontiguousarray(pair.target_from_source, '<f8').tobytes())
    return digest.hexdigest()


def _sequence_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(f for f in folder.iterdir() if f.name.startswith((ILLUMINATION, VIEWPOINT)) and f.is_dir())


def _pairs_of(folder: Path) -> list[HomographyPair]:
    names = {number: f'{folder.name}/{_image_file(folder, number)}' for number in (_FIRST, *_OTHERS)}
    return [
        HomographyPair(folder.name, names[_FIRST], names[number], _read_matrix(folder / f'H_{_FIRST}_{number}'))
        for number in _OTHERS
    ]


def _image_file(folder: Path, number: int) -> str:
    found = [f'{number}{suffix}' for suffix in _SUFFIXES if (folder / f'{number}{suffix}').is_file()]
    if len(found) != 1:
        wanted = ', '.join(f'{number}{suffix}' for suffix in _SUFFIXES)
        raise DataError(
            f'{folder}: found {" and ".join(found) or "no image"} for number {number}, expected one of {wanted}'
        )
    return found[0]


def _read_matrix(path: Path) -> Float64Array:
    if not path.is_file():
        raise DataError(f'{path}: is missing, expected a homography: 3 lines of 3 numbers')
    rows = read_rows(path)
    if len(rows) != 3:
        raise DataError(f'{path}: found {len(rows)} lines, expected a homography: 3 lines of 3 numbers')
    matrix = np.stack([numbers_of(row, row.words(), 3) for row in rows])
    if not np.linalg.cond(matrix) < _WORST_CONDITION:
        raise DataError(f'{path}: found a matrix that cannot be inverted, expected a homography')
    return np.asarray(matrix, np.float64)


def _pixels_from_normalised(width: int, height: int) -> Float64Array:
    """
    From x and y in [-1, 1] between the centres of the outermost pixels to pixels.
    """
    x, y = (width - 1) / 2, (height - 1) / 2
    return np.array([[x, 0, x], [0, y, y], [0, 0, 1.0]])


def _distinct(names: Sequence[str]) -> list[str]:
    """
    The names, with a number behind those that occur more than once.
    """
    seen: dict[str, int] = {}
    made = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        made.append(name if seen[name] == 1 else f'{name} ({seen[name]})')
    return made
