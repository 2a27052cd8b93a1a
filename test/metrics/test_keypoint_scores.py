# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from kp2d_ros.core.records import Keypoints
from kp2d_ros.metrics.keypoint_scores import KeypointScores, mean_scores, score_keypoints


def make_keypoints(count: int, rng: np.random.Generator) -> Keypoints:
    descriptors = rng.normal(size=(count, 4))
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    xy = rng.uniform(5, 35, (count, 2))
    return Keypoints(xy.astype(np.float32), rng.random(count).astype(np.float32), descriptors.astype(np.float32))


def test_the_same_points_are_perfect(rng: np.random.Generator) -> None:
    keypoints = make_keypoints(20, rng)
    found = score_keypoints(keypoints, keypoints, np.eye(3), (40, 40))
    assert (found.repeatability, found.one_to_one, found.matching_score, found.recall) == (1, 1, 1, 1)
    assert found.localisation_px == pytest.approx(0, abs=1e-5)


def test_no_points_count_as_nothing_repeated(rng: np.random.Generator) -> None:
    nothing = make_keypoints(0, rng)
    found = score_keypoints(nothing, nothing, np.eye(3), (40, 40))
    assert (found.repeatability, found.matching_score, found.recall) == (0, 0, 0)
    assert np.isnan(found.localisation_px)


def test_means_leave_out_what_is_not_known() -> None:
    unknown = KeypointScores(0.0, float('nan'), float('nan'), 0.2, 0.0)
    mean = mean_scores([unknown, KeypointScores(1.0, 0.5, 2.0, 0.4, 0.5)])
    assert mean == KeypointScores(0.5, 0.5, 2.0, pytest.approx(0.3), 0.25)
    assert np.isnan(mean_scores([unknown]).localisation_px)
