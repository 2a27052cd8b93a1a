# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The geometry of two views: epipolar, of a plane, of a rotation alone; residuals in pixels and their refinement.

Motions are ``reference_from_current``: a ray x_c of the current camera meets the ray x_r of the reference if
x_r . (t x R x_c) = 0; the length of t is free and kept as it comes. A plane n . X_c = d gives x_r ~ (R + tau n^T) x_c
with tau = t / d. Steps of :func:`move` are in the axes of the current camera, where the Jacobian has a simple form;
:func:`fixed_axes` gives covariances the axes of the reference that the messages promise.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from kp2d_ros.core.records import Float64Array
from kp2d_ros.core.se3 import hat, rotation_from_vector, transform_from
from kp2d_ros.odometry.least_squares import Minimum, NormalEquations, cauchy_cost, cauchy_weights, minimise
from kp2d_ros.odometry.rays import InverseDepths, Rays

MIN_Z = 1e-3  # nearer points, or those behind the camera, are pushed far out of the image
_TINY = 1e-12
_AXES = np.stack([hat(axis) for axis in np.eye(3)])
_MIN_TRANSLATION = 1e-6  # in plane distances
_SAMPLES = 60  # at half outliers one of 60 pairs of pairs is clean with a probability of 1 - 3e-8
_VOTERS = 300  # pairs that vote on the samples
_NO_ROTATION = 1e-6  # farther from 1 is the determinant of a matrix that is no rotation
_SEED = 0


def project(points: Float64Array) -> Float64Array:
    """
    (N, 2) images on z = 1 of (N, 3) points; those behind the camera land far outside, not in the image.
    """
    return np.asarray(points[:, :2] / np.maximum(points[:, 2:], MIN_Z))


def image_jacobian(plane: Float64Array, nearness: Float64Array) -> Float64Array:
    """
    (N, 2, 6) derivatives of the images ``plane`` (N, 2) by translation and rotation of the camera.

    :param nearness: (N,) inverse z of the points in the current camera.
    """
    x, y = plane[:, 0], plane[:, 1]
    jacobian = np.zeros((len(plane), 2, 6))
    jacobian[:, 0, 0] = jacobian[:, 1, 1] = -nearness
    jacobian[:, 0, 2] = nearness * x
    jacobian[:, 1, 2] = nearness * y
    jacobian[:, 0, 3] = x * y
    jacobian[:, 0, 4] = -1.0 - x * x
    jacobian[:, 0, 5] = y
    jacobian[:, 1, 3] = 1.0 + y * y
    jacobian[:, 1, 4] = -x * y
    jacobian[:, 1, 5] = -x
    return jacobian


def move(motion: Float64Array, step: Float64Array) -> Float64Array:
    """
    The motion after a step (6,) in the axes of the current camera.
    """
    rotation = motion[:3, :3]
    return transform_from(rotation @ rotation_from_vector(step[3:]), motion[:3, 3] + rotation @ step[:3])


def fixed_axes(motion: Float64Array, covariance: Float64Array) -> Float64Array:
    """
    A 3x3 or 6x6 covariance in the axes of the current camera, in those of the reference.
    """
    turn = np.kron(np.eye(len(covariance) // 3), motion[:3, :3])
    return np.asarray(turn @ covariance @ turn.T)


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


@dataclass(frozen=True, slots=True)
class PlaneMotion:
    """
    ``motion`` (4, 4) reference_from_current in units of the distance of the plane, and ``normal`` (3,) of unit length
    in the current camera.
    """

    motion: Float64Array
    normal: Float64Array

    @property
    def matrix(self) -> Float64Array:
        """
        The homography (3, 3) that maps rays of the current to rays of the reference camera.
        """
        return self.motion[:3, :3] + np.outer(self.motion[:3, 3], self.normal)


def transfer_residuals(reference: Rays, current: Rays, homography: Float64Array) -> Float64Array:
    """
    (N, 2) pixels in the reference image between each keypoint and its mapped partner, divided by sqrt(2).
    """
    mapped = current.vectors @ homography.T
    with np.errstate(divide='ignore', invalid='ignore'):
        plane = mapped[:, :2] / mapped[:, 2:]
    residuals = (reference.xy - plane) * (reference.px_per_unit / np.sqrt(2.0))[:, None]
    return np.asarray(np.nan_to_num(residuals, nan=1e6, posinf=1e6, neginf=-1e6))


def plane_motions(homography: Float64Array, current: Rays) -> list[PlaneMotion]:
    """
    The motions behind a homography that keep most of the points before the camera; usually two, none without motion.

    :param current: the rays that agree with the homography.
    """
    # The scale is the middle singular value; the sign keeps the points before both cameras.
    scaled = homography / np.linalg.svd(homography, compute_uv=False)[1]
    if np.median(current.vectors @ scaled[2]) < 0:
        scaled = -scaled
    _, rotations, translations, normals = cv2.decomposeHomographyMat(scaled, np.eye(3))
    motions = []
    for rotation, translation, normal in zip(rotations, translations, normals, strict=True):
        motion = transform_from(np.asarray(rotation, np.float64), np.asarray(translation, np.float64).ravel())
        plane = PlaneMotion(motion, np.asarray(normal, np.float64).ravel())
        before = np.mean(current.vectors @ plane.normal > 0)
        if before > 0.5 and np.linalg.norm(translation) > _MIN_TRANSLATION:
            motions.append(plane)
    return motions


def refine_plane_motion(reference: Rays, current: Rays, start: PlaneMotion, sigma_px: float) -> Minimum[PlaneMotion]:
    """
    The motion and plane that minimise the robust transfer error.

    The covariance is 8x8: rotation about the fixed axes of the reference, tau, and two angles of the normal.
    """
    scale = reference.px_per_unit / np.sqrt(2.0)

    def linearise(state: PlaneMotion) -> NormalEquations:
        rays = current.vectors
        distance = rays @ state.normal
        turned = rays @ state.motion[:3, :3].T
        mapped = turned + distance[:, None] * state.motion[:3, 3]
        by_rotation = np.einsum('nk,kij->nij', -turned, _AXES)
        by_tau = distance[:, None, None] * np.eye(3)
        along = rays @ direction_basis(state.normal)
        by_normal = state.motion[:3, 3][None, :, None] * along[:, None, :]
        moved = np.concatenate([by_rotation, by_tau, by_normal], axis=2)
        plane = mapped[:, :2] / mapped[:, 2:]
        factor = (scale / mapped[:, 2])[:, None, None]
        jacobian = -(moved[:, :2] - plane[:, :, None] * moved[:, 2:]) * factor
        residuals = (reference.xy - plane) * scale[:, None]
        squared = (residuals**2).sum(axis=1) / sigma_px**2
        weights = cauchy_weights(squared) / sigma_px**2
        weighted = jacobian * weights[:, None, None]
        flat = weighted.reshape(-1, 8)
        return NormalEquations(flat.T @ jacobian.reshape(-1, 8), flat.T @ residuals.ravel(), cauchy_cost(squared))

    return minimise(linearise, _move, start)


def _move(state: PlaneMotion, step: Float64Array) -> PlaneMotion:
    rotation = rotation_from_vector(step[:3]) @ state.motion[:3, :3]
    normal = state.normal + direction_basis(state.normal) @ step[6:]
    return PlaneMotion(transform_from(rotation, state.motion[:3, 3] + step[3:6]), normal / np.linalg.norm(normal))


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
