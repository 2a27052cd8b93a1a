# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Repeatability and localisation against loops over points, and by hand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.records import Keypoints
from kp2d_ros.metrics.keypoint_pair import KeypointPair, inside, warp
from kp2d_ros.metrics.keypoint_scores import score_detector

SIZE = (80, 60)
SHIFT = np.array([[1.0, 0, 10], [0, 1, 5], [0, 0, 1]])


def make_keypoints(xy: NDArray[Any], scores: NDArray[Any] | None = None) -> Keypoints:
    xy = np.asarray(xy, np.float32).reshape(-1, 2)
    scores = np.linspace(1, 0.5, len(xy)) if scores is None else scores
    descriptors = np.tile(np.float32([1, 0]), (len(xy), 1))
    return Keypoints(xy, np.asarray(scores, np.float32), descriptors)


def slow_warp(homography: NDArray[Any], point: NDArray[Any]) -> tuple[Any, Any]:
    x, y, w = homography @ (*point, 1.0)
    return x / w, y / w


def is_inside(point: NDArray[Any]) -> Any:
    return 0 <= point[0] < SIZE[0] and 0 <= point[1] < SIZE[1]


def oracle(source: Any, target: Any, homography: NDArray[Any], count: int) -> tuple[float, float, float]:
    """
    Repeatability, localisation and the one-to-one variant by the words of the protocol.
    """
    back = np.linalg.inv(homography)
    a = [(s, slow_warp(homography, p)) for s, p in zip(source.scores, source.xy, strict=True)]
    a = sorted((row for row in a if is_inside(row[1])), key=lambda row: -row[0])[:count]
    b = [(s, tuple(p)) for s, p in zip(target.scores, target.xy, strict=True) if is_inside(slow_warp(back, p))]
    b = sorted(b, key=lambda row: -row[0])[:count]

    def apart(p: Any, q: Any) -> float:
        return float(np.hypot(p[0] - q[0], p[1] - q[1]))

    first = [min(apart(p, q) for _, q in b) for _, p in a]
    second = [min(apart(p, q) for _, p in a) for _, q in b]
    repeated = [d for d in first + second if d <= 3]
    once = 0
    for _, p in a:
        q = min(b, key=lambda row, p=p: apart(p, row[1]))[1]  # type: ignore[misc]
        again = min(a, key=lambda row, q=q: apart(row[1], q))[1]  # type: ignore[misc]
        if again == p and apart(p, q) <= 3:
            once += 1
    total = len(a) + len(b)
    return len(repeated) / total, float(np.mean(repeated)), 2 * once / total


@pytest.mark.parametrize('count', [25, 300])
def test_equals_the_loops_on_random_points(rng: np.random.Generator, count: int) -> None:
    homography = np.array([[0.95, 0.05, 3.0], [-0.04, 1.02, -2.0], [2e-4, -1e-4, 1.0]])
    source = make_keypoints(rng.uniform(0, SIZE, (40, 2)), rng.permutation(40) / 40)
    target = make_keypoints(rng.uniform(0, SIZE, (50, 2)), rng.permutation(50) / 50)
    found = score_detector(KeypointPair(source, target, homography, SIZE, count=count))
    expected = oracle(source, target, homography, count)
    assert (found.repeatability, found.localisation_px, found.one_to_one) == pytest.approx(expected, abs=1e-5)
    assert max(found.source_count, found.target_count) <= count


def test_by_hand() -> None:
    # The shift moves (75, 20) out of the target; (20, 20) meets (30, 25) exactly, (40, 20) meets (50, 28) at 3 pixels.
    source = make_keypoints([(20, 20), (40, 20), (75, 20)])
    target = make_keypoints([(30, 25), (50, 28), (52, 48)])
    found = score_detector(KeypointPair(source, target, SHIFT, SIZE))
    assert (found.source_count, found.target_count) == (2, 3)
    assert found.repeatability == pytest.approx(4 / 5)
    assert found.localisation_px == pytest.approx((0 + 3 + 0 + 3) / 4)
    assert found.one_to_one == pytest.approx(2 * 2 / 5)


def test_clusters_gain_repeatability_but_nothing_one_to_one() -> None:
    source, target = make_keypoints([(20, 20)] * 5), make_keypoints([(30, 25)])
    found = score_detector(KeypointPair(source, target, SHIFT, SIZE))
    assert found.repeatability == 1.0
    assert found.one_to_one == pytest.approx(2 / 6)


def test_best_points_are_taken_after_the_common_view() -> None:
    source = make_keypoints([(75, 20), (20, 20)], [1.0, 0.1])  # the better one is not seen by the target
    found = score_detector(KeypointPair(source, make_keypoints([(30, 25)]), SHIFT, SIZE, count=1))
    assert found.repeatability == 1.0 and found.source_count == 1


def test_no_points_in_common_view() -> None:
    nothing, some = make_keypoints([]), make_keypoints([(30, 25)])
    empty = score_detector(KeypointPair(nothing, nothing, SHIFT, SIZE))
    assert empty.is_empty and empty.repeatability == empty.localisation_px == -1.0 and np.isnan(empty.one_to_one)
    one_sided = score_detector(KeypointPair(nothing, some, SHIFT, SIZE))
    assert one_sided.repeatability == 0.0 and np.isnan(one_sided.localisation_px)
    far = score_detector(KeypointPair(make_keypoints([(20, 20)]), make_keypoints([(70, 50)]), SHIFT, SIZE))
    assert far.repeatability == 0.0 and np.isnan(far.localisation_px) and far.one_to_one == 0.0


def test_points_at_infinity_are_not_inside() -> None:
    homography = np.array([[1.0, 0, 0], [0, 1, 0], [1 / 20, 0, -1]])
    warped = warp(homography, np.array([[20.0, 5.0], [40.0, 5.0]]))
    assert np.isnan(warped[0]).all() and warped[1].tolist() == [40.0, 5.0]
    assert inside(warped, SIZE).tolist() == [False, True]
