# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
How many relative poses are good enough, for every meaning of good enough: the curve, and the area under it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kp2d_ros.metrics.pose_error import PairError


@dataclass(frozen=True, slots=True)
class PoseCurve:
    """
    The N known errors in degrees, rising; failed pairs are infinite and stay in N.
    """

    errors_deg: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.errors_deg)

    def recall(self, limits_deg: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """
        Share of the pairs whose error is not larger than each limit; NaN without pairs.
        """
        counts = np.searchsorted(self.errors_deg, limits_deg, side='right')
        return np.asarray(counts / len(self.errors_deg) if len(self.errors_deg) else np.full(len(limits_deg), np.nan))

    def area(self, limit_deg: float) -> float:
        """
        Area under the curve from 0 to a limit, over the limit: 1 is a curve of pairs without error; NaN without pairs.

        The curve joins (0, 0) and the points (i-th error, i / N) by straight lines, up to the last error below the
        limit, and is level from there, as in the evaluation of SuperGlue (Sarlin et al., CVPR 2020).
        """
        if not len(self.errors_deg):
            return float('nan')
        below = int(np.searchsorted(self.errors_deg, limit_deg, side='left'))
        x = np.concatenate([[0.0], self.errors_deg[:below], [limit_deg]])
        y = np.concatenate([np.arange(below + 1), [below]]) / len(self.errors_deg)
        return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) / limit_deg)


def pose_curve(errors: Sequence[PairError]) -> PoseCurve:
    """
    The curve of the larger one of rotation and direction error (:class:`PairError`); pairs without truth are left out.
    """
    values = np.array([error.pose_deg for error in errors], np.float64)
    return PoseCurve(np.sort(values[~np.isnan(values)]))
