# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The motion of a camera that only turns: two pairs give a rotation, a vectorised RANSAC finds the one most pairs share.
"""

from __future__ import annotations

import numpy as np

from kp2d_ros.core.records import Float64Array
from kp2d_ros.odometry.least_squares import Minimum, NormalEquations, cauchy_cost, cauchy_weights, minimise
from kp2d_ros.odometry.projection import image_jacobian, move, project
from kp2d_ros.odometry.rays import Rays

_SAMPLES = 60  # at half outliers one of 60 pairs of pairs is clean with a probability of 1 - 3e-8
_VOTERS = 300  # pairs that vote on the samples
_NO_ROTATION = 1e-6  # farther from 1 is the determinant of a matrix that is no rotation
_SEED = 0


def turn_residuals(reference: Rays, current: Rays, motion: Float64Array) -> Float64Array:
    """
    (N, 2) pixels between each keypoint and the image of its partner if the camera only turned.

    Divided by sqrt(2): with noise of one sigma in both images a coordinate of the residual has that sigma.
    """
    plane = project(reference.vectors @ motion[:3, :3])
    return np.asarray((current.xy - plane) * (current.px_per_unit / np.sqrt(2.0))[:, None])


def find_rotation(reference: Rays, current: Rays, threshold_px: float) -> Float64Array:
    """
    The 4x4 motion without translation that explains most of N >= 2 pairs, out of rotations through two pairs each.
    """
    generator = np.random.default_rng(_SEED)
    first, second = generator.integers(0, len(reference), (2, _SAMPLES))
    unit_r = reference.vectors / np.linalg.norm(reference.vectors, axis=1, keepdims=True)
    unit_c = current.vectors / np.linalg.norm(current.vectors, axis=1, keepdims=True)
    candidates = _triads(unit_r[first], unit_r[second]) @ _triads(unit_c[first], unit_c[second]).transpose(0, 2, 1)
    voters = generator.permutation(len(reference))[:_VOTERS]
    chord = np.abs(unit_r[voters] @ candidates - unit_c[voters]).max(axis=2)  # (S, V) radians, nearly
    limit = np.sqrt(2.0) * threshold_px / current.px_per_unit[voters]
    cost = np.minimum(chord / limit, 1.0).sum(axis=1)
    # Two rays that are one give no rotation.
    cost[np.abs(np.linalg.det(candidates) - 1.0) > _NO_ROTATION] = np.inf
    motion = np.eye(4)
    if np.isfinite(cost).any():
        motion[:3, :3] = candidates[np.argmin(cost)]
    return motion


def refine_rotation(reference: Rays, current: Rays, start: Float64Array, sigma_px: float) -> Minimum[Float64Array]:
    """
    The rotation that minimises the robust residuals; its 3x3 covariance is about the axes of the current camera.
    """
    scale = current.px_per_unit / (np.sqrt(2.0) * sigma_px)

    def linearise(motion: Float64Array) -> NormalEquations:
        plane = project(reference.vectors @ motion[:3, :3])
        residuals = (current.xy - plane) * scale[:, None]
        squared = (residuals**2).sum(axis=1)
        jacobian = image_jacobian(plane, np.zeros(len(plane)))[:, :, 3:] * -scale[:, None, None]
        weighted = (jacobian * cauchy_weights(squared)[:, None, None]).reshape(-1, 3)
        return NormalEquations(
            weighted.T @ jacobian.reshape(-1, 3), weighted.T @ residuals.ravel(), cauchy_cost(squared)
        )

    return minimise(linearise, lambda motion, step: move(motion, np.concatenate([np.zeros(3), step])), start)


def _triads(first: Float64Array, second: Float64Array) -> Float64Array:
    """
    (S, 3, 3) orthonormal frames, one per two directions.
    """
    normal = np.cross(first, second)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    return np.stack([first, np.cross(normal, first), normal], axis=2)
