# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Calibrations as ROS carries them: the fields of a ``sensor_msgs/CameraInfo`` and the YAML of camera_calibration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kp2d_ros.core.cameras import CameraModel, Float64Array, LensModel, lens_model_from_name
from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.settings import load_yaml

_COEFFICIENTS = {LensModel.PLUMB_BOB: 5, LensModel.RATIONAL_POLYNOMIAL: 8, LensModel.EQUIDISTANT: 4}


@dataclass(frozen=True, slots=True)
class CameraInfoFields:
    """
    What a ``sensor_msgs/CameraInfo`` holds, by its names in lower case; ``roi`` is x, y, width, height.

    ``width`` to ``p`` belong to the full sensor image; binning and the region of interest say which part of it, and
    how much smaller, the image is. A binning of 0 means 1, a region of size 0 x 0 the full image.
    """

    width: int
    height: int
    distortion_model: str
    d: Sequence[float]
    k: Sequence[float]
    p: Sequence[float] = (0.0,) * 12
    r: Sequence[float] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    binning: tuple[int, int] = (0, 0)
    roi: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Calibration:
    """
    A camera and what it was made from, or None and the sentence that says why there is none.
    """

    camera: CameraModel | None
    reason: str = ''
    fields: CameraInfoFields | None = None


def is_rectified_topic(topic: str) -> bool:
    """
    Whether a topic carries rectified images by the convention of image_proc: ``image_rect``, ``image_rect_color``.
    """
    return any(part.startswith('image_rect') for part in topic.split('/'))


def camera_from_fields(fields: CameraInfoFields, *, rectified: bool = False) -> Calibration:
    """
    The camera that took an image which came with these CameraInfo fields.

    :param rectified: whether the image was undistorted already (``image_rect``): then P counts, and K and D do not.
    :raises DataError: if the numbers are not those of a camera: NaN, wrong counts, an unknown distortion model.
    """
    name, values, count = ('P', fields.p, 12) if rectified else ('K', fields.k, 9)
    matrix = np.array(values, np.float64)
    if matrix.shape != (count,):
        raise DataError(f'camera_info: found {name} of {matrix.size} numbers, expected {count}')
    if matrix[0] == 0:
        return Calibration(None, f'the camera is not calibrated: {name}[0] == 0 in its camera_info')
    matrix = np.array(matrix.reshape(3, -1)[:, :3])
    lens = LensModel.PLUMB_BOB if rectified else lens_model_from_name(fields.distortion_model)
    coefficients = fit_coefficients(lens, () if rectified else fields.d)
    x, y, width, height = fields.roi if fields.roi[2] and fields.roi[3] else (0, 0, fields.width, fields.height)
    across, down = (max(1, int(binning)) for binning in fields.binning)
    # A binned pixel stands for `across` x `down` pixels and lies at their common centre.
    with np.errstate(over='ignore', invalid='ignore'):  # numbers that large are refused as those of no camera
        matrix[0] = (matrix[0] - matrix[2] * (x + (across - 1) / 2)) / across
        matrix[1] = (matrix[1] - matrix[2] * (y + (down - 1) / 2)) / down
    camera = CameraModel(width // across, height // down, matrix, lens, coefficients)
    return Calibration(camera, fields=fields)


def fields_from_camera(camera: CameraModel) -> CameraInfoFields:
    """
    The CameraInfo fields of images of one camera that are not rectified.
    """
    return CameraInfoFields(
        width=camera.width,
        height=camera.height,
        distortion_model=camera.lens.value,
        d=camera.coefficients.tolist(),
        k=camera.matrix.ravel().tolist(),
        p=np.column_stack([camera.matrix, np.zeros(3)]).ravel().tolist(),
    )


def fit_coefficients(lens: LensModel, values: Sequence[float]) -> Float64Array:
    """
    Distortion coefficients in the number that a lens model takes: missing ones are 0, and zeros too many are cut.

    An equidistant lens must name all four: without any, the model itself would be a guess.
    """
    coefficients = np.array(values, np.float64).ravel()
    wanted = _COEFFICIENTS[lens]
    if len(coefficients) > wanted and not coefficients[wanted:].any():
        return coefficients[:wanted]
    if len(coefficients) < wanted and lens is not LensModel.EQUIDISTANT:
        return np.concatenate([coefficients, np.zeros(wanted - len(coefficients))])
    return coefficients


@dataclass(frozen=True, slots=True)
class CameraFile:
    """
    What a YAML file says of a camera, and, by hand, of what stands beside it: ``baseline``, metres to the right camera
    of a rectified pair, and ``depth_scale``, metres that a 1 of its depth images stands for; 0: it does not say.
    """

    camera: CameraModel
    fields: CameraInfoFields
    baseline: float = 0.0
    depth_scale: float = 0.0


def read_camera(path: Path) -> CameraModel:
    """
    The camera of the YAML file that the ROS package camera_calibration writes.

    :raises DataError: as :func:`read_camera_file`.
    """
    return read_camera_file(path).camera


def read_camera_file(path: Path) -> CameraFile:
    """
    Read the YAML file that the ROS package camera_calibration writes.

    :raises DataError: naming the file, if it cannot be read, lacks an entry, or describes no calibrated camera.
    """
    try:
        values = load_yaml(path)
        fields = CameraInfoFields(
            width=_integer(values, 'image_width'),
            height=_integer(values, 'image_height'),
            distortion_model=str(values.get('distortion_model') or ''),
            d=_numbers(values, 'distortion_coefficients') if 'distortion_coefficients' in values else (),
            k=_numbers(values, 'camera_matrix'),
        )
        if 'projection_matrix' in values:
            fields = replace(fields, p=_numbers(values, 'projection_matrix'))
        if 'rectification_matrix' in values:
            fields = replace(fields, r=_numbers(values, 'rectification_matrix'))
        calibration = camera_from_fields(fields)
        lengths = {name: _length(values, name) for name in ('baseline', 'depth_scale')}
    except ConfigError as error:
        raise DataError(str(error)) from error
    except DataError as error:
        raise DataError(f'{path}: {error}') from error
    if calibration.camera is None:
        raise DataError(f'{path}: {calibration.reason}')
    return CameraFile(calibration.camera, fields, **lengths)


def _length(values: Mapping[str, Any], key: str) -> float:
    """
    A number above 0, or 0 where there is no such entry.
    """
    entry = values.get(key, 0.0)
    try:
        value = float(entry)
    except (TypeError, ValueError) as error:
        raise DataError(f'{key}: found {entry!r}, expected a number above 0') from error
    if not 0 <= value < float('inf') or (key in values and value == 0):
        raise DataError(f'{key}: found {entry!r}, expected a number above 0')
    return value


def _integer(values: Mapping[str, Any], key: str) -> int:
    value = values.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise DataError(f'{key}: found {value!r}, expected a whole number')
    return value


def _numbers(values: Mapping[str, Any], key: str) -> list[float]:
    """
    The ``data`` of a matrix entry, or the entry itself where it is a plain list.
    """
    entry = values.get(key)
    data: Any = entry.get('data') if isinstance(entry, Mapping) else entry
    try:
        return [float(value) for value in data]  # also '1e-05', a text to YAML 1.1
    except (TypeError, ValueError) as error:
        raise DataError(f'{key}: found {entry!r}, expected rows, cols and data: a list of numbers') from error
