# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Straight lines through measurements of which some are wrong, and those of one image err together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.records import Float64Array
from kp2d_ros.odometry.least_squares import cauchy_weights, robust_sigma

_ROUNDS = 20
_FLOOR = 1e-3  # of the scatter, so that perfect data have weights
_RIDGE = 1e-12


@dataclass(frozen=True, slots=True)
class LinearFit:
    """
    ``coefficients`` (P,), their standard deviations ``sigmas`` (P,), and the ``scatter`` of the values around them.
    """

    coefficients: Float64Array
    sigmas: Float64Array
    scatter: float


def fit_linear(design: Float64Array, values: Float64Array, groups: npt.NDArray[np.int64]) -> LinearFit:
    """
    Robust least squares (Cauchy weights) of ``values`` (N,) by ``design`` (N, P).

    The standard deviations are those of whole groups (N,), which are independent of each other while their members are
    not (sandwich estimator; Liang and Zeger, 1986). With a single group they are infinite.
    """
    scale = np.maximum(np.abs(design).max(axis=0), 1e-12)
    scaled = design / scale
    weights = np.ones(len(values))
    coefficients = np.zeros(design.shape[1])
    residuals = values
    for _ in range(_ROUNDS):
        hessian = _hessian(scaled, weights)
        coefficients = np.linalg.solve(hessian, scaled.T @ (weights * values))
        residuals = values - scaled @ coefficients
        weights = cauchy_weights((residuals / robust_sigma(residuals, _FLOOR)) ** 2)
    inverse = np.linalg.inv(_hessian(scaled, weights))
    names, rows = np.unique(groups, return_inverse=True)
    scores = np.zeros((len(names), design.shape[1]))
    np.add.at(scores, rows.ravel(), scaled * (weights * residuals)[:, None])
    count = len(names)
    spread = (
        count / (count - 1) * inverse @ (scores.T @ scores) @ inverse if count > 1 else np.full_like(inverse, np.inf)
    )
    sigmas = np.sqrt(np.maximum(np.diagonal(spread), 0.0))
    return LinearFit(coefficients / scale, sigmas / scale, robust_sigma(residuals, _FLOOR))


def _hessian(design: Float64Array, weights: Float64Array) -> Float64Array:
    hessian = design.T @ (weights[:, None] * design)
    return np.asarray(hessian + _RIDGE * max(float(np.trace(hessian)), 1.0) * np.eye(len(hessian)))
