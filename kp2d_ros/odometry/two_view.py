# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The motion between two views of an unknown scene, up to the length of its translation.

Three models compete: an epipolar geometry (any scene), a homography (a plane) and a rotation alone. The one with the
best trade of residual against freedom wins (GRIC, Torr 1998), so that noise is not taken for a translation and a plane
not for a scene of any shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from kp2d_ros.core.records import BoolArray, Float64Array, PoseModel
from kp2d_ros.core.se3 import rotation_angle
from kp2d_ros.core.settings import setting, validate
from kp2d_ros.odometry import homography as plane
from kp2d_ros.odometry.epipolar import (
    direction_basis,
    parallax_angles,
    refine_direction,
    sampson_residuals,
    triangulate,
)
from kp2d_ros.odometry.least_squares import robust_sigma
from kp2d_ros.odometry.rays import Rays
from kp2d_ros.odometry.rotation import find_rotation, refine_rotation, turn_residuals

_SEED = 1
_SIGMA_FLOOR_PX = 0.05  # no detector is better: keeps weights and covariances sane on noise-free data
_REFITS = 2  # refine, classify again, refine again
_BEHIND_SIGMAS = 3.0  # a pair is behind a camera if its inverse depth is this surely negative
_DIMENSIONS = {PoseModel.ESSENTIAL: 3, PoseModel.HOMOGRAPHY: 2, PoseModel.ROTATION: 2}
_PARAMETERS = {PoseModel.ESSENTIAL: 5, PoseModel.HOMOGRAPHY: 8, PoseModel.ROTATION: 3}


@dataclass(frozen=True, slots=True)
class RansacConfig:
    """
    How a motion is told from wrong matches.
    """

    threshold_px: float = setting(
        1.5, 'largest residual of a match that agrees with the motion, in pixels', minimum=0.1, maximum=50.0, runtime=True
    )
    confidence: float = setting(
        0.999, 'probability of finding the motion if it is there', minimum=0.5, maximum=0.999999, runtime=True
    )
    max_iterations: int = setting(2000, 'largest number of samples', minimum=10, maximum=100000, runtime=True)
    min_matches: int = setting(12, 'fewer matches give no pose', minimum=8, maximum=10000, runtime=True)
    min_inliers: int = setting(10, 'fewer matches that agree give no pose', minimum=6, maximum=10000, runtime=True)
    min_inlier_share: float = setting(
        0.25, 'a smaller share of the matches that agree gives no pose', minimum=0.0, maximum=1.0, runtime=True
    )

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, slots=True)
class TwoViewMotion:
    """
    A motion ``reference_from_current`` (4, 4) whose translation has length 1, or 0 for a rotation alone.

    ``covariance`` is 6x6 over (x, y, z, rotation about the fixed axes of the reference); along the translation, whose
    length is not observable, the variance is 1. ``inlier`` is (M,); ``sigma_px`` is the noise of one pixel coordinate,
    ``rms_px`` the root mean square residual of the inliers. With the model NONE there is no motion, and ``reason``
    says why.
    """

    model: PoseModel
    reference_from_current: Float64Array
    covariance: Float64Array
    inlier: BoolArray
    parallax_deg: float = 0.0
    rms_px: float = 0.0
    sigma_px: float = 0.0
    reason: str = ''


