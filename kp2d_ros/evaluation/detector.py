# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Repeatability and localisation error of keypoints under a homography (SuperPoint, appendix A, as KP2D measures them).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.checks import check_shape
from kp2d_ros.core.records import Keypoints

Float64Array = npt.NDArray[np.float64]
Size = tuple[int, int]  # width, height in pixels


@dataclass(frozen=True, slots=True)
class DetectorScore:
    """
    What one pair of images says of a detector.

    ``repeatability`` is in [0, 1], or -1 where neither image has a point in common view (the public code averages that
    in); ``localisation_px`` is NaN where no point is repeated. ``one_to_one`` counts every point at most once (mutual
    nearest neighbours), so that clusters gain nothing; NaN without points.
    """

    repeatability: float
    localisation_px: float
    one_to_one: float
    source_count: int
    target_count: int


def warp(homography: Float64Array, xy: npt.NDArray[np.floating]) -> Float64Array:
    """
    (N, 2) pixels mapped by a (3, 3) homography; NaN for points at infinity.
    """
    check_shape('homography', homography, (3, 3))
    mapped = np.concatenate([xy, np.ones((len(xy), 1))], axis=1) @ homography.T
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.asarray(np.where(np.abs(mapped[:, 2:]) > 1e-12, mapped[:, :2] / mapped[:, 2:], np.nan))


def invert(homography: Float64Array) -> Float64Array:
    """
    The (3, 3) homography the other way round.
    """
    return np.asarray(np.linalg.inv(homography), np.float64)


def inside(xy: Float64Array, size: Size) -> npt.NDArray[np.bool_]:
    """
    (N,) whether points lie in 0 <= x < width, 0 <= y < height; False for NaN.
    """
    return np.asarray((xy >= 0).all(axis=1) & (xy < np.array(size)).all(axis=1))


def best_first(scores: npt.NDArray[np.floating], count: int) -> npt.NDArray[np.int64]:
    """
    Rows of the ``count`` highest scores, best first; equal scores keep their order.
    """
    return np.argsort(-scores, kind='stable')[:count]


def distances(first: Float64Array, second: Float64Array) -> Float64Array:
    """
    (N, M) Euclidean distances of (N, 2) and (M, 2) points.
    """
    return np.asarray(np.linalg.norm(first[:, None] - second[None], axis=2))


def score_detector(
    source: Keypoints,
    target: Keypoints,
    target_from_source: Float64Array,
    size: Size,
    *,
    count: int = 300,
    threshold_px: float = 3.0,
) -> DetectorScore:
    """
    Compare the keypoints of two images of the same size.

    The points in common view are taken first, then the ``count`` best of each; both happen in the target image, to
    which the source points are warped.

    :param target_from_source: (3, 3) homography in pixels.
    """
    warped = warp(target_from_source, source.xy)
    source_kept = np.flatnonzero(inside(warped, size))
    target_kept = np.flatnonzero(inside(warp(invert(target_from_source), target.xy), size))
    source_kept = source_kept[best_first(source.scores[source_kept], count)]
    target_kept = target_kept[best_first(target.scores[target_kept], count)]
    counts = (len(source_kept), len(target_kept))
    if min(counts) == 0:
        # Nothing to compare with: no point is repeated; the public code says -1 where both are empty.
        empty = max(counts) == 0
        return DetectorScore(-1.0 if empty else 0.0, float('nan'), float('nan') if empty else 0.0, *counts)
    apart = distances(warped[source_kept], target.xy[target_kept].astype(np.float64))
    nearest = np.concatenate([apart.min(axis=1), apart.min(axis=0)])
    repeated = nearest <= threshold_px
    mutual = apart.argmin(axis=0)[apart.argmin(axis=1)] == np.arange(counts[0])
    matched_once = int(np.count_nonzero(mutual & (apart.min(axis=1) <= threshold_px)))
    return DetectorScore(
        repeatability=float(repeated.mean()),
        localisation_px=float(nearest[repeated].mean()) if repeated.any() else float('nan'),
        one_to_one=2.0 * matched_once / sum(counts),
        source_count=counts[0],
        target_count=counts[1],
    )
