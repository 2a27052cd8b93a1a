# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Matching score and recall against loops over points, and by hand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.records import Keypoints
from kp2d_ros.metrics.keypoint_pair import KeypointPair, nearest_descriptor, rising
from kp2d_ros.metrics.keypoint_scores import match_errors, matching_accuracy, matching_recall, matching_score

SIZE = (80, 60)
SHIFT = np.array([[1.0, 0, 10], [0, 1, 5], [0, 0, 1]])


def make_keypoints(xy: NDArray[Any], descriptors: NDArray[Any], scores: NDArray[Any] | None = None) -> Keypoints:
    xy = np.asarray(xy, np.float32).reshape(-1, 2)
    scores = np.linspace(1, 0.5, len(xy)) if scores is None else scores
    return Keypoints(xy, np.asarray(scores, np.float32), np.asarray(descriptors, np.float32))


def random_keypoints(rng: np.random.Generator, count: int) -> Keypoints:
    descriptors = rng.normal(size=(count, 6))
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    return make_keypoints(rng.uniform(0, SIZE, (count, 2)), descriptors, rng.permutation(count) / count)


def slow_warp(homography: NDArray[Any], point: NDArray[Any]) -> tuple[Any, Any]:
    x, y, w = homography @ (*point, 1.0)
    return x / w, y / w


def slow_nearest(descriptor: Any, candidates: Any) -> int:
    return int(np.argmin([np.linalg.norm(descriptor - other) for other in candidates]))


def oracle_one_way(queries: Any, candidates: Any, homography: NDArray[Any]) -> Any:
    visible = right = 0
    for xy, descriptor in zip(queries.xy, queries.descriptors, strict=True):
        x, y = slow_warp(homography, candidates.xy[slow_nearest(descriptor, candidates.descriptors)])
        if 0 <= x <= SIZE[0] - 1 and 0 <= y <= SIZE[1] - 1:
            visible += 1
            right += np.hypot(x - xy[0], y - xy[1]) < 3
    return right / max(visible, 1)


def correlated(rng: np.random.Generator) -> tuple[Keypoints, Keypoints]:
    """
    Points whose partners have similar descriptors, at about the right place.
    """
    source = random_keypoints(rng, 30)
    warped = source.xy + np.array([10, 5]) + rng.normal(0, 1.5, source.xy.shape)
    described = source.descriptors + 0.3 * rng.normal(size=source.descriptors.shape)
    kept = (warped < np.array(SIZE)).all(axis=1)
    return source, make_keypoints(warped[kept], described[kept], rng.random(int(kept.sum())))


def test_matching_score_equals_the_loops(rng: np.random.Generator) -> None:
    source, target = correlated(rng)
    first, second = (points.take(rising(points.scores, 20)) for points in (source, target))
    expected = (oracle_one_way(first, second, np.linalg.inv(SHIFT)) + oracle_one_way(second, first, SHIFT)) / 2
    assert matching_score(KeypointPair(source, target, SHIFT, SIZE, count=20)) == pytest.approx(expected)
    assert 0.2 < expected < 1


def test_recall_equals_the_loops(rng: np.random.Generator) -> None:
    source, target = correlated(rng)
    warped = [slow_warp(SHIFT, point) for point in source.xy]
    seen = [i for i in np.argsort(-source.scores) if 0 <= warped[i][0] < SIZE[0] and 0 <= warped[i][1] < SIZE[1]][:15]
    best = target.take(rising(target.scores, 15))
    right = 0
    for i in seen:
        j = slow_nearest(source.descriptors[i], best.descriptors)
        back = seen[slow_nearest(best.descriptors[j], source.descriptors[seen])]
        right += int(back == i and np.linalg.norm(warped[i] - best.xy[j]) <= 3)
    assert matching_recall(KeypointPair(source, target, SHIFT, SIZE, count=15)) == pytest.approx(right / len(seen))
    assert 0 < right < len(seen)


