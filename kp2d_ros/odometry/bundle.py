# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Sparse bundle adjustment: poses and points that explain best where keypoints were seen and how far they were measured.

Minimised robustly are the pixels between keypoints and the images of their points, and the differences of measured
inverse depths in their standard deviations (Triggs et al., Bundle adjustment - a modern synthesis, 2000). A keypoint is
aligned with the one in the view before, so the errors of a track add up: what is independent, and counts, is by how
much its error differs from that in the view before.

A point is a ray of a camera that stays, its anchor, and an inverse depth (Civera et al., Inverse depth parametrization
for monocular SLAM, 2008): far points are no special case. Points are eliminated (Schur complement), so that a step
costs a system of six unknowns per pose. In all arrays the points come last: each operation is one over all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kp2d_ros.core.records import BoolArray, Float64Array
from kp2d_ros.core.se3 import hat, invert_transform, rotation_from_vector
from kp2d_ros.odometry.geometry import MIN_Z
from kp2d_ros.odometry.least_squares import (
    Minimum,
    NormalEquations,
    cauchy_cost,
    cauchy_weights,
    minimise,
    robust_sigma,
)
from kp2d_ros.odometry.model_fits import SIGMA_FLOOR_PX

_LOOSE = 1e-9  # of the trace: what holds a point where nothing else does
_TINY = 1e-12
_FIRST_SIGMA_PX = 0.3
_FIRST_STEPS = 1  # of the points alone, before the noise is measured
_NOISE_STEPS = 1  # after which it is measured anew: poses that were off are no noise


@dataclass(frozen=True, slots=True)
class Observations:
    """
    What K cameras saw of P points: ``xy`` (K, 2, P) at z = 1, ``px_per_unit`` (K, P) there, 0 where a point was not
    seen; measured inverse depths ``nearness`` (K, P) with ``belief`` (K, P), one over their sigma, 0 without any.
    """

    xy: Float64Array
    px_per_unit: Float64Array
    nearness: Float64Array
    belief: Float64Array

    @property
    def is_tracked(self) -> BoolArray:
        """
        (K - 1, P) whether a view and the one before saw a point.
        """
        seen = self.px_per_unit > 0
        return np.asarray(seen[1:] & seen[:-1])


@dataclass(frozen=True, slots=True)
class Bundle:
    """
    Poses ``world_from_camera`` (K, 4, 4) and points: ``rays`` (3, P), x and y at z = 1 and the inverse depth in the
    cameras ``anchors`` (4, 4, P), world from camera, which stay where they are.
    """

    poses: Float64Array
    rays: Float64Array
    anchors: Float64Array

    @property
    def levers(self) -> Float64Array:
        """
        (K, 3, P) from the cameras to the anchors, along the axes of the cameras.
        """
        return np.asarray(self._cameras @ (self.anchors[:3, 3] - self.poses[:, :3, 3, None]))

    @property
    def sides(self) -> Float64Array:
        """
        (K, 3, 2, P) the x and y axes of the anchors, along the axes of the cameras.
        """
        sides = self._cameras @ self.anchors[:3, :2].reshape(3, -1)
        return np.asarray(sides.reshape(len(self.poses), 3, 2, -1))

    @property
    def seen(self) -> Float64Array:
        """
        (K, 3, P) the points in all cameras, times their inverse depth in the anchor.
        """
        x, y, nearness = self.rays
        toward = x * self.anchors[:3, 0] + y * self.anchors[:3, 1] + self.anchors[:3, 2]
        return np.asarray(self._cameras @ toward + nearness * self.levers)

    @property
    def nearness(self) -> Float64Array:
        """
        (K, P) inverse depths of the points in all cameras.
        """
        return np.asarray(self.rays[2] / np.maximum(self.seen[:, 2], MIN_Z))

    @property
    def _cameras(self) -> Float64Array:
        return np.asarray(self.poses[:, :3, :3].transpose(0, 2, 1))


