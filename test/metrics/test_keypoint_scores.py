# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from kp2d_ros.core.records import Keypoints
from kp2d_ros.drawing.keypoints import draw_keypoints, draw_pair, draw_scores
from kp2d_ros.metrics.keypoint_scores import KeypointScores, mean_scores, score_keypoints


def make_keypoints(count, rng) -> Keypoints:
    descriptors = rng.normal(size=(count, 4))
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    xy = rng.uniform(5, 35, (count, 2))
    return Keypoints(xy.astype(np.float32), rng.random(count).astype(np.float32), descriptors.astype(np.float32))


def test_the_same_points_are_perfect(rng):
    keypoints = make_keypoints(20, rng)
    found = score_keypoints(keypoints, keypoints, np.eye(3), (40, 40))
    assert (found.repeatability, found.one_to_one, found.matching_score, found.recall) == (1, 1, 1, 1)
    assert found.localisation_px == pytest.approx(0, abs=1e-5)


def test_no_points_count_as_nothing_repeated(rng):
    nothing = make_keypoints(0, rng)
    found = score_keypoints(nothing, nothing, np.eye(3), (40, 40))
    assert (found.repeatability, found.matching_score, found.recall) == (0, 0, 0)
    assert np.isnan(found.localisation_px)


def test_means_leave_out_what_is_not_known():
    unknown = KeypointScores(0.0, float('nan'), float('nan'), 0.2, 0.0)
    mean = mean_scores([unknown, KeypointScores(1.0, 0.5, 2.0, 0.4, 0.5)])
    assert mean == KeypointScores(0.5, 0.5, 2.0, pytest.approx(0.3), 0.25)
    assert np.isnan(mean_scores([unknown]).localisation_px)


def test_keypoints_are_drawn_where_they_are_and_the_best_are_green():
    image = np.zeros((40, 60, 3), np.uint8)
    keypoints = Keypoints(np.float32([[10, 20], [45, 8]]), np.float32([0.9, 0.1]), np.zeros((2, 4), np.float32))
    drawn = draw_keypoints(image, keypoints)
    assert not image.any()
    rows, columns = np.nonzero(drawn.any(axis=2))
    assert set(zip(rows, columns, strict=True)) and all(
        min(np.hypot(x - 10, y - 20), np.hypot(x - 45, y - 8)) < 4 for y, x in zip(rows, columns, strict=True)
    )
    best, worst = drawn[16:25, 6:15].reshape(-1, 3).sum(axis=0), drawn[4:13, 41:50].reshape(-1, 3).sum(axis=0)
    assert best[1] > best[0] and worst[0] > worst[1]
    assert np.array_equal(draw_keypoints(image, keypoints, count=0), image)


def test_scores_are_drawn_cell_by_cell():
    picture = draw_scores(np.float32([[0.0, 1.0], [0.5, 2.0]]), (16, 8))
    assert picture.shape == (8, 16, 3)
    light = picture.astype(int).sum(axis=2)
    assert light[0, 0] < light[4, 0] < light[0, 8] == light[4, 8]


def test_a_pair_is_drawn_side_by_side(rng):
    image, keypoints = np.zeros((16, 24, 3), np.uint8), make_keypoints(0, rng)
    picture = draw_pair((image, image), (keypoints, keypoints), (np.zeros((2, 3), np.float32),) * 2)
    assert picture.shape == (16, 4 * 24, 3) and picture.dtype == np.uint8
