# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np

from kp2d_ros.odometry.least_squares import (
    NormalEquations,
    cauchy_cost,
    cauchy_weights,
    minimise,
    robust_sigma,
)


def fit_line(x: Any, y: Any, sigma: float = 1.0) -> Any:
    design = np.column_stack([x, np.ones(len(x))])

    def linearise(state: Any) -> NormalEquations:
        residuals = (design @ state - y) / sigma
        weighted = design * cauchy_weights(residuals**2)[:, None] / sigma
        return NormalEquations(weighted.T @ design / sigma, weighted.T @ residuals, cauchy_cost(residuals**2))

    return minimise(linearise, lambda state, step: state + step, np.zeros(2))


def test_gross_outliers_do_not_move_a_line(rng: np.random.Generator) -> None:
    x = np.linspace(0, 10, 60)
    y = 2.0 * x - 3.0 + 0.01 * rng.normal(size=60)
    y[::6] += rng.uniform(-100, 100, 10)
    np.testing.assert_allclose(fit_line(x, y, 0.01).state, [2.0, -3.0], atol=0.01)


def test_the_covariance_is_the_textbook_one_for_small_noise() -> None:
    x = np.linspace(-1, 1, 50)
    minimum = fit_line(x, 0.5 * x, sigma=0.1)
    np.testing.assert_allclose(minimum.covariance, np.diag([0.01 / (x**2).sum(), 0.01 / 50]), rtol=1e-9, atol=1e-15)


def test_a_direction_that_nothing_constrains_has_a_huge_variance() -> None:
    equations = NormalEquations(np.diag([4.0, 0.0]), np.zeros(2), 0.0)
    assert np.isfinite(equations.covariance).all()
    assert equations.covariance[0, 0] == 0.25
    assert equations.covariance[1, 1] > 1e6


def test_the_search_ends_where_the_model_gives_nothing() -> None:
    def linearise(state: Any) -> NormalEquations:
        return NormalEquations(np.full((1, 1), np.nan), np.full(1, np.nan), 1.0)

    assert minimise(linearise, lambda state, step: state + float(step[0]), 7.0).state == 7.0


def test_the_noise_is_measured_in_spite_of_outliers(rng: np.random.Generator) -> None:
    residuals = np.concatenate([rng.normal(size=1000) * 0.3, np.full(100, 50.0)])
    assert abs(robust_sigma(residuals, 0.01) - 0.3) < 0.06
    assert robust_sigma(np.zeros(5), 0.01) == robust_sigma(np.zeros(0), 0.01) == 0.01
