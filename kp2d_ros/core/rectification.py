# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Two cameras side by side, and the axes in which they look like a rectified pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.se3 import is_rotation

Float64Array = npt.NDArray[np.float64]

_MIN_BASELINE = 1e-3  # metres; nearer cameras tell nothing


@dataclass(frozen=True, slots=True, eq=False)
class RectifiedRig:
    """
    Rotations that turn the rays of both cameras of a rig into axes whose x is the baseline, of ``baseline`` metres.

    There, a point of inverse depth rho is seen at the same y by both, and at x smaller by ``baseline`` rho by the
    right one (the epipolar geometry of Fusiello, Trucco, Verri, 2000, for rays instead of images).
    """

    from_left: Float64Array
    from_right: Float64Array
    baseline: float


def rectify_rig(left_from_right: Float64Array) -> RectifiedRig:
    """
    The rig of a pose (4, 4) of the right camera in the left one.

    :raises DataError: if the pose is none, or the two cameras stand in the same place, or behind each other.
    """
    offset, rotation = left_from_right[:3, 3], left_from_right[:3, :3]
    baseline = float(np.linalg.norm(offset))
    if not _MIN_BASELINE < baseline < np.inf:
        raise DataError(f'stereo baseline: found {baseline:g} m, expected at least {_MIN_BASELINE:g}')
    if not is_rotation(rotation):
        raise DataError(f'stereo rig: found {rotation.round(4).tolist()} between the cameras, expected a rotation')
    x = offset / baseline
    forward = np.array([0.0, 0.0, 1.0]) + rotation[:, 2]  # between the two optical axes
    y = np.cross(forward, x)
    length = float(np.linalg.norm(y))
    if length < 0.5:
        raise DataError('stereo rig: found one camera before the other, expected them side by side')
    axes = np.stack([x, y / length, np.cross(x, y / length)])
    return RectifiedRig(axes, axes @ rotation, baseline)
