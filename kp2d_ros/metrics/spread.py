# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
How a set of measured numbers is spread, and how sure the mean of a few random runs is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Spread:
    """
    Median, mean, root mean square, tail and largest of ``count`` numbers, in the unit of the numbers.

    Percentiles are interpolated linearly between the two nearest numbers.
    """

    count: int
    median: float
    mean: float
    rms: float
    p90: float
    p99: float
    maximum: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """
        The spread of finite numbers; NaN and infinity are left out, and None means that nothing was left.
        """
        numbers = np.array(list(values), np.float64)
        numbers = numbers[np.isfinite(numbers)]
        if not len(numbers):
            return None
        median, p90, p99 = np.percentile(numbers, [50, 90, 99])
        return cls(
            count=len(numbers),
            median=float(median),
            mean=float(numbers.mean()),
            rms=float(np.sqrt(np.mean(numbers**2))),
            p90=float(p90),
            p99=float(p99),
            maximum=float(numbers.max()),
        )


@dataclass(frozen=True, slots=True)
class Interval:
    """
    Mean of ``count`` numbers and half the width of its 95 % confidence interval, NaN for one number.
    """

    count: int
    mean: float
    half_width: float


def confidence_interval(values: Sequence[float]) -> Interval:
    """
    The interval (Student's t) of the numbers that are finite, taken as normally distributed; NaN without any.
    """
    known = np.array(values, np.float64)
    known = known[np.isfinite(known)]
    count = len(known)
    if count < 2:
        return Interval(count, float(known[0]) if count else float('nan'), float('nan'))
    from scipy.stats import t  # slow to import, and not needed where a run is only replayed

    half_width = float(t.ppf(0.975, count - 1)) * float(known.std(ddof=1)) / float(np.sqrt(count))
    return Interval(count, float(known.mean()), half_width)


def finite_or_none(value: float, digits: int | None = None) -> float | None:
    """
    A number, rounded to digits after the point; None for NaN and infinity, which JSON does not know.

    :param digits: None: as it is.
    """
    if not math.isfinite(value):
        return None
    return value if digits is None else round(value, digits)
