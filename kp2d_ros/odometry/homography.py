# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The motion of a camera that sees a plane: x_r ~ (R + tau n^T) x_c, with the plane n . X_c = d and tau = t / d.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from kp2d_ros.core.records import Float64Array
from kp2d_ros.core.se3 import hat, rotation_from_vector, transform_from
from kp2d_ros.odometry.epipolar import direction_basis
from kp2d_ros.odometry.least_squares import Minimum, NormalEquations, cauchy_cost, cauchy_weights, minimise
from kp2d_ros.odometry.rays import Rays

_MIN_TRANSLATION = 1e-6  # in plane distances
_AXES = np.stack([hat(axis) for axis in np.eye(3)])


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