def test_recall_by_hand() -> None:
    # Of three source points one is not seen by the target; of the other two one has no partner there.
    source = make_keypoints([(20, 20), (40, 20), (75, 20)], np.eye(3))
    target = make_keypoints([(30, 25), (60, 50)], [[1, 0, 0], [0, 0.1, 1]])
    assert matching_recall(KeypointPair(source, target, SHIFT, SIZE)) == 0.5
    moved = make_keypoints([(30, 29), (60, 50)], target.descriptors)  # four pixels off
    assert matching_recall(KeypointPair(source, moved, SHIFT, SIZE)) == 0.0
    # The only right neighbour is taken away by a point that looks more like it: not mutual.
    rival = make_keypoints([(20, 20), (50, 40)], [[0.9, 0.1, 0], [1, 0, 0]])
    assert matching_recall(KeypointPair(rival, make_keypoints([(30, 25)], [[1, 0, 0]]), SHIFT, SIZE)) == 0.0


def test_without_points_everything_is_zero(rng: np.random.Generator) -> None:
    some, nothing = random_keypoints(rng, 5), make_keypoints([], np.zeros((0, 6)))
    for source, target in ((some, nothing), (nothing, some), (nothing, nothing)):
        assert matching_score(KeypointPair(source, target, SHIFT, SIZE)) == 0.0
        assert matching_recall(KeypointPair(source, target, SHIFT, SIZE)) == 0.0
    out_of_view = np.array([[1.0, 0, 500], [0, 1, 0], [0, 0, 1]])
    assert matching_recall(KeypointPair(some, some, out_of_view, SIZE)) == 0.0


def test_binary_descriptors_are_compared_bit_by_bit() -> None:
    xy, scores = np.zeros((2, 2), np.float32), np.ones(2, np.float32)
    queries = Keypoints(xy, scores, np.array([[0b00000001], [0b11110000]], np.uint8))
    candidates = Keypoints(xy, scores, np.array([[0b11111000], [0b10000000]], np.uint8))
    assert nearest_descriptor(queries, candidates).tolist() == [1, 0]


def test_accuracy_of_mutual_matches_by_hand() -> None:
    # Three mutual pairs, 0, 2 and 20 pixels off; the fourth source point finds a target point that prefers another.
    source = make_keypoints([(20, 20), (40, 20), (10, 10), (50, 30)], [*np.eye(3), [0.9, 0.4, 0]])
    target = make_keypoints([(30, 25), (52, 25), (40, 15)], np.eye(3))
    errors = match_errors(KeypointPair(source, target, SHIFT, SIZE))
    assert errors.tolist() == pytest.approx([20, 2, 0])  # in the order of rising scores
    assert matching_accuracy(errors, (0, 1.9, 2, 30)) == pytest.approx((1 / 3, 1 / 3, 2 / 3, 1))
    nothing = match_errors(KeypointPair(source, make_keypoints([], np.zeros((0, 3))), SHIFT, SIZE))
    assert matching_accuracy(nothing, (1, 3)) == (0.0, 0.0)


def test_a_match_whose_place_is_at_infinity_is_infinitely_wrong() -> None:
    horizon = np.array([[1.0, 0, 0], [0, 1, 0], [1 / 20, 0, -1]])
    source = make_keypoints([(20, 5)], [[1, 0]])
    assert match_errors(KeypointPair(source, source, horizon, SIZE)).tolist() == [np.inf]


def test_the_papers_variant_looks_at_the_common_view_first() -> None:
    # The better source point is not seen by the target and takes the only place, unless what is not seen is left out.
    source = make_keypoints([(75, 20), (20, 20)], np.eye(2), [1.0, 0.5])
    target = make_keypoints([(30, 25)], [[0, 1]])
    pair = KeypointPair(source, target, SHIFT, SIZE, count=1)
    assert matching_score(pair) == 0.0
    assert matching_score(pair.in_common_view()) == 1.0
