# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Errors over parts of a given length, as the KITTI odometry benchmark measures drift.

Geiger, Lenz, Urtasun: Are we ready for autonomous driving? CVPR 2012.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.errors import ShapeError
from kp2d_ros.core.se3 import invert_transform, rotation_angle

KITTI_LENGTHS = (100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0)  # metres
STEP = 10  # a part begins at every tenth pose

Poses = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SegmentScore:
    """
    Mean errors over ``count`` parts of the path, divided by the length of each.

    ``translation_percent`` is the distance between the ends in percent of the length, ``rotation_deg_per_m`` the angle
    between the orientations at the end. ``by_length`` holds the same for each length in metres that fits.
    """

    count: int
    translation_percent: float
    rotation_deg_per_m: float
    by_length: dict[float, SegmentScore]


def score_segments(truth: Poses, estimate: Poses, lengths: Sequence[float] = KITTI_LENGTHS) -> SegmentScore | None:
    """
    Compare the motion over every part of the true path; None where the path is shorter than the shortest length.

    A part begins at every ``STEP``-th pose and ends at the first pose more than the length along the true path.

    :param truth: (T, 4, 4) world_from_camera; ``estimate`` the same at the same times, in the same unit of length.
    :raises ShapeError: if there are not as many poses of both.
    """
    if truth.shape != estimate.shape:
        raise ShapeError(f'segments: found {len(truth)} true and {len(estimate)} estimated poses, expected pairs')
    steps = np.linalg.norm(np.diff(truth[:, :3, 3], axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    errors: dict[float, list[tuple[float, float]]] = {}
    for length in lengths:
        for first in range(0, len(truth), STEP):
            last = int(np.searchsorted(along, along[first] + length, side='right'))
            if last < len(truth):
                true_motion = invert_transform(truth[first]) @ truth[last]
                motion = invert_transform(estimate[first]) @ estimate[last]
                left = invert_transform(motion) @ true_motion
                error = (float(np.linalg.norm(left[:3, 3])), float(np.degrees(rotation_angle(left[:3, :3]))))
                errors.setdefault(length, []).append((error[0] / length, error[1] / length))
    by_length = {length: _mean(parts, {}) for length, parts in errors.items()}
    every = [part for parts in errors.values() for part in parts]
    return _mean(every, by_length) if every else None


def _mean(parts: list[tuple[float, float]], by_length: dict[float, SegmentScore]) -> SegmentScore:
    shift, turn = np.mean(parts, axis=0)
    return SegmentScore(len(parts), 100.0 * float(shift), float(turn), by_length)
