# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Where the right camera of a stereo rig is, by the calibrations of both.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kp2d_ros.core.cameras import CameraModel, Float64Array
from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Frame
from kp2d_ros.core.rectification import rectify_rig
from kp2d_ros.core.se3 import is_rotation, transform_from
from kp2d_ros.recordings.camera_yaml import CameraInfoFields, fields_from_camera

MAX_BASELINE = 10.0  # metres; more is a mistake in a unit
_MIN_BASELINE = 1e-6  # metres; P is 0 where nobody wrote a baseline

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class RigCalibration:
    """
    The pose ``left_from_right`` (4, 4) of the right camera in the left one, in metres, or None and the sentence that
    says why there is none; ``warning``: what to tell the user about a pose that there is.
    """

    left_from_right: Float64Array | None
    reason: str = ''
    warning: str = ''


def left_from_right_of(
    left: CameraInfoFields, right: CameraInfoFields, is_rectified: bool, baseline: float = 0.0
) -> RigCalibration:
    """
    The rig of two cameras that were calibrated together.

    P holds the shift of each camera from the frame in which both are rectified (REP-104: the right one has
    ``-fx baseline`` in ``P[3]``), R the rotation of each into that frame.

    :param is_rectified: whether the images are rectified: then the cameras differ by the shift only.
    :param baseline: metres between the cameras, for a P that says nothing of it.
    :raises DataError: if the numbers are not those of a camera: NaN, wrong counts, an R that is no rotation.
    """
    shifts = [_shift_of(f'{side} camera_info: P', each.p) for side, each in (('left', left), ('right', right))]
    offset, warning = shifts[0] - shifts[1], ''
    measured = float(np.linalg.norm(offset))
    if measured < _MIN_BASELINE:
        if not baseline:
            return RigCalibration(None, 'the baseline is 0: P[3] is 0 in the calibration of the right camera')
        offset = np.array([baseline, 0.0, 0.0])
    elif baseline and abs(baseline - measured) > 0.01 * measured:
        warning = f'the camera_infos say a baseline of {measured:.4g} m: the given one of {baseline:.4g} m is not used'
    turns = [np.eye(3), np.eye(3)]
    if not is_rectified:
        turns = [_rotation_of('left camera_info: R', left.r), _rotation_of('right camera_info: R', right.r)]
    pose = transform_from(turns[0].T @ turns[1], turns[0].T @ offset)
    return RigCalibration(pose, warning=warning or baseline_warning(pose))


def fields_from_rig(
    left: CameraModel, right: CameraModel, left_from_right: Float64Array
) -> tuple[CameraInfoFields, CameraInfoFields]:
    """
    The CameraInfo fields of the left and of the right camera, as camera_calibration writes them: R turns each into the
    rectified frame, P is the camera that both become there. :func:`left_from_right_of` takes them back.

    :param left_from_right: pose (4, 4) of the right camera in the left one, in metres.
    :raises DataError: if the cameras are not side by side.
    """
    rig = rectify_rig(left_from_right)
    projection = np.column_stack([(left.matrix + right.matrix) / 2, np.zeros(3)])
    shifted = projection.copy()
    shifted[0, 3] = -projection[0, 0] * rig.baseline
    return (
        replace(fields_from_camera(left), r=rig.from_left.ravel().tolist(), p=projection.ravel().tolist()),
        replace(fields_from_camera(right), r=rig.from_right.ravel().tolist(), p=shifted.ravel().tolist()),
    )


def fields_from_frame(frame: Frame) -> tuple[CameraInfoFields | None, CameraInfoFields | None]:
    """
    The CameraInfo fields of the (left) camera and of the right one, None where there is none: with R and P where it is
    known how they stand to each other.

    :raises DataError: as :func:`fields_from_rig`.
    """
    left, right = frame.camera, None if frame.right is None else frame.right.camera
    pose = None if frame.right is None else frame.right.left_from_right
    if left is not None and right is not None and pose is not None:
        return fields_from_rig(left, right, pose)
    return (None if left is None else fields_from_camera(left), None if right is None else fields_from_camera(right))


