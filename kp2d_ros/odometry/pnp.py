# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The motion against points whose depth is known more or less: six degrees of freedom, the scale included.

Each pair has one inverse depth in the reference camera with a prior N(value, sigma^2). For every motion tried the best
inverse depths are found in closed form and eliminated (Schur complement), so a pair of unknown depth still constrains
the motion across its epipolar line, one of known depth also along it, and what lies between counts for what it is
worth. This is the maximum-likelihood motion and structure of two views under that prior.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from kp2d_ros.core.records import BoolArray, Float64Array
from kp2d_ros.core.se3 import invert_transform, rotation_from_vector, transform_from
from kp2d_ros.odometry.depths import InverseDepths
from kp2d_ros.odometry.least_squares import NormalEquations, cauchy_cost, cauchy_weights, minimise, robust_sigma
from kp2d_ros.odometry.rays import Rays

_SEED = 2
_DEPTH_STEPS = 3  # fixed-point steps of the inverse depth; the second one already changes it by parts in a thousand
_REFITS = 2
_MIN_Z = 1e-3  # of a reference ray in the current camera, where the reference plane lies at 1


@dataclass(frozen=True, slots=True)
class Adjustment:
    """
    A motion (4, 4) with its 6x6 covariance over (x, y, z, rotation about the fixed axes of the reference).

    ``residuals`` (M,) are pixels per coordinate at the best inverse depths, the deviation from the prior included;
    ``depths`` are those inverse depths, prior and measurement fused, for a motion that is exact.
    """

    motion: Float64Array
    covariance: Float64Array
    residuals: Float64Array
    inlier: BoolArray
    depths: InverseDepths


@dataclass(frozen=True, slots=True)
class _Pairs:
    reference: Rays
    current: Rays
    prior: InverseDepths
    sigma_px: float

    def take(self, index: BoolArray) -> _Pairs:
        prior = InverseDepths(self.prior.value[index], self.prior.sigma[index])
        return _Pairs(self.reference.take(index), self.current.take(index), prior, self.sigma_px)


@dataclass(frozen=True, slots=True)
class _Linear:
    """
    Whitened residuals (M, 2) and their Jacobians by the motion (M, 2, 6) and by the inverse depth (M, 2) at the best
    inverse depths ``value`` (M,); ``pull`` (M,) is their distance from the prior in its sigmas, ``belief`` (M,) the
    inverse variance of the prior.
    """

    residuals: Float64Array
    by_motion: Float64Array
    by_depth: Float64Array
    value: Float64Array
    pull: Float64Array
    belief: Float64Array

    @property
    def squared(self) -> Float64Array:
        return np.asarray((self.residuals**2).sum(axis=1) + self.pull**2)


def adjust(
    reference: Rays, current: Rays, prior: InverseDepths, start: Float64Array, sigma_px: float, threshold_px: float
) -> Adjustment:
    """
    The most likely motion given M pairs and the prior of their inverse depths.

    :param start: a motion near the solution.
    :param sigma_px: noise of one pixel coordinate; the covariance grows if the residuals turn out larger.
    :param threshold_px: pairs with a larger residual are outliers.
    """
    pairs = _Pairs(reference, current, prior, sigma_px)
    inlier = np.ones(len(reference), np.bool_)
    motion, covariance = start, np.eye(6) * 1e6
    for _ in range(_REFITS):
        chosen = pairs.take(inlier)
        minimum = minimise(lambda m, c=chosen: _normal_equations(_linearise(c, m)), _move, motion)
        motion, covariance = minimum.state, minimum.covariance
        linear = _linearise(pairs, motion)
        residuals = np.sqrt(linear.squared) * sigma_px
        inlier = residuals < threshold_px
        if inlier.sum() < 6:
            break
    strength = (linear.by_depth**2).sum(axis=1) + linear.belief
    depths = InverseDepths(linear.value, 1.0 / np.sqrt(strength))
    inflation = max(1.0, robust_sigma(residuals[inlier], sigma_px) / sigma_px) ** 2
    return Adjustment(motion, covariance * inflation, residuals, inlier, depths)


