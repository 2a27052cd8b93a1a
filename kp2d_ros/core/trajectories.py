# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Trajectories and their text form (TUM RGB-D: time in seconds, position, quaternion xyzw).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.checks import check_shape
from kp2d_ros.core.errors import DataError
from kp2d_ros.core.se3 import quaternion_from_rotation, rotation_from_quaternion, transform_from

_MAX_SECONDS = 2**63 // 10**9 - 1


@dataclass(frozen=True, slots=True)
class Trajectory:
    """
    T poses over time: ``stamps_ns`` (T,) int64 strictly rising, ``world_from_camera`` (T, 4, 4) float64.

    :raises ShapeError: if the lengths do not agree.
    :raises DataError: if the stamps do not rise.
    """

    stamps_ns: npt.NDArray[np.int64]
    world_from_camera: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        check_shape('stamps_ns', self.stamps_ns, ('T',))
        check_shape('world_from_camera', self.world_from_camera, (len(self.stamps_ns), 4, 4))
        falls = np.flatnonzero(np.diff(self.stamps_ns) <= 0)
        if len(falls):
            row = int(falls[0]) + 1
            raise DataError(
                f'stamps_ns: found {self.stamps_ns[row]} after {self.stamps_ns[row - 1]} in row {row}, '
                'expected strictly rising times'
            )

    def __len__(self) -> int:
        return len(self.stamps_ns)


def format_tum(trajectory: Trajectory) -> str:
    """
    The trajectory as TUM text, nanoseconds kept.
    """
    lines = ['# timestamp tx ty tz qx qy qz qw']
    for stamp_ns, pose in zip(trajectory.stamps_ns.tolist(), trajectory.world_from_camera, strict=True):
        seconds, nanoseconds = divmod(abs(stamp_ns), 10**9)
        sign = '-' if stamp_ns < 0 else ''
        numbers = [*pose[:3, 3], *quaternion_from_rotation(pose[:3, :3])]
        lines.append(f'{sign}{seconds}.{nanoseconds:09d} ' + ' '.join(f'{value:.9f}' for value in numbers))
    return '\n'.join(lines) + '\n'


def nanoseconds_from_text(seconds: str) -> int:
    """
    Integer nanoseconds of decimal seconds, without the rounding of a float64 (TUM's "1305031102.175304").

    :raises ValueError: if it is no decimal number, or not within the 292 years that 64 bits hold.
    """
    try:
        value = Decimal(seconds.strip())
    except InvalidOperation as error:
        raise ValueError(f'not a number: {seconds!r}') from error
    if not value.is_finite() or not -_MAX_SECONDS <= value <= _MAX_SECONDS:
        raise ValueError(f'not a time in seconds: {seconds!r}')
    return int(value * 10**9)


def read_tum(path: Path) -> Trajectory:
    """
    Read a trajectory in TUM format; lines that start with # and empty lines are passed over.

    :raises DataError: if the file cannot be read, or a line is not eight numbers, naming the line.
    """
    try:
        text = path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f'{path}: cannot be read as a TUM trajectory: {error}') from error
    stamps, poses = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.replace(',', ' ').split()
        if not words or words[0].startswith('#'):
            continue
        try:
            stamp_ns = nanoseconds_from_text(words[0])
            values = np.array([float(word) for word in words[1:]])
        except ValueError as error:
            raise DataError(f'{path}, line {number}: {error}') from error
        if values.shape != (7,) or not np.isfinite(values).all() or not values[3:].any():
            raise DataError(
                f'{path}, line {number}: found {line.strip()!r}, expected 8 finite numbers: time tx ty tz qx qy qz qw, '
                'of which qx qy qz qw are not all 0'
            )
        stamps.append(stamp_ns)
        poses.append(transform_from(rotation_from_quaternion(values[3:]), values[:3]))
    if not stamps:
        raise DataError(f'{path}: found no pose, expected lines of time tx ty tz qx qy qz qw')
    return Trajectory(np.array(stamps, np.int64), np.array(poses))
