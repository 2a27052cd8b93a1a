# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
TartanAir: ``image_left/``, ``image_right/``, ``depth_left/`` and ``pose_left.txt``.

Wang et al.: TartanAir: A dataset to push the limits of visual SLAM, IROS 2020. The images are rendered: without lens
distortion, and rectified.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Sensor
from kp2d_ros.core.se3 import rotation_from_quaternion, transform_from
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.recordings.camera_yaml import read_camera
from kp2d_ros.recordings.depth_files import DEPTH_SUFFIXES
from kp2d_ros.recordings.image_files import (
    NOMINAL_RATE_HZ,
    DepthFiles,
    RightFiles,
    StampedFiles,
    list_images,
    open_image_files,
)
from kp2d_ros.recordings.sequence import Recording
from kp2d_ros.recordings.stereo_rig import rectified_rig
from kp2d_ros.recordings.text_tables import numbers_of, read_rows

_BASELINE = 0.25  # metres
_CAMERA = (640, 480), ((320.0, 0.0, 320.0), (0.0, 320.0, 240.0), (0.0, 0.0, 1.0))  # of every sequence
# Poses are those of a camera frame with x forward, y right, z down.
_NED_FROM_OPTICAL = transform_from(np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), np.zeros(3))


def is_tartanair(path: Path) -> bool:
    """
    Whether a folder is a trajectory in this layout (``P001``).
    """
    return (path / 'image_left').is_dir()


def open_tartanair(path: Path, sensor: Sensor = Sensor.MONO) -> Recording:
    """
    A trajectory of TartanAir at the nominal rate: it has no times. What belongs together has the same number.

    The camera is that of ``camera.yaml``, if there is one, else the one of all sequences.

    :param sensor: what is read beside the left images: right ones, or depth in metres.
    :raises DataError: naming the file that is missing or not what it should be.
    """
    folder = path.resolve()
    files = _find(folder / 'image_left')
    file = folder / 'camera.yaml'
    (width, height), matrix = _CAMERA
    camera = CameraModel(width, height, np.array(matrix), LensModel.PLUMB_BOB, np.zeros(5))
    camera = read_camera(file) if file.is_file() else camera
    beside: RightFiles | DepthFiles | None = None
    if sensor is Sensor.STEREO:
        beside = RightFiles(_find(folder / 'image_right'), camera, rectified_rig(_BASELINE).left_from_right)
    elif sensor is Sensor.RGBD:
        beside = DepthFiles(_find(folder / 'depth_left', DEPTH_SUFFIXES))
    name = '_'.join(part for part in folder.parts[-3:] if part.strip('/'))  # environment, difficulty, P001
    return open_image_files(name, files, camera, _read_ground_truth(folder / 'pose_left.txt'), beside)


def _stamp_of(number: int) -> int:
    return round(number * 10**9 / NOMINAL_RATE_HZ)


def _find(folder: Path, suffixes: frozenset[str] | None = None) -> StampedFiles:
    """
    The images of a folder (``000012_left.png``), each at the time of its number.
    """
    paths = list_images(folder, suffixes) if suffixes else list_images(folder)
    if not paths:
        raise DataError(f'{folder.parent}: found no images, looked for {folder.name}/')
    stamps = []
    for path in paths:
        number = path.name.partition('_')[0].partition('.')[0]
        if not number.isdecimal() or len(number) > 9:
            raise DataError(f'{path}: found no number before the first _ of its name, expected 000000_left.png')
        stamps.append(_stamp_of(int(number)))
    return StampedFiles(paths, stamps)


def _read_ground_truth(path: Path) -> Trajectory | None:
    if not path.is_file():
        return None
    poses: list[npt.NDArray[np.float64]] = []
    for row in read_rows(path):
        values = numbers_of(row, row.words(), 7)
        if not values[3:].any():
            raise row.error('x y z and a quaternion x y z w')
        poses.append(transform_from(rotation_from_quaternion(values[3:]), values[:3]) @ _NED_FROM_OPTICAL)
    stamps = np.array([_stamp_of(number) for number in range(len(poses))], np.int64)
    return Trajectory(stamps, np.array(poses).reshape(-1, 4, 4))