def solve_pnp(
    reference: Rays, current: Rays, depths: InverseDepths, threshold_px: float
) -> Float64Array | None:
    """
    A first motion (4, 4) from pairs of known depth by RANSAC; None if there is none.
    """
    good = depths.value > 0
    if good.sum() < 4:
        return None
    points = reference.vectors[good] / depths.value[good, None]
    params = cv2.UsacParams()
    params.confidence = 0.999
    params.isParallel = False
    params.maxIterations = 500
    params.randomGeneratorState = _SEED
    params.score = cv2.SCORE_METHOD_MSAC
    params.threshold = threshold_px / float(np.median(current.px_per_unit))
    found, _, vector, translation, _ = cv2.solvePnPRansac(
        points, np.ascontiguousarray(current.xy[good]), np.eye(3), None, params=params
    )
    if not found or not (np.isfinite(vector).all() and np.isfinite(translation).all()):
        return None
    return invert_transform(transform_from(rotation_from_vector(vector.ravel()), translation.ravel()))


def _linearise(pairs: _Pairs, motion: Float64Array) -> _Linear:
    rotation, translation = motion[:3, :3], motion[:3, 3]
    base = pairs.reference.vectors @ rotation  # R^T x_r
    slope = rotation.T @ translation
    # Noise of both images is put into the current one.
    scale = pairs.current.px_per_unit / (np.sqrt(2.0) * pairs.sigma_px)
    value = _best_depths(pairs, base, slope, scale)
    seen = base - value[:, None] * slope
    z = np.maximum(seen[:, 2:], _MIN_Z)
    plane = seen[:, :2] / z
    # d(projection) = (d seen_xy - projection d seen_z) / z
    factor = -scale[:, None] / z
    by_depth = -(slope[:2] - plane * slope[2]) * factor
    # R <- exp(w) R, t <- t + dt: seen = R^T (x_r - rho t) moves by R^T ((x_r - rho t) x w - rho dt).
    arm = pairs.reference.vectors - value[:, None] * translation
    project = np.stack([rotation.T[0] - plane[:, :1] * rotation.T[2], rotation.T[1] - plane[:, 1:] * rotation.T[2]], axis=1)
    by_translation = -project * value[:, None, None]
    by_rotation = np.cross(project, arm[:, None, :])
    by_motion = np.concatenate([by_translation, by_rotation], axis=2) * factor[:, :, None]
    residuals = (pairs.current.xy - plane) * scale[:, None]
    belief = 1.0 / pairs.prior.sigma**2
    return _Linear(residuals, by_motion, by_depth, value, (value - pairs.prior.value) * np.sqrt(belief), belief)


def _best_depths(pairs: _Pairs, base: Float64Array, slope: Float64Array, scale: Float64Array) -> Float64Array:
    offset = base[:, :2] - pairs.current.xy * base[:, 2:]
    gain = slope[:2] - pairs.current.xy * slope[2]
    value = pairs.prior.value
    belief = 1.0 / pairs.prior.sigma**2
    strength, pulled = (gain**2).sum(axis=1), (gain * offset).sum(axis=1)
    for _ in range(_DEPTH_STEPS):
        weight = (scale / np.maximum(base[:, 2] - value * slope[2], _MIN_Z)) ** 2
        value = (weight * pulled + belief * pairs.prior.value) / (weight * strength + belief)
    return np.asarray(value)


def _normal_equations(linear: _Linear) -> NormalEquations:
    """
    The normal equations of the motion; the inverse depths are eliminated.
    """
    squared = linear.squared
    weights = cauchy_weights(squared)
    coupling = np.einsum('nij,ni->nj', linear.by_motion, linear.by_depth)
    strength = (linear.by_depth**2).sum(axis=1) + linear.belief
    slack = (linear.by_depth * linear.residuals).sum(axis=1) + linear.pull * np.sqrt(linear.belief)
    weighted = (linear.by_motion * weights[:, None, None]).reshape(-1, 6)
    eliminated = coupling * (weights / strength)[:, None]
    hessian = weighted.T @ linear.by_motion.reshape(-1, 6) - eliminated.T @ coupling
    gradient = weighted.T @ linear.residuals.ravel() - eliminated.T @ slack
    return NormalEquations(hessian, gradient, cauchy_cost(squared))


def _move(motion: Float64Array, step: Float64Array) -> Float64Array:
    rotation = rotation_from_vector(step[3:]) @ motion[:3, :3]
    return transform_from(rotation, motion[:3, 3] + step[:3])
