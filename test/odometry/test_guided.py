# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Judged matches in the frontend: what is said of them comes out, and the best ones are sampled first if that is wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.records import Frame, Keypoints, TrackingState
from kp2d_ros.core.settings import build
from kp2d_ros.odometry.frontend import Frontend, FrontendConfig

if TYPE_CHECKING:
    from test.odometry.conftest import Scene


def play(scene: Any, views: Any, settings: Any, judge: Any = None) -> Any:
    """
    The result of the last of some keypoint sets.
    """
    upcoming = list(views)
    frontend = Frontend(lambda image: upcoming.pop(0), build(FrontendConfig, {'min_texture': 0, **settings}), judge)
    size = (scene.camera.height, scene.camera.width)
    return [frontend.process(Frame(i, i * 10**8, np.zeros(size, np.uint8), scene.camera)) for i in range(len(views))][
        -1
    ]


@pytest.fixture
def views(room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator) -> tuple[Any, Any]:
    """
    Two views of a room in which two thirds of the matches are wrong; and the landmarks behind the second view.
    """
    first = room.keypoints(pose((0, 0, 0), (0, 0, 0)), rng)
    second = room.keypoints(pose((0.4, 0, 0.1), (0, 0.03, 0)), rng, noise_px=0.3, outlier_share=0.66)
    return first, second


def truth_of(views: Any, room: Any, pose: Any) -> Callable[..., Any]:
    """
    A judge that knows which pixels of the second view the landmarks really have.
    """
    rows, xy = room.visible(pose((0.4, 0, 0.1), (0, 0.03, 0)))
    real = dict(zip(rows.tolist(), xy, strict=True))

    def judge(reference: Any, current: Any, matches: Any, size: Any) -> Any:
        landmark = (current.descriptors[matches.current_index] @ room.descriptors.T).argmax(axis=1)
        found = current.xy[matches.current_index]
        right = [np.linalg.norm(real[k] - p) < 3 for k, p in zip(landmark.tolist(), found, strict=True)]
        return np.where(right, 0.9, 0.1).astype(np.float32)

    return judge


def test_probabilities_come_out_with_their_matches(views: Any, room: Scene, pose: Callable[..., NDArray[Any]]) -> None:
    judge = truth_of(views, room, pose)
    for guided in (False, True):
        result = play(room, views, {'ransac': {'guided': guided}}, judge)
        again = judge(*views, result.matches, None)
        np.testing.assert_array_equal(result.inlier_probability, again)
        np.testing.assert_array_equal(result.current_xy, views[1].xy[result.matches.current_index])
    assert (np.diff(result.inlier_probability) <= 0).all()  # guided: the best ones first


def test_guided_samples_find_a_motion_that_few_uniform_ones_miss(
    views: Any, room: Scene, pose: Callable[..., NDArray[Any]]
) -> None:
    few = {'max_iterations': 10, 'confidence': 0.9}
    judge = truth_of(views, room, pose)
    guided = [play(room, views, {'ransac': {**few, 'guided': True, 'seed': k}}, judge) for k in range(4)]
    uniform = [play(room, views, {'ransac': {**few, 'seed': k}}, judge) for k in range(4)]
    assert [r.state for r in guided] == [TrackingState.OK] * 4
    assert sum(r.state is TrackingState.OK for r in uniform) < 4
    for result in guided:
        assert result.inlier[result.inlier_probability > 0.5].mean() > 0.9


def test_without_a_judge_the_nearest_descriptors_are_sampled_first(
    views: Any, room: Scene, rng: np.random.Generator
) -> None:
    noisy = views[1].descriptors + rng.normal(size=views[1].descriptors.shape) * 0.03
    noisy = (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)
    second = Keypoints(views[1].xy, views[1].scores, noisy)
    result = play(room, (views[0], second), {'ransac': {'guided': True}})
    assert result.inlier_probability is None
    assert len(result.matches) > 20 and (np.diff(result.matches.scores) <= 0).all()
