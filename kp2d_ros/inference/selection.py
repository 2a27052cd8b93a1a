# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Which candidates become keypoints: threshold, border, radius suppression, spread over the image, best first.

The outcome depends on the candidates alone, never on their order: equal scores are ordered by y, then x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.checks import check_shape
from kp2d_ros.core.records import BoolArray, Float32Array

IndexArray = npt.NDArray[np.int64]

_BATCH = 2048  # candidates that suppression looks at together; bounds its memory


@dataclass(frozen=True, slots=True)
class SelectionRule:
    """
    What a keypoint must be.

    Its score exceeds ``score_threshold``; it lies at least ``border_px`` inside the outermost pixel centres; no better
    one is closer than ``nms_radius_px``; at most ``max_keypoints`` are kept. With ``spread_grid`` = n > 0 each of n x n
    equal parts of the image first gets an equal share of them, and what remains goes to the best anywhere.
    """

    max_keypoints: int
    score_threshold: float = 0.0
    border_px: float = 0.0
    nms_radius_px: float = 0.0
    spread_grid: int = 0


def select(xy: Float32Array, scores: Float32Array, width: int, height: int, rule: SelectionRule) -> IndexArray:
    """
    Rows of the (N, 2) candidates that become keypoints of a width x height image, best first.

    Candidates whose position or score is not finite are never taken.

    :raises ShapeError: if there is not one score per candidate.
    """
    check_shape('xy', xy, ('N', 2))
    check_shape('scores', scores, (len(xy),))
    order = _best_first(xy, scores, _is_candidate(xy, scores, width, height, rule))
    limit = rule.max_keypoints if rule.spread_grid == 0 else len(order)
    order = order[suppress(xy[order], rule.nms_radius_px, limit)]
    if rule.spread_grid > 0:
        order = order[_spread(xy[order], width, height, rule)]
    return order


def suppress(xy: Float32Array, radius: float, limit: int) -> IndexArray:
    """
    Rows of (N, 2) points, given best first, that no better kept point is closer to than the radius; at most ``limit``.

    The same rows as taking one point after the other and dropping what lies too close to those already taken.
    """
    if radius <= 0:
        return np.arange(min(limit, len(xy)))
    kept = np.empty(0, np.int64)
    for start in range(0, len(xy), _BATCH):
        # What is kept comes first, so it outranks the new ones; none of it is too close to another one of it.
        batch = np.concatenate([kept, np.arange(start, min(start + _BATCH, len(xy)))])
        kept = batch[_greedy(xy[batch].astype(np.float64), radius)]
        if len(kept) >= limit:
            break
    return kept[:limit]


def _is_candidate(xy: Float32Array, scores: Float32Array, width: int, height: int, rule: SelectionRule) -> BoolArray:
    x, y = xy.T
    border = rule.border_px
    # Comparisons with NaN are False; only an infinite score has to be named.
    inside = (x >= border) & (x <= width - 1 - border) & (y >= border) & (y <= height - 1 - border)
    return np.asarray(inside & (scores > rule.score_threshold) & (scores < np.inf))


def _best_first(xy: Float32Array, scores: Float32Array, wanted: BoolArray) -> IndexArray:
    rows = np.flatnonzero(wanted)
    x, y = xy[rows].T
    return rows[np.lexsort((x, y, -scores[rows]))]


def _greedy(xy: npt.NDArray[np.float64], radius: float) -> BoolArray:
    better, worse = _close_pairs(xy, radius)
    keep = np.ones(len(xy), np.bool_)
    # Each round settles every point that no unsettled better one is close to, and drops what is close to it.
    while len(worse):
        free = np.ones(len(xy), np.bool_)
        free[worse] = False
        keep[worse[free[better]]] = False
        open_pairs = keep[better] & keep[worse]
        better, worse = better[open_pairs], worse[open_pairs]
    return keep


def _close_pairs(xy: npt.NDArray[np.float64], radius: float) -> tuple[IndexArray, IndexArray]:
    """
    All pairs (i, j), i < j, of points closer than the radius, through a grid of cells as wide as the radius.
    """
    column, row = np.floor((xy - xy.min(axis=0)) / radius).astype(np.int64).T if len(xy) else np.empty((2, 0), np.int64)
    pitch = int(column.max(initial=0)) + 3  # two empty columns, so that a row never reaches into its neighbour
    key = row * pitch + column
    by_key = np.argsort(key, kind='stable')
    keys = key[by_key]
    # Close points lie in the same cell or the one to the right, or in one of three cells of the row below.
    here = np.arange(len(keys)) + 1, np.searchsorted(keys, keys + 1, side='right')
    below = np.searchsorted(keys, keys + pitch - 1), np.searchsorted(keys, keys + pitch + 1, side='right')
    first, second = (np.concatenate(parts) for parts in zip(_ranges(*here), _ranges(*below), strict=True))
    first, second = by_key[first], by_key[second]
    close = ((xy[first] - xy[second]) ** 2).sum(axis=1) < radius * radius
    first, second = first[close], second[close]
    return np.minimum(first, second), np.maximum(first, second)


def _ranges(start: IndexArray, stop: IndexArray) -> tuple[IndexArray, IndexArray]:
    """
    For each row i the numbers from start[i] to before stop[i], as two arrays: the row, the number.
    """
    count = stop - start
    rows = np.repeat(np.arange(len(start)), count)
    offset = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    return rows, start[rows] + offset


def _spread(xy: Float32Array, width: int, height: int, rule: SelectionRule) -> IndexArray:
    """
    Rows of points, given best first, that are kept so that every part of the image gets its share; best first.
    """
    grid = rule.spread_grid
    column, row = np.clip((xy + 0.5) * (grid / width, grid / height), 0, grid - 1).astype(np.int64).T
    part = row * grid + column
    by_part = np.argsort(part, kind='stable')
    parts = part[by_part]
    rank = np.empty(len(xy), np.int64)
    rank[by_part] = np.arange(len(xy)) - np.searchsorted(parts, parts)
    share = max(1, rule.max_keypoints // grid**2)
    chosen = np.argsort(rank >= share, kind='stable')[: rule.max_keypoints]
    return np.sort(chosen)