@dataclass(frozen=True, slots=True)
class Adjusted:
    """
    The best poses and points, the covariance (6 F, 6 F) of the F poses that were free, over a shift in the world and a
    rotation about the axes of the camera each, and ``nearness_sigma`` (P,) of the inverse depths in the last camera for
    poses as they are.
    """

    bundle: Bundle
    covariance: Float64Array
    nearness_sigma: Float64Array
    sigma_px: float

    def motion_covariance(self, reference: int, current: int) -> Float64Array:
        """
        The covariance (6, 6) of the motion between two of the poses, over translation and rotation about the fixed axes
        of the reference.
        """
        poses = self.bundle.poses
        fixed = len(poses) - len(self.covariance) // 6
        world_from_reference = poses[reference]
        motion = invert_transform(world_from_reference) @ poses[current]
        by_poses = np.zeros((6, 6 * len(poses)))
        by_reference, by_current = by_poses[:, 6 * reference :], by_poses[:, 6 * current :]
        by_reference[:3, :3] = -world_from_reference[:3, :3].T
        by_reference[:3, 3:6] = hat(motion[:3, 3])
        by_reference[3:, 3:6] = -np.eye(3)
        by_current[:3, :3] = world_from_reference[:3, :3].T
        by_current[3:, 3:6] = motion[:3, :3]
        free = by_poses[:, 6 * fixed :]
        return np.asarray(free @ self.covariance @ free.T)


def adjust_bundle(observations: Observations, start: Bundle, fixed: int, steps: int) -> Adjusted:
    """
    The most likely poses and points near a start.

    :param fixed: how many of the first poses stay: one where depths were measured, two where nothing else holds the
        scale.
    :param steps: of the search, at most.
    """
    bundle, count = start, len(start.poses)
    for _ in range(_FIRST_STEPS):
        bundle = _System(_linearise(observations, bundle, _FIRST_SIGMA_PX, count)).moved(bundle, np.zeros(0))
    first = _search(observations, bundle, fixed, _NOISE_STEPS)
    last = _search(observations, first.state.bundle, fixed, max(steps - _NOISE_STEPS, 0))
    bundle, sigma_px = last.state.bundle, last.state.sigma_px
    return Adjusted(bundle, last.covariance, _last_sigma(bundle, last.state.system), sigma_px)


def _search(observations: Observations, start: Bundle, fixed: int, steps: int) -> Minimum[_State]:
    """
    The least cost for the noise that the start shows.
    """
    sigma_px = _measured_sigma(observations, start)

    def at(bundle: Bundle) -> _State:
        return _State(bundle, _System(_linearise(observations, bundle, sigma_px, fixed)), sigma_px)

    return minimise(
        lambda state: state.system.equations,
        lambda state, step: at(state.system.moved(state.bundle, step)),
        at(start),
        steps,
    )


@dataclass(frozen=True, slots=True)
class _State:
    bundle: Bundle
    system: _System
    sigma_px: float


@dataclass(frozen=True, slots=True)
class _Linear:
    """
    Residuals (K, 3, P) of each camera, two of the image and one of the depth, their Jacobians by the points
    (K, 3, 3, P) and by the free poses (F, 6, 3, P), parameters first.

    What counts are the differences of those of the image where ``is_tracked`` (K - 1, P) says so, in ``weights``
    (K, 3, P); ``cost`` is half their robust sum of squares.
    """

    residuals: Float64Array
    by_point: Float64Array
    by_pose: Float64Array
    weights: Float64Array
    is_tracked: BoolArray
    cost: float

    def differences(self, values: Float64Array) -> Float64Array:
        """
        Of (K, ..., 3, P), in the image: each without the one before.
        """
        steps = values.copy()
        steps[1:, ..., :2, :] -= self._spread(values) * values[:-1, ..., :2, :]
        return np.asarray(steps)

    def pulls(self, values: Float64Array) -> Float64Array:
        """
        The transpose of :meth:`differences`: each without the one after.
        """
        steps = values.copy()
        steps[:-1, ..., :2, :] -= self._spread(values) * values[1:, ..., :2, :]
        return np.asarray(steps)

    def _spread(self, values: Float64Array) -> BoolArray:
        middle = (1,) * (values.ndim - 2)
        return self.is_tracked.reshape(len(self.is_tracked), *middle, -1)


