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

import numpy as np

from kp2d_ros.core.records import UNKNOWN_VARIANCE, BoolArray, Float64Array, PoseModel
from kp2d_ros.core.se3 import rotation_angle, transform_from
from kp2d_ros.odometry.geometry import PlaneMotion, direction_basis, parallax_angles
from kp2d_ros.odometry.model_fits import Fit, find_essential, find_planes, fit_epipolar, fit_plane, fit_rotation
from kp2d_ros.odometry.ransac import RansacConfig
from kp2d_ros.odometry.rays import Rays

_PARAMETERS = {PoseModel.ESSENTIAL: 5, PoseModel.HOMOGRAPHY: 8, PoseModel.ROTATION: 3}
_DISTINCT_COSINE = float(np.cos(np.radians(20.0)))  # directions farther apart are two solutions, not one
_OUTLIER_COST = 8.0  # 2 for each coordinate
_CLEAR_MARGIN = 12.0  # of the costs; odds of 400 to 1 for Gaussian noise


@dataclass(frozen=True, slots=True)
class TwoViewMotion:
    """
    A motion ``reference_from_current`` (4, 4) whose translation has length 1, or 0 for a rotation alone.

    ``covariance`` is 6x6 over (x, y, z, rotation about the fixed axes of the reference); along the translation, whose
    length is not observable, the variance is 1. ``inlier`` is (M,); ``sigma_px`` is the noise of one pixel coordinate,
    ``rms_px`` the root mean square residual of the inliers. ``is_ambiguous``: another motion in quite another
    direction explains the pairs as well (two motions give the same images of a plane). ``unturned_deg`` is the median
    angle between the rays of an inlier that no rotation removes: unlike the parallax it does not grow when a rotation
    and a translation to the side are mistaken for each other. With the model NONE there is no motion, and ``reason``
    says why.
    """

    model: PoseModel
    reference_from_current: Float64Array
    covariance: Float64Array
    inlier: BoolArray
    parallax_deg: float = 0.0
    unturned_deg: float = 0.0
    rms_px: float = 0.0
    sigma_px: float = 0.0
    is_ambiguous: bool = False
    reason: str = ''


def estimate_two_view(
    reference: Rays, current: Rays, config: RansacConfig, expected_rotation: Float64Array | None = None
) -> TwoViewMotion:
    """
    The motion behind M pairs of rays, row by row; rays of NaN take no part.

    :param expected_rotation: (3, 3), decides where two motions explain the pairs equally well; by default no rotation.
    """
    valid = reference.is_finite & current.is_finite
    if valid.sum() < config.min_matches:
        return _no_motion(len(valid), f'only {valid.sum()} matches, {config.min_matches} are needed')
    pairs = reference.take(valid), current.take(valid)
    expected = np.eye(3) if expected_rotation is None else expected_rotation
    planes = find_planes(*pairs, config)
    starts = find_essential(*pairs, config) + [_with_unit_translation(plane) for plane in planes]
    fits = [fit for start in starts if (fit := fit_epipolar(*pairs, start, config)) is not None]
    ranked = _ranked(fits, config, expected)
    is_ambiguous = len(ranked) > 1
    turn = fit_rotation(*pairs, config)
    best = _select([turn, *ranked[:1], *_plane_fits(*pairs, planes, ranked, config)], config)
    needed = max(config.min_inliers, int(np.ceil(config.min_inlier_share * len(best.inlier))))
    if best.inlier.sum() < needed:
        return _no_motion(
            len(valid), f'only {best.inlier.sum()} of {len(valid)} matches agree on a motion, {needed} are needed'
        )
    agreeing = pairs[0].take(best.inlier), pairs[1].take(best.inlier)
    inlier = np.zeros(len(valid), np.bool_)
    inlier[valid] = best.inlier
    return TwoViewMotion(
        best.model,
        best.motion,
        _lifted_covariance(best),
        inlier,
        parallax_deg=_median_degrees(parallax_angles(*agreeing, best.motion[:3, :3])),
        unturned_deg=_median_degrees(parallax_angles(*agreeing, turn.motion[:3, :3])),
        rms_px=float(np.sqrt(np.mean(best.residuals[best.inlier] ** 2))),
        sigma_px=best.sigma_px,
        is_ambiguous=is_ambiguous and best.model is not PoseModel.ROTATION,
    )


