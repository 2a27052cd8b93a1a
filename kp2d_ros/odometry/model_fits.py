# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Three models of two views fitted robustly to pairs of rays: any scene, a plane, a rotation alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from kp2d_ros.core.records import BoolArray, Float64Array, PoseModel
from kp2d_ros.odometry.geometry import (
    PlaneMotion,
    direction_basis,
    find_rotation,
    fixed_axes,
    plane_motions,
    refine_direction,
    refine_plane_motion,
    refine_rotation,
    sampson_residuals,
    transfer_residuals,
    triangulate,
    turn_residuals,
)
from kp2d_ros.odometry.least_squares import robust_sigma
from kp2d_ros.odometry.ransac import RansacConfig, usac_params
from kp2d_ros.odometry.rays import Rays

SIGMA_FLOOR_PX = 0.05  # no detector is better; keeps weights and covariances sane on noise-free data
_TIGHTER = 3.0  # the second threshold of the search for an essential matrix
_REFITS = 2  # refine, classify again, refine again
_BEHIND_SIGMAS = 3.0  # a pair is behind a camera if its inverse depth is this surely negative
_FREEDOM = {PoseModel.ESSENTIAL: 1, PoseModel.HOMOGRAPHY: 2, PoseModel.ROTATION: 2}


@dataclass(frozen=True, slots=True)
class Fit:
    """
    One model fitted to M pairs: ``motion`` (4, 4) with a translation of length 1 or 0.

    ``covariance`` is 5x5 over (two angles of the direction, rotation), or 3x3 for a rotation alone, about the fixed
    axes of the reference. ``residuals`` (M,) are pixels.
    """

    model: PoseModel
    motion: Float64Array
    covariance: Float64Array
    residuals: Float64Array
    inlier: BoolArray

    @property
    def freedom(self) -> int:
        """
        Numbers that the model predicts of a pair: 1 across an epipolar line, 2 for a point.
        """
        return _FREEDOM[self.model]

    @property
    def sigma_px(self) -> float:
        """
        Noise of one pixel coordinate, from the inliers.
        """
        if not self.inlier.any():
            return SIGMA_FLOOR_PX
        return max(float(np.sqrt(np.mean(self.residuals[self.inlier] ** 2) / self.freedom)), SIGMA_FLOOR_PX)


def find_essential(reference: Rays, current: Rays, config: RansacConfig) -> list[Float64Array]:
    """
    The motions behind the essential matrices of most pairs; empty if there is none.

    Two thresholds: the tight one finds the right one of several minima if the points are sharp (on real images it
    misses half as often), the wide one finds it if they are not.
    """
    eye, motions = np.eye(3), []
    params = usac_params(config, float(np.median(reference.px_per_unit)))
    for _ in range(2):
        # cv2: x_2^T E x_1 = 0; with the current rays first, E = [t]x R of reference_from_current.
        essential, mask = cv2.findEssentialMat(_plane(current), _plane(reference), eye, eye, None, None, params)
        if essential is not None and essential.shape == (3, 3) and mask.sum() >= 5:
            agreeing = reference.take(mask.ravel() > 0), current.take(mask.ravel() > 0)
            motions += _best_decomposition(*agreeing, np.asarray(essential, np.float64))
        params.threshold /= _TIGHTER
    return motions


def find_planes(reference: Rays, current: Rays, config: RansacConfig) -> list[PlaneMotion]:
    """
    The motions behind the homography of most pairs: none, one or two.
    """
    params = usac_params(config, float(np.median(reference.px_per_unit)))
    matrix, mask = cv2.findHomography(_plane(current), _plane(reference), params)
    if matrix is None or mask.sum() < config.min_inliers:
        return []
    return plane_motions(np.asarray(matrix, np.float64), current.take(mask.ravel() > 0))


def fit_epipolar(reference: Rays, current: Rays, start: Float64Array, config: RansacConfig) -> Fit | None:
    """
    The epipolar geometry near a motion; None if hardly any pair agrees.
    """
    motion, covariance = start, np.eye(5)
    inlier = _agrees(reference, current, motion, 2.0 * config.threshold_px)
    for _ in range(_REFITS):
        if inlier.sum() < config.min_inliers:
            return None
        pairs = reference.take(inlier), current.take(inlier)
        sigma = robust_sigma(sampson_residuals(*pairs, motion), SIGMA_FLOOR_PX)
        minimum = refine_direction(*pairs, motion, sigma)
        motion, covariance = minimum.state, minimum.covariance
        inlier = _agrees(reference, current, motion, config.threshold_px)
    return Fit(PoseModel.ESSENTIAL, motion, covariance, sampson_residuals(reference, current, motion), inlier)


