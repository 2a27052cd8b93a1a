# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
How sure a mean over a few random runs is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Student's t, two-sided 95 %, for 1, 2, 3, ... degrees of freedom; beyond the table it hardly changes.
_STUDENT_95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
    *(2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
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
    The interval of the numbers that are finite, taken as normally distributed; NaN without any.
    """
    known = np.array(values, np.float64)
    known = known[np.isfinite(known)]
    count = len(known)
    if count < 2:
        return Interval(count, float(known[0]) if count else float('nan'), float('nan'))
    student = _STUDENT_95[min(count - 1, len(_STUDENT_95)) - 1]
    return Interval(count, float(known.mean()), student * float(known.std(ddof=1)) / float(np.sqrt(count)))
