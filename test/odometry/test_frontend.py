# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.records import Keypoints, PoseModel, ScaleKind, TrackingState
from kp2d_ros.core.se3 import angle_between, rotation_angle
from kp2d_ros.core.settings import build
from kp2d_ros.odometry.frontend import FrontendConfig

if TYPE_CHECKING:
    from test.odometry.conftest import Player, Scene

BLANK = Keypoints(np.empty((0, 2), np.float32), np.empty(0, np.float32), np.empty((0, 48), np.float32))
FAULTS = {'noise_px': 0.4, 'outlier_share': 0.15}


def drive(pose: Any, count: int, step: float = 0.5) -> list[Any]:
    """
    A car that sways a little.
    """
    return [pose((0.2 * np.sin(k / 6), 0, step * k), (0, 0.04 * np.sin(k / 8), 0)) for k in range(count)]


def steps_of(poses: Any) -> list[Any]:
    return [np.linalg.inv(a) @ b for a, b in itertools.pairwise(poses)]


def estimated(results: Any) -> list[Any]:
    return [result.world_from_camera for result in results]


def states_of(results: Any) -> list[Any]:
    return [result.state for result in results]


def joined(first: Any, second: Any) -> Keypoints:
    return Keypoints(
        np.concatenate([first.xy, second.xy]),
        np.concatenate([first.scores, second.scores]),
        np.concatenate([first.descriptors, second.descriptors]),
    )


def check_pose_is_unknown(pose: Any) -> None:
    np.testing.assert_array_equal(pose.reference_from_current, np.eye(4))
    np.testing.assert_array_equal(pose.covariance, np.eye(6) * 1e6)
    assert (pose.inlier_count, pose.parallax_deg, pose.rms_px) == (0, 0.0, 0.0)
    assert pose.model is PoseModel.NONE
    assert pose.reason


