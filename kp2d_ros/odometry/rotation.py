# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The motion of a camera that only turns: two pairs give a rotation, a vectorised RANSAC finds the one most pairs share.
"""

from __future__ import annotations

import numpy as np

from kp2d_ros.core.records import Float64Array
from kp2d_ros.core.se3 import hat
from kp2d_ros.odometry.epipolar import rotate_left
from kp2d_ros.odometry.least_squares import Minimum, NormalEquations, cauchy_cost, cauchy_weights, minimise
from kp2d_ros.odometry.rays import Rays

_SAMPLES = 100  # at half outliers, one of 100 pairs of pairs is clean with a probability of 1 - 3e-13
_SEED = 0


def turn_residuals(reference: Rays, current: Rays, rotation: Float64Array) -> Float64Array:
    """
    (N, 2) pixels between each keypoint and the image of its partner if the camera only turned.

    Divided by sqrt(2): with noise of one sigma in both images a coordinate of the residual has that sigma.
    """
    turned = reference.vectors @ rotation
    with np.errstate(divide='ignore', invalid='ignore'):
        plane = turned[:, :2] / np.where(turned[:, 2:] > 0, turned[:, 2:], np.nan)
    residuals = (current.xy - plane) * (current.px_per_unit / np.sqrt(2.0))[:, None]
    return np.nan_to_num(residuals, nan=1e6)  # behind the camera: far off


def find_rotation(reference: Rays, current: Rays, threshold_px: float) -> Float64Array:
    """
    The 4x4 motion without translation that explains most pairs, out of rotations through two pairs each.
    """
    count = len(reference)
    first, second = np.random.default_rng(_SEED).integers(0, count, (2, _SAMPLES))
    unit_r = reference.vectors / np.linalg.norm(reference.vectors, axis=1, keepdims=True)
    unit_c = current.vectors / np.linalg.norm(current.vectors, axis=1, keepdims=True)
    candidates = _triads(unit_r[first], unit_r[second]) @ _triads(unit_c[first], unit_c[second]).transpose(0, 2, 1)
    chord = np.abs(unit_r[None] @ candidates - unit_c[None]).max(axis=2)  # (S, N) radians, nearly
    limit = np.sqrt(2.0) * threshold_px / current.px_per_unit
    cost = np.minimum(chord / limit, 1.0).sum(axis=1)
    motion = np.eye(4)
    if count:
        motion[:3, :3] = candidates[np.argmin(cost)]
    return motion


def refine_rotation(reference: Rays, current: Rays, start: Float64Array, sigma_px: float) -> Minimum[Float64Array]:
    """
    The rotation that minimises the robust residuals; its 3x3 covariance is about the fixed axes of the reference.
    """

    def linearise(motion: Float64Array) -> NormalEquations:
        turned = reference.vectors @ motion[:3, :3]
        residuals = turn_residuals(reference, current, motion[:3, :3])
        squared = (residuals**2).sum(axis=1) / sigma_px**2
        scale = current.px_per_unit / (np.sqrt(2.0) * turned[:, 2])
        # R <- exp(w) R moves R^T x_r by R^T (x_r x w); the residual is x_c minus its image.
        moved = np.einsum('ij,njk->nik', motion[:3, :3].T, _hats(reference.vectors))
        plane = turned[:, :2] / turned[:, 2:]
        jacobian = -(moved[:, :2] - plane[:, :, None] * moved[:, 2:]) * scale[:, None, None]
        weights = cauchy_weights(squared) / sigma_px**2
        hessian = np.einsum('nij,nik,n->jk', jacobian, jacobian, weights)
        return NormalEquations(hessian, np.einsum('nij,ni,n->j', jacobian, residuals, weights), cauchy_cost(squared))

    return minimise(linearise, rotate_left, start)


def _triads(first: Float64Array, second: Float64Array) -> Float64Array:
    """
    (S, 3, 3) orthonormal frames, one per two directions.
    """
    normal = np.cross(first, second)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    return np.stack([first, np.cross(normal, first), normal], axis=2)


def _hats(vectors: Float64Array) -> Float64Array:
    """
    (N, 3, 3) matrices of the cross product.
    """
    basis = np.stack([hat(axis) for axis in np.eye(3)])
    return np.einsum('nk,kij->nij', vectors, basis)
