# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
IO-Net's figures on pairs whose truth is known by construction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kp2d_ros.core.records import Keypoints
from kp2d_ros.evaluation.inlier.guided_ransac import find_homography
from kp2d_ros.evaluation.inlier.run import InlierProtocol, average_precision, evaluate_inlier, judge_pair
from kp2d_ros.metrics.keypoint_pair import KeypointPair, warp
from kp2d_ros.odometry.matching import MatchingConfig

HOMOGRAPHY = np.array([[1.1, 0.05, 8.0], [-0.04, 0.95, 5.0], [2e-4, 1e-4, 1.0]])
SIZE = (320, 240)
WRONG_SHARE = 0.7


@pytest.fixture
def pair(rng: np.random.Generator) -> KeypointPair:
    """
    Two hundred keypoints in each of two images; of seven in ten the descriptors lead to a place that is wrong.
    """
    xy = rng.uniform((20, 20), (230, 190), (200, 2))
    other = warp(HOMOGRAPHY, xy)
    wrong = rng.random(200) < WRONG_SHARE
    other[wrong] += rng.choice([-1, 1], (wrong.sum(), 2)) * rng.uniform(15, 40, (wrong.sum(), 2))
    other[~wrong] += rng.normal(size=((~wrong).sum(), 2)) * 0.3
    descriptors = np.linalg.qr(rng.normal(size=(200, 200)))[0].astype(np.float32)
    scores = np.linspace(1, 0.1, 200, dtype=np.float32)
    source, target = (Keypoints(p.astype(np.float32), scores, descriptors) for p in (xy, other))
    return KeypointPair(source, target, HOMOGRAPHY, SIZE)


def knowing(pair: Any) -> Callable[..., Any]:
    """
    A judge that tells right matches by where they are.
    """

    def judge(source: Any, target: Any, matches: Any, size: Any) -> Any:
        assert size == (240, 320)
        place = warp(HOMOGRAPHY, source.xy[matches.reference_index])
        apart = np.linalg.norm(place - target.xy[matches.current_index], axis=1)
        return np.where(apart < 3, 0.98, 0.02).astype(np.float32)

    return judge


def test_average_precision_of_hand_made_cases() -> None:
    right = np.array([True, False, True, False])
    assert average_precision(np.array([0.9, 0.8, 0.7, 0.6], np.float32), right) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(np.full(4, 0.5, np.float32), right) == 0.5  # all at once: the share of right ones
    assert average_precision(np.array([0.1, 0.9, 0.2, 0.8], np.float32), right) == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert np.isnan(average_precision(np.ones(4, np.float32), ~right & right))


def test_a_judge_that_knows_reaches_everything(pair: Any) -> None:
    report = evaluate_inlier([pair], knowing(pair), MatchingConfig(), InlierProtocol(iterations=(10,), runs=4))
    score = report.classifier
    assert (score.match_count, score.precision, score.recall, score.average_precision) == (200, 1.0, 1.0, 1.0)
    assert 0.2 < score.right_share < 0.4
    at_3_px = {s.method: s.correctness[1] for s in report.sampling}
    assert at_3_px['guided'] == at_3_px['filtered'] == at_3_px['opencv prosac by io-net'] == 1.0
    assert at_3_px['uniform'] < 1.0


def test_the_best_threshold_of_a_hand_made_case(pair: Any) -> None:
    probability = np.linspace(0.0, 1.0, 200, dtype=np.float32)
    report = evaluate_inlier([pair], lambda s, t, m, size: probability, MatchingConfig(), InlierProtocol(runs=1))
    right = judge_pair(pair, lambda s, t, m, size: probability, MatchingConfig()).right
    f1 = [2 * np.sum(right[k:]) / (200 - k + right.sum()) for k in range(200)]
    assert report.classifier.best_f1 == pytest.approx(max(f1))
    assert report.classifier.best_threshold == probability[int(np.argmax(f1))]


def test_a_judge_that_takes_all_is_as_good_as_none(pair: Any) -> None:
    protocol = InlierProtocol(iterations=(20,), runs=4)
    report = evaluate_inlier([pair], lambda s, t, m, size: np.ones(len(m), np.float32), MatchingConfig(), protocol)
    score = report.classifier
    assert score.precision == score.average_precision == score.right_share and score.recall == 1.0
    by_method = {s.method: s.runs for s in report.sampling}
    assert by_method['uniform'] == by_method['guided'] == by_method['filtered']


def test_a_judge_that_takes_none_filters_nothing_away(pair: Any) -> None:
    protocol = InlierProtocol(iterations=(20,), runs=2)
    report = evaluate_inlier([pair], lambda s, t, m, size: np.zeros(len(m), np.float32), MatchingConfig(), protocol)
    assert np.isnan(report.classifier.precision) and report.classifier.recall == 0.0
    by_method = {s.method: s.runs for s in report.sampling}
    assert by_method['filtered'] == by_method['uniform']


def test_the_best_points_alone_are_matched(pair: Any) -> None:
    small = KeypointPair(pair.source, pair.target, HOMOGRAPHY, SIZE, count=50)
    judged = judge_pair(small, knowing(pair), MatchingConfig())
    assert len(judged.matches) == 50
    np.testing.assert_array_equal(judged.right, judged.probability > 0.5)


def test_no_pair_and_no_match_give_no_figures(pair: Any) -> None:
    judge = knowing(pair)
    assert np.isnan(evaluate_inlier([], judge, MatchingConfig()).classifier.average_precision)
    report = evaluate_inlier([pair], judge, MatchingConfig(max_distance=0.0, ratio=0.0))
    assert report.classifier.match_count == 0
    assert {s.correctness for s in report.sampling} == {(0.0, 0.0, 0.0)}


def test_exact_points_give_the_homography(rng: np.random.Generator) -> None:
    xy = rng.uniform(0, 200, (30, 2))
    found = find_homography(xy, warp(HOMOGRAPHY, xy), None, 5, rng)
    np.testing.assert_allclose(found / found[2, 2], HOMOGRAPHY, rtol=1e-4, atol=1e-6)


def test_weights_choose_what_is_sampled(rng: np.random.Generator) -> None:
    xy = rng.uniform(0, 200, (100, 2))
    other = np.concatenate([warp(HOMOGRAPHY, xy[:8]), rng.uniform(0, 200, (92, 2))])
    weights = np.r_[np.ones(8), np.zeros(92)]
    found = find_homography(xy, other, weights, 3, rng)
    assert np.linalg.norm(warp(found, xy[:8]) - other[:8], axis=1).max() < 1.0


def test_points_on_a_line_or_too_few_give_none(rng: np.random.Generator) -> None:
    line = np.stack([np.arange(12.0), 2 * np.arange(12.0)], axis=1)
    assert find_homography(line, line, None, 20, rng) is None
    assert find_homography(line[:3], line[:3], None, 20, rng) is None
