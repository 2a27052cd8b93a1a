# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
All figures of detector and descriptor for pairs of images under a homography, and their means.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kp2d_ros.core.records import Float64Array, Keypoints
from kp2d_ros.metrics.descriptor import matching_recall, matching_score
from kp2d_ros.metrics.detector import score_detector
from kp2d_ros.metrics.keypoint_pair import KeypointPair, Size


@dataclass(frozen=True, slots=True)
class KeypointScores:
    """
    What one pair says, or the means over many; NaN where nothing is known.

    ``recall`` is the share of co-visible source points that are matched rightly
    (:func:`kp2d_ros.metrics.descriptor.matching_recall`).
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
