# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
True poses in a file of their own: TUM, KITTI with times, or EuRoC.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.se3 import rotation_from_quaternion, transform_from
from kp2d_ros.core.trajectories import Trajectory, read_tum
from kp2d_ros.recordings.text_tables import Row, numbers_of, read_poses, read_rows, read_times

_TUM_COLUMNS, _KITTI_COLUMNS = 8, 12
_EUROC_COLUMNS = 8  # time, position, quaternion w x y z; velocity and biases may follow
_EUROC_DIGITS = range(16, 20)  # of a time in ns since 1970


def read_truth_file(
    path: Path,
    image_stamps_ns: Sequence[int] = (),
    *,
    times: Path | None = None,
    frame_from_camera: npt.NDArray[np.float64] | None = None,
) -> Trajectory:
    """
    Read a trajectory; what the columns are tells the kind of file.

    :param image_stamps_ns: times of a KITTI file without times of its own: one line per image.
    :param times: seconds, one line per pose of a KITTI file; None: ``times.txt`` beside it, if it is there.
    :param frame_from_camera: (4, 4) pose of the camera in the frame whose poses the file holds; None: it is the camera.
    :raises DataError: naming the file and what was expected, if it is no such file.
    """
    rows = read_rows(path)
    if not rows:
        raise DataError(f'{path}: found no pose, expected a TUM, KITTI or EuRoC file')
    columns = len(rows[0].words())
    if _is_euroc(rows[0]):
        trajectory = _read_euroc(rows)
    elif columns == _KITTI_COLUMNS:
        trajectory = _read_kitti(path, image_stamps_ns, times)
    elif _TUM_COLUMNS in (columns, len(rows[0].words(','))):
        trajectory = read_tum(path)
    else:
        raise rows[0].error(
            'time tx ty tz qx qy qz qw (TUM), 12 numbers of a 3x4 matrix (KITTI), or time in ns, position, '
            'quaternion w x y z with commas (EuRoC)'
        )
    if frame_from_camera is None:
        return trajectory
    return Trajectory(trajectory.stamps_ns, trajectory.world_from_camera @ frame_from_camera)


def _is_euroc(row: Row) -> bool:
    words = row.words(',')
    return len(words) >= _EUROC_COLUMNS and words[0].isdecimal() and len(words[0]) in _EUROC_DIGITS


def _read_euroc(rows: Sequence[Row]) -> Trajectory:
    stamps, poses = [], []
    for row in rows:
        words = row.words(',')
        if not words[0].isdecimal() or len(words[0]) not in _EUROC_DIGITS:
            raise row.error('a time in ns first')
        values = numbers_of(row, words[1:_EUROC_COLUMNS], _EUROC_COLUMNS - 1)
        stamps.append(int(words[0]))
        poses.append(transform_from(rotation_from_quaternion(values[[4, 5, 6, 3]]), values[:3]))
    return Trajectory(np.array(stamps, np.int64), np.array(poses))


def _read_kitti(path: Path, image_stamps_ns: Sequence[int], times: Path | None) -> Trajectory:
    poses = read_poses(path)
    beside = path.with_name('times.txt')
    if times is None and beside.is_file():
        times = beside
    stamps = list(image_stamps_ns) if times is None else read_times(times)
    if len(stamps) != len(poses):
        source = 'images' if times is None else f'times in {times}'
        raise DataError(f'{path}: found {len(poses)} poses and {len(stamps)} {source}, expected as many of both')
    return Trajectory(np.array(stamps, np.int64), poses)
