# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What every recording offers, whatever it is stored as.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from kp2d_ros.core.cameras import CameraModel
from kp2d_ros.core.records import Frame
from kp2d_ros.core.trajectories import Trajectory


class SequenceReader(Protocol):
    """
    Images in the order they were taken.

    Iterating gives each frame once, numbered from 0; iterating again gives the same. ``camera`` is None without
    calibration. ``ground_truth`` is the trajectory of the camera's optical frame in a fixed world, at times of its own,
    or None. An image that cannot be read raises a DataError: a sequence with a hole would be scored as if it had none.
    """

    @property
    def name(self) -> str:
        """
        What the sequence is called in reports and file names.
        """

    @property
    def camera(self) -> CameraModel | None:
        """
        The camera of every frame.
        """

    @property
    def ground_truth(self) -> Trajectory | None:
        """
        Where the camera was.
        """

    def __len__(self) -> int:
        """
        Number of frames.
        """

    def __iter__(self) -> Iterator[Frame]:
        """
        The frames from the beginning.
        """
