# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The geometry of two views: Sampson error, refinement of a unit-norm motion, triangulation.

Motions are ``reference_from_current``: a ray x_c of the current camera meets the ray x_r of the reference if
x_r . (t x R x_c) = 0. The length of t is free; it is kept as it comes.
"""

from __future__ import annotations

import numpy as np

from kp2d_ros.core.records import Float64Array
from kp2d_ros.core.se3 import rotation_from_vector, transform_from
from kp2d_ros.odometry.depths import InverseDepths
from kp2d_ros.odometry.least_squares import Minimum, NormalEquations, cauchy_cost, cauchy_weights, minimise
from kp2d_ros.odometry.rays import Rays

_TINY = 1e-12


def sampson_residuals(reference: Rays, current: Rays, reference_from_current: Float64Array) -> Float64Array:
    """
    (N,) signed first-order distances in pixels of the pairs from the epipolar constraint.

    With noise of the same sigma on every coordinate of both images the residual has that sigma.
    """
    return _sampson(reference, current, reference_from_current, with_jacobian=False)[0]


def refine_direction(
    reference: Rays, current: Rays, start: Float64Array, sigma_px: float
) -> Minimum[Float64Array]:
    """
    The motion that minimises the robust Sampson error; its translation keeps its length.

    The covariance of the result is 5x5: two angles that turn the direction (see :func:`direction_basis`), then the
    rotation about the fixed axes of the reference camera.
    """

    def linearise(motion: Float64Array) -> NormalEquations:
        residuals, jacobian = _sampson(reference, current, motion, with_jacobian=True)
        squared = (residuals / sigma_px) ** 2
        weighted = jacobian * (cauchy_weights(squared) / sigma_px**2)[:, None]
        return NormalEquations(weighted.T @ jacobian, weighted.T @ residuals, cauchy_cost(squared))

    return minimise(linearise, _turn, start)


def direction_basis(translation: Float64Array) -> Float64Array:
    """
    (3, 2) orthonormal vectors perpendicular to a translation.
    """
    axis = np.zeros(3)
    axis[np.argmin(np.abs(translation))] = 1.0
    first = np.cross(translation, axis)
    first /= np.linalg.norm(first)
    second = np.cross(translation, first)
    return np.column_stack([first, second / np.linalg.norm(second)])


def rotate_left(motion: Float64Array, vector: Float64Array) -> Float64Array:
    """
    The motion with its rotation turned by a rotation vector about the fixed axes; the translation stays.
    """
    return transform_from(rotation_from_vector(vector) @ motion[:3, :3], motion[:3, 3])


def triangulate(
    reference: Rays, current: Rays, reference_from_current: Float64Array, sigma_px: float
) -> InverseDepths:
    """
    Inverse depths in the reference camera that bring each pair nearest in the current image.

    The unit is that of the translation; a translation of zero gives values of zero with infinite sigma.
    """
    base, slope = _projection_line(reference, reference_from_current)
    # Projection (base - rho slope) / z; times z the error in rho is linear: (base - x_c base_z) - rho (slope - x_c slope_z).
    offset = base[:, :2] - current.xy * base[:, 2:]
    gain = slope[:2] - current.xy * slope[2]
    strength = (gain**2).sum(axis=1)
    safe = np.maximum(strength, _TINY**2)
    value = np.where(strength > _TINY**2, (gain * offset).sum(axis=1) / safe, 0.0)
    depth_ratio = np.abs(base[:, 2] - value * slope[2])
    noise = np.sqrt(2.0) * sigma_px / current.px_per_unit  # of both images
    sigma = np.where(strength > _TINY**2, noise * depth_ratio / np.sqrt(safe), np.inf)
    return InverseDepths(value, sigma)


def parallax_angles(reference: Rays, current: Rays, rotation: Float64Array) -> Float64Array:
    """
    (N,) angles in radians between the two rays of each pair after removing the rotation.
    """
    first, second = reference.vectors, current.vectors @ rotation.T
    sine = np.linalg.norm(np.cross(first, second), axis=1)
    return np.asarray(np.arctan2(sine, (first * second).sum(axis=1)))


def _projection_line(reference: Rays, motion: Float64Array) -> tuple[Float64Array, Float64Array]:
    """
    (N, 3) ``base`` and (3,) ``slope``: a point of inverse depth rho lies along base - rho slope in the current camera.
    """
    rotation = motion[:3, :3]
    return reference.vectors @ rotation, rotation.T @ motion[:3, 3]


def _turn(motion: Float64Array, step: Float64Array) -> Float64Array:
    """
    Turn the direction of the translation by two angles and the rotation by three.
    """
    length = float(np.linalg.norm(motion[:3, 3]))
    turned = motion[:3, 3] + length * (direction_basis(motion[:3, 3]) @ step[:2])
    moved = rotate_left(motion, step[2:])
    moved[:3, 3] = turned * (length / np.linalg.norm(turned))
    return moved


def _sampson(
    reference: Rays, current: Rays, motion: Float64Array, with_jacobian: bool
) -> tuple[Float64Array, Float64Array]:
    rotation, translation = motion[:3, :3], motion[:3, 3]
    length = float(np.linalg.norm(translation))
    x_r, x_c = reference.vectors, current.vectors
    turned = x_c @ rotation.T  # R x_c
    line_r = np.cross(translation, turned)  # E x_c
    moment = np.cross(x_r, translation)
    line_c = moment @ rotation  # E^T x_r
    error = (x_r * line_r).sum(axis=1)
    unit_r, unit_c = 1.0 / reference.px_per_unit**2, 1.0 / current.px_per_unit**2
    spread = unit_r * (line_r[:, :2] ** 2).sum(axis=1) + unit_c * (line_c[:, :2] ** 2).sum(axis=1)
    norm = np.sqrt(np.maximum(spread, _TINY**2 * max(length, _TINY) ** 2))
    residuals = error / norm
    if not with_jacobian:
        return residuals, np.empty((0, 5))
    # Derivatives of the error, of E x_c and of E^T x_r by the rotation vector w (R <- exp(w) R) and by t.
    flat_r = line_r * (unit_r[:, None] * (1.0, 1.0, 0.0))
    flat_c = (line_c * (unit_c[:, None] * (1.0, 1.0, 0.0))) @ rotation.T
    by_w = np.cross(turned, moment)
    spread_by_w = np.cross(turned, np.cross(flat_r, translation)) - np.cross(moment, flat_c)
    by_t = np.cross(turned, x_r)
    spread_by_t = np.cross(turned, flat_r) + np.cross(flat_c, x_r)
    share = (residuals / norm)[:, None]
    rotation_part = (by_w - share * spread_by_w) / norm[:, None]
    translation_part = (by_t - share * spread_by_t) / norm[:, None]
    basis = direction_basis(translation) * length
    return residuals, np.column_stack([translation_part @ basis, rotation_part])
