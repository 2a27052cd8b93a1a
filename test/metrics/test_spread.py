# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

from kp2d_ros.metrics.spread import Spread, confidence_interval, finite_or_none


def test_figures_of_known_numbers() -> None:
    spread = Spread.of([3.0, 4.0])
    assert spread is not None
    assert (spread.count, spread.median, spread.mean, spread.maximum) == (2, 3.5, 3.5, 4.0)
    assert spread.rms == pytest.approx(math.sqrt(12.5))
    assert spread.p90 == pytest.approx(3.9)
    assert spread.p99 == pytest.approx(3.99)


def test_numbers_that_are_not_finite_are_left_out() -> None:
    spread = Spread.of([1.0, float('nan'), float('inf')])
    assert spread is not None
    assert (spread.count, spread.maximum) == (1, 1.0)


def test_nothing_has_no_spread() -> None:
    assert Spread.of([]) is None
    assert Spread.of([float('nan')]) is None


def test_the_interval_of_three_numbers_is_that_of_the_textbook() -> None:
    interval = confidence_interval([1.0, 2.0, 3.0])
    assert (interval.count, interval.mean) == (3, 2.0)
    assert interval.half_width == pytest.approx(4.302652729 / np.sqrt(3))


def test_it_holds_the_mean_in_nineteen_of_twenty_cases(rng: np.random.Generator) -> None:
    intervals = [confidence_interval(rng.normal(7.0, 2.0, 4).tolist()) for _ in range(2000)]
    held = np.mean([abs(interval.mean - 7.0) <= interval.half_width for interval in intervals])
    assert held == pytest.approx(0.95, abs=0.015)


def test_unknown_numbers_are_left_out() -> None:
    assert confidence_interval([1.0, float('nan'), 3.0]).count == 2
    one = confidence_interval([5.0])
    assert one.mean == 5.0 and np.isnan(one.half_width)
    assert np.isnan(confidence_interval([]).mean)


def test_equal_numbers_leave_no_doubt() -> None:
    assert confidence_interval([4.0] * 40).half_width == 0.0


def test_json_is_given_numbers_alone() -> None:
    assert [finite_or_none(value) for value in (1.25, float('nan'), float('inf'))] == [1.25, None, None]
    assert finite_or_none(2 / 3, digits=3) == 0.667
    assert isinstance(finite_or_none(3), int)  # a count stays one