class _System:
    """
    The normal equations of poses and points.

    ``inverse`` (3, 3, P) of the Hessians of the points, their gradients ``slack`` (3, P) and their ``coupling``
    (F, 6, 3, P) with the poses; ``equations`` are those of the poses with the points eliminated.
    """

    def __init__(self, linear: _Linear) -> None:
        by_point = linear.differences(linear.by_point)
        weighted = linear.weights[:, None] * by_point
        hessian = np.einsum('karp,kbrp->pab', by_point, weighted)
        held = _LOOSE * np.trace(hessian, axis1=1, axis2=2) + _TINY
        self.inverse = np.ascontiguousarray(np.linalg.inv(hessian + held[:, None, None] * np.eye(3)).transpose(1, 2, 0))
        pulls = linear.pulls(linear.weights * linear.differences(linear.residuals))
        self.slack = np.einsum('karp,krp->ap', linear.by_point, pulls)
        fixed = len(pulls) - len(linear.by_pose)
        self.coupling = np.einsum('karp,kbrp->kabp', linear.by_pose, linear.pulls(weighted)[fixed:])
        self.equations = self._reduced(linear, pulls[fixed:])

    def _reduced(self, linear: _Linear, pulls: Float64Array) -> NormalEquations:
        free, width = len(pulls), 3 * self.slack.shape[1]
        eliminated = np.einsum('kabp,bcp->kacp', self.coupling, self.inverse)
        # Blocks of six by six: products that wake no threads of the BLAS.
        left, right = eliminated.reshape(free, 1, 6, width), self.coupling.reshape(1, free, 6, width)
        hessian = self._of_poses(linear, free) - left @ right.transpose(0, 1, 3, 2)
        gradient = np.einsum('karp,krp->ka', linear.by_pose, pulls) - np.einsum('kabp,bp->ka', eliminated, self.slack)
        return NormalEquations(hessian.transpose(0, 2, 1, 3).reshape(6 * free, 6 * free), gradient.ravel(), linear.cost)

    def _of_poses(self, linear: _Linear, free: int) -> Float64Array:
        """
        (F, F, 6, 6) blocks of the Hessian of the poses for points as they are: a view and those before and after it.
        """
        hessian = np.zeros((free, free, 6, 6))
        shared = np.zeros(linear.weights[1:].shape)
        shared[:, :2] = linear.is_tracked[:, None] * linear.weights[1:, :2]
        own = linear.weights.copy()
        own[:-1] += shared
        fixed = len(own) - free
        rows = linear.by_pose.reshape(free, 6, own[0].size)
        for number in range(free):
            hessian[number, number] = rows[number] * own[number + fixed].ravel() @ rows[number].T
        for number in range(1, free):
            across = -(rows[number - 1] * shared[number + fixed - 1].ravel()) @ rows[number].T
            hessian[number - 1, number], hessian[number, number - 1] = across, across.T
        return hessian

    def moved(self, bundle: Bundle, step: Float64Array) -> Bundle:
        """
        The bundle after a step (6 F,) of its free poses, and the step of its points that belongs to it.
        """
        parts = step.reshape(-1, 6)
        poses = bundle.poses.copy()
        for pose, part in zip(poses[len(poses) - len(parts) :], parts, strict=True):
            pose[:3, 3] += part[:3]
            pose[:3, :3] = pose[:3, :3] @ rotation_from_vector(part[3:])
        slack = self.slack + np.einsum('kabp,ka->bp', self.coupling, parts)
        return replace(bundle, poses=poses, rays=bundle.rays - np.einsum('abp,bp->ap', self.inverse, slack))


