# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Matching score of descriptors under a homography (SuperPoint, appendix B, as KP2D measures it).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from kp2d_ros.core.records import Keypoints
from kp2d_ros.evaluation.detector import Float64Array, Size, best_first, inside, invert, warp


def nearest_descriptor(queries: Keypoints, candidates: Keypoints) -> npt.NDArray[np.int64]:
    """
    (N,) row of the candidate nearest in descriptor space, by Euclidean or Hamming distance; brute force.
    """
    norm = cv2.NORM_HAMMING if queries.is_binary else cv2.NORM_L2
    found = cv2.BFMatcher(norm, crossCheck=False).match(queries.descriptors, candidates.descriptors)
    return np.array([match.trainIdx for match in found], np.int64)


def best_keypoints(keypoints: Keypoints, count: int) -> Keypoints:
    """
    The ``count`` keypoints of the highest scores, best first.
    """
    rows = best_first(keypoints.scores, count)
    return Keypoints(keypoints.xy[rows], keypoints.scores[rows], keypoints.descriptors[rows])


def matching_score(
    source: Keypoints,
    target: Keypoints,
    target_from_source: Float64Array,
    size: Size,
    *,
    count: int = 300,
    threshold_px: float = 3.0,
) -> float:
    """
    Share of right nearest neighbours among those in common view, the mean of both directions; in [0, 1].

    The ``count`` best points of each image take part, seen by the other one or not. 0 without points.
    """
    if len(source) == 0 or len(target) == 0:
        return 0.0
    source, target = best_keypoints(source, count), best_keypoints(target, count)
    source_from_target = invert(target_from_source)
    return 0.5 * (
        _one_way(source, target, source_from_target, size, threshold_px)
        + _one_way(target, source, target_from_source, size, threshold_px)
    )


def matching_recall(
    source: Keypoints,
    target: Keypoints,
    target_from_source: Float64Array,
    size: Size,
    *,
    count: int = 300,
    threshold_px: float = 3.0,
) -> float:
    """
    Share of the co-visible source points that are matched rightly: their mutual nearest neighbour is where they are.

    The ``count`` best points of the target stand against the ``count`` best of the source points that it can see.
    Points that the detector did not repeat count as not matched. 0 without points.
    """
    warped = warp(target_from_source, source.xy)
    seen = np.flatnonzero(inside(warped, size))
    seen = seen[best_first(source.scores[seen], count)]
    if len(seen) == 0 or len(target) == 0:
        return 0.0
    target = best_keypoints(target, count)
    queries = Keypoints(source.xy[seen], source.scores[seen], source.descriptors[seen])
    forward, backward = nearest_descriptor(queries, target), nearest_descriptor(target, queries)
    mutual = backward[forward] == np.arange(len(seen))
    right = np.linalg.norm(warped[seen] - target.xy[forward], axis=1) <= threshold_px
    return float(np.mean(mutual & right))


def _one_way(
    queries: Keypoints, candidates: Keypoints, query_from_candidate: Float64Array, size: Size, threshold_px: float
) -> float:
    matched = warp(query_from_candidate, candidates.xy[nearest_descriptor(queries, candidates)])
    visible = (matched >= 0).all(axis=1) & (matched <= np.array(size) - 1).all(axis=1)
    right = np.linalg.norm(matched - queries.xy, axis=1) < threshold_px
    return int(np.count_nonzero(right & visible)) / max(int(np.count_nonzero(visible)), 1)
