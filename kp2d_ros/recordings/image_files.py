# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Sequences of image files: what the folder layouts have in common.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kp2d_ros.core.cameras import CameraModel
from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Float64Array, Sensor
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.recordings.depth_files import read_depth
from kp2d_ros.recordings.image_decoding import read_image
from kp2d_ros.recordings.pairing import PairNames, report_unpaired, require_pairs
from kp2d_ros.recordings.sequence import RecordedDepth, RecordedImage, Recording

IMAGE_SUFFIXES = frozenset({'.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp'})
NOMINAL_RATE_HZ = 10  # of images without times


@dataclass(frozen=True, slots=True)
class StampedFiles:
    """
    The images of one camera, a file and a time for each.
    """

    paths: Sequence[Path]
    stamps_ns: Sequence[int]


@dataclass(frozen=True, slots=True, eq=False)
class RightFiles:
    """
    The images of the second camera of a stereo rig, and where it is (see :class:`kp2d_ros.core.records.RightImage`).
    """

    files: StampedFiles
    camera: CameraModel | None
    left_from_right: Float64Array | None


@dataclass(frozen=True, slots=True, eq=False)
class DepthFiles:
    """
    The images of a depth camera, and the metres that a 1 in them stands for (see :func:`read_depth`).
    """

    files: StampedFiles
    depth_scale: float = 0.0


def open_image_files(
    name: str,
    files: StampedFiles,
    camera: CameraModel | None,
    ground_truth: Trajectory | None,
    beside: RightFiles | DepthFiles | None = None,
) -> Recording:
    """
    Image files with their times, and the files of a second camera whose times fit.

    :raises DataError: if there is no image, not a time for each, or no two images of both cameras belong together.
    """
    if not files.paths or len(files.paths) != len(files.stamps_ns):
        raise DataError(
            f'sequence {name}: found {len(files.paths)} images and {len(files.stamps_ns)} times, '
            'expected as many of both, and at least one'
        )
    if beside is None:

        def read() -> Iterator[RecordedImage]:
            for path, stamp_ns in zip(files.paths, files.stamps_ns, strict=True):
                yield RecordedImage(stamp_ns, read_image(path), str(path))

        return Recording(name, len(files.paths), read, camera, ground_truth)
    is_stereo = isinstance(beside, RightFiles)
    names = PairNames(*(('left', 'right') if is_stereo else ('colour', 'depth')), f'sequence {name}')
    pairs = require_pairs(files.stamps_ns, beside.files.stamps_ns, names)
    report_unpaired(names, len(pairs), len(files.paths), len(beside.files.paths))

    def read_pairs() -> Iterator[RecordedImage]:
        for row, other in pairs:
            path = files.paths[row]
            image = RecordedImage(files.stamps_ns[row], read_image(path), str(path))
            yield _with_partner(image, beside, other)

    if isinstance(beside, RightFiles):
        rig = (Sensor.STEREO, beside.camera, beside.left_from_right)
        return Recording(name, len(pairs), read_pairs, camera, ground_truth, *rig)
    return Recording(name, len(pairs), read_pairs, camera, ground_truth, Sensor.RGBD)


def _with_partner(image: RecordedImage, beside: RightFiles | DepthFiles, row: int) -> RecordedImage:
    path, stamp_ns = beside.files.paths[row], beside.files.stamps_ns[row]
    if isinstance(beside, RightFiles):
        return replace(image, right=RecordedImage(stamp_ns, read_image(path), str(path)))
    return replace(image, depth=RecordedDepth(stamp_ns, read_depth(path, beside.depth_scale), str(path)))


def list_images(folder: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> list[Path]:
    """
    Image files of a folder, numbers in their names counted as numbers (9.png before 10.png); empty without a folder.
    """
    if not folder.is_dir():
        return []
    files = [path for path in folder.iterdir() if path.suffix.lower() in suffixes and path.name[0] != '.']
    return sorted(files, key=lambda path: [(int(n or 0), text) for n, text in re.findall(r'(\d*)(\D*)', path.name)])
