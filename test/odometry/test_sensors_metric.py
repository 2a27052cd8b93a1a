# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What holds where depths are measured, by a stereo rig or a depth camera: lengths are metres, whatever happens.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.errors import DataError
from kp2d_ros.core.pose_path import PosePath
from kp2d_ros.core.records import Keypoints, ScaleKind, TrackingState
from kp2d_ros.core.se3 import rotation_angle

if TYPE_CHECKING:
    from test.odometry.conftest import Rig, Scene

NewRig = Callable[..., 'Rig']
NewScene = Callable[..., 'Scene']
MakePose = Callable[..., NDArray[Any]]

BLANK = Keypoints(np.empty((0, 2), np.float32), np.empty(0, np.float32), np.empty((0, 48), np.float32))
FAULTS = {'noise_px': 0.3, 'outlier_share': 0.1}
SMALL = CameraModel(
    320, 240, np.array([[250.0, 0, 159.5], [0, 250, 119.5], [0, 0, 1]]), LensModel.PLUMB_BOB, np.zeros(0)
)


def drive(pose: MakePose, count: int, step: float = 0.2, first: int = 0) -> list[NDArray[Any]]:
    """
    A robot that sways a little, at metres per frame.
    """
    frames = range(first, first + count)
    return [pose((0.1 * np.sin(k / 6), 0, step * k), (0, 0.03 * np.sin(k / 8), 0)) for k in frames]


def states_of(results: list[Any]) -> list[TrackingState]:
    return [result.state for result in results]


def segments_of(results: list[Any]) -> set[int]:
    return {result.scale_segment for result in results}


def place_of(result: Any) -> NDArray[Any]:
    return np.asarray(result.world_from_camera[:3, 3])


def error_of(result: Any, truth: NDArray[Any], origin: NDArray[Any]) -> float:
    """
    Metres between where the camera was found and where it was, counted from where it began.
    """
    return float(np.linalg.norm(place_of(result) - (np.linalg.inv(origin) @ truth)[:3, 3]))


def rotation_error_deg(result: Any, truth: NDArray[Any], origin: NDArray[Any]) -> float:
    turned = (np.linalg.inv(origin) @ truth)[:3, :3]
    return float(np.degrees(rotation_angle(result.world_from_camera[:3, :3].T @ turned)))


def longest_step(results: list[Any]) -> float:
    return max(float(np.linalg.norm(place_of(b) - place_of(a))) for a, b in itertools.pairwise(results))


@pytest.mark.parametrize('sensor', ['stereo', 'rgbd'])
def test_lengths_are_metres(rig: Rig, corridor: Scene, pose: MakePose, rng: np.random.Generator) -> None:
    truth = drive(pose, 16)
    results = rig.play(corridor, truth, rng, **FAULTS)
    for result, true in zip(results, truth, strict=True):
        assert error_of(result, true, truth[0]) < 0.01 + 0.015 * abs(true[2, 3])
    known = results[-1].inverse_depth_sigma < 0.1 * results[-1].inverse_depth
    is_new = results[-1].track_ages == 0
    assert (known & is_new).sum() > 5  # what is seen for the first time is measured at once
    assert np.median(results[-1].inverse_depth_sigma[known & ~is_new]) < np.median(
        results[-1].inverse_depth_sigma[known & is_new]
    )
    assert known.sum() > 50
    rows, xy = corridor.visible(truth[-1])
    z = (np.column_stack([corridor.landmarks[rows], np.ones(len(rows))]) @ np.linalg.inv(truth[-1]).T)[:, 2]
    found = results[-1].keypoints.xy[known]
    nearest = np.linalg.norm(found[:, None] - xy[None], axis=2).argmin(axis=1)
    assert np.median(np.abs(results[-1].inverse_depth[known] * z[nearest] - 1)) < 0.03


@pytest.mark.parametrize('missing', ['calibration', 'place'])
def test_without_the_right_calibration_there_are_no_poses_until_it_comes(
    new_rig: NewRig, corridor: Scene, pose: MakePose, rng: np.random.Generator, missing: str
) -> None:
    rig, truth = new_rig('stereo'), drive(pose, 10)
    camera, place = rig.right_camera, rig.left_from_right
    if missing == 'calibration':
        rig.right_camera = None
    else:
        rig.left_from_right = None
    without = rig.play(corridor, truth[:4], rng, **FAULTS)
    words = {'calibration': 'the right camera is not calibrated', 'place': 'where the right camera stands is not known'}
    for result in without[1:]:
        assert (result.state, result.pose.reason) == (TrackingState.INITIALISING, words[missing])
        assert len(result.matches) > 100
        assert result.bearing_xy is not None
    rig.right_camera, rig.left_from_right = camera, place
    results = rig.play(corridor, truth[4:], rng, **FAULTS)
    assert results[0].pose.reason == 'the calibration of the right camera changed'
    assert set(states_of(results[1:])) == {TrackingState.OK}
    assert segments_of(without + results) == {0}
    assert error_of(results[-1], truth[-1], truth[4]) < 0.03


