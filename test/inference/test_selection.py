# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Tests of the choice of keypoints, held against slow and literal versions of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.errors import ShapeError
from kp2d_ros.inference.selection import SelectionRule, select, suppress

SIZE = 64, 48


def greedy_by_hand(xy: NDArray[Any], radius: Any) -> list[Any]:
    points = xy.astype(np.float64)
    kept = []
    for i, point in enumerate(points):
        if (((points[kept] - point) ** 2).sum(axis=1) >= radius**2).all():
            kept.append(i)
    return kept


def candidates(rng: np.random.Generator, count: int, levels: Any = None) -> tuple[Any, Any]:
    xy = (rng.uniform(0, 1, (count, 2)) * np.subtract(SIZE, 1)).astype(np.float32)
    scores = rng.uniform(0.01, 1, count) if levels is None else rng.integers(1, levels, count) / levels
    return xy, scores.astype(np.float32)


@pytest.mark.parametrize('radius', [0.5, 3.0, 7.5, 100.0])
@pytest.mark.parametrize('count', [0, 1, 2, 400])
def test_suppression_keeps_what_one_point_after_the_other_keeps(
    rng: np.random.Generator, count: int, radius: float
) -> None:
    xy, _ = candidates(rng, count)
    assert suppress(xy, radius, count).tolist() == greedy_by_hand(xy, radius)


def test_suppression_over_several_batches_equals_one_point_after_the_other(rng: np.random.Generator) -> None:
    xy = rng.uniform(0, 100, (3000, 2)).astype(np.float32)
    assert suppress(xy, 4.0, 3000).tolist() == greedy_by_hand(xy, 4.0)


def test_suppression_stops_at_the_limit_with_the_same_first_points(rng: np.random.Generator) -> None:
    xy = rng.uniform(0, 400, (5000, 2)).astype(np.float32)
    assert suppress(xy, 4.0, 100).tolist() == suppress(xy, 4.0, 5000)[:100].tolist()


def test_suppression_settles_a_long_chain_of_neighbours() -> None:
    xy = np.stack([np.arange(3000), np.zeros(3000)], axis=1).astype(np.float32)
    assert suppress(xy, 1.5, 3000).tolist() == list(range(0, 3000, 2))


def test_suppression_leaves_one_of_many_equal_points() -> None:
    assert suppress(np.full((2500, 2), 7, np.float32), 0.1, 2500).tolist() == [0]


def test_points_exactly_one_radius_apart_both_stay() -> None:
    assert suppress(np.array([[0, 0], [3, 4]], np.float32), 5.0, 2).tolist() == [0, 1]


def test_scores_fall_and_ties_go_by_row_and_column(rng: np.random.Generator) -> None:
    xy, scores = candidates(rng, 300, levels=5)
    rows = select(xy, scores, *SIZE, SelectionRule(300))
    keys = [(-scores[i], xy[i, 1], xy[i, 0]) for i in rows]
    assert keys == sorted(keys)
    assert sorted(rows.tolist()) == list(range(300))


@pytest.mark.parametrize('spread_grid', [0, 3])
def test_the_order_of_the_candidates_does_not_matter(rng: np.random.Generator, spread_grid: int) -> None:
    xy, scores = candidates(rng, 500, levels=4)
    rule = SelectionRule(40, nms_radius_px=2.0, spread_grid=spread_grid)
    shuffled = rng.permutation(500)
    first = select(xy, scores, *SIZE, rule)
    second = shuffled[select(xy[shuffled], scores[shuffled], *SIZE, rule)]
    assert first.tolist() == second.tolist()


def test_a_score_equal_to_the_threshold_is_too_low() -> None:
    xy = np.array([[5, 5], [20, 20]], np.float32)
    assert select(xy, np.float32([0.5, 0.6]), *SIZE, SelectionRule(9, score_threshold=0.5)).tolist() == [1]


def test_the_border_counts_from_the_outermost_pixel_centres() -> None:
    xy = np.array([[4, 10], [3.99, 10], [59, 10], [59.01, 10], [10, 43], [10, 43.01]], np.float32)
    rows = select(xy, np.float32([6, 5, 4, 3, 2, 1]), *SIZE, SelectionRule(9, border_px=4))
    assert rows.tolist() == [0, 2, 4]


def test_points_outside_the_image_or_not_finite_are_never_taken() -> None:
    xy = np.array([[-0.1, 5], [np.nan, 5], [5, np.inf], [5, 5], [6, 6], [7, 7]], np.float32)
    scores = np.float32([1, 1, 1, np.nan, np.inf, 0.5])
    assert select(xy, scores, *SIZE, SelectionRule(9)).tolist() == [5]


def spread_by_hand(xy: NDArray[Any], scores: NDArray[Any], rule: Any) -> list[Any]:
    ranked = sorted(range(len(xy)), key=lambda i: (-scores[i], xy[i, 1], xy[i, 0]))
    share = max(1, rule.max_keypoints // rule.spread_grid**2)
    taken, first, rest = {}, [], []
    for i in ranked:
        part = tuple(int((xy[i, k] + 0.5) * rule.spread_grid / SIZE[k]) for k in (0, 1))
        taken[part] = taken.get(part, 0) + 1
        (first if taken[part] <= share else rest).append(i)
    chosen = set((first + rest)[: rule.max_keypoints])
    return [i for i in ranked if i in chosen]


@pytest.mark.parametrize(('grid', 'count'), [(1, 20), (3, 40), (4, 5), (4, 200)])
def test_spreading_gives_each_part_its_share_and_the_rest_to_the_best(
    rng: np.random.Generator, grid: int, count: int
) -> None:
    xy, scores = candidates(rng, 300)
    scores[xy[:, 0] < SIZE[0] / 2] *= 0.01
    rule = SelectionRule(count, spread_grid=grid)
    assert select(xy, scores, *SIZE, rule).tolist() == spread_by_hand(xy, scores, rule)


def test_spreading_reaches_the_weak_half_of_an_image(rng: np.random.Generator) -> None:
    xy, scores = candidates(rng, 300)
    weak = xy[:, 0] < SIZE[0] / 2
    scores[weak] *= 0.01
    plain = select(xy, scores, *SIZE, SelectionRule(48))
    spread = select(xy, scores, *SIZE, SelectionRule(48, spread_grid=4))
    assert weak[plain].sum() == 0
    assert weak[spread].sum() == 24


def test_no_candidates_give_no_keypoints() -> None:
    rule = SelectionRule(9, nms_radius_px=4, spread_grid=3)
    rows = select(np.empty((0, 2), np.float32), np.empty(0, np.float32), *SIZE, rule)
    assert rows.shape == (0,)


def test_refuses_a_missing_score() -> None:
    with pytest.raises(ShapeError, match=r'scores: found shape \(1,\), expected \(2\)'):
        select(np.zeros((2, 2), np.float32), np.zeros(1, np.float32), *SIZE, SelectionRule(9))
