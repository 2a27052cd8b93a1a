# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
How well matches give the homography back: the error at the corners of the image, in several orders of the matches.

OpenCV's RANSAC draws with a fixed seed, so that its result depends on the order of the points. The public code hands
them over in the order of rising scores; the mean over random orders says what the matches are worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from kp2d_ros.core.records import Float64Array
from kp2d_ros.metrics.keypoint_pair import KeypointPair, mutual_matches, warp
from kp2d_ros.metrics.keypoint_protocol import KeypointProtocol

_SMALLEST_SAMPLE = 4


@dataclass(frozen=True, slots=True)
class HomographyErrors:
    """
    Mean distance of the four corners from where they belong, in target pixels; infinite where there is no homography.

    ``rising_px`` is for matches in the order of rising source scores, ``shuffled_px`` for random orders.
    """

    match_count: int
    rising_px: float
    shuffled_px: tuple[float, ...]


def homography_errors(pair: KeypointPair, protocol: KeypointProtocol) -> HomographyErrors:
    """
    Match the best points in common view both ways, and estimate the homography from the matches in several orders.
    """
    seen = pair.in_common_view().best()
    rows = mutual_matches(seen.source, seen.target)
    source, target = seen.source.xy[rows[:, 0]], seen.target.xy[rows[:, 1]]
    orders = [np.random.default_rng((protocol.seed, k)).permutation(len(rows)) for k in range(protocol.orders)]
    return HomographyErrors(
        match_count=len(rows),
        rising_px=corner_error(pair, _estimate(source, target, protocol)),
        shuffled_px=tuple(corner_error(pair, _estimate(source[o], target[o], protocol)) for o in orders),
    )


def correctness(errors_px: Sequence[float], threshold_px: float) -> float:
    """
    Share of the estimates whose error is at most the threshold.
    """
    return float(np.mean(np.asarray(errors_px) <= threshold_px))


def area_under_curve(errors_px: Sequence[float], threshold_px: float) -> float:
    """
    Area under the curve of the correctness up to a threshold, as a share of the largest one.

    That of the steps themselves, which is the mean of ``1 - error / threshold`` where that is positive; joining the
    steps by lines, as others do, gives slightly more for few pairs.
    """
    return float(np.mean(np.clip(1 - np.asarray(errors_px) / threshold_px, 0, 1)))


def corner_error(pair: KeypointPair, estimate: Float64Array | None) -> float:
    """
    Mean distance of the four corners from where they belong, in target pixels; infinite without an estimate.
    """
    if estimate is None:
        return float('inf')
    right, bottom = pair.size[0] - 1.0, pair.size[1] - 1.0
    places = np.array([[0, 0], [0, bottom], [right, 0], [right, bottom]])  # centres of the pixels in the corners
    error = float(np.linalg.norm(warp(pair.target_from_source, places) - warp(estimate, places), axis=1).mean())
    return error if np.isfinite(error) else float('inf')


def _estimate(source: np.ndarray, target: np.ndarray, protocol: KeypointProtocol) -> Float64Array | None:
    if len(source) < _SMALLEST_SAMPLE:
        return None
    found, _ = cv2.findHomography(
        source,
        target,
        cv2.RANSAC,
        protocol.ransac_px,
        maxIters=protocol.ransac_iterations,
        confidence=protocol.ransac_confidence,
    )
    return None if found is None else np.asarray(found, np.float64)