def fit_plane(reference: Rays, current: Rays, start: PlaneMotion, config: RansacConfig) -> Fit | None:
    """
    The plane and motion near given ones; None if hardly any pair agrees.
    """
    state, covariance = start, np.eye(8)
    residuals = _norms(transfer_residuals(reference, current, state.matrix))
    for _ in range(_REFITS):
        inlier = residuals < config.threshold_px
        if inlier.sum() < config.min_inliers:
            return None
        pairs = reference.take(inlier), current.take(inlier)
        sigma = robust_sigma(transfer_residuals(*pairs, state.matrix).ravel(), SIGMA_FLOOR_PX)
        minimum = refine_plane_motion(*pairs, state, sigma)
        state, covariance = minimum.state, minimum.covariance
        residuals = _norms(transfer_residuals(reference, current, state.matrix))
    motion = state.motion.copy()
    length = float(np.linalg.norm(motion[:3, 3]))
    motion[:3, 3] /= length
    to_direction = np.zeros((5, 8))  # from (rotation, tau, normal)
    to_direction[:2, 3:6] = direction_basis(motion[:3, 3]).T / length
    to_direction[2:, :3] = np.eye(3)
    covariance = to_direction @ covariance @ to_direction.T
    return Fit(PoseModel.HOMOGRAPHY, motion, covariance, residuals, residuals < config.threshold_px)


def fit_rotation(reference: Rays, current: Rays, config: RansacConfig) -> Fit:
    """
    The rotation that most pairs share.
    """
    motion, covariance = find_rotation(reference, current, config.threshold_px), np.eye(3)
    residuals = _norms(turn_residuals(reference, current, motion))
    for _ in range(_REFITS):
        inlier = residuals < config.threshold_px
        if inlier.sum() < config.min_inliers:
            break
        sigma = robust_sigma(residuals[inlier] / np.sqrt(2.0), SIGMA_FLOOR_PX)
        minimum = refine_rotation(reference.take(inlier), current.take(inlier), motion, sigma)
        motion, covariance = minimum.state, fixed_axes(minimum.state, minimum.covariance)
        residuals = _norms(turn_residuals(reference, current, motion))
    return Fit(PoseModel.ROTATION, motion, covariance, residuals, residuals < config.threshold_px)


def _plane(rays: Rays) -> Float64Array:
    return np.ascontiguousarray(rays.xy)


def _norms(residuals: Float64Array) -> Float64Array:
    return np.asarray(np.linalg.norm(residuals, axis=1))


def _best_decomposition(reference: Rays, current: Rays, essential: Float64Array) -> list[Float64Array]:
    """
    The one of the four motions of an essential matrix that puts most points before both cameras.

    Own triangulation: cv2.recoverPose drops points farther than 50 baselines.
    """
    first, second, translation = cv2.decomposeEssentialMat(essential)
    if not np.isfinite(translation).all():
        return []
    motions = []
    for rotation in (first, second):
        for sign in (1.0, -1.0):
            motion = np.eye(4)
            motion[:3, :3], motion[:3, 3] = rotation, sign * translation.ravel() / np.linalg.norm(translation)
            motions.append(motion)
    return [max(motions, key=lambda motion: int(_is_before(reference, current, motion, 0.0).sum()))]


def _is_before(reference: Rays, current: Rays, motion: Float64Array, sigma_px: float) -> BoolArray:
    """
    (M,) pairs that are before both cameras, or so far away that noise of ``sigma_px`` may put them behind.
    """
    depths = triangulate(reference, current, motion, sigma_px)
    in_current = (reference.vectors @ motion[:3, :3])[:, 2] - depths.value * float(motion[:3, 2] @ motion[:3, 3])
    return np.asarray((depths.value >= -_BEHIND_SIGMAS * depths.sigma) & (in_current > 0))


def _agrees(reference: Rays, current: Rays, motion: Float64Array, threshold_px: float) -> BoolArray:
    residuals = sampson_residuals(reference, current, motion)
    inlier = np.abs(residuals) < threshold_px
    sigma = robust_sigma(residuals[inlier], SIGMA_FLOOR_PX)
    return np.asarray(inlier & _is_before(reference, current, motion, sigma))