def baseline_warning(left_from_right: Float64Array) -> str:
    """
    What is strange about the way (metres) from the left to the right camera of a pose (4, 4); empty: nothing.
    """
    offset = left_from_right[:3, 3]
    length = float(np.linalg.norm(offset))
    if length > MAX_BASELINE:
        return (
            f'the baseline is {length:.4g} m, expected less than {MAX_BASELINE:g} m: '
            'the calibration may be in millimetres, or with another focal length'
        )
    if offset[0] < 0:
        return (
            f'the right camera is {-offset[0]:.4g} m to the left of the left one by the calibration: '
            'left and right may be swapped'
        )
    return ''


def find_rig(
    pair: tuple[CameraInfoFields | None, CameraInfoFields | None],
    is_rectified: bool,
    look_up: Callable[[], Float64Array | None],
    baseline: float = 0.0,
) -> RigCalibration:
    """
    The rig by the first that knows it: the calibrations of the left and the right camera, their frames, ``baseline``.

    :param look_up: gives the pose (4, 4) of the right camera's frame in the left one's; None: they are not joined.
    :param baseline: metres; 0: none is given.
    :raises DataError: as :func:`left_from_right_of`.
    """
    left, right = pair
    if left is None or right is None:
        missing = RigCalibration(None, 'a camera of the stereo rig has no calibration: the baseline is not known')
        return rig_from_frames(look_up(), is_rectified) or (rectified_rig(baseline) if baseline else missing)
    if left_from_right_of(left, right, is_rectified).left_from_right is None:
        rig = rig_from_frames(look_up(), is_rectified)
        if rig is not None:
            return rig
    return left_from_right_of(left, right, is_rectified, baseline)


def rig_from_frames(left_from_right: Float64Array | None, is_rectified: bool) -> RigCalibration | None:
    """
    The rig by the pose (4, 4) of the frame of the right images in that of the left ones, as TF has it; None without
    one, or if both frames are in one place. Of rectified images only the distance counts: they are not turned.
    """
    if left_from_right is None or not np.any(left_from_right[:3, 3]):
        return None
    if is_rectified:
        offset = left_from_right[:3, 3]
        return rectified_rig(float(np.copysign(np.linalg.norm(offset), offset[0])))
    return RigCalibration(left_from_right, warning=baseline_warning(left_from_right))


def rectified_rig(baseline: float) -> RigCalibration:
    """
    The rig of two cameras that look the same way, so many metres beside each other.
    """
    pose = transform_from(np.eye(3), np.array([baseline, 0.0, 0.0]))
    return RigCalibration(pose, warning=baseline_warning(pose))


def report_rig(source: str, rig: RigCalibration) -> None:
    """
    Say in the log why a rig is not known, or what is strange about it.
    """
    if rig.reason or rig.warning:
        _log.warning('%s: %s', source, rig.reason or rig.warning)


def _shift_of(name: str, values: Sequence[float]) -> Float64Array:
    """
    (3,) origin of the common frame in that of a camera, t of P = K [I | t]; 0 of an empty P.
    """
    projection = _matrix_of(name, values, (3, 4))
    if projection[0, 0] == 0:
        return np.zeros(3)
    try:
        return np.asarray(np.linalg.solve(projection[:, :3], projection[:, 3]))
    except np.linalg.LinAlgError as error:
        raise DataError(f'{name}: found {projection.tolist()}, expected the projection matrix of a camera') from error


def _matrix_of(name: str, values: Sequence[float], shape: tuple[int, int]) -> Float64Array:
    matrix = np.array(values, np.float64)
    if matrix.size != shape[0] * shape[1]:
        raise DataError(f'{name}: found {matrix.size} numbers, expected {shape[0] * shape[1]}')
    if not np.isfinite(matrix).all():
        raise DataError(f'{name}: found {matrix.ravel().tolist()}, expected finite numbers')
    return matrix.reshape(shape)


def _rotation_of(name: str, values: Sequence[float]) -> Float64Array:
    rotation = _matrix_of(name, values, (3, 3))
    if not is_rotation(rotation):
        raise DataError(f'{name}: found {rotation.round(6).tolist()}, expected a rotation')
    return rotation
