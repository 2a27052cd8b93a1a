# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Keyframes refined together: what changes with the window, and what must not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.pose_path import PosePath
from kp2d_ros.core.records import Keypoints, TrackingState
from kp2d_ros.core.se3 import invert_transform
from kp2d_ros.odometry.window import WindowConfig

if TYPE_CHECKING:
    from test.odometry.conftest import Rig, Scene

NewRig = Callable[..., 'Rig']
NewScene = Callable[..., 'Scene']
MakePose = Callable[..., NDArray[Any]]

FAULTS = {'noise_px': 0.3, 'outlier_share': 0.1}
ON = {'window.keyframes': 4}
BLANK = Keypoints(np.empty((0, 2), np.float32), np.empty(0, np.float32), np.empty((0, 48), np.float32))


def drive(pose: MakePose, count: int, step: float = 0.2) -> list[NDArray[Any]]:
    """
    A robot that sways a little, at metres per frame.
    """
    return [pose((0.1 * np.sin(k / 6), 0, step * k), (0, 0.03 * np.sin(k / 8), 0)) for k in range(count)]


def poses_of(results: list[Any]) -> NDArray[Any]:
    return np.stack([result.world_from_camera for result in results])


def play(rig: Rig, scene: Scene, truth: list[NDArray[Any]], seed: int = 3) -> list[Any]:
    return rig.play(scene, truth, np.random.default_rng(seed), **FAULTS)


def test_the_window_has_a_stage_of_its_own_where_it_is_on(new_rig: NewRig, corridor: Scene, pose: MakePose) -> None:
    without = play(new_rig('mono'), corridor, drive(pose, 6))
    assert all('window' not in result.stage_ms for result in without)
    results = play(new_rig('mono', ON), corridor, drive(pose, 6))
    assert all('window' in result.stage_ms for result in results[1:])
    assert results[-1].stage_ms['window'] > 0.0


def test_it_refines_the_poses(new_rig: NewRig, sensor: str, corridor: Scene, pose: MakePose) -> None:
    truth = drive(pose, 12, step=0.4)
    off, on = (play(new_rig(sensor, more), corridor, truth) for more in ({}, ON))
    assert np.array_equal(poses_of(off)[:2], poses_of(on)[:2])  # of two keyframes there is nothing left to refine
    assert not np.array_equal(poses_of(off)[-1], poses_of(on)[-1])
    np.testing.assert_allclose(poses_of(off), poses_of(on), atol=0.1)


@pytest.mark.parametrize('keyframes', [1, 2])
def test_fewer_than_three_keyframes_are_none(
    new_rig: NewRig, sensor: str, corridor: Scene, pose: MakePose, keyframes: int
) -> None:
    truth = drive(pose, 6)
    off, few = (play(new_rig(sensor, {'window.keyframes': k}), corridor, truth) for k in (0, keyframes))
    np.testing.assert_array_equal(poses_of(off), poses_of(few))


@pytest.mark.parametrize('sensor', ['stereo', 'rgbd'])
def test_lengths_are_metres(new_rig: NewRig, sensor: str, corridor: Scene, pose: MakePose) -> None:
    truth = drive(pose, 16)
    results = play(new_rig(sensor, ON), corridor, truth)
    assert {result.state for result in results[1:]} == {TrackingState.OK}
    for result, true in zip(results, truth, strict=True):
        error = np.linalg.norm(result.world_from_camera[:3, 3] - (invert_transform(truth[0]) @ true)[:3, 3])
        assert error < 0.01 + 0.015 * abs(true[2, 3])


def test_one_camera_keeps_its_unit(new_rig: NewRig, corridor: Scene, pose: MakePose) -> None:
    truth = drive(pose, 16, step=0.4)
    results = play(new_rig('mono', ON), corridor, truth)
    assert {result.scale_segment for result in results} == {0}
    found, true = poses_of(results)[:, :3, 3], np.stack(truth)[:, :3, 3] - truth[0][:3, 3]
    steps = np.linalg.norm(np.diff(found, axis=0), axis=1) / np.linalg.norm(np.diff(true, axis=0), axis=1)
    assert np.ptp(steps) < 0.15 * np.median(steps)


def test_relative_poses_add_up_to_the_poses(new_rig: NewRig, sensor: str, corridor: Scene, pose: MakePose) -> None:
    path = PosePath()
    for result in play(new_rig(sensor, ON), corridor, drive(pose, 12, step=0.1)):
        added = path.add(result.seq, result.stamp_ns, result.pose)
        np.testing.assert_allclose(added.world_from_camera, result.world_from_camera, atol=1e-9)


def test_the_same_images_give_the_same_poses(new_rig: NewRig, sensor: str, corridor: Scene, pose: MakePose) -> None:
    first, second = (play(new_rig(sensor, ON), corridor, drive(pose, 10, step=0.4)) for _ in range(2))
    np.testing.assert_array_equal(poses_of(first), poses_of(second))