@dataclass(frozen=True, slots=True)
class _Fit:
    """
    One model fitted to the pairs: a 5x5 (direction, rotation) or 3x3 (rotation) covariance and (M,) residuals in pixels.
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
        return 4 - _DIMENSIONS[self.model]

    @property
    def sigma_px(self) -> float:
        """
        Noise of one pixel coordinate, from the inliers.
        """
        return float(np.sqrt(np.mean(self.residuals[self.inlier] ** 2) / self.freedom))


def estimate_two_view(reference: Rays, current: Rays, config: RansacConfig) -> TwoViewMotion:
    """
    The motion behind M pairs of rays, row by row; rays of NaN take no part.
    """
    valid = reference.is_finite & current.is_finite
    inlier = np.zeros(len(reference), np.bool_)
    if valid.sum() < config.min_matches:
        return no_motion(inlier, f'only {valid.sum()} matches, {config.min_matches} are needed')
    pairs = reference.take(valid), current.take(valid)
    fit = _select([f for f in (_fit_essential(*pairs, config), _fit_rotation(*pairs, config)) if f], config)
    if fit.model is PoseModel.ESSENTIAL:
        fit = _select([fit, *_fit_plane(*pairs, config)], config)
    needed = max(config.min_inliers, int(np.ceil(config.min_inlier_share * len(fit.inlier))))
    inlier[valid] = fit.inlier
    if fit.inlier.sum() < needed:
        return no_motion(inlier, f'only {fit.inlier.sum()} of {len(inlier)} matches agree on a motion, {needed} are needed')
    return _result(*pairs, fit, inlier)


def no_motion(inlier: BoolArray, reason: str) -> TwoViewMotion:
    """
    The result without a motion: the identity, of which nothing is known.
    """
    return TwoViewMotion(PoseModel.NONE, np.eye(4), np.eye(6) * 1e6, np.zeros_like(inlier), reason=reason)


def _result(reference: Rays, current: Rays, fit: _Fit, inlier: BoolArray) -> TwoViewMotion:
    residuals = fit.residuals[fit.inlier]
    angles = parallax_angles(reference.take(fit.inlier), current.take(fit.inlier), fit.motion[:3, :3])
    lift = np.zeros((6, len(fit.covariance)))  # (direction, rotation) to (x, y, z, rotation)
    lift[3:, -3:] = np.eye(3)
    translation = fit.motion[:3, 3]
    if fit.model is not PoseModel.ROTATION:
        lift[:3, :2] = direction_basis(translation)
    covariance = lift @ fit.covariance @ lift.T
    covariance[:3, :3] += np.outer(translation, translation) if translation.any() else np.eye(3)
    return TwoViewMotion(
        fit.model,
        fit.motion,
        covariance,
        inlier,
        parallax_deg=float(np.degrees(np.median(angles))),
        rms_px=float(np.sqrt(np.mean(residuals**2))),
        sigma_px=max(fit.sigma_px, _SIGMA_FLOOR_PX),
    )


def _usac(config: RansacConfig, px_per_unit: float) -> cv2.UsacParams:
    params = cv2.UsacParams()
    params.confidence = config.confidence
    params.isParallel = False  # the order of threads must not change the result
    params.loIterations = 5
    params.loMethod = cv2.LOCAL_OPTIM_INNER_LO
    params.maxIterations = config.max_iterations
    params.randomGeneratorState = _SEED
    params.sampler = cv2.SAMPLING_UNIFORM
    params.score = cv2.SCORE_METHOD_MSAC
    params.threshold = config.threshold_px / px_per_unit
    return params


def _fit_essential(reference: Rays, current: Rays, config: RansacConfig) -> _Fit | None:
    eye = np.eye(3)
    params = _usac(config, float(np.median(reference.px_per_unit)))
    essential, mask = cv2.findEssentialMat(current.xy, reference.xy, eye, eye, None, None, params)
    if essential is None or essential.shape != (3, 3) or mask.sum() < 5:
        return None
    motion = _best_decomposition(reference, current, essential, mask.ravel() > 0)
    if motion is None:
        return None
    inlier = _agrees(reference, current, motion, config.threshold_px)
    covariance = np.eye(5)
    for _ in range(_REFITS):
        if inlier.sum() < 6:
            return None
        pairs = reference.take(inlier), current.take(inlier)
        sigma = robust_sigma(sampson_residuals(*pairs, motion), _SIGMA_FLOOR_PX)
        minimum = refine_direction(*pairs, motion, sigma)
        motion, covariance = minimum.state, minimum.covariance
        inlier = _agrees(reference, current, motion, config.threshold_px)
    residuals = sampson_residuals(reference, current, motion)
    return _Fit(PoseModel.ESSENTIAL, motion, covariance, residuals, inlier)


def _best_decomposition(
    reference: Rays, current: Rays, essential: Float64Array, inlier: BoolArray
) -> Float64Array | None:
    """
    The one of the four motions of an essential matrix that puts most points before both cameras.
    """
    first, second, translation = cv2.decomposeEssentialMat(essential)
    if not np.isfinite(translation).all():
        return None
    motions = []
    for rotation in (first, second):
        for sign in (1.0, -1.0):
            motion = np.eye(4)
            motion[:3, :3], motion[:3, 3] = rotation, sign * translation.ravel() / np.linalg.norm(translation)
            motions.append(motion)
    pairs = reference.take(inlier), current.take(inlier)
    return max(motions, key=lambda motion: int(_is_before(*pairs, motion, 0.0).sum()))


def _is_before(reference: Rays, current: Rays, motion: Float64Array, sigma_px: float) -> BoolArray:
    """
    (M,) pairs that are before both cameras, or so far away that noise of ``sigma_px`` may put them behind.
    """
    depths = triangulate(reference, current, motion, max(sigma_px, 1e-9))
    in_current = (reference.vectors @ motion[:3, :3])[:, 2] - depths.value * (motion[:3, :3].T @ motion[:3, 3])[2]
    return np.asarray((depths.value > -_BEHIND_SIGMAS * depths.sigma) & (in_current > 0))


def _agrees(reference: Rays, current: Rays, motion: Float64Array, threshold_px: float) -> BoolArray:
    residuals = sampson_residuals(reference, current, motion)
    inlier = np.abs(residuals) < threshold_px
    sigma = robust_sigma(residuals[inlier], _SIGMA_FLOOR_PX)
    return np.asarray(inlier & _is_before(reference, current, motion, sigma))


def _fit_rotation(reference: Rays, current: Rays, config: RansacConfig) -> _Fit:
    motion = find_rotation(reference, current, config.threshold_px)
    covariance = np.eye(3)
    for _ in range(_REFITS):
        residuals = np.linalg.norm(turn_residuals(reference, current, motion[:3, :3]), axis=1)
        inlier = residuals < config.threshold_px
        if inlier.sum() < 2:
            break
        sigma = robust_sigma(residuals[inlier] / np.sqrt(2.0), _SIGMA_FLOOR_PX)
        minimum = refine_rotation(reference.take(inlier), current.take(inlier), motion, sigma)
        motion, covariance = minimum.state, minimum.covariance
    residuals = np.linalg.norm(turn_residuals(reference, current, motion[:3, :3]), axis=1)
    return _Fit(PoseModel.ROTATION, motion, covariance, residuals, residuals < config.threshold_px)


def _fit_plane(reference: Rays, current: Rays, config: RansacConfig) -> list[_Fit]:
    """
    The motion behind a homography: empty if there is none, otherwise the one that suits the points off the plane best.
    """
    params = _usac(config, float(np.median(reference.px_per_unit)))
    matrix, mask = cv2.findHomography(current.xy, reference.xy, params)
    if matrix is None or mask.sum() < config.min_inliers:
        return []
    inlier = mask.ravel() > 0
    fits = []
    for start in plane.plane_motions(matrix, current.take(inlier)):
        fits.append(_refine_plane(reference, current, start, inlier, config))
    # All motions of one homography agree on the plane; points off it and then the smaller turn decide.
    def rank(fit: _Fit) -> tuple[int, float]:
        off_plane = np.minimum(np.abs(sampson_residuals(reference, current, fit.motion)), config.threshold_px)
        return round(float(off_plane.sum()) / (0.02 * config.threshold_px * len(off_plane))), rotation_angle(fit.motion[:3, :3])

    return sorted(fits, key=rank)[:1]


def _refine_plane(
    reference: Rays, current: Rays, start: plane.PlaneMotion, inlier: BoolArray, config: RansacConfig
) -> _Fit:
    state, covariance = start, np.eye(8)
    for _ in range(_REFITS):
        pairs = reference.take(inlier), current.take(inlier)
        sigma = robust_sigma(plane.transfer_residuals(*pairs, state.matrix).ravel(), _SIGMA_FLOOR_PX)
        minimum = plane.refine_plane_motion(*pairs, state, sigma)
        state, covariance = minimum.state, minimum.covariance
        residuals = np.linalg.norm(plane.transfer_residuals(reference, current, state.matrix), axis=1)
        inlier = residuals < config.threshold_px
        if inlier.sum() < 4:
            break
    length = float(np.linalg.norm(state.motion[:3, 3]))
    motion = state.motion.copy()
    motion[:3, 3] /= length
    to_direction = np.zeros((5, 8))  # (rotation, tau, normal) to (direction, rotation)
    to_direction[:2, 3:6] = direction_basis(motion[:3, 3]).T / length
    to_direction[2:, :3] = np.eye(3)
    return _Fit(PoseModel.HOMOGRAPHY, motion, to_direction @ covariance @ to_direction.T, residuals, inlier)


def _select(fits: list[_Fit], config: RansacConfig) -> _Fit:
    """
    The fit with the smallest GRIC: residuals in units of the noise plus what the freedom of the model costs.
    """
    sigma = min((fit.sigma_px for fit in fits if fit.inlier.any()), default=1.0)
    return min(fits, key=lambda fit: _gric(fit, max(sigma, config.threshold_px / 4.0)))


def _gric(fit: _Fit, sigma: float) -> float:
    count = len(fit.residuals)
    data = np.minimum((fit.residuals / sigma) ** 2, 2.0 * fit.freedom).sum()
    return float(data + _DIMENSIONS[fit.model] * count * np.log(4.0) + _PARAMETERS[fit.model] * np.log(4.0 * count))
