# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
EuRoC MAV: ``mav0/cam0/{data, data.csv, sensor.yaml}`` and ``mav0/state_groundtruth_estimate0``.

Burri et al.: The EuRoC micro aerial vehicle datasets, IJRR 2016. TUM-VI comes in the same layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.cameras import CameraModel, lens_model_from_name
from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.records import Sensor
from kp2d_ros.core.se3 import invert_transform
from kp2d_ros.core.settings import load_yaml
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.recordings.camera_yaml import fit_coefficients
from kp2d_ros.recordings.image_files import RightFiles, StampedFiles, open_image_files
from kp2d_ros.recordings.sequence import Recording
from kp2d_ros.recordings.stereo_rig import RigCalibration, baseline_warning, report_rig
from kp2d_ros.recordings.text_tables import read_euroc_poses, read_rows, stamp_of

_GROUND_TRUTHS = ('state_groundtruth_estimate0', 'mocap0')


def is_euroc(path: Path) -> bool:
    """
    Whether a folder is a ``mav0`` or holds one.
    """
    return any((path / inner / 'data.csv').is_file() for inner in ('cam0', 'mav0/cam0'))


def open_euroc(path: Path, camera: int | None = None, sensor: Sensor = Sensor.MONO) -> Recording:
    """
    A sequence in the EuRoC layout; its ground truth is that of the camera (T_BS of sensor.yaml applied).

    :param camera: number of the camera folder; None: 0.
    :param sensor: mono, or stereo: cam0 with cam1 to its right.
    :raises DataError: naming the file that is missing or not what it should be.
    :raises ConfigError: if the camera has none to its right.
    """
    root = (path if (path / 'cam0').is_dir() else path / 'mav0').resolve()
    folder = root / f'cam{camera or 0}'
    files = _find_images(folder)
    settings = _read_sensor(folder / 'sensor.yaml')
    body_from_camera = _body_from(folder / 'sensor.yaml', settings)
    known = _camera_from(folder / 'sensor.yaml', settings) if settings else None
    beside = None
    if sensor is Sensor.STEREO:
        if camera:
            raise ConfigError(f'camera: found {camera}, expected the left one of the pair: 0')
        beside = _find_right(root / 'cam1', body_from_camera if 'T_BS' in settings else None)
    return open_image_files(root.parent.name, files, known, _read_ground_truth(root, body_from_camera), beside)


def _find_images(folder: Path) -> StampedFiles:
    stamps, images = [], []
    for row in read_rows(folder / 'data.csv'):
        words = row.words(',')
        if len(words) < 2:
            raise row.error('time in ns, file name')
        stamps.append(stamp_of(row, words[0]))
        images.append(folder / 'data' / words[1])
    return StampedFiles(images, stamps)


def _find_right(folder: Path, body_from_left: npt.NDArray[np.float64] | None) -> RightFiles:
    """
    :param body_from_left: None: it is not known.
    """
    if not (folder / 'data.csv').is_file():
        raise DataError(f'{folder.parent}: found no right images, looked for {folder.name}/data.csv')
    settings = _read_sensor(folder / 'sensor.yaml')
    camera = _camera_from(folder / 'sensor.yaml', settings) if settings else None
    rig = RigCalibration(None, 'found no T_BS in the sensor.yaml of cam0 and of cam1: the baseline is not known')
    if body_from_left is not None and 'T_BS' in settings:
        pose = invert_transform(body_from_left) @ _body_from(folder / 'sensor.yaml', settings)
        rig = RigCalibration(pose, warning=baseline_warning(pose))
    report_rig(str(folder.parent), rig)
    return RightFiles(_find_images(folder), camera, rig.left_from_right)


def _read_sensor(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return load_yaml(path)
    except ConfigError as error:
        raise DataError(str(error)) from error


def _numbers(path: Path, values: Mapping[str, Any], key: str, count: int | None = None) -> npt.NDArray[np.float64]:
    try:
        numbers = np.array(values.get(key), np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(())
    if numbers.ndim != 1 or count not in (None, len(numbers)) or not np.isfinite(numbers).all():
        raise DataError(f'{path}: found {key} {values.get(key)!r}, expected {count or "some"} numbers')
    return numbers


def _camera_from(path: Path, sensor: Mapping[str, Any]) -> CameraModel:
    model = sensor.get('camera_model', 'pinhole')
    if model != 'pinhole':
        raise DataError(f'{path}: found the camera model {model!r}, expected pinhole')
    fx, fy, cx, cy = _numbers(path, sensor, 'intrinsics', 4)
    width, height = _numbers(path, sensor, 'resolution', 2)
    try:
        lens = lens_model_from_name(str(sensor.get('distortion_model', '')))
        coefficients = fit_coefficients(lens, _numbers(path, sensor, 'distortion_coefficients').tolist())
        matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        return CameraModel(int(width), int(height), matrix, lens, coefficients)
    except DataError as error:
        raise DataError(f'{path}: {error}') from error


def _body_from(path: Path, sensor: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    """
    ``body_from_sensor``, the T_BS of a sensor.yaml; the identity where there is none.
    """
    if 'T_BS' not in sensor:
        return np.eye(4)
    entry = sensor['T_BS']
    values = entry if isinstance(entry, Mapping) else {'data': entry}
    return _numbers(path, values, 'data', 16).reshape(4, 4)


def _read_ground_truth(root: Path, body_from_camera: npt.NDArray[np.float64]) -> Trajectory | None:
    folder = next((root / name for name in _GROUND_TRUTHS if (root / name / 'data.csv').is_file()), None)
    if folder is None:
        return None
    body_from_marker = _body_from(folder / 'sensor.yaml', _read_sensor(folder / 'sensor.yaml'))
    marker_from_camera = invert_transform(body_from_marker) @ body_from_camera
    trajectory = read_euroc_poses(folder / 'data.csv')
    return Trajectory(trajectory.stamps_ns, trajectory.world_from_camera @ marker_from_camera)
