# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
One continuous pose for ``odometry`` out of the relative poses, in the convention of robots.

REP-105: ``odom`` is where the base was at the start, x forward and z up, and the pose in it never jumps. Where the
scale chain breaks, or tracking is lost, it goes on from the last pose, and the covariance says what that is worth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.pose_path import PathPose, PosePath
from kp2d_ros.core.records import UNKNOWN_VARIANCE, FrontendResult
from kp2d_ros.core.se3 import hat, invert_transform, transform_from, vector_from_rotation

Float64Array = npt.NDArray[np.float64]

# REP-103: the base looks along x with z up, the optical frame along z with y down.
OPTICAL_ROTATION = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


@dataclass(frozen=True, slots=True)
class ChainedPose:
    """
    The poses of the base and of the camera in ``odom``, and the mean velocity since the last image, in the base; in
    metres since the last image of which the pose is known.

    ``covariance`` (6, 6) is over position and rotation about the fixed axes of ``odom``; ``velocity`` (6,) is linear
    then angular, in the unit of the pose and radians per second; ``velocity_covariance`` (6, 6). ``is_metric``: the
    unit is the metre.
    """

    odom_from_base: Float64Array
    odom_from_camera: Float64Array
    covariance: Float64Array
    velocity: Float64Array
    velocity_covariance: Float64Array
    is_metric: bool


class OdometryChain:
    """
    Adds up relative poses; used by one thread.
    """

    def __init__(self, base_from_camera: Float64Array | None = None) -> None:
        """
        :param base_from_camera: 4x4, where the camera sits on the robot; None: at the base, looking forward.
        """
        self._base_from_camera = transform_from(OPTICAL_ROTATION, np.zeros(3))
        if base_from_camera is not None:
            self._base_from_camera = base_from_camera
        self._path = PosePath()

    def add(self, result: FrontendResult) -> ChainedPose | None:
        """
        The pose after one more image; None before the first relative pose that is worth something.
        """
        latest = self._path.add(result.seq, result.stamp_ns, result.pose)
        return self._in_base(self._path.before, latest, self._path.is_metric) if self._path.has_begun else None

    def _in_base(self, previous: PathPose, latest: PathPose, is_metric: bool) -> ChainedPose:
        mount = self._base_from_camera.copy()
        if not is_metric:
            mount[:3, 3] = 0.0  # a lever arm in metres means nothing beside a path in another unit
        odom_from_base, odom_from_previous = (
            mount @ each.world_from_camera @ invert_transform(mount) for each in (latest, previous)
        )
        motion = invert_transform(odom_from_previous) @ odom_from_base
        seconds = max(latest.stamp_ns - previous.stamp_ns, 1) * 1e-9
        pose_part = _base_by_camera(mount, latest.world_from_camera[:3, :3])
        step_part = _base_by_camera(mount, previous.world_from_camera[:3, :3].T @ latest.world_from_camera[:3, :3])
        return ChainedPose(
            odom_from_base,
            mount @ latest.world_from_camera,
            pose_part @ latest.covariance @ pose_part.T,
            np.concatenate([motion[:3, 3], vector_from_rotation(motion[:3, :3])]) / seconds,
            np.minimum(step_part @ latest.step_covariance @ step_part.T / seconds**2, UNKNOWN_VARIANCE),
            is_metric,
        )


def _base_by_camera(base_from_camera: Float64Array, rotation: Float64Array) -> Float64Array:
    """
    Jacobian (6, 6) of the motion of the base by that of the camera, of which the rotation (3, 3) is ``rotation``.
    """
    mount = base_from_camera[:3, :3]
    lever = np.eye(6)
    lever[:3, 3:] = hat(rotation @ mount.T @ base_from_camera[:3, 3])
    return np.asarray(np.kron(np.eye(2), mount) @ lever)
