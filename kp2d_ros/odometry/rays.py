# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What is known of the keypoints of a view: their rays, how many pixels a step on the plane z = 1 is worth, and their
inverse depths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.cameras import CameraModel
from kp2d_ros.core.records import BoolArray, Float64Array, Rows

_STEP = 1e-4  # of the finite differences on the plane z = 1
_MEDIAN_TO_SIGMA = 1.4826
_GATE_SIGMAS = 3.0
_LARGEST_RELATIVE_SIGMA = 0.5  # of a depth that may vote on the scale or stands as known


@dataclass(frozen=True, slots=True)
class Rays(Rows):
    """
    ``vectors`` (N, 3) with z = 1, NaN where the lens model has no answer; ``px_per_unit`` (N,) pixels per unit there.

    Without distortion ``px_per_unit`` is the focal length; a wide lens packs more of the plane into a pixel near its
    rim. All thresholds and residuals are pixels because of it.
    """

    vectors: Float64Array
    px_per_unit: Float64Array

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def xy(self) -> Float64Array:
        """
        (N, 2) points on the plane z = 1.
        """
        return self.vectors[:, :2]

    @property
    def is_finite(self) -> BoolArray:
        """
        (N,) whether the lens model had an answer of any use.
        """
        return np.asarray(np.isfinite(self.vectors).all(axis=1) & (self.px_per_unit > 0) & (self.px_per_unit < np.inf))


def no_rays(count: int) -> Rays:
    """
    Rays of ``count`` keypoints of a camera that is not calibrated: all NaN.
    """
    return Rays(np.full((count, 3), np.nan), np.full(count, np.nan))


def rays_from_pixels(camera: CameraModel, xy: npt.NDArray[np.floating]) -> Rays:
    """
    Rays of (N, 2) pixels of the distorted image.
    """
    vectors = np.column_stack([camera.unproject(xy), np.ones(len(xy))])
    here = camera.project(vectors)
    by_x = (camera.project(vectors + np.array([_STEP, 0.0, 0.0])) - here) / _STEP
    by_y = (camera.project(vectors + np.array([0.0, _STEP, 0.0])) - here) / _STEP
    area = np.abs(by_x[:, 0] * by_y[:, 1] - by_x[:, 1] * by_y[:, 0])
    return Rays(vectors, np.sqrt(area))


@dataclass(frozen=True, slots=True)
class InverseDepths(Rows):
    """
    ``value`` (N,) inverse z of points in the reference camera and ``sigma`` (N,) their standard deviations.

    Negative values lie behind the camera; with an infinite sigma nothing is known.
    """

    value: Float64Array
    sigma: Float64Array

    def where(self, mask: BoolArray) -> InverseDepths:
        """
        All rows; nothing known where the mask (N,) is false.
        """
        return InverseDepths(np.where(mask, self.value, 0.0), np.where(mask, self.sigma, np.inf))


@dataclass(frozen=True, slots=True)
class ScaleRatio:
    """
    ``scale`` is the length of the new baseline in the old unit, ``log_sigma`` the standard deviation of its logarithm,
    ``count`` how many points agree on it.
    """

    scale: float
    log_sigma: float
    count: int


def unknown_depths(count: int) -> InverseDepths:
    """
    Inverse depths of points of which nothing is known.
    """
    return InverseDepths(np.zeros(count), np.full(count, np.inf))


def is_known(depths: InverseDepths) -> BoolArray:
    """
    (N,) points that surely lie before the camera, their depth known to a factor of two.
    """
    return np.asarray(depths.sigma < _LARGEST_RELATIVE_SIGMA * depths.value)


def fuse_depths(first: InverseDepths, second: InverseDepths) -> InverseDepths:
    """
    What two independent estimates (N,) of the same inverse depths say together.

    Where they contradict each other the second one counts, as uncertain as the two differ.
    """
    if not np.isfinite(second.sigma).any():
        return first
    apart = np.abs(first.value - second.value)
    both = np.isfinite(first.sigma) & np.isfinite(second.sigma)
    contradict = both & (apart > _GATE_SIGMAS * np.hypot(first.sigma, second.sigma))
    first_belief, second_belief = 1.0 / first.sigma**2, 1.0 / second.sigma**2
    belief = first_belief + second_belief
    safe = np.maximum(belief, np.finfo(np.float64).tiny)
    value = (first_belief * first.value + second_belief * second.value) / safe
    sigma = np.where(belief > 0.0, 1.0 / np.sqrt(safe), np.inf)
    return InverseDepths(
        np.where(contradict, second.value, value), np.where(contradict, np.maximum(second.sigma, apart), sigma)
    )


def scale_ratio(old: InverseDepths, new: InverseDepths) -> ScaleRatio:
    """
    The scale that the same points have in two units: a weighted median of log ratios, outliers gated, then their mean.

    :param old: (N,) in the unit to keep.
    :param new: (N,) in units of the new baseline.
    """
    shared = is_known(old) & is_known(new)
    if not shared.any():
        return ScaleRatio(1.0, np.inf, 0)
    logs = np.log(new.value[shared] / old.value[shared])
    variances = (old.sigma[shared] / old.value[shared]) ** 2 + (new.sigma[shared] / new.value[shared]) ** 2
    weights = 1.0 / variances
    centre = _weighted_median(logs, weights)
    deviation = np.abs(logs - centre)
    spread = np.maximum(_MEDIAN_TO_SIGMA * _weighted_median(deviation, weights), 1e-6)
    # Each point may miss by its own uncertainty or by what its peers miss, whichever is larger.
    agrees = deviation < _GATE_SIGMAS * np.maximum(np.sqrt(variances), spread)
    agrees &= deviation < np.log(2.0)
    weights = np.where(agrees, weights, 0.0)
    if not agrees.any():
        return ScaleRatio(float(np.exp(centre)), np.inf, 0)
    mean = float((weights * logs).sum() / weights.sum())
    scatter = float((weights * (logs - mean) ** 2).sum() / weights.sum())
    sigma = np.sqrt(max(scatter / agrees.sum(), 1.0 / weights.sum()))
    return ScaleRatio(float(np.exp(mean)), float(sigma), int(agrees.sum()))


def carry_depths(reference: Rays, depths: InverseDepths, reference_from_current: Float64Array) -> InverseDepths:
    """
    The (N,) inverse depths of points of the reference, in the current camera; unknown where it cannot see them.
    """
    rotation, translation = reference_from_current[:3, :3], reference_from_current[:3, 3]
    base = (reference.vectors @ rotation)[:, 2]
    z = base - depths.value * float(rotation[:, 2] @ translation)  # over that in the reference
    before = z > 1e-3
    safe = np.where(before, z, 1.0)
    value = np.where(before, depths.value / safe, 0.0)
    sigma = np.where(before, depths.sigma * np.abs(base) / safe**2, np.inf)
    return InverseDepths(value, sigma)


def place_depths(count: int, rows: npt.NDArray[np.int64], depths: InverseDepths) -> InverseDepths:
    """
    Inverse depths of ``count`` points, those of ``rows`` given, nothing known of the others.
    """
    placed = unknown_depths(count)
    placed.value[rows] = depths.value
    placed.sigma[rows] = depths.sigma
    return placed


def _weighted_median(values: Float64Array, weights: Float64Array) -> float:
    order = np.argsort(values, kind='stable')
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, 0.5 * total[-1])])
