# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest

from kp2d_ros.metrics.spread import Spread


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
