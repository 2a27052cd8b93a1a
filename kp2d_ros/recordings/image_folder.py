# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A plain folder of images, with what is known of them beside: camera.yaml, times.txt, poses.txt.
"""

from __future__ import annotations

from pathlib import Path

from kp2d_ros.core.errors import DataError
from kp2d_ros.recordings.camera_yaml import read_camera
from kp2d_ros.recordings.image_files import ImageFileSequence, list_images
from kp2d_ros.recordings.text_tables import read_times, read_trajectory

NOMINAL_RATE_HZ = 10  # of images without times


def is_image_folder(path: Path) -> bool:
    """
    Whether a folder holds images, itself or in ``images/``.
    """
    return bool(list_images(path / 'images') or list_images(path))


def open_image_folder(path: Path) -> ImageFileSequence:
    """
    The images of ``images/``, or of the folder itself, in the order of their names.

    Beside them may lie ``camera.yaml`` (as camera_calibration writes it), ``times.txt`` (seconds, one line per image)
    and ``poses.txt`` (camera in the world: 12 columns, one line per image, or a TUM trajectory). Without times.txt the
    images have the times of a TUM trajectory of as many lines, or follow each other at the nominal rate.

    :raises DataError: naming the file that is not what it should be.
    """
    folder = path.resolve()
    images = list_images(folder / 'images') or list_images(folder)
    stamps = [round(i * 10**9 / NOMINAL_RATE_HZ) for i in range(len(images))]
    times = folder / 'times.txt'
    if times.is_file():
        stamps = read_times(times)
        if len(stamps) != len(images):
            raise DataError(f'{times}: found {len(stamps)} times, expected one for each of the {len(images)} images')
    poses = folder / 'poses.txt'
    ground_truth = read_trajectory(poses, stamps) if poses.is_file() else None
    if ground_truth is not None and not times.is_file() and len(ground_truth) == len(images):
        stamps = ground_truth.stamps_ns.tolist()
    camera = folder / 'camera.yaml'
    return ImageFileSequence(
        name=folder.name,
        stamps_ns=tuple(stamps),
        paths=tuple(images),
        camera=read_camera(camera) if camera.is_file() else None,
        ground_truth=ground_truth,
    )
