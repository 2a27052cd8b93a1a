# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The true pose at the time of an image, between the poses that the ground truth has.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.se3 import rotation_from_vector, transform_from, vector_from_rotation
from kp2d_ros.core.trajectories import Trajectory

MAX_GAP_NS = 200_000_000  # nothing is interpolated over a longer hole in the ground truth


def interpolate_poses(
    trajectory: Trajectory, stamps_ns: npt.NDArray[np.int64], max_gap_ns: int = MAX_GAP_NS
) -> npt.NDArray[np.float64]:
    """
    Poses (S, 4, 4) at the stamps (S,): constant velocity and turn rate between the two neighbours in time.

    NaN before the first pose, after the last one, and between neighbours more than ``max_gap_ns`` apart. A stamp that
    the trajectory has gives its pose unchanged.
    """
    poses = np.full((len(stamps_ns), 4, 4), np.nan)
    known = trajectory.stamps_ns
    after = np.searchsorted(known, stamps_ns)
    for row, (stamp, right) in enumerate(zip(stamps_ns, after, strict=True)):
        if right < len(known) and known[right] == stamp:
            poses[row] = trajectory.world_from_camera[right]
        elif 0 < right < len(known) and known[right] - known[right - 1] <= max_gap_ns:
            share = float(stamp - known[right - 1]) / float(known[right] - known[right - 1])
            first, second = trajectory.world_from_camera[right - 1 : right + 1]
            poses[row] = _between(first, second, share)
    return poses


def _between(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], share: float) -> npt.NDArray[np.float64]:
    turn = vector_from_rotation(first[:3, :3].T @ second[:3, :3])
    rotation = first[:3, :3] @ rotation_from_vector(share * turn)
    return transform_from(rotation, (1 - share) * first[:3, 3] + share * second[:3, 3])
