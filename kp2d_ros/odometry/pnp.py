# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The motion against points whose depth is known more or less: six degrees of freedom, the scale included.

Each pair has one inverse depth in the reference camera with a prior N(value, sigma^2). For every motion tried the best
inverse depths are found in closed form and eliminated (Schur complement), so a pair of unknown depth still constrains
the motion across its epipolar line, one of known depth also along it, and what lies between counts for what it is
worth. This is the maximum-likelihood motion and structure of two views under that prior.

While the translation is too small to move the points by more than noise, only pairs of known depth count: free depths
would fit the noise, and the likelihood of the translation has no term against that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from kp2d_ros.core.records import BoolArray, Float64Array, Rows
from kp2d_ros.core.se3 import invert_transform, rotation_from_vector, transform_from
from kp2d_ros.odometry.geometry import MIN_Z, fixed_axes, image_jacobian, move, project, projection_line
from kp2d_ros.odometry.least_squares import NormalEquations, cauchy_cost, cauchy_weights, minimise
from kp2d_ros.odometry.model_fits import SIGMA_FLOOR_PX
from kp2d_ros.odometry.ransac import RansacConfig, usac_params
from kp2d_ros.odometry.rays import InverseDepths, Rays

_DEPTH_STEPS = 3  # fixed-point steps of the inverse depth; the second one already changes it by parts in a thousand
_REFITS = 2
_FIRST_GATE = 5.0  # thresholds, or two median residuals, within which a pair takes part in the first refinement
_THRESHOLD_SIGMAS = 3.0  # the noise is taken for the threshold divided by this until it is measured
_MEDIAN_OF_CHI2_2 = 1.386
_WIDE = 5.0  # sigma of an inverse depth of which nothing is known, in medians of the known ones
_CLEAR_SIGMAS = 5.0  # of the noise: by how much a translation must move a point of median depth for the others to speak
_BEHIND_SIGMAS = 3.0  # a point is behind the camera if its inverse depth is this surely negative
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Adjustment:
    """
    A motion (4, 4) with its 6x6 covariance over (x, y, z, rotation about the fixed axes of the reference).

    ``depths`` (M,) are the inverse depths, prior and measurement fused, unknown still where the motion is too small to
    tell; ``rms_px`` is the root mean square residual of a pixel coordinate of the inliers.
    """

    motion: Float64Array
    covariance: Float64Array
    inlier: BoolArray
    depths: InverseDepths
    rms_px: float


@dataclass(frozen=True, slots=True)
class _Pairs(Rows):
    reference: Rays
    current: Rays
    prior: InverseDepths
    sigma_px: float


@dataclass(frozen=True, slots=True)
class _Linear(Rows):
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

    def depth_sigma(self, covariance: Float64Array) -> Float64Array:
        """
        (M,) standard deviations of the inverse depths, given the 6x6 covariance of the motion: what the motion leaves
        open is added to what the pixels leave open.
        """
        strength = (self.by_depth**2).sum(axis=1) + self.belief
        lever = np.einsum('nij,ni->nj', self.by_motion, self.by_depth) / strength[:, None]
        return np.asarray(np.sqrt(1.0 / strength + np.einsum('ni,ij,nj->n', lever, covariance, lever)))

    def is_sane(self, motion: Float64Array) -> BoolArray:
        """
        (M,) points before the camera, or so far that noise may put them behind, and not nearer than the camera moved.

        A wrong pair whose depth is free may find an absurd one, and would pull the motion with a huge lever.
        """
        sigma = 1.0 / np.sqrt((self.by_depth**2).sum(axis=1) + self.belief)
        is_near = self.value * float(np.linalg.norm(motion[:3, 3])) > 1.0
        return np.asarray((self.value > -_BEHIND_SIGMAS * sigma) & ~is_near)

    @property
    def squared(self) -> Float64Array:
        return np.asarray((self.residuals**2).sum(axis=1) + self.pull**2)


def adjust(
    reference: Rays, current: Rays, prior: InverseDepths, starts: Sequence[Float64Array], threshold_px: float
) -> Adjustment:
    """
    The most likely motion given M pairs and the prior of their inverse depths, some with a finite sigma.

    :param starts: motions, one of them near the solution; the search begins at the one that explains the pairs best.
    :param threshold_px: pairs with a larger residual, the deviation from the prior included, are outliers.
    """
    is_informed = np.isfinite(prior.sigma)
    pairs = _Pairs(reference, current, _proper(prior, is_informed), threshold_px / _THRESHOLD_SIGMAS)
    candidates = [(start, _linearise(pairs, start)) for start in starts]
    motion, linear = min(candidates, key=lambda candidate: cauchy_cost(candidate[1].squared))
    gate = max((_FIRST_GATE * _THRESHOLD_SIGMAS) ** 2, 4.0 * float(np.median(linear.squared)))
    inlier = (linear.squared < gate) & linear.is_sane(motion)
    speaks = is_informed
    for _ in range(_REFITS):
        minimum = minimise(_equations_of(pairs.take(inlier & speaks)), move, motion)
        motion = minimum.state
        linear = _linearise(pairs, motion)
        inlier = (linear.squared * pairs.sigma_px**2 < 2.0 * threshold_px**2) & linear.is_sane(motion)
        pairs = replace(pairs, sigma_px=_measured_sigma(linear, inlier & is_informed, pairs.sigma_px))
        speaks = is_informed | _is_far(pairs, motion, is_informed)
    linear = _linearise(pairs, motion)
    covariance = _normal_equations(linear.take(inlier & speaks)).covariance
    return Adjustment(
        motion,
        fixed_axes(motion, covariance),
        inlier,
        InverseDepths(linear.value, linear.depth_sigma(covariance)).where(speaks),
        float(np.sqrt(np.mean(linear.squared[inlier]) * 0.5)) * pairs.sigma_px if inlier.any() else 0.0,
    )


