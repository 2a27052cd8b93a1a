# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Text files of rows: the lists, times and poses that come with recorded sequences.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.trajectories import Trajectory, nanoseconds_from_text, read_tum

_POSE_COLUMNS = 12
_TUM_COLUMNS = 8
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
        raise DataError(f'{path}: cannot be read: {error}') from error
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
        pose[:3] = numbers_of(row, row.words(), _POSE_COLUMNS).reshape(3, 4)
        rotation = pose[:3, :3]
        skewed = np.abs(rotation @ rotation.T - np.eye(3)).max() > _ROTATION_TOLERANCE
        if skewed or np.linalg.det(rotation) < 0:
            raise row.error('a 3x4 matrix, row by row, whose left part is a rotation')
    return poses


def read_trajectory(path: Path, stamps_ns: list[int]) -> Trajectory:
    """
    Camera poses in the world: a TUM trajectory (8 columns, times of its own), or 12 columns, one line per frame.

    :param stamps_ns: times of the frames, for 12 columns; lines or frames too many are passed over.
    :raises DataError: naming file and line, if it is neither.
    """
    rows = read_rows(path)
    columns = len(rows[0].words()) if rows else 0
    if columns == _TUM_COLUMNS:
        return read_tum(path)
    if columns != _POSE_COLUMNS:
        raise DataError(
            f'{path}: found {columns} columns, expected {_POSE_COLUMNS} (3x4 matrix) or {_TUM_COLUMNS} (TUM)'
        )
    poses = read_poses(path)
    count = min(len(poses), len(stamps_ns))
    return Trajectory(np.array(stamps_ns[:count], np.int64), poses[:count])