@dataclass(frozen=True, slots=True)
class _Images:
    """
    Where K cameras see P points: ``plane`` (K, 2, P) at z = 1, inverse depths ``nearness`` (K, P), what a step there is
    worth, ``gain`` (K, P) and ``belief`` (K, P), and one over z (K, P) of points times their inverse depth.
    """

    plane: Float64Array
    nearness: Float64Array
    gain: Float64Array
    belief: Float64Array
    inverse_z: Float64Array

    def derivatives(self, by_seen: Float64Array) -> Float64Array:
        """
        (K, D, 3, P) of the residuals, from (K, D, 3, P) of the points in the cameras.
        """
        rows = np.empty(by_seen.shape)
        along = by_seen[:, :, 2:]
        rows[:, :, :2] = (by_seen[:, :, :2] - self.plane[:, None] * along) * (self.gain * self.inverse_z)[:, None, None]
        rows[:, :, 2:] = along * (-self.belief * self.nearness * self.inverse_z)[:, None, None]
        return rows


def _linearise(observations: Observations, bundle: Bundle, sigma_px: float, fixed: int) -> _Linear:
    seen = bundle.seen
    inverse_z = 1.0 / np.maximum(seen[:, 2], MIN_Z)
    images = _Images(
        seen[:, :2] * inverse_z[:, None],
        bundle.rays[2] * inverse_z,
        observations.px_per_unit / sigma_px,
        observations.belief,
        inverse_z,
    )
    residuals = np.empty(seen.shape)
    residuals[:, :2] = (images.plane - observations.xy) * images.gain[:, None]
    residuals[:, 2] = (images.nearness - observations.nearness) * images.belief
    by_ray = np.empty((len(seen), 3, *seen.shape[1:]))
    by_ray[:, :2] = bundle.sides.transpose(0, 2, 1, 3)
    by_ray[:, 2] = bundle.levers
    by_point = images.derivatives(by_ray)
    by_point[:, 2, 2] += images.belief * inverse_z
    by_pose = np.zeros((len(seen), 6, *seen.shape[1:]))
    by_pose[:, :3] = -bundle.rays[2] * bundle.poses[:, :3, :3, None]
    x, y, z = seen.transpose(1, 0, 2)
    by_pose[:, 4, 0], by_pose[:, 5, 1], by_pose[:, 3, 2] = -z, -x, -y
    by_pose[:, 5, 0], by_pose[:, 3, 1], by_pose[:, 4, 2] = y, z, x
    by_pose = images.derivatives(by_pose)[fixed:]
    linear = _Linear(residuals, by_point, by_pose, np.ones(residuals.shape), observations.is_tracked, 0.0)
    return _weighted(linear)


def _weighted(linear: _Linear) -> _Linear:
    squared = linear.differences(linear.residuals) ** 2
    in_image, in_depth = squared[:, 0] + squared[:, 1], squared[:, 2]
    in_both = cauchy_weights(in_image)
    weights = np.stack([in_both, in_both, cauchy_weights(in_depth)], axis=1)
    return replace(linear, weights=weights, cost=cauchy_cost(in_image) + cauchy_cost(in_depth))


def _measured_sigma(observations: Observations, bundle: Bundle) -> float:
    """
    Noise of a pixel coordinate by the median size of the residuals from view to view.
    """
    seen = bundle.seen
    plane = seen[:, :2] / np.maximum(seen[:, 2:], MIN_Z)
    off_px = (plane - observations.xy) * observations.px_per_unit[:, None]
    step_px = (off_px[1:] - off_px[:-1]).transpose(1, 0, 2)
    return robust_sigma(step_px[:, observations.is_tracked].ravel(), SIGMA_FLOOR_PX)


def _last_sigma(bundle: Bundle, system: _System) -> Float64Array:
    """
    (P,) standard deviations of the inverse depths in the last camera, for poses as they are.
    """
    inverse_z = 1.0 / np.maximum(bundle.seen[-1, 2], MIN_Z)
    nearness = bundle.rays[2] * inverse_z
    by_ray = -nearness * inverse_z * np.vstack([bundle.sides[-1, 2], bundle.levers[-1, 2:]])
    by_ray[2] += inverse_z
    return np.asarray(np.sqrt(np.einsum('ap,abp,bp->p', by_ray, system.inverse, by_ray)))
