# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Whatever a detector may give: no error, and results that keep their promises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.records import Keypoints, PoseModel, TrackingState

if TYPE_CHECKING:
    from test.odometry.conftest import Player, Scene

KINDS = ('scene', 'again', 'blank', 'one', 'noise', 'line', 'heap', 'not finite')


def make_keypoints(kind: Any, scene: Any, world_from_camera: NDArray[Any], rng: np.random.Generator) -> Keypoints:
    points = scene.keypoints(world_from_camera, rng, noise_px=0.3, outlier_share=0.2)
    xy = points.xy.copy()
    if kind == 'blank':
        return Keypoints(xy[:0], points.scores[:0], points.descriptors[:0])
    if kind == 'one':
        return Keypoints(xy[:1], points.scores[:1], points.descriptors[:1])
    if kind == 'noise':
        xy = rng.uniform(0, 479, xy.shape).astype(np.float32)
    elif kind == 'line':
        xy[:, 1] = 100.0
    elif kind == 'heap':
        xy[:] = 200.0
    elif kind == 'not finite':
        xy[::5] = np.nan
        points.descriptors[1::5] = np.nan
    return Keypoints(xy, points.scores, points.descriptors)


def check_promises(result: Any) -> None:
    assert len(np.unique(result.track_ids)) == len(result.keypoints)
    assert np.isfinite(result.world_from_camera).all()
    rotation = result.world_from_camera[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert len(result.inlier) == len(result.matches) == len(result.reference_xy) == len(result.current_xy)
    pose = result.pose
    if pose is None:
        return
    assert pose.state is result.state
    assert np.isfinite(pose.reference_from_current).all()
    assert np.isfinite(pose.covariance).all()
    np.testing.assert_allclose(pose.covariance, pose.covariance.T, atol=1e-9 * np.abs(pose.covariance).max())
    assert np.linalg.eigvalsh(pose.covariance)[0] > -1e-9 * np.abs(pose.covariance).max()
    assert (pose.reason == '') == (pose.state is TrackingState.OK)
    if pose.state in (TrackingState.LOST, TrackingState.INITIALISING):
        assert pose.model is PoseModel.NONE
        assert pose.covariance[0, 0] == 1e6
        assert not result.inlier.any()


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.sampled_from(KINDS), min_size=2, max_size=8), st.integers(0, 3))
def test_any_sequence_of_frames_gives_results_that_keep_their_promises(
    new_player: Callable[..., Player], corridor: Scene, pose: Callable[..., NDArray[Any]], kinds: Any, seed: Any
) -> None:
    player, rng, step = new_player(), np.random.default_rng(seed), 0
    for kind in kinds:
        step += kind != 'again'
        check_promises(player.show(make_keypoints(kind, corridor, pose((0, 0, 0.4 * step)), rng)))


@pytest.mark.parametrize('focal_px', [7.0, 500.0, 2e7])
@pytest.mark.parametrize('size', [0.0, 1.0, 1e3, 1e150])
@pytest.mark.filterwarnings('error')
def test_odd_cameras_give_results_that_keep_their_promises_and_no_warning(
    new_player: Callable[..., Player], corridor: Scene, pose: Callable[..., NDArray[Any]], focal_px: float, size: float
) -> None:
    rng = np.random.default_rng(3)
    matrix = np.array([[focal_px, 0, -600.0], [0, 3 * focal_px, 9000.0], [0, 0, 1]])
    player = new_player(camera=CameraModel(640, 480, matrix, LensModel.PLUMB_BOB, size * np.ones(5)))
    for step in (0, 0, 1, 2, 9):
        check_promises(player.show(make_keypoints('scene', corridor, pose((0, 0, 0.4 * step)), rng)))