def test_the_scale_of_a_drive_is_one_from_end_to_end(
    player: Player, corridor: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = drive(pose, 40)
    results = player.play(corridor, truth, rng, **FAULTS)
    assert {result.scale_segment for result in results} == {0}
    assert set(states_of(results[2:])) == {TrackingState.OK}
    ratios = []
    for found, true in zip(steps_of(estimated(results)), steps_of(truth), strict=True):
        ratios.append(np.linalg.norm(found[:3, 3]) / np.linalg.norm(true[:3, 3]))
        assert np.degrees(rotation_angle(found[:3, :3].T @ true[:3, :3])) < 0.15
    assert abs(np.mean(ratios[-10:]) / np.mean(ratios[2:12]) - 1) < 0.015
    assert np.std(np.log(ratios[2:])) < 0.03


def test_poses_stay_rigid_over_a_long_drive(
    player: Player, corridor: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    results = player.play(corridor, drive(pose, 45), rng, **FAULTS)
    assert sum(result.pose.model is PoseModel.PNP for result in results[1:]) > 40  # each predicted from those before
    for result in results[1:]:
        rotation = result.pose.reference_from_current[:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=2e-14)


def test_the_first_step_has_length_one_and_later_ones_its_unit(
    player: Player, corridor: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    results = player.play(corridor, drive(pose, 6), rng, **FAULTS)
    assert results[0].pose is None
    assert results[0].state is TrackingState.INITIALISING
    first = results[1].pose
    assert (first.model, first.scale) == (PoseModel.ESSENTIAL, ScaleKind.CHAINED)
    np.testing.assert_allclose(np.linalg.norm(first.reference_from_current[:3, 3]), 1.0)
    assert all(result.pose.scale is ScaleKind.CHAINED for result in results[1:])
    assert all(result.pose.model is PoseModel.PNP for result in results[2:])


def test_poses_chain_through_their_references(
    player: Player, corridor: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    results = player.play(corridor, drive(pose, 12, step=0.15), rng, **FAULTS)
    by_seq = {result.seq: result.world_from_camera for result in results}
    references = [result.pose.reference_seq for result in results[1:]]
    assert any(seq - reference > 1 for seq, reference in enumerate(references, start=1))
    for result in results[1:]:
        chained = by_seq[result.pose.reference_seq] @ result.pose.reference_from_current
        np.testing.assert_allclose(chained, result.world_from_camera, atol=1e-12)
        assert result.pose.reference_stamp_ns == result.pose.reference_seq * 33_000_000


def test_a_camera_at_rest_is_stationary(
    player: Player, room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = [pose((0, 0, 0), rng.normal(size=3) * 1e-4) for _ in range(12)]
    results = player.play(room, truth, rng, noise_px=0.3, outlier_share=0.1)
    assert set(states_of(results[1:])) == {TrackingState.STATIONARY}
    for result in results[1:]:
        np.testing.assert_array_equal(result.pose.reference_from_current, np.eye(4))
        assert result.pose.reference_seq == 0
        assert 0 < result.pose.covariance[3, 3] < 1e-4
        assert result.pose.reason == 'the image does not move'


def test_a_camera_at_rest_keeps_its_reference_however_old(
    new_player: Callable[..., Player], room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    config = build(FrontendConfig, {'motion': {'max_reference_age': 3}})
    results = new_player(config).play(room, [pose()] * 10, rng, noise_px=0.2)
    assert set(states_of(results[1:])) == {TrackingState.STATIONARY}
    assert {result.pose.reference_seq for result in results[1:]} == {0}


def test_a_slow_motion_adds_up_until_it_is_seen(
    player: Player, room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = [pose((0.012 * k, 0, 0)) for k in range(40)]
    results = player.play(room, truth, rng, noise_px=0.2)
    first = next(result for result in results[1:] if result.pose.model is PoseModel.ESSENTIAL)
    assert 3 < first.seq < 30
    assert first.pose.reference_seq == 0
    assert np.degrees(angle_between(first.pose.reference_from_current[:3, 3], np.array([1.0, 0, 0]))) < 3
    assert not any(np.linalg.norm(result.world_from_camera[:3, 3]) for result in results[: first.seq])


def test_a_rotation_before_any_translation_is_followed_without_one(
    player: Player, room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = [pose((0, 0, 0), (0, 0.03 * k, 0)) for k in range(15)]
    results = player.play(room, truth, rng, **FAULTS)
    for result, true in zip(results[1:], truth[1:], strict=True):
        assert (result.state, result.pose.model) == (TrackingState.DEGRADED, PoseModel.ROTATION)
        assert result.pose.scale is ScaleKind.UNIT_NORM
        assert not result.world_from_camera[:3, 3].any()
        assert np.degrees(rotation_angle(result.world_from_camera[:3, :3].T @ true[:3, :3])) < 0.3
        assert 'too small to see a translation' in result.pose.reason
    assert results[-1].scale_segment == 0


def test_the_scale_survives_a_pure_rotation(
    player: Player, corridor: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    ahead = drive(pose, 8)
    turn = [ahead[-1] @ pose((0, 0, 0), (0, 0.01 * k, 0)) for k in range(1, 9)]
    onward = [turn[-1] @ pose((0, 0, 0.5 * k)) for k in range(1, 8)]
    truth = ahead + turn + onward
    results = player.play(corridor, truth, rng, **FAULTS)
    assert {result.scale_segment for result in results} == {0}
    lengths = [np.linalg.norm(step[:3, 3]) for step in steps_of(estimated(results))]
    unit = np.mean(lengths[2:7]) / 0.5
    assert max(lengths[8:15]) < 0.03 * unit
    assert abs(np.mean(lengths[16:]) / (0.5 * unit) - 1) < 0.03


def test_a_rotation_away_from_all_known_points_ends_the_segment(
    player: Player, new_scene: Callable[..., Scene], pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    directions = rng.normal(size=(6000, 3))
    around = new_scene(directions / np.linalg.norm(directions, axis=1, keepdims=True) * rng.uniform(5, 9, (6000, 1)))
    ahead = [pose((0.4 * k, 0, 0)) for k in range(4)]
    turn = [ahead[-1] @ pose((0, 0, 0), (0, 0.08 * k, 0)) for k in range(1, 25)]
    results = player.play(around, ahead + turn, rng, noise_px=0.3)
    segments = [result.scale_segment for result in results]
    assert segments[:8] == [0] * 8
    assert segments[-1] == 1
    assert segments == sorted(segments)
    first = segments.index(1)
    assert results[first].pose.model is PoseModel.ROTATION
    np.testing.assert_array_equal(results[first].world_from_camera, np.eye(4))
    for result, true in zip(results[first:], (ahead + turn)[first:], strict=True):
        assert not result.world_from_camera[:3, 3].any()
        turned = (ahead + turn)[first][:3, :3].T @ true[:3, :3]
        assert np.degrees(rotation_angle(result.world_from_camera[:3, :3].T @ turned)) < 0.3


@pytest.mark.parametrize('gap', [1, 4])
def test_blank_images_in_between_do_not_break_the_chain(
    player: Player, corridor: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator, gap: int
) -> None:
    truth = drive(pose, 14, step=0.3)
    before = player.play(corridor, truth[:8], rng, **FAULTS)
    lost = [player.show(BLANK) for _ in range(gap)]
    after = player.play(corridor, truth[8:], rng, **FAULTS)
    assert set(states_of(lost)) == {TrackingState.LOST}
    for result in lost:
        check_pose_is_unknown(result.pose)
        np.testing.assert_array_equal(result.world_from_camera, before[-1].world_from_camera)
    assert set(states_of(after)) == {TrackingState.OK}
    assert {result.scale_segment for result in after} == {0}
    known = estimated(before[2:] + after)
    lengths = [np.linalg.norm(step[:3, 3]) / 0.3 for step in steps_of(known)]
    np.testing.assert_allclose(lengths / np.median(lengths), 1.0, atol=0.15)


@pytest.mark.parametrize('shown', ['nothing', 'another place'])
def test_after_a_lost_frame_the_camera_may_be_anywhere(
    new_player: Callable[..., Player],
    new_scene: Callable[..., Scene],
    corridor: Scene,
    pose: Callable[..., NDArray[Any]],
    rng: np.random.Generator,
    shown: str,
) -> None:
    player = new_player(build(FrontendConfig, {'matching': {'search_radius_px': 15.0}}))
    ahead = drive(pose, 8, step=0.3)
    player.play(corridor, ahead, rng, noise_px=0.3)
    elsewhere = new_scene(corridor.landmarks, far=corridor.far).keypoints(ahead[-1], rng)
    assert player.show(BLANK if shown == 'nothing' else elsewhere).state is TrackingState.LOST
    turned = ahead[-1] @ pose((0, 0, 0.3), (0, 0.1, 0))  # by 50 pixels: not within 15 of where it was going
    (found,) = player.play(corridor, [turned], rng, noise_px=0.3)
    assert found.state is TrackingState.OK
    assert found.inlier.sum() > 100


def test_another_place_begins_a_new_segment_after_some_lost_frames(
    player: Player, corridor: Scene, room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    player.play(corridor, drive(pose, 6), rng, **FAULTS)
    elsewhere = [pose((0.3 * k, 0, 0)) for k in range(12)]
    results = player.play(room, elsewhere, rng, **FAULTS)
    lost = [result for result in results if result.state is TrackingState.LOST]
    assert len(lost) == FrontendConfig().motion.max_lost_frames + 1
    assert lost[-1].pose.reason.endswith('a new segment begins here')
    assert [result.scale_segment for result in results] == [0] * 5 + [1] * 7
    np.testing.assert_array_equal(results[5].world_from_camera, np.eye(4))
    np.testing.assert_allclose(np.linalg.norm(results[6].world_from_camera[:3, 3]), 1.0)
    assert set(states_of(results[6:])) == {TrackingState.OK}


def test_a_blank_image_never_becomes_the_reference(
    player: Player, corridor: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    blanks = [player.show(BLANK) for _ in range(3)]
    assert blanks[0].pose is None
    assert set(states_of(blanks)) == {TrackingState.LOST}
    for result in blanks[1:]:
        check_pose_is_unknown(result.pose)
        assert result.pose.reason.startswith('0 of 0 keypoints have texture around them, 12 are needed')
    results = player.play(corridor, drive(pose, 3), rng, **FAULTS)
    assert states_of(results) == [TrackingState.INITIALISING, TrackingState.OK, TrackingState.OK]
    assert [result.pose.reference_seq for result in results[1:]] == [3, 4]
    for _ in range(12):
        assert player.show(BLANK).pose.reference_seq in (4, 5)


def test_when_no_depth_is_shared_the_scale_chain_breaks_and_says_so(
    player: Player, new_scene: Callable[..., Scene], pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    # Two rooms that the camera sees at the same time only in part; the depths of the first are lost on the way.
    points = rng.uniform((-9, -7, 4), (9, 7, 12), (2500, 3))
    scene = new_scene(points)
    truth = [pose((0.25 * k, 0, 0)) for k in range(12)]
    shown = [scene.keypoints(p, rng, noise_px=0.3) for p in truth]
    left = player.play(scene, truth[:5], rng, noise_px=0.3)
    # From here on only landmarks that no earlier frame has shown are detected.
    fresh = new_scene(points + np.array([0.4, 0.3, 0.2]))
    middle = player.show(joined(shown[5], fresh.keypoints(truth[5], rng)))
    right = player.play(fresh, truth[6:], rng, noise_px=0.3)
    assert {result.scale_segment for result in left} == {0}
    assert middle.state is TrackingState.OK
    broken = right[0]
    assert (broken.state, broken.scale_segment) == (TrackingState.DEGRADED, 1)
    assert broken.pose.reason == 'the scale could not be carried on: a new segment begins'
    np.testing.assert_allclose(np.linalg.norm(broken.world_from_camera[:3, 3]), 1.0)
    assert {result.scale_segment for result in right} == {1}
    assert set(states_of(right[1:])) == {TrackingState.OK}


def test_without_calibration_matches_and_tracks_flow_and_the_pose_says_why(
    new_player: Callable[..., Player], corridor: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    player = new_player(camera=None)
    results = player.play(corridor, drive(pose, 5, step=0.1), rng, noise_px=0.3)
    for result in results[1:]:
        assert result.state is TrackingState.INITIALISING
        assert result.bearing_xy is None
        assert result.pose.reason == 'the camera is not calibrated'
        assert result.pose.reference_seq == result.seq - 1
        assert len(result.matches) > 100
        assert not result.inlier.any()
    assert results[-1].track_ages.max() == 4


def test_calibration_that_arrives_late_starts_the_poses(
    new_player: Callable[..., Player], corridor: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    player, truth = new_player(camera=None), drive(pose, 8)
    player.play(corridor, truth[:3], rng, **FAULTS)
    player.camera = corridor.camera
    results = player.play(corridor, truth[3:], rng, **FAULTS)
    assert results[0].pose.reason == 'the calibration of the camera changed'
    assert set(states_of(results[1:])) == {TrackingState.OK}


def test_another_image_size_starts_over(
    player: Player,
    corridor: Scene,
    pose: Callable[..., NDArray[Any]],
    rng: np.random.Generator,
    new_scene: Callable[..., Scene],
) -> None:
    player.play(corridor, drive(pose, 4), rng, **FAULTS)
    player.camera = CameraModel(
        320, 240, np.array([[250.0, 0, 159.5], [0, 250, 119.5], [0, 0, 1]]), LensModel.PLUMB_BOB, np.zeros(0)
    )
    small = new_scene(corridor.landmarks, player.camera, corridor.far)
    results = player.play(small, drive(pose, 4), rng, **FAULTS)
    check_pose_is_unknown(results[0].pose)
    assert results[0].pose.reason == 'the image size changed from 640x480 to 320x240'
    assert [result.scale_segment for result in results] == [1] * 4
    assert set(states_of(results[1:])) == {TrackingState.OK}


def test_other_descriptors_start_over(
    player: Player, corridor: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    player.play(corridor, drive(pose, 3), rng, **FAULTS)
    points = corridor.keypoints(pose(), rng)
    result = player.show(Keypoints(points.xy, points.scores, np.zeros((len(points), 32), np.uint8)))
    assert result.pose.reason == 'the kind of descriptors changed'


def test_tracks_live_across_references_and_are_true(
    player: Player, corridor: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    owner: dict[int, bytes] = {}
    longest = 0
    for result in player.play(corridor, drive(pose, 12, step=0.3), rng, noise_px=0.3):
        assert len(set(result.track_ids.tolist())) == len(result.keypoints)
        longest = max(longest, int(result.track_ages.max()))
        for track, descriptor in zip(result.track_ids.tolist(), result.keypoints.descriptors, strict=True):
            assert owner.setdefault(track, descriptor.tobytes()) == descriptor.tobytes()
    assert longest >= 10


def test_the_same_frames_give_the_same_bits(
    new_player: Callable[..., Player], corridor: Scene, pose: Callable[..., NDArray[Any]]
) -> None:
    def run() -> Any:
        rng = np.random.default_rng(5)
        return new_player().play(corridor, drive(pose, 12), rng, **FAULTS)

    for first, second in zip(run(), run(), strict=True):
        assert first.world_from_camera.tobytes() == second.world_from_camera.tobytes()
        assert first.track_ids.tobytes() == second.track_ids.tobytes()
        if first.pose is not None:
            assert first.pose.covariance.tobytes() == second.pose.covariance.tobytes()


def test_a_guided_search_finds_what_a_wide_one_finds(
    new_player: Callable[..., Player], corridor: Scene, pose: Callable[..., NDArray[Any]]
) -> None:
    guided = build(FrontendConfig, {'matching': {'search_radius_px': 25.0}})
    counts = []
    for config in (FrontendConfig(), guided):
        results = new_player(config).play(corridor, drive(pose, 10), np.random.default_rng(3), noise_px=0.3)
        assert set(states_of(results[2:])) == {TrackingState.OK}
        counts.append(results[-1].pose.inlier_count)
    assert abs(counts[0] - counts[1]) < 0.05 * counts[0]


def test_stages_are_timed(
    player: Player, corridor: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    result = player.play(corridor, drive(pose, 2), rng, **FAULTS)[-1]
    assert set(result.stage_ms) == {'inference', 'match', 'pose'}
    assert all(duration > 0 for duration in result.stage_ms.values())
