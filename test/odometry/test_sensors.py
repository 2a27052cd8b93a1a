# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What holds whatever the frontend looks with: one camera, a stereo rig or a depth camera.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.records import Keypoints, PoseModel, ScaleKind, TrackingState
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


def check_is_followed(rig: Rig, results: list[Any]) -> None:
    """
    That a first frame is followed; one camera may be in doubt about the first steps.
    """
    beginning = 0 if rig.is_metric else 2
    assert set(states_of(results[:beginning])) <= {TrackingState.OK, TrackingState.DEGRADED}
    assert set(states_of(results[beginning:])) == {TrackingState.OK}


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


def check_is_unknown(pose: Any) -> None:
    np.testing.assert_array_equal(pose.reference_from_current, np.eye(4))
    np.testing.assert_array_equal(pose.covariance, np.eye(6) * 1e6)
    assert pose.model is PoseModel.NONE
    assert pose.reason


def test_a_drive_is_followed_from_its_second_frame_on(
    rig: Rig, corridor: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    truth = drive(pose, 16)
    results = rig.play(corridor, truth, rng, **FAULTS)
    assert (results[0].state, results[0].pose) == (TrackingState.INITIALISING, None)
    np.testing.assert_array_equal(results[0].world_from_camera, np.eye(4))
    check_is_followed(rig, results[1:])
    assert segments_of(results) == {0}
    kinds = {result.pose.scale for result in results[1:]}
    assert kinds == {ScaleKind.METRIC if rig.is_metric else ScaleKind.CHAINED}
    for result, true in zip(results, truth, strict=True):
        assert rotation_error_deg(result, true, truth[0]) < 0.5


def test_each_pose_is_that_of_its_reference_and_the_motion_since(
    rig: Rig, corridor: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    results = rig.play(corridor, drive(pose, 15, step=0.1), rng, **FAULTS)
    by_seq = {result.seq: result.world_from_camera for result in results}
    assert any(result.seq - result.pose.reference_seq > 1 for result in results[1:])
    for result in results[1:]:
        chained = by_seq[result.pose.reference_seq] @ result.pose.reference_from_current
        np.testing.assert_allclose(chained, result.world_from_camera, atol=1e-12)
        covariance = result.pose.covariance
        np.testing.assert_allclose(covariance, covariance.T, atol=1e-15)
        assert np.linalg.eigvalsh(covariance).min() > 0


def test_a_camera_at_rest_is_stationary_and_stays_where_it_is(
    rig: Rig, room: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    results = rig.play(room, [pose()] * 10, rng, **FAULTS)
    assert set(states_of(results[1:])) == {TrackingState.STATIONARY}
    for result in results[1:]:
        np.testing.assert_array_equal(result.pose.reference_from_current, np.eye(4))
        np.testing.assert_array_equal(result.world_from_camera, np.eye(4))
        assert result.pose.reference_seq == 0
        assert 0 < result.pose.covariance[0, 0] < 0.05
        assert result.pose.reason == 'the image does not move'


def test_a_stop_on_the_way_changes_nothing(
    new_rig: NewRig, sensor: str, corridor: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    rig = new_rig(sensor, {'motion.max_reference_age': 5})
    ahead, onward = drive(pose, 8), drive(pose, 6, first=8)
    before = rig.play(corridor, ahead, rng, noise_px=0.2)
    stop = rig.play(corridor, [ahead[-1]] * 12, rng, noise_px=0.2)
    after = rig.play(corridor, onward, rng, noise_px=0.2)
    assert TrackingState.STATIONARY in states_of(stop)
    assert not {TrackingState.LOST, TrackingState.INITIALISING} & set(states_of(stop + after))
    unit = np.linalg.norm(place_of(before[-1])) / np.linalg.norm(ahead[-1][:3, 3] - ahead[0][:3, 3])
    assert np.linalg.norm(place_of(stop[-1]) - place_of(before[-1])) < 0.03 * unit
    assert segments_of(before + stop + after) == {0}
    length = np.linalg.norm(place_of(after[-1]) - place_of(stop[-1]))
    assert abs(length / (unit * np.linalg.norm(onward[-1][:3, 3] - ahead[-1][:3, 3])) - 1) < 0.03


def test_a_pure_rotation_does_not_move_the_camera(
    rig: Rig, room: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    truth = [pose((0, 0, 0), (0, 0.02 * k, 0)) for k in range(15)]
    results = rig.play(room, truth, rng, **FAULTS)
    assert segments_of(results) == {0}
    wanted = TrackingState.OK if rig.is_metric else TrackingState.DEGRADED
    assert set(states_of(results[1:])) == {wanted}
    for result, true in zip(results, truth, strict=True):
        assert rotation_error_deg(result, true, truth[0]) < 0.3
        assert np.linalg.norm(place_of(result)) < 0.05


def test_the_scale_survives_a_pure_rotation(
    rig: Rig, corridor: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    ahead = drive(pose, 8, step=0.4)
    turn = [ahead[-1] @ pose((0, 0, 0), (0, 0.01 * k, 0)) for k in range(1, 9)]
    onward = [turn[-1] @ pose((0, 0, 0.4 * k)) for k in range(1, 8)]
    results = rig.play(corridor, ahead + turn + onward, rng, **FAULTS)
    assert segments_of(results) == {0}
    lengths = [float(np.linalg.norm(place_of(b) - place_of(a))) for a, b in itertools.pairwise(results)]
    unit = 1.0 if rig.is_metric else np.mean(lengths[2:7]) / 0.4
    assert max(lengths[8:15]) < 0.03 * unit
    assert abs(np.mean(lengths[16:]) / (0.4 * unit) - 1) < 0.03


@pytest.mark.parametrize('gap', [1, 4])
def test_blank_images_in_between_do_not_break_the_chain(
    rig: Rig, corridor: Scene, pose: MakePose, rng: np.random.Generator, gap: int
) -> None:
    truth = drive(pose, 14)
    before = rig.play(corridor, truth[:8], rng, **FAULTS)
    lost = [rig.show(BLANK) for _ in range(gap)]
    after = rig.play(corridor, truth[8:], rng, **FAULTS)
    assert set(states_of(lost)) == {TrackingState.LOST}
    for result in lost:
        check_is_unknown(result.pose)
        np.testing.assert_array_equal(result.world_from_camera, before[-1].world_from_camera)
        assert not np.isfinite(result.inverse_depth_sigma).any()
    assert set(states_of(after)) == {TrackingState.OK}
    assert segments_of(before + lost + after) == {0}
    if rig.is_metric:
        assert error_of(after[-1], truth[-1], truth[0]) < 0.06


def test_a_blank_image_never_becomes_the_reference(
    rig: Rig, corridor: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    blanks = [rig.show(BLANK) for _ in range(8)]
    assert blanks[0].pose is None
    assert set(states_of(blanks)) == {TrackingState.LOST}
    for result in blanks[1:]:
        check_is_unknown(result.pose)
        assert result.pose.reason.startswith('0 of 0 keypoints have texture around them, 12 are needed')
    results = rig.play(corridor, drive(pose, 5, step=0.5), rng, **FAULTS)
    assert results[0].state is TrackingState.INITIALISING
    check_is_followed(rig, results[1:])
    assert results[0].scale_segment == 0
    np.testing.assert_array_equal(results[0].world_from_camera, np.eye(4))
    assert results[1].pose.reference_seq == 8


def test_images_without_texture_are_lost_however_many_keypoints_there_are(
    new_rig: NewRig, sensor: str, room: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    rig = new_rig(sensor, {'min_texture': 1.5})  # the images are blank, the keypoints are not
    results = rig.play(room, [pose()] * 3, rng)
    assert set(states_of(results)) == {TrackingState.LOST}
    assert results[1].pose.reason.startswith(f'0 of {len(results[1].keypoints)} keypoints have texture around them')


def test_another_place_is_lost_and_then_begun_from(
    rig: Rig, corridor: Scene, room: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    before = rig.play(corridor, drive(pose, 6), rng, **FAULTS)
    elsewhere = [pose((0.2 * k, 0, 0)) for k in range(14)]
    results = rig.play(room, elsewhere, rng, **FAULTS)
    lost = [result for result in results if result.state is TrackingState.LOST]
    assert len(lost) == rig.config.motion.max_lost_frames + 1
    for result in lost[:-1]:
        np.testing.assert_array_equal(result.world_from_camera, before[-1].world_from_camera)
    begun = lost[-1]
    check_is_followed(rig, results[len(lost) :])
    if rig.is_metric:
        assert begun.pose.reason.endswith('; the last pose is gone on from')
        assert segments_of(results) == {0}
        np.testing.assert_array_equal(begun.world_from_camera, before[-1].world_from_camera)
        for result, true in zip(results[len(lost) :], elsewhere[len(lost) :], strict=True):
            moved = np.linalg.inv(begun.world_from_camera) @ result.world_from_camera
            expected = np.linalg.inv(elsewhere[len(lost) - 1]) @ true
            np.testing.assert_allclose(moved[:3, 3], expected[:3, 3], atol=0.04)
    else:
        assert begun.pose.reason.endswith('; a new segment begins here')
        assert segments_of(results[len(lost) - 1 :]) == {1}
        np.testing.assert_array_equal(begun.world_from_camera, np.eye(4))


def test_another_image_size_starts_over_where_the_camera_is(
    rig: Rig, corridor: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    truth = drive(pose, 9)
    before = rig.play(corridor, truth[:5], rng, **FAULTS)
    rig.camera = rig.right_camera = SMALL
    after = rig.play(corridor, truth[5:], rng, **FAULTS)
    check_is_unknown(after[0].pose)
    assert after[0].state is TrackingState.INITIALISING
    assert after[0].pose.reason == 'the image size changed from 640x480 to 320x240'
    check_is_followed(rig, after[1:])
    assert segments_of(after) == ({0} if rig.is_metric else {1})
    origin = before[-1].world_from_camera if rig.is_metric else np.eye(4)
    np.testing.assert_array_equal(after[0].world_from_camera, origin)


def test_other_descriptors_start_over_where_the_camera_is(
    rig: Rig, corridor: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    before = rig.play(corridor, drive(pose, 4), rng, **FAULTS)
    points = corridor.keypoints(pose(), rng)
    other = Keypoints(points.xy, points.scores, np.zeros((len(points), 32), np.uint8))
    result = rig.show(other, other)
    assert result.pose.reason == 'the kind of descriptors changed'
    origin = before[-1].world_from_camera if rig.is_metric else np.eye(4)
    np.testing.assert_array_equal(result.world_from_camera, origin)


def test_without_calibration_matches_and_tracks_flow_and_the_pose_says_why(
    new_rig: NewRig, sensor: str, corridor: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    rig = new_rig(sensor, camera=None)
    results = rig.play(corridor, drive(pose, 5, step=0.1), rng, noise_px=0.3)
    for result in results[1:]:
        assert result.state is TrackingState.INITIALISING
        assert result.bearing_xy is None
        assert result.pose.reason == 'the camera is not calibrated'
        assert len(result.matches) > 100
        assert not np.isfinite(result.inverse_depth_sigma).any()
    assert results[-1].track_ages.max() == 4


def test_calibration_that_comes_late_starts_the_poses(
    new_rig: NewRig, sensor: str, corridor: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    rig, truth = new_rig(sensor, camera=None), drive(pose, 8)
    rig.play(corridor, truth[:3], rng, **FAULTS)
    rig.camera = corridor.camera
    results = rig.play(corridor, truth[3:], rng, **FAULTS)
    assert results[0].pose.reason == 'the calibration of the camera changed'
    check_is_followed(rig, results[1:])
    np.testing.assert_array_equal(results[0].world_from_camera, np.eye(4))


def test_a_calibration_that_goes_and_comes_back_leaves_the_camera_where_it_was(
    rig: Rig, corridor: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    truth = drive(pose, 12)
    before = rig.play(corridor, truth[:5], rng, **FAULTS)
    rig.camera = None
    without = rig.play(corridor, truth[5:8], rng, **FAULTS)
    rig.camera = corridor.camera
    after = rig.play(corridor, truth[8:], rng, **FAULTS)
    assert set(states_of(without + after[:1])) == {TrackingState.INITIALISING}
    check_is_followed(rig, after[1:])
    if rig.is_metric:
        for result in [*without, after[0]]:
            np.testing.assert_array_equal(result.world_from_camera, before[-1].world_from_camera)
        assert segments_of(before + without + after) == {0}
        expected = np.linalg.inv(truth[8]) @ truth[-1]
        moved = np.linalg.inv(after[0].world_from_camera) @ after[-1].world_from_camera
        np.testing.assert_allclose(moved[:3, 3], expected[:3, 3], atol=0.03)


def test_a_far_scene_gives_rotations_and_no_metres(
    rig: Rig, new_scene: NewScene, pose: MakePose, rng: np.random.Generator
) -> None:
    scene = new_scene(rng.uniform((-4000, -3000, 4000), (4000, 3000, 9000), (900, 3)))
    truth = [pose((0.3 * k, 0, 0), (0, 0.08 * k, 0)) for k in range(8)]  # on to another reference
    results = rig.play(scene, truth, rng, **FAULTS)
    assert results[-1].pose.reference_seq > 0
    assert segments_of(results) == {0}
    assert TrackingState.LOST not in states_of(results)
    for result, true in zip(results[1:], truth[1:], strict=True):
        assert result.state is TrackingState.DEGRADED
        assert rotation_error_deg(result, true, truth[0]) < 0.3
        assert not place_of(result).any()
        assert result.pose.covariance[0, 0] >= 1.0  # metres, squared: it may have gone anywhere


def test_few_points_are_worth_less_and_too_few_nothing(
    rig: Rig, new_scene: NewScene, pose: MakePose, rng: np.random.Generator
) -> None:
    points = rng.uniform((-2, -1.5, 5), (2, 1.5, 8), (22, 3))
    few = rig.play(new_scene(points), [pose((0.3 * k, 0, 0)) for k in range(4)], rng, noise_px=0.1)
    assert set(states_of(few[1:])) == {TrackingState.DEGRADED}
    assert 'matches agree with the motion, 30 make a good one' in few[-1].pose.reason
    assert rig.look(new_scene(points[:9]), pose(), rng).state is TrackingState.LOST
