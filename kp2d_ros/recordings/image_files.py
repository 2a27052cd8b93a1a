# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Sequences of image files: what the folder layouts have in common.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kp2d_ros.core.cameras import CameraModel
from kp2d_ros.core.errors import DataError, ShapeError
from kp2d_ros.core.records import Frame
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.recordings.image_decoding import read_image

IMAGE_SUFFIXES = frozenset({'.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp'})


@dataclass(frozen=True, slots=True)
class ImageFileSequence:
    """
    Image files with their times; each iteration reads them anew.

    A file that is missing or broken, or whose size is not the camera's, ends the iteration with a DataError that names
    it: a gap would look like a jump of the camera.

    :raises DataError: if there is no image.
    """

    name: str
    stamps_ns: tuple[int, ...]
    paths: tuple[Path, ...]
    camera: CameraModel | None = None
    ground_truth: Trajectory | None = None

    def __post_init__(self) -> None:
        if not self.paths or len(self.paths) != len(self.stamps_ns):
            raise DataError(
                f'sequence {self.name}: found {len(self.paths)} images and {len(self.stamps_ns)} times, '
                'expected as many of both, and at least one'
            )

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Frame]:
        for seq, (stamp_ns, path) in enumerate(zip(self.stamps_ns, self.paths, strict=True)):
            image = read_image(path)
            try:
                yield Frame(seq, stamp_ns, image, self.camera)
            except ShapeError as error:
                raise DataError(f'{path}: {error}') from error


def list_images(folder: Path) -> list[Path]:
    """
    Image files of a folder, numbers in their names counted as numbers (9.png before 10.png); empty without a folder.
    """
    if not folder.is_dir():
        return []
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != '.']
    return sorted(files, key=lambda path: [(int(n or 0), text) for n, text in re.findall(r'(\d*)(\D*)', path.name)])


def image_size(path: Path) -> tuple[int, int]:
    """
    Width and height of an image file.

    :raises DataError: naming the file, if it is missing or no whole image.
    """
    height, width = read_image(path).shape[:2]
    return width, height