@pytest.mark.parametrize('sensor', ['stereo', 'rgbd'])
def test_known_points_carry_the_scale_over_frames_without_depth(
    rig: Rig, corridor: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    truth = drive(pose, 16, step=0.1)
    results = rig.play(corridor, truth[:5], rng, **FAULTS)
    rig.has_right = rig.has_depth = False
    results += rig.play(corridor, truth[5:11], rng, **FAULTS)
    rig.has_right = rig.has_depth = True
    results += rig.play(corridor, truth[11:], rng, **FAULTS)
    assert set(states_of(results[1:])) == {TrackingState.OK}
    assert segments_of(results) == {0}
    assert error_of(results[-1], truth[-1], truth[0]) < 0.05


@pytest.mark.parametrize('sensor', ['stereo', 'rgbd'])
def test_where_no_depth_was_ever_measured_directions_flow_and_lengths_are_not_claimed(
    rig: Rig, corridor: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    rig.has_right = rig.has_depth = False
    truth = drive(pose, 8)
    results = rig.play(corridor, truth, rng, **FAULTS)
    assert segments_of(results) == {0}
    assert set(states_of(results[1:])) == {TrackingState.DEGRADED}
    assert 'too few points of known depth: the length of the step is not known' in results[1].pose.reason
    assert longest_step(results) == 0.0
    assert 'steady motion' not in ''.join(result.pose.reason for result in results[1:])
    for result, true in zip(results[1:], truth[1:], strict=True):
        assert rotation_error_deg(result, true, truth[0]) < 0.5
    along = results[1].pose.covariance[2, 2]  # the direction is known, the length is not
    assert 0.5 < along < 2.0


@pytest.mark.parametrize('sensor', ['stereo', 'rgbd'])
def test_a_reference_without_depths_gives_way_to_the_next_view_that_has_some(
    rig: Rig, room: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    truth = [pose((0.05 * k, 0, 0)) for k in range(5)]  # too slow to need another reference
    rig.has_right = rig.has_depth = False
    first = rig.look(room, truth[0], rng, noise_px=0.1)
    rig.has_right = rig.has_depth = True
    results = rig.play(room, truth[1:], rng, noise_px=0.1)
    assert not np.isfinite(first.inverse_depth_sigma).any()
    assert states_of(results) == [TrackingState.DEGRADED, *3 * [TrackingState.OK]]
    assert {result.pose.reference_seq for result in results[1:]} == {1}
    assert error_of(results[-1], truth[-1], truth[1]) < 0.02


@pytest.mark.parametrize('sensor', ['stereo', 'rgbd'])
def test_after_a_new_beginning_no_motion_is_a_steady_one(
    rig: Rig, corridor: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    truth = drive(pose, 7, step=0.6)
    rig.play(corridor, truth[:4], rng, noise_px=0.2)
    rig.camera = rig.right_camera = SMALL
    rig.has_right = rig.has_depth = False
    results = rig.play(corridor, truth[4:], rng, noise_px=0.2)
    assert results[0].state is TrackingState.INITIALISING
    for result in results[1:]:
        assert result.state is TrackingState.DEGRADED
        assert 'steady motion' not in result.pose.reason
        np.testing.assert_array_equal(place_of(result), place_of(results[0]))


@pytest.mark.parametrize('sensor', ['stereo', 'rgbd'])
def test_where_known_points_end_a_steady_motion_goes_on_and_says_so(
    rig: Rig, new_scene: NewScene, pose: MakePose, rng: np.random.Generator
) -> None:
    points = rng.uniform((-9, -7, 4), (9, 7, 12), (2500, 3))
    first, second = new_scene(points), new_scene(points + np.array([0.4, 0.3, 0.2]))
    truth = [pose((0.25 * k, 0, 0)) for k in range(9)]
    before = rig.play(first, truth[:4], rng, noise_px=0.3)
    rig.has_right = rig.has_depth = False
    shown = first.keypoints(truth[4], rng, noise_px=0.3)
    fresh = second.keypoints(truth[4], rng, noise_px=0.3)
    both = Keypoints(*(np.concatenate([getattr(shown, n), getattr(fresh, n)]) for n in ('xy', 'scores', 'descriptors')))
    middle = rig.show(both)
    after = rig.play(second, truth[5:7], rng, noise_px=0.3)
    assert middle.state is TrackingState.OK
    step = after[0]
    assert step.state is TrackingState.DEGRADED
    assert step.pose.reason == 'too few points of known depth: the length of the step is that of a steady motion'
    assert step.pose.scale is ScaleKind.METRIC
    assert np.linalg.norm(place_of(step) - place_of(middle)) == pytest.approx(0.25, rel=0.1)
    assert np.sqrt(step.pose.covariance[0, 0]) == pytest.approx(0.25, rel=0.3)  # as long as it is
    np.testing.assert_allclose(step.pose.covariance, step.pose.covariance.T)
    assert segments_of([*before, middle, *after]) == {0}
    rig.has_right = rig.has_depth = True
    found = rig.play(second, truth[7:], rng, noise_px=0.3)
    assert longest_step([*before, middle, *after, *found]) < 0.5


@pytest.mark.parametrize('sensor', ['stereo'])
def test_at_rest_before_a_far_scene_the_camera_may_have_moved_further(
    rig: Rig, room: Scene, new_scene: NewScene, new_rig: NewRig, pose: MakePose, rng: np.random.Generator
) -> None:
    far = new_scene(rng.uniform((-4000, -3000, 4000), (4000, 3000, 9000), (900, 3)))
    beside, before = (
        other.play(scene, [pose()] * 3, rng, noise_px=0.2)[-1]
        for other, scene in ((rig, room), (new_rig('stereo'), far))
    )
    assert beside.state is before.state is TrackingState.STATIONARY
    # 0.2 px of disparity at a baseline of 0.2 m and 500 px are 500 m.
    assert before.pose.covariance[0, 0] > 100 * beside.pose.covariance[0, 0]


def test_depth_of_another_shape_and_a_rig_that_is_none_are_refused(
    new_rig: NewRig, room: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    keypoints = room.keypoints(pose(), rng)
    with pytest.raises(DataError, match='found depth of 848x480 for an image of 640x480, expected one of its shape'):
        new_rig('rgbd').show(keypoints, depth=np.ones((480, 848), np.float32))
    with pytest.raises(DataError, match=r'stereo baseline: found 0 m, expected at least 0\.001'):
        new_rig('stereo', left_from_right=np.eye(4)).show(keypoints, keypoints)


@pytest.mark.parametrize('sensor', ['stereo', 'rgbd'])
@pytest.mark.parametrize('seed', range(3))
def test_whatever_happens_a_metric_chain_never_jumps_and_has_one_segment(
    rig: Rig, corridor: Scene, room: Scene, pose: MakePose, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    truth = drive(pose, 3)
    results = rig.play(corridor, truth, rng, **FAULTS)
    at = 2
    while len(results) < 45:
        event = rng.choice(['drive', 'blank', 'no depth', 'elsewhere', 'size', 'uncalibrated', 'rest'])
        for _ in range(int(rng.integers(1, 8))):
            at += event != 'rest'
            truth += drive(pose, 1, first=at)
            rig.has_right = rig.has_depth = event != 'no depth'
            camera = SMALL if event == 'size' else corridor.camera
            rig.camera, rig.right_camera = None if event == 'uncalibrated' else camera, camera
            scene = room if event == 'elsewhere' else corridor
            results.append(rig.show(BLANK) if event == 'blank' else rig.look(scene, truth[-1], rng, **FAULTS))
    assert segments_of(results) == {0}
    path = PosePath()  # what the node makes of the relative poses
    for result in results:
        added = path.add(result.seq, result.stamp_ns, result.pose)
        np.testing.assert_allclose(added.world_from_camera, result.world_from_camera, atol=1e-9)
    last_estimate = 0
    for k in range(1, len(results)):
        before, after = results[k - 1], results[k]
        if not after.pose.is_estimate:
            np.testing.assert_array_equal(after.world_from_camera, before.world_from_camera)
            continue
        # After a loss the camera is found where it went meanwhile, or goes on from where it was: nothing in between.
        went = np.linalg.norm(truth[k][:3, 3] - truth[last_estimate][:3, 3])
        assert np.linalg.norm(place_of(after) - place_of(before)) < 0.1 + 1.1 * went
        if after.state is TrackingState.OK:  # what moves too little to be seen adds up
            last_estimate = k
