# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Repeatability and localisation error of keypoints under a homography (SuperPoint, appendix A, as KP2D measures them).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kp2d_ros.core.records import Float64Array
from kp2d_ros.metrics.keypoint_pair import KeypointPair


@dataclass(frozen=True, slots=True)
class DetectorScore:
    """
    What one pair of images says of a detector.

    ``repeatability`` is in [0, 1]; ``localisation_px`` is NaN where no point is repeated. Both are -1 where neither
    image has a point in common view: the public code averages that in. ``one_to_one`` counts every point at most once
    (mutual nearest neighbours), so that clusters gain nothing; NaN without points.
    """

    repeatability: float
    localisation_px: float
    one_to_one: float
    source_count: int
    target_count: int

    @property
    def is_empty(self) -> bool:
        """
        Whether neither image has a point in common view.
        """
        return self.source_count + self.target_count == 0


def distances(first: Float64Array, second: Float64Array) -> Float64Array:
    """
    (N, M) Euclidean distances of (N, 2) and (M, 2) points.
    """
    return np.asarray(np.linalg.norm(first[:, None] - second[None], axis=2))


def score_detector(pair: KeypointPair) -> DetectorScore:
    """
    Compare the keypoints of two images of the same size.

    The points in common view are taken first, then the best of each; both are compared in the target image, to which
    the source points are warped.
    """
    seen = pair.in_common_view().best()
    counts = (len(seen.source), len(seen.target))
    if max(counts) == 0:
        return DetectorScore(-1.0, -1.0, float('nan'), *counts)
    if min(counts) == 0:  # nothing to compare with: no point is repeated
        return DetectorScore(0.0, float('nan'), 0.0, *counts)
    apart = distances(seen.warped_source, seen.target.xy.astype(np.float64))
    nearest = np.concatenate([apart.min(axis=1), apart.min(axis=0)])
    repeated = nearest <= pair.threshold_px
    mutual = apart.argmin(axis=0)[apart.argmin(axis=1)] == np.arange(counts[0])
    matched_once = int(np.count_nonzero(mutual & (apart.min(axis=1) <= pair.threshold_px)))
    return DetectorScore(
        repeatability=float(repeated.mean()),
        localisation_px=float(nearest[repeated].mean()) if repeated.any() else float('nan'),
        one_to_one=2.0 * matched_once / sum(counts),
        source_count=counts[0],
        target_count=counts[1],
    )
