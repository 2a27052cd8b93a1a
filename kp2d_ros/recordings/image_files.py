# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Sequences of image files: what the folder layouts have in common, and the plainest of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from kp2d_ros.core.cameras import CameraModel
from kp2d_ros.core.errors import DataError
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.recordings.camera_yaml import read_camera
from kp2d_ros.recordings.image_decoding import read_image
from kp2d_ros.recordings.sequence import RecordedImage, Recording
from kp2d_ros.recordings.text_tables import read_times, read_truth_file

IMAGE_SUFFIXES = frozenset({'.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp'})
NOMINAL_RATE_HZ = 10  # of images without times


def open_image_files(
    name: str,
    paths: Sequence[Path],
    stamps_ns: Sequence[int],
    camera: CameraModel | None,
    ground_truth: Trajectory | None,
) -> Recording:
    """
    Image files with their times.

    :raises DataError: if there is no image, or not a time for each.
    """
    if not paths or len(paths) != len(stamps_ns):
        raise DataError(
            f'sequence {name}: found {len(paths)} images and {len(stamps_ns)} times, '
            'expected as many of both, and at least one'
        )

    def read() -> Iterator[RecordedImage]:
        for path, stamp_ns in zip(paths, stamps_ns, strict=True):
            yield RecordedImage(stamp_ns, read_image(path), str(path))

    return Recording(name, len(paths), read, camera, ground_truth)


def list_images(folder: Path) -> list[Path]:
    """
    Image files of a folder, numbers in their names counted as numbers (9.png before 10.png); empty without a folder.
    """
    if not folder.is_dir():
        return []
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != '.']
    return sorted(files, key=lambda path: [(int(n or 0), text) for n, text in re.findall(r'(\d*)(\D*)', path.name)])


def is_image_folder(path: Path) -> bool:
    """
    Whether a folder holds images, itself or in ``images/``.
    """
    return bool(list_images(path / 'images') or list_images(path))


def open_image_folder(path: Path) -> Recording:
    """
    The images of ``images/``, or of the folder itself, in the order of their names.

    Beside them may lie ``camera.yaml`` (as camera_calibration writes it), ``times.txt`` (seconds, one line per image)
    and ``poses.txt`` (camera in the world: 12 columns, one line per image, or a TUM trajectory). Without times.txt the
    images have the times of a trajectory of as many lines, or follow each other at the nominal rate.

    :raises DataError: naming the file that is not what it should be.
    """
    folder = path.resolve()
    images = list_images(folder / 'images') or list_images(folder)
    stamps = [round(i * 10**9 / NOMINAL_RATE_HZ) for i in range(len(images))]
    times, poses, camera = (folder / name for name in ('times.txt', 'poses.txt', 'camera.yaml'))
    if times.is_file():
        stamps = read_times(times)
        if len(stamps) != len(images):
            raise DataError(f'{times}: found {len(stamps)} times, expected one for each of the {len(images)} images')
    ground_truth = read_truth_file(poses, stamps, partial=True) if poses.is_file() else None
    if ground_truth is not None and not times.is_file() and len(ground_truth) == len(images):
        stamps = ground_truth.stamps_ns.tolist()
    known = read_camera(camera) if camera.is_file() else None
    return open_image_files(folder.name, images, stamps, known, ground_truth)
