# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a frontend can be told, what it refuses and what it gives, whatever it looks with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import ScaleKind, TrackingState

if TYPE_CHECKING:
    from test.odometry.conftest import Rig, Scene

NewRig = Callable[..., 'Rig']
MakePose = Callable[..., NDArray[Any]]

FAULTS = {'noise_px': 0.3, 'outlier_share': 0.1}


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


def arrays_of(record: Any) -> list[NDArray[Any]]:
    if isinstance(record, np.ndarray):
        return [record]
    if not is_dataclass(record):
        return []
    return [array for field in fields(record) for array in arrays_of(getattr(record, field.name))]


def test_a_mask_holds_for_the_image_alone(
    new_rig: NewRig, sensor: str, corridor: Scene, pose: MakePose, rng: np.random.Generator, tmp_path: Path
) -> None:
    image = np.full((120, 160), 255, np.uint8)
    image[80:] = 0
    path = tmp_path / 'mask.png'
    assert cv2.imwrite(str(path), image)
    rig, truth = new_rig(sensor, {'mask': str(path), 'mask_border_px': [20, 0, 0, 0]}), drive(pose, 8)
    results = rig.play(corridor, truth, rng, **FAULTS)
    check_is_followed(rig, results[1:])
    for result in results:
        assert result.keypoints.xy[:, 1].max() < 319.5
        assert result.keypoints.xy[:, 0].min() >= 19.5
    if rig.is_metric:
        assert error_of(results[-1], truth[-1], truth[0]) < 0.05


def test_large_images_are_worked_on_small_and_give_the_same_motion(
    new_rig: NewRig, sensor: str, corridor: Scene, pose: MakePose
) -> None:
    truth, motions = drive(pose, 8), []
    for large in (False, True):
        rig = new_rig(sensor, {'max_side_px': 640})
        small = rig.camera
        if large:
            rig.camera, rig.right_camera = small.resized(1280, 960), small.resized(1280, 960)
        rng, results = np.random.default_rng(4), []
        for true in truth:
            left = corridor.keypoints(true, rng, noise_px=0.2)
            right = corridor.keypoints(true @ pose((0.2, 0, 0)), rng, noise_px=0.2)
            results.append(rig.show(left, right, corridor.depth_image(true)))
        assert results[-1].working_size == (480, 640)
        motions.append([result.world_from_camera for result in results])
        limit = 1279.5 if large else 639.5
        assert 0.8 * limit < results[-1].keypoints.xy[:, 0].max() < limit
    np.testing.assert_allclose(motions[0], motions[1], atol=1e-9)


def test_reset_and_restart_forget_and_number_anew_and_on(
    rig: Rig, corridor: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    truth = drive(pose, 5)
    before = rig.play(corridor, truth, rng, **FAULTS)
    rig.frontend.restart()
    second = rig.play(corridor, truth, rng, **FAULTS)
    assert second[0].pose is None
    np.testing.assert_array_equal(second[0].world_from_camera, np.eye(4))
    assert second[0].track_ids.min() > max(int(result.track_ids.max()) for result in before)
    assert segments_of(second) == {1}
    rig.frontend.reset()
    third = rig.play(corridor, truth, rng, **FAULTS)
    assert third[0].pose is None
    assert third[0].track_ids.tolist() == list(range(len(third[0].keypoints)))
    assert segments_of(third) == {0}
    check_is_followed(rig, third[1:])


def test_another_sensor_begins_anew(new_rig: NewRig, corridor: Scene, pose: MakePose, rng: np.random.Generator) -> None:
    rig, truth = new_rig('mono'), drive(pose, 5)
    rig.play(corridor, truth, rng, **FAULTS)
    other = new_rig('rgbd')
    other.frontend = rig.frontend
    rig.frontend.exchange(lambda image: other.upcoming.pop(0))
    rig.frontend.configure(replace(rig.config, sensor='rgbd'))
    results = other.play(corridor, truth, rng, **FAULTS)
    assert results[0].pose is None
    assert {result.pose.scale for result in results[1:]} == {ScaleKind.METRIC}
    assert error_of(results[-1], truth[-1], truth[0]) < 0.03


def test_frames_without_what_the_sensor_sees_are_refused_and_change_nothing(
    rig: Rig, corridor: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    truth = drive(pose, 8)
    rig.play(corridor, truth[:4], rng, **FAULTS)
    words = {
        'stereo': r'frame: found no right image, expected one with every left one \(sensor is stereo\)',
        'rgbd': r'frame: found no depth image, expected one with every image \(sensor is rgbd\)',
    }
    if rig.is_metric:
        rig.upcoming = [corridor.keypoints(truth[3], rng)]
        with pytest.raises(DataError, match=words[rig.sensor]):
            rig.frontend.process(rig.frame())
    results = rig.play(corridor, truth[4:], rng, **FAULTS)
    assert set(states_of(results)) == {TrackingState.OK}
    assert segments_of(results) == {0}


def test_nobody_can_change_what_the_frontend_goes_on_with(
    rig: Rig, corridor: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    truth = drive(pose, 8)
    twin = type(rig)(rig.sensor, rig.config, left_from_right=rig.left_from_right)
    for true, seed in zip(truth, range(len(truth)), strict=True):
        result = rig.look(corridor, true, np.random.default_rng(seed), **FAULTS)
        untouched = twin.look(corridor, true, np.random.default_rng(seed), **FAULTS)
        assert result.world_from_camera.tobytes() == untouched.world_from_camera.tobytes()
        assert result.inverse_depth.tobytes() == untouched.inverse_depth.tobytes()
        for array in arrays_of(result):
            if array.flags.writeable:
                array.fill(0)


def test_the_same_frames_give_the_same_bits(new_rig: NewRig, sensor: str, corridor: Scene, pose: MakePose) -> None:
    runs = [new_rig(sensor).play(corridor, drive(pose, 8), np.random.default_rng(5), **FAULTS) for _ in range(2)]
    for first, second in zip(*runs, strict=True):
        assert [a.tobytes() for a in arrays_of(first)] == [a.tobytes() for a in arrays_of(second)]


def test_tracks_are_true_and_live_across_references(
    rig: Rig, corridor: Scene, pose: MakePose, rng: np.random.Generator
) -> None:
    owner: dict[int, bytes] = {}
    results = rig.play(corridor, drive(pose, 12), rng, noise_px=0.3)
    for result in results:
        assert len(set(result.track_ids.tolist())) == len(result.keypoints)
        for track, descriptor in zip(result.track_ids.tolist(), result.keypoints.descriptors, strict=True):
            assert owner.setdefault(track, descriptor.tobytes()) == descriptor.tobytes()
    assert results[-1].track_ages.max() >= 10


def test_stages_are_timed(rig: Rig, corridor: Scene, pose: MakePose, rng: np.random.Generator) -> None:
    result = rig.play(corridor, drive(pose, 2), rng, **FAULTS)[-1]
    assert set(result.stage_ms) == {'inference', 'match', 'pose'} | ({'depth'} if rig.is_metric else set())
    assert all(duration > 0 for duration in result.stage_ms.values())
