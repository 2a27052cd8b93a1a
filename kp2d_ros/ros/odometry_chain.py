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

from kp2d_ros.core.records import FrontendResult, RelativePose, ScaleKind, TrackingState
from kp2d_ros.core.se3 import hat, invert_transform, transform_from, vector_from_rotation

Float64Array = npt.NDArray[np.float64]

# REP-103: the base looks along x with z up, the optical frame along z with y down.
OPTICAL_ROTATION = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
NOTHING_KNOWN = 1e6  # variance, as in RelativePose.msg
ESTIMATED = frozenset({TrackingState.OK, TrackingState.DEGRADED, TrackingState.STATIONARY})
_LINKS_KEPT = 32


@dataclass(frozen=True, slots=True)
class ChainedPose:
    """
    The pose of the base in ``odom`` and the mean velocity since the last image, in the base.

    ``covariance`` (6, 6) is over position and rotation about the fixed axes of ``odom``; ``velocity`` (6,) is linear
    then angular, in the unit of the pose and radians per second; ``velocity_covariance`` (6, 6). ``is_metric``: the
    unit is the metre.
    """

    odom_from_base: Float64Array
    covariance: Float64Array
    velocity: Float64Array
    velocity_covariance: Float64Array
    is_metric: bool


@dataclass(frozen=True, slots=True)
class _Link:
    """
    A frame that a later one may refer to: its time, and its pose in the world of the first camera.
    """

    stamp_ns: int
    world_from_camera: Float64Array
    covariance: Float64Array


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
        self._links: dict[int, _Link] = {}  # by frame number, oldest first
        self._begun = False

    def add(self, result: FrontendResult) -> ChainedPose | None:
        """
        The pose after one more image; None before the first relative pose that is worth something.
        """
        pose = result.pose
        estimated = pose is not None and pose.state in ESTIMATED
        if not self._begun and not estimated:
            self._links = {result.seq: _Link(result.stamp_ns, np.eye(4), np.zeros((6, 6)))}
            return None
        previous = next(reversed(self._links.values()), _Link(0, np.eye(4), np.zeros((6, 6))))
        if pose is not None and estimated:
            self._begun = True
            reference = self._links.get(pose.reference_seq, previous)
            step, step_covariance = pose.reference_from_current, pose.covariance
        else:  # nobody knows how far the camera went: the pose stays, and nothing is known of it
            reference, step, step_covariance = previous, np.eye(4), NOTHING_KNOWN * np.eye(6)
        link = _Link(
            result.stamp_ns,
            reference.world_from_camera @ step,
            composed_covariance(reference.world_from_camera, reference.covariance, step, step_covariance),
        )
        self._remember(result.seq, link, pose)
        return self._in_base(previous, link, step_covariance, pose is not None and pose.scale is ScaleKind.METRIC)

    def _remember(self, seq: int, link: _Link, pose: RelativePose | None) -> None:
        self._links.pop(seq, None)
        self._links[seq] = link
        kept = {seq, seq if pose is None else pose.reference_seq}
        for old in list(self._links)[:-_LINKS_KEPT]:
            if old not in kept:
                del self._links[old]

    def _in_base(self, previous: _Link, link: _Link, step_covariance: Float64Array, is_metric: bool) -> ChainedPose:
        mount = self._base_from_camera.copy()
        if not is_metric:
            mount[:3, 3] = 0.0  # a lever arm in metres means nothing beside a path in another unit
        rotation = mount[:3, :3]
        lever = np.eye(6)
        lever[:3, 3:] = hat(link.world_from_camera[:3, :3] @ rotation.T @ mount[:3, 3])
        turn = np.kron(np.eye(2), rotation)
        odom_from_base, odom_from_previous = (
            mount @ each.world_from_camera @ invert_transform(mount) for each in (link, previous)
        )
        motion = invert_transform(odom_from_previous) @ odom_from_base
        seconds = max(link.stamp_ns - previous.stamp_ns, 1) * 1e-9
        return ChainedPose(
            odom_from_base,
            turn @ lever @ link.covariance @ lever.T @ turn.T,
            np.concatenate([motion[:3, 3], vector_from_rotation(motion[:3, :3])]) / seconds,
            np.minimum(turn @ step_covariance @ turn.T / seconds**2, NOTHING_KNOWN),
            is_metric,
        )


def composed_covariance(
    a_from_b: Float64Array, covariance_ab: Float64Array, b_from_c: Float64Array, covariance_bc: Float64Array
) -> Float64Array:
    """
    Covariance (6, 6) of ``a_from_b @ b_from_c`` from those of the two, which are independent.

    All are over translation and rotation about the fixed axes of the left frame. Beyond ``NOTHING_KNOWN`` it stays at
    that: nothing is known.
    """
    rotation = a_from_b[:3, :3]
    by_first = np.eye(6)
    by_first[:3, 3:] = -hat(rotation @ b_from_c[:3, 3])
    by_second = np.kron(np.eye(2), rotation)
    covariance = by_first @ covariance_ab @ by_first.T + by_second @ covariance_bc @ by_second.T
    if not np.isfinite(covariance).all() or np.diag(covariance).max() >= NOTHING_KNOWN:
        return NOTHING_KNOWN * np.eye(6)
    return np.asarray(0.5 * (covariance + covariance.T))
