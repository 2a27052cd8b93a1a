# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The geometry of two views: Sampson error, refinement of a motion up to its length, triangulation.

Motions are ``reference_from_current``: a ray x_c of the current camera meets the ray x_r of the reference if
x_r . (t x R x_c) = 0. The length of t is free; it is kept as it comes.
"""

from __future__ import annotations

import numpy as np

from kp2d_ros.core.records import Float64Array
from kp2d_ros.core.se3 import hat, rotation_from_vector, transform_from
from kp2d_ros.odometry.depths import InverseDepths
from kp2d_ros.odometry.least_squares import Minimum, NormalEquations, cauchy_cost, cauchy_weights, minimise
from kp2d_ros.odometry.rays import Rays

_TINY = 1e-12
_AXES = np.stack([hat(axis) for axis in np.eye(3)])


def sampson_residuals(reference: Rays, current: Rays, reference_from_current: Float64Array) -> Float64Array:
    """
    (N,) signed first-order distances in pixels of the pairs from the epipolar constraint.

    With noise of the same sigma on every coordinate of both images the residual has that sigma.
    """
    essential = hat(reference_from_current[:3, 3]) @ reference_from_current[:3, :3]
    line_r, line_c = current.vectors @ essential.T, reference.vectors @ essential
    error = (reference.vectors * line_r).sum(axis=1)
    spread = (line_r[:, :2] ** 2).sum(axis=1) / reference.px_per_unit**2
    spread += (line_c[:, :2] ** 2).sum(axis=1) / current.px_per_unit**2
    return np.asarray(error / np.sqrt(np.maximum(spread, _TINY**2)))


def refine_direction(reference: Rays, current: Rays, start: Float64Array, sigma_px: float) -> Minimum[Float64Array]:
    """
    The motion that minimises the robust Sampson error; its translation keeps its length.

    The covariance of the result is 5x5: two angles that turn the direction (see :func:`direction_basis`), then the
    rotation about the fixed axes of the reference camera.
    """
    x_r, x_c = reference.vectors, current.vectors
    products = (x_r[:, :, None] * x_c[:, None, :]).reshape(-1, 9)
    unit_r, unit_c = 1.0 / reference.px_per_unit[:, None] ** 2, 1.0 / current.px_per_unit[:, None] ** 2

    def linearise(motion: Float64Array) -> NormalEquations:
        # The essential matrix and its five derivatives; all that follows is linear in them.
        matrices = _essential_and_derivatives(motion)
        errors = products @ matrices.reshape(6, 9).T
        lines_r = (x_c @ matrices[:, :2].reshape(12, 3).T).reshape(-1, 6, 2)
        lines_c = (x_r @ matrices[:, :, :2].transpose(0, 2, 1).reshape(12, 3).T).reshape(-1, 6, 2)
        spreads = unit_r * (lines_r @ lines_r[:, 0, :, None])[..., 0]
        spreads += unit_c * (lines_c @ lines_c[:, 0, :, None])[..., 0]
        spread = np.maximum(spreads[:, :1], _TINY**2)
        scaled = (errors - errors[:, :1] * spreads / spread) / (np.sqrt(spread) * sigma_px)
        residuals, jacobian = errors[:, 0] / (np.sqrt(spread[:, 0]) * sigma_px), scaled[:, 1:]
        squared = residuals**2
        weighted = jacobian * cauchy_weights(squared)[:, None]
        return NormalEquations(weighted.T @ jacobian, weighted.T @ residuals, cauchy_cost(squared))

    return minimise(linearise, _turn, start)


def direction_basis(translation: Float64Array) -> Float64Array:
    """
    (3, 2) orthonormal vectors perpendicular to a translation (not zero).
    """
    unit = translation / np.linalg.norm(translation)
    # Columns of the reflection that takes the axis nearest to the direction into it.
    axis = int(np.argmax(np.abs(unit)))
    mirror = unit.copy()
    mirror[axis] += np.copysign(1.0, unit[axis])
    reflection = np.eye(3) - np.outer(mirror, mirror) * (2.0 / (mirror @ mirror))
    return np.asarray(np.delete(reflection, axis, axis=1))


def rotate_left(motion: Float64Array, vector: Float64Array) -> Float64Array:
    """
    The motion with its rotation turned by a rotation vector about the fixed axes; the translation stays.
    """
    return transform_from(rotation_from_vector(vector) @ motion[:3, :3], motion[:3, 3])


def triangulate(reference: Rays, current: Rays, reference_from_current: Float64Array, sigma_px: float) -> InverseDepths:
    """
    Inverse depths in the reference camera that bring each pair nearest in the current image.

    The unit is that of the translation; a translation of zero gives values of zero with infinite sigma.
    """
    base, slope = projection_line(reference, reference_from_current)
    # A point of inverse depth rho is seen at (base - rho slope) / z; times z its error is linear in rho.
    offset = base[:, :2] - current.xy * base[:, 2:]
    gain = slope[:2] - current.xy * slope[2]
    strength = (gain**2).sum(axis=1)
    safe = np.maximum(strength, _TINY**2)
    value = np.where(strength > _TINY**2, (gain * offset).sum(axis=1) / safe, 0.0)
    z = np.abs(base[:, 2] - value * slope[2])
    noise = np.sqrt(2.0) * sigma_px / current.px_per_unit  # of both images
    sigma = np.where(strength > _TINY**2, noise * z / np.sqrt(safe), np.inf)
    return InverseDepths(value, sigma)


def projection_line(reference: Rays, motion: Float64Array) -> tuple[Float64Array, Float64Array]:
    """
    (N, 3) ``base`` and (3,) ``slope``: a point of inverse depth rho lies along base - rho slope in the current camera.
    """
    rotation = motion[:3, :3]
    return reference.vectors @ rotation, np.asarray(rotation.T @ motion[:3, 3])


def parallax_angles(reference: Rays, current: Rays, rotation: Float64Array) -> Float64Array:
    """
    (N,) angles in radians between the two rays of each pair after removing the rotation.
    """
    first, second = reference.vectors, current.vectors @ rotation.T
    chord = first / _lengths(first) - second / _lengths(second)
    return np.asarray(2.0 * np.arcsin(np.minimum(0.5 * _lengths(chord)[:, 0], 1.0)))


def _lengths(vectors: Float64Array) -> Float64Array:
    return np.asarray(np.sqrt(np.einsum('ni,ni->n', vectors, vectors))[:, None])


def _turn(motion: Float64Array, step: Float64Array) -> Float64Array:
    """
    Turn the direction of the translation by two angles and the rotation by three.
    """
    length = float(np.linalg.norm(motion[:3, 3]))
    turned = motion[:3, 3] + length * (direction_basis(motion[:3, 3]) @ step[:2])
    moved = rotate_left(motion, step[2:])
    moved[:3, 3] = turned * (length / np.linalg.norm(turned))
    return moved


def _essential_and_derivatives(motion: Float64Array) -> Float64Array:
    """
    (6, 3, 3) [t]x R, then its derivatives by two angles of the direction and by the rotation vector (R <- exp(w) R).
    """
    rotation, translation = motion[:3, :3], motion[:3, 3]
    cross = hat(translation)
    turns = np.linalg.norm(translation) * np.tensordot(direction_basis(translation).T, _AXES, 1)
    return np.asarray(np.concatenate([cross[None], turns, cross @ _AXES]) @ rotation)
