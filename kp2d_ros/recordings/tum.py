# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
TUM RGB-D: ``rgb.txt``, ``rgb/``, ``depth.txt``, ``depth/`` and ``groundtruth.txt``.

Sturm et al.: A benchmark for the evaluation of RGB-D SLAM systems, IROS 2012.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Sensor
from kp2d_ros.core.trajectories import nanoseconds_from_text, read_tum
from kp2d_ros.recordings.camera_yaml import read_camera_file
from kp2d_ros.recordings.image_files import DepthFiles, StampedFiles, open_image_files
from kp2d_ros.recordings.sequence import Recording
from kp2d_ros.recordings.text_tables import read_rows

_DEPTH_SCALE = 1 / 5000  # metres that a 1 in the depth images stands for

# Colour cameras of the benchmark's three set-ups, 640x480: fx fy cx cy, k1 k2 p1 p2 k3.
_KNOWN_CAMERAS = {
    'freiburg1': ((517.3, 516.5, 318.6, 255.3), (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)),
    'freiburg2': ((520.9, 521.0, 325.1, 249.7), (0.2312, -0.7849, -0.0033, -0.0001, 0.9172)),
    'freiburg3': ((535.4, 539.2, 320.1, 247.6), (0.0, 0.0, 0.0, 0.0, 0.0)),
}


def is_tum(path: Path) -> bool:
    """
    Whether a folder has the list of images of this layout.
    """
    return (path / 'rgb.txt').is_file()


def open_tum(path: Path, sensor: Sensor = Sensor.MONO, depth_scale: float = 0.0) -> Recording:
    """
    A sequence in the TUM RGB-D layout; the ground truth keeps its own times, denser than the images.

    The camera is that of ``camera.yaml``, or of the benchmark if the folder's name says freiburg1, 2 or 3.

    :param sensor: mono, or rgbd: with the depth image that is nearest in time.
    :param depth_scale: metres that a 1 in a depth image stands for; 0: as ``camera.yaml`` says (``depth_scale``), else
        1/5000.
    :raises DataError: naming the file that is missing or not what it should be.
    """
    folder = path.resolve()
    truth = folder / 'groundtruth.txt'
    ground_truth = read_tum(truth) if truth.is_file() else None
    camera, scale = _find_camera(folder)
    beside = None
    if sensor is Sensor.RGBD:
        if not (folder / 'depth.txt').is_file():
            raise DataError(f'{folder}: found no depth images, looked for depth.txt')
        beside = DepthFiles(_read_list(folder / 'depth.txt'), depth_scale or scale)
    return open_image_files(folder.name, _read_list(folder / 'rgb.txt'), camera, ground_truth, beside)


def _read_list(path: Path) -> StampedFiles:
    stamps, images = [], []
    for row in read_rows(path):
        words = row.words(None, 1)
        try:
            stamps.append(nanoseconds_from_text(words[0]))
            images.append(path.parent / words[1])
        except (ValueError, IndexError) as error:
            raise row.error('time in seconds, file name') from error
    return StampedFiles(images, stamps)


def _find_camera(folder: Path) -> tuple[CameraModel | None, float]:
    """
    The camera, and the metres that a 1 in its depth images stands for.
    """
    if (folder / 'camera.yaml').is_file():
        file = read_camera_file(folder / 'camera.yaml')
        return file.camera, file.depth_scale or _DEPTH_SCALE
    for name, ((fx, fy, cx, cy), coefficients) in _KNOWN_CAMERAS.items():
        if name in folder.name:
            matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
            return CameraModel(640, 480, matrix, LensModel.PLUMB_BOB, np.array(coefficients)), _DEPTH_SCALE
    return None, _DEPTH_SCALE