@pytest.mark.parametrize('sensor', ['stereo', 'rgbd'])
def test_covariances_are_those_of_a_motion(new_rig: NewRig, sensor: str, corridor: Scene, pose: MakePose) -> None:
    truth = drive(pose, 12, step=0.4)
    squared = []
    for result in play(new_rig(sensor, ON), corridor, truth)[1:]:
        covariance = result.pose.covariance
        np.testing.assert_allclose(covariance, covariance.T, atol=1e-12)
        assert np.linalg.eigvalsh(covariance).min() > 0.0
        true = invert_transform(truth[result.pose.reference_seq]) @ truth[result.seq]
        error = result.pose.reference_from_current[:3, 3] - true[:3, 3]
        squared.append(error @ np.linalg.solve(covariance[:3, :3], error) / 3.0)
    assert np.mean(squared) < 3.0


def test_what_all_keypoints_share_is_in_the_covariance(
    new_rig: NewRig, sensor: str, corridor: Scene, pose: MakePose
) -> None:
    truth = drive(pose, 12, step=0.4)
    without, shared = (
        play(new_rig(sensor, ON | {'motion.systematic_px': px, 'motion.systematic_share': 0.0}), corridor, truth)
        for px in (0.0, 5.0)
    )
    for small, large in zip(without[1:], shared[1:], strict=True):
        added = (large.pose.covariance - small.pose.covariance)[3:, 3:]
        np.testing.assert_allclose(added, (5.0 / 502.5) ** 2 * np.eye(3), rtol=0.02, atol=1e-9)


def test_a_camera_at_rest_stays(new_rig: NewRig, sensor: str, corridor: Scene, pose: MakePose) -> None:
    results = new_rig(sensor, ON).play(corridor, [pose()] * 8, np.random.default_rng(3), noise_px=0.1)
    np.testing.assert_array_equal(poses_of(results), np.stack([np.eye(4)] * 8))


def test_after_a_loss_nothing_from_before_is_refined(
    new_rig: NewRig, new_scene: NewScene, sensor: str, corridor: Scene, pose: MakePose
) -> None:
    elsewhere = new_scene(corridor.landmarks, far=20.0)
    rig, truth = new_rig(sensor, ON), drive(pose, 8)
    before = play(rig, corridor, truth)
    lost = [rig.show(BLANK) for _ in range(2)]
    after = play(rig, elsewhere, drive(pose, 16))
    assert {result.state for result in lost} == {TrackingState.LOST}
    assert after[-1].state is TrackingState.OK
    assert after[-1].scale_segment == (before[-1].scale_segment if rig.is_metric else before[-1].scale_segment + 1)
    assert np.isfinite(poses_of(after)).all()
    turned = poses_of(after)[-1, :3, :3] @ poses_of(after)[-1, :3, :3].T
    np.testing.assert_allclose(turned, np.eye(3), atol=1e-9)


def test_too_few_points_leave_the_poses_alone(
    new_rig: NewRig, sensor: str, new_scene: NewScene, pose: MakePose
) -> None:
    few = new_scene(np.random.default_rng(5).uniform((-2, -1.5, 5), (2, 1.5, 9), (19, 3)))
    truth = [pose((0.1 * k, 0, 0)) for k in range(6)]
    off, on = (new_rig(sensor, more).play(few, truth, np.random.default_rng(3), noise_px=0.1) for more in ({}, ON))
    np.testing.assert_array_equal(poses_of(off), poses_of(on))


def test_it_may_be_switched_while_the_camera_moves(
    new_rig: NewRig, sensor: str, corridor: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    rig, truth = new_rig(sensor), drive(pose, 12)
    results = rig.play(corridor, truth[:4], rng, **FAULTS)
    for begin, keyframes in ((4, 5), (8, 0)):
        config = rig.frontend.config
        rig.frontend.configure(replace(config, window=replace(config.window, keyframes=keyframes)))
        results += rig.play(corridor, truth[begin : begin + 4], rng, **FAULTS)
    assert {result.state for result in results[1:]} == {TrackingState.OK}
    assert {result.scale_segment for result in results} == {0}
    assert ['window' in result.stage_ms for result in results] == [False] * 4 + [True] * 4 + [False] * 4


def test_few_points_and_one_step_are_enough_for_a_pose(
    new_rig: NewRig, sensor: str, corridor: Scene, pose: MakePose
) -> None:
    cheap = ON | {'window.max_points': 20, 'window.steps': 1}
    truth = drive(pose, 12, step=0.4)
    off, on = (play(new_rig(sensor, more), corridor, truth) for more in ({}, cheap))
    assert [result.state for result in on] == [result.state for result in off]
    np.testing.assert_allclose(poses_of(off), poses_of(on), atol=0.2)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match=r'keyframes: found 21, expected a number from 0 to 20'):
        WindowConfig(keyframes=21)
    with pytest.raises(ConfigError, match=r'max_points: found 5, expected a number from 20 to 5000'):
        WindowConfig(max_points=5)
