# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
How well descriptors match under a homography: matching score (SuperPoint, appendix B, as KP2D measures it), recall,
and the accuracy of mutual nearest neighbours (D2-Net).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from kp2d_ros.core.records import Float64Array
from kp2d_ros.metrics.keypoint_pair import KeypointPair, mutual_matches, nearest_descriptor, warp


def matching_score(pair: KeypointPair) -> float:
    """
    Share of right nearest neighbours among those in common view, the mean of both directions; in [0, 1].

    The best points of each image take part, seen by the other one or not; hand over ``pair.in_common_view()`` for the
    measure of the papers, which begins with the points in common view. 0 without points.
    """
    if len(pair.source) == 0 or len(pair.target) == 0:
        return 0.0
    best = pair.best()
    return 0.5 * (_one_way(best) + _one_way(best.swapped()))


def matching_recall(pair: KeypointPair) -> float:
    """
    Share of the co-visible source points that are matched rightly: their mutual nearest neighbour is where they are.

    The best points of the target stand against the best of the source points that it can see. Points that the detector
    did not repeat count as not matched. 0 without points.
    """
    seen = dataclasses.replace(pair.in_common_view(), target=pair.target).best()
    rows = mutual_matches(seen.source, seen.target)
    right = np.linalg.norm(seen.warped_source[rows[:, 0]] - seen.target.xy[rows[:, 1]], axis=1) <= pair.threshold_px
    return float(np.count_nonzero(right)) / max(len(seen.source), 1)


def match_errors(pair: KeypointPair) -> Float64Array:
    """
    (M,) how far the mutual nearest neighbours among the best points are from where they belong, in target pixels.

    Infinite for a source point that the homography sends to infinity.
    """
    best = pair.best()
    rows = mutual_matches(best.source, best.target)
    errors = np.linalg.norm(best.warped_source[rows[:, 0]] - best.target.xy[rows[:, 1]], axis=1)
    return np.asarray(np.where(np.isnan(errors), np.inf, errors))


def matching_accuracy(errors: Float64Array, thresholds_px: Sequence[float]) -> tuple[float, ...]:
    """
    Share of the matches that are right up to each threshold; 0 without matches, which is no better than wrong ones.
    """
    return tuple(float(np.mean(errors <= threshold)) if len(errors) else 0.0 for threshold in thresholds_px)


def _one_way(pair: KeypointPair) -> float:
    matched = warp(pair.source_from_target, pair.target.xy[nearest_descriptor(pair.source, pair.target)])
    visible = (matched >= 0).all(axis=1) & (matched <= np.array(pair.size) - 1).all(axis=1)
    right = np.linalg.norm(matched - pair.source.xy, axis=1) < pair.threshold_px
    return int(np.count_nonzero(right & visible)) / max(int(np.count_nonzero(visible)), 1)
