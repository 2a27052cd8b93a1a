# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Text files of rows: the lists, times and poses that come with recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.se3 import rotation_from_quaternion, transform_from
from kp2d_ros.core.trajectories import Trajectory, nanoseconds_from_text, read_tum

_TUM_COLUMNS, _KITTI_COLUMNS = 8, 12
_EUROC_COLUMNS = 8  # time, position, quaternion w x y z; velocity and biases may follow
_EUROC_DIGITS = range(16, 20)  # of a time in ns since 1970
_STAMP_DIGITS = 19  # what 64 bits hold
_ROTATION_TOLERANCE = 1e-2  # six digits, as KITTI has them, are off by 1e-6


@dataclass(frozen=True, slots=True)
class Row:
    """
    One line of a text file, and where it stands.
    """

    path: Path
    number: int
    text: str

    def words(self, separator: str | None = None, limit: int = -1) -> list[str]:
        """
        The parts of the line, without spaces around them.
        """
        return [word.strip() for word in self.text.split(separator, limit)]

    def error(self, expected: str) -> DataError:
        """
        What to raise if the line is not what it should be.
        """
        return DataError(f'{self.path}, line {self.number}: found {self.text[:80]!r}, expected {expected}')


def read_rows(path: Path) -> list[Row]:
    """
    The lines of a text file, without empty ones and those that begin with #.

    :raises DataError: naming the file, if it cannot be read.
    """
    try:
        text = path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f'{path}: cannot be read: {getattr(error, "strerror", None) or error}') from error
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))
    return [Row(path, number, line) for number, line in lines if line and not line.startswith('#')]


def numbers_of(row: Row, words: list[str], count: int) -> npt.NDArray[np.float64]:
    """
    (count,) finite numbers of some words of a row.

    :raises DataError: naming file and line, if there are fewer, or one is not a finite number.
    """
    try:
        values = np.array([float(word) for word in words], np.float64)
    except ValueError as error:
        raise row.error(f'{count} numbers') from error
    if values.shape != (count,) or not np.isfinite(values).all():
        raise row.error(f'{count} finite numbers')
    return values


def read_times(path: Path) -> list[int]:
    """
    Integer nanoseconds of a file with one time in seconds per line.

    :raises DataError: naming file and line, if one is not a number.
    """
    stamps = []
    for row in read_rows(path):
        try:
            stamps.append(nanoseconds_from_text(row.text))
        except ValueError as error:
            raise row.error('one time in seconds') from error
    return stamps


def read_poses(path: Path) -> npt.NDArray[np.float64]:
    """
    Transforms (T, 4, 4) of a file with the twelve numbers of a 3x4 matrix per line, row by row (KITTI).

    :raises DataError: naming file and line, if one is not twelve finite numbers with a rotation in them.
    """
    rows = read_rows(path)
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    for row, pose in zip(rows, poses, strict=True):
        pose[:3] = numbers_of(row, row.words(), _KITTI_COLUMNS).reshape(3, 4)
        rotation = pose[:3, :3]
        skewed = np.abs(rotation @ rotation.T - np.eye(3)).max() > _ROTATION_TOLERANCE
        if skewed or np.linalg.det(rotation) < 0:
            raise row.error('a 3x4 matrix, row by row, whose left part is a rotation')
    return poses


def stamp_of(row: Row, word: str) -> int:
    """
    A time in integer nanoseconds, as EuRoC writes it.

    :raises DataError: naming file and line, if it is none.
    """
    if not word.isdecimal() or len(word) > _STAMP_DIGITS:
        raise row.error(f'a time in ns first, up to {_STAMP_DIGITS} digits')
    return int(word)


def read_euroc_poses(path: Path) -> Trajectory:
    """
    A trajectory of time in ns, position, quaternion w x y z by line, with commas; velocity and biases may follow.

    :raises DataError: naming file and line, if one is not that, or there is none.
    """
    stamps, poses = [], []
    for row in read_rows(path):
        words = row.words(',')
        values = numbers_of(row, words[1:_EUROC_COLUMNS], _EUROC_COLUMNS - 1)
        stamps.append(stamp_of(row, words[0]))
        poses.append(transform_from(rotation_from_quaternion(values[[4, 5, 6, 3]]), values[:3]))
    if not poses:
        raise DataError(f'{path}: found no pose, expected time in ns, position, quaternion w x y z')
    return Trajectory(np.array(stamps, np.int64), np.array(poses))


def read_truth_file(
    path: Path,
    image_stamps_ns: Sequence[int] = (),
    *,
    times: Path | None = None,
    frame_from_camera: npt.NDArray[np.float64] | None = None,
    partial: bool = False,
) -> Trajectory:
    """
    Read a trajectory: TUM, KITTI or EuRoC, which its columns tell.

    :param image_stamps_ns: times of a KITTI file without times of its own: one line per image.
    :param times: seconds, one line per pose of a KITTI file; None: ``times.txt`` beside it, if it is there.
    :param frame_from_camera: (4, 4) pose of the camera in the frame whose poses the file holds; None: it is the camera.
    :param partial: whether poses or times too many at the end of a KITTI file are passed over.
    :raises DataError: naming the file and what was expected, if it is no such file.
    """
    rows = read_rows(path)
    if not rows:
        raise DataError(f'{path}: found no pose, expected a TUM, KITTI or EuRoC file')
    with_commas, columns = rows[0].words(','), len(rows[0].words())
    first = with_commas[0]
    if len(with_commas) >= _EUROC_COLUMNS and first.isdecimal() and len(first) in _EUROC_DIGITS:
        trajectory = read_euroc_poses(path)
    elif columns == _KITTI_COLUMNS:
        trajectory = _read_kitti(path, image_stamps_ns, times, partial)
    elif _TUM_COLUMNS in (columns, len(with_commas)):
        trajectory = read_tum(path)
    else:
        raise rows[0].error(
            'time tx ty tz qx qy qz qw (TUM), 12 numbers of a 3x4 matrix (KITTI), or time in ns, position, '
            'quaternion w x y z with commas (EuRoC)'
        )
    if frame_from_camera is None:
        return trajectory
    return Trajectory(trajectory.stamps_ns, trajectory.world_from_camera @ frame_from_camera)


def _read_kitti(path: Path, image_stamps_ns: Sequence[int], times: Path | None, partial: bool) -> Trajectory:
    poses = read_poses(path)
    beside = path.with_name('times.txt')
    if times is None and beside.is_file():
        times = beside
    stamps = list(image_stamps_ns) if times is None else read_times(times)
    if partial:
        count = min(len(poses), len(stamps))
        poses, stamps = poses[:count], stamps[:count]
    if len(stamps) != len(poses):
        source = 'images' if times is None else f'times in {times}'
        raise DataError(f'{path}: found {len(poses)} poses and {len(stamps)} {source}, expected as many of both')
    return Trajectory(np.array(stamps, np.int64), poses)