def _no_motion(count: int, reason: str) -> TwoViewMotion:
    nothing = np.zeros(count, np.bool_)
    return TwoViewMotion(PoseModel.NONE, np.eye(4), np.eye(6) * UNKNOWN_VARIANCE, nothing, reason=reason)


def _lifted_covariance(fit: Fit) -> Float64Array:
    """
    6x6 over (x, y, z, rotation); along the translation, or for a rotation alone everywhere, a length of 1 is unknown.
    """
    translation = fit.motion[:3, 3]
    lift = np.zeros((6, len(fit.covariance)))  # from (direction, rotation)
    lift[3:, -3:] = np.eye(3)
    if fit.model is not PoseModel.ROTATION:
        lift[:3, :2] = direction_basis(translation)
    covariance = lift @ fit.covariance @ lift.T
    covariance[:3, :3] += np.outer(translation, translation) if translation.any() else np.eye(3)
    return np.asarray(covariance)


def _median_degrees(angles: Float64Array) -> float:
    return float(np.degrees(np.median(angles)))


def _with_unit_translation(plane: PlaneMotion) -> Float64Array:
    translation = plane.motion[:3, 3]
    return transform_from(plane.motion[:3, :3], translation / float(np.linalg.norm(translation)))


def _ranked(fits: list[Fit], config: RansacConfig, expected_rotation: Float64Array) -> list[Fit]:
    """
    The best fit and, if there are any, those that explain the pairs as well in quite another direction.

    Among equals the one whose rotation is nearest to the expected one comes first.
    """
    if not fits:
        return []
    sigma = max(min(fit.sigma_px for fit in fits), config.threshold_px / 6.0)
    costs = [_pair_costs(fit, sigma) for fit in fits]
    equals = [fit for fit, cost in zip(fits, costs, strict=True) if cost <= min(costs) + _CLEAR_MARGIN]
    equals.sort(key=lambda fit: rotation_angle(expected_rotation.T @ fit.motion[:3, :3]))
    best = fits[int(np.argmin(costs))]
    if all(_is_near(best, fit) for fit in equals):
        return [best]
    return [equals[0], *(fit for fit in equals if not _is_near(equals[0], fit))]


def _is_near(first: Fit, second: Fit) -> bool:
    return float(first.motion[:3, 3] @ second.motion[:3, 3]) > _DISTINCT_COSINE


def _plane_fits(
    reference: Rays, current: Rays, planes: list[PlaneMotion], ranked: list[Fit], config: RansacConfig
) -> list[Fit]:
    """
    The plane whose motion is nearest to the epipolar one, which the points off the plane support.
    """
    if not planes or not ranked:
        return []
    wanted = ranked[0].motion[:3, 3]
    nearest = max(planes, key=lambda plane: float(_with_unit_translation(plane)[:3, 3] @ wanted))
    fit = fit_plane(reference, current, nearest, config)
    return [] if fit is None else [fit]


def _select(fits: list[Fit], config: RansacConfig) -> Fit:
    """
    The fit with the smallest GRIC: residuals in units of the noise plus what the freedom of the model costs.
    """
    measured = min((fit.sigma_px for fit in fits if fit.inlier.any()), default=config.threshold_px)
    sigma = max(measured, config.threshold_px / 10.0)
    return min(fits, key=lambda fit: gric(fit, sigma))


def gric(fit: Fit, sigma: float) -> float:
    """
    Torr's criterion: the costs of M pairs with noise of ``sigma`` pixels, and log(4 M) for each parameter.
    """
    return _pair_costs(fit, sigma) + float(_PARAMETERS[fit.model] * np.log(4.0 * len(fit.residuals)))


def _pair_costs(fit: Fit, sigma: float) -> float:
    """
    Sum over the pairs: the squared residual in units of the noise and log(4) for each of the 4 coordinates that the
    model leaves free.

    Torr lets an outlier cost less where the model predicts less of a pair, which makes a fit with few inliers look
    like a good epipolar geometry; here it costs the same in all models.
    """
    squared = np.where(fit.inlier, (fit.residuals / sigma) ** 2, np.inf)
    return float(np.minimum(squared + (4 - fit.freedom) * np.log(4.0), _OUTLIER_COST).sum())
