# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What keypoints are worth under a homography: repeatability and localisation (SuperPoint, appendix A, as KP2D measures
them), matching score (appendix B), recall, and the accuracy of mutual nearest neighbours (D2-Net).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kp2d_ros.core.records import Float64Array, Keypoints
from kp2d_ros.metrics.keypoint_pair import KeypointPair, Size, mutual_matches, nearest_descriptor, warp


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
    apart = np.linalg.norm(seen.warped_source[:, None] - seen.target.xy.astype(np.float64)[None], axis=2)
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
    right = seen.errors_px(mutual_matches(seen.source, seen.target)) <= pair.threshold_px
    return float(np.count_nonzero(right)) / max(len(seen.source), 1)


def match_errors(pair: KeypointPair) -> Float64Array:
    """
    (M,) how far the mutual nearest neighbours among the best points are from where they belong, in target pixels.

    Infinite for a source point that the homography sends to infinity.
    """
    best = pair.best()
    return best.errors_px(mutual_matches(best.source, best.target))


def matching_accuracy(errors: Float64Array, thresholds_px: Sequence[float]) -> tuple[float, ...]:
    """
    Share of the matches that are right up to each threshold; 0 without matches, which is no better than wrong ones.
    """
    return tuple(float(np.mean(errors <= threshold)) if len(errors) else 0.0 for threshold in thresholds_px)


@dataclass(frozen=True, slots=True)
class KeypointScores:
    """
    What one pair says, or the means over many; NaN where nothing is known.

    ``recall`` is the share of co-visible source points that are matched rightly (:func:`matching_recall`).
    """

    repeatability: float
    one_to_one: float
    localisation_px: float
    matching_score: float
    recall: float


def score_keypoints(
    source: Keypoints, target: Keypoints, target_from_source: Float64Array, size: Size
) -> KeypointScores:
    """
    The figures of one pair of images of the same size, with 300 points and 3 pixels as in KP2D's protocol.
    """
    pair = KeypointPair(source, target, target_from_source, size)
    detector = score_detector(pair)
    return KeypointScores(
        repeatability=max(detector.repeatability, 0.0),  # the public code averages -1 in where there are no points
        one_to_one=detector.one_to_one,
        localisation_px=float('nan') if detector.is_empty else detector.localisation_px,
        matching_score=matching_score(pair),
        recall=matching_recall(pair),
    )


def mean_scores(scores: Sequence[KeypointScores]) -> KeypointScores:
    """
    Mean of each figure over the pairs where it is known.
    """
    means = []
    for field in dataclasses.fields(KeypointScores):
        values = np.array([getattr(score, field.name) for score in scores], np.float64)
        known = values[np.isfinite(values)]
        means.append(float(known.mean()) if len(known) else float('nan'))
    return KeypointScores(*means)


def _one_way(pair: KeypointPair) -> float:
    matched = warp(pair.source_from_target, pair.target.xy[nearest_descriptor(pair.source, pair.target)])
    visible = (matched >= 0).all(axis=1) & (matched <= np.array(pair.size) - 1).all(axis=1)
    right = np.linalg.norm(matched - pair.source.xy, axis=1) < pair.threshold_px
    return int(np.count_nonzero(right & visible)) / max(int(np.count_nonzero(visible)), 1)
