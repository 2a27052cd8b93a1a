# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from kp2d_ros.doctor.regression import fit_linear


def test_a_line_is_found_although_a_quarter_of_the_values_is_wrong(rng: np.random.Generator) -> None:
    x = rng.uniform(-100, 100, 400)
    values = 1.5 + 0.03 * x + rng.normal(0, 0.1, 400)
    values[:100] += rng.uniform(-20, 20, 100)
    fit = fit_linear(np.column_stack([np.ones(400), x]), values, np.repeat(np.arange(20), 20))
    np.testing.assert_allclose(fit.coefficients, (1.5, 0.03), atol=(0.03))
    assert abs(fit.coefficients[1] - 0.03) < 4 * fit.sigmas[1]


def test_the_sigma_is_that_of_whole_groups(rng: np.random.Generator) -> None:
    errors = []
    for _ in range(200):
        common = np.repeat(rng.normal(0, 1.0, 12), 30)  # what the members of a group share
        values = 2.0 + common + rng.normal(0, 0.1, 360)
        fit = fit_linear(np.ones((360, 1)), values, np.repeat(np.arange(12), 30))
        errors.append((fit.coefficients[0] - 2.0) / fit.sigmas[0])
    assert 0.7 < np.std(errors) < 2.0  # as if members were independent it would be above 5


def test_one_group_tells_no_sigma() -> None:
    fit = fit_linear(np.ones((5, 1)), np.array([1.0, 1.1, 0.9, 1.0, 1.0]), np.zeros(5, np.int64))
    assert fit.coefficients[0] == pytest.approx(1.0, abs=0.02)
    assert np.isinf(fit.sigmas[0])


def test_columns_that_say_the_same_share_the_answer() -> None:
    column = np.arange(10.0)
    fit = fit_linear(np.column_stack([column, column]), 2.0 * column, np.arange(10))
    assert fit.coefficients.sum() == pytest.approx(2.0, abs=1e-3)
