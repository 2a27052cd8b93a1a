# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Robust non-linear least squares on a manifold: Levenberg-Marquardt with iteratively reweighted residuals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from kp2d_ros.core.records import Float64Array

S = TypeVar('S')

_CAUCHY = 2.385  # 95 % as efficient as least squares on Gaussian noise
_MEDIAN_TO_SIGMA = 1.4826
_FIRST_DAMPING = 1e-4
_LARGEST_DAMPING = 1e6
_TINY = 1e-12  # keeps a parameter that nothing depends on where it is
_CONVERGED = 1e-5  # decrease of the cost, relative, that is not worth a step


@dataclass(frozen=True, slots=True)
class NormalEquations:
    """
    A quadratic model of the cost: ``hessian`` (D, D) and ``gradient`` (D,) of half the robust sum of squares ``cost``.
    """

    hessian: Float64Array
    gradient: Float64Array
    cost: float

    @property
    def covariance(self) -> Float64Array:
        """
        (D, D) inverse of the Hessian: the covariance if the residuals were divided by their standard deviation.

        Directions that nothing constrains get a huge variance, not an error.
        """
        values, vectors = np.linalg.eigh(self.hessian)
        floor = max(float(values[-1]), 1.0) * 1e-12
        return np.asarray((vectors / np.maximum(values, floor)) @ vectors.T)


@dataclass(frozen=True, slots=True)
class Minimum(Generic[S]):
    """
    Where the search ended, and the quadratic model there.
    """

    state: S
    equations: NormalEquations

    @property
    def covariance(self) -> Float64Array:
        """
        (D, D) covariance of the state in its tangent space.
        """
        return self.equations.covariance


def minimise(
    linearise: Callable[[S], NormalEquations], retract: Callable[[S, Float64Array], S], start: S, steps: int = 15
) -> Minimum[S]:
    """
    Follow the normal equations downhill from ``start``.

    :param retract: moves a state by a step (D,) of the tangent space.
    """
    best = Minimum(start, linearise(start))
    damping = _FIRST_DAMPING
    for _ in range(steps):
        equations = best.equations
        step = _damped_step(equations, damping)
        if -0.5 * float(step @ equations.gradient) < _CONVERGED * equations.cost:  # all that is left to gain
            break
        state = retract(best.state, step)
        moved = linearise(state)
        if moved.cost < equations.cost:  # false for NaN
            best = Minimum(state, moved)
            damping *= 0.1
        elif damping < _LARGEST_DAMPING:
            damping *= 30.0
        else:
            break
    return best


def _damped_step(equations: NormalEquations, damping: float) -> Float64Array:
    diagonal = np.diagonal(equations.hessian) + _TINY
    damped = equations.hessian + np.diag(damping * diagonal)
    try:
        return np.asarray(-np.linalg.solve(damped, equations.gradient), np.float64)
    except np.linalg.LinAlgError:
        return np.zeros(len(diagonal))


def cauchy_weights(squared: Float64Array) -> Float64Array:
    """
    (N,) weights of residuals given their squares in units of the variance.
    """
    return np.asarray(1.0 / (1.0 + squared / _CAUCHY**2))


def cauchy_cost(squared: Float64Array) -> float:
    """
    Half the robust sum of squares of residuals given in units of the variance.
    """
    return float(0.5 * _CAUCHY**2 * np.log1p(squared / _CAUCHY**2).sum())


def robust_sigma(residuals: Float64Array, floor: float) -> float:
    """
    Standard deviation of zero-mean residuals by their median size; ``floor`` if it is smaller or there are none.
    """
    return max(_MEDIAN_TO_SIGMA * float(np.median(np.abs(residuals))), floor) if len(residuals) else floor