def solve_pnp(reference: Rays, current: Rays, depths: InverseDepths, config: RansacConfig) -> list[Float64Array]:
    """
    The motion (4, 4) that most pairs of known depth agree on; empty if there is none.
    """
    if len(reference) < config.min_inliers:
        return []
    points = reference.vectors / depths.value[:, None]
    params = usac_params(config, float(np.median(current.px_per_unit)))
    params.loMethod = cv2.LOCAL_OPTIM_NULL  # adjust() refines better
    found, _, vector, translation, _ = cv2.solvePnPRansac(
        points, np.ascontiguousarray(current.xy), np.eye(3), None, params=params
    )
    if not found or not (np.isfinite(vector).all() and np.isfinite(translation).all()):
        return []
    rotation = rotation_from_vector(np.asarray(vector, np.float64).ravel())
    return [invert_transform(transform_from(rotation, np.asarray(translation, np.float64).ravel()))]


def _proper(prior: InverseDepths, is_informed: BoolArray) -> InverseDepths:
    """
    The prior with a very wide one where nothing is known: it leaves the depth free and tells nothing of the scale.
    """
    median = float(np.median(prior.value[is_informed]))
    return InverseDepths(
        np.where(is_informed, prior.value, median), np.where(is_informed, prior.sigma, _WIDE * abs(median) + _TINY)
    )


def _is_far(pairs: _Pairs, motion: Float64Array, is_informed: BoolArray) -> bool:
    """
    Whether the translation moves the points by more than noise.

    If it does not, a free depth would only fit noise, and the translation would grow to let it.
    """
    nearness = float(np.median(pairs.prior.value[is_informed]))
    moved_px = float(np.linalg.norm(motion[:3, 3]) * nearness * np.median(pairs.current.px_per_unit))
    return moved_px > _CLEAR_SIGMAS * pairs.sigma_px


def _measured_sigma(linear: _Linear, inlier: BoolArray, sigma_px: float) -> float:
    """
    Noise of a pixel coordinate by the median of the whitened squares, which have two degrees of freedom.
    """
    if not inlier.any():
        return sigma_px
    return max(sigma_px * float(np.sqrt(np.median(linear.squared[inlier]) / _MEDIAN_OF_CHI2_2)), SIGMA_FLOOR_PX)


def _equations_of(pairs: _Pairs) -> Callable[[Float64Array], NormalEquations]:
    return lambda motion: _normal_equations(_linearise(pairs, motion))


def _linearise(pairs: _Pairs, motion: Float64Array) -> _Linear:
    base, slope = projection_line(pairs.reference, motion)
    # Noise of both images is put into the current one.
    scale = pairs.current.px_per_unit / (np.sqrt(2.0) * pairs.sigma_px)
    belief = 1.0 / pairs.prior.sigma**2
    value = _best_depths(pairs, base, slope, scale, belief)
    seen = base - value[:, None] * slope
    plane = project(seen)
    z = np.maximum(seen[:, 2], MIN_Z)
    by_depth = (slope[:2] - plane * slope[2]) * (scale / z)[:, None]
    by_motion = image_jacobian(plane, value / z) * -scale[:, None, None]
    residuals = (pairs.current.xy - plane) * scale[:, None]
    return _Linear(residuals, by_motion, by_depth, value, (value - pairs.prior.value) * np.sqrt(belief), belief)


def _best_depths(
    pairs: _Pairs, base: Float64Array, slope: Float64Array, scale: Float64Array, belief: Float64Array
) -> Float64Array:
    offset = base[:, :2] - pairs.current.xy * base[:, 2:]
    gain = slope[:2] - pairs.current.xy * slope[2]
    value = pairs.prior.value
    strength, pulled = (gain**2).sum(axis=1), (gain * offset).sum(axis=1)
    for _ in range(_DEPTH_STEPS):
        weight = (scale / np.maximum(base[:, 2] - value * slope[2], MIN_Z)) ** 2
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
