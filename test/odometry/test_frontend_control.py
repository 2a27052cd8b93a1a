# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a frontend can be told while it runs, and the size that it works on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.records import Frame, Keypoints, TrackingState
from kp2d_ros.core.settings import build
from kp2d_ros.odometry.frontend import Frontend, FrontendConfig

if TYPE_CHECKING:
    from test.odometry.conftest import Player, Scene

BLANK = Keypoints(np.empty((0, 2), np.float32), np.empty(0, np.float32), np.empty((0, 48), np.float32))
FAULTS = {'noise_px': 0.4, 'outlier_share': 0.15}


def drive(pose: Any, count: int) -> list[Any]:
    return [pose((0.05 * k, 0, 0.5 * k), (0, 0.01 * k, 0)) for k in range(count)]


def states_of(results: Any) -> list[Any]:
    return [result.state for result in results]


def test_reset_forgets_everything(
    player: Player, corridor: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = drive(pose, 5)
    player.play(corridor, truth, rng, **FAULTS)
    player.frontend.reset()
    results = player.play(corridor, truth, rng, **FAULTS)
    assert results[0].pose is None
    assert results[0].track_ids.tolist() == list(range(len(results[0].keypoints)))
    assert {result.scale_segment for result in results} == {0}


def test_restart_forgets_what_was_seen_and_numbers_on(
    player: Player, corridor: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = drive(pose, 5)
    before = player.play(corridor, truth, rng, **FAULTS)
    used = max(int(result.track_ids.max()) for result in before)
    player.frontend.restart()
    player.frontend.restart()  # nothing was seen in between: no number is skipped
    results = player.play(corridor, truth, rng, **FAULTS)
    assert results[0].pose is None
    assert results[0].track_ids.tolist() == list(range(used + 1, used + 1 + len(results[0].keypoints)))
    assert {result.scale_segment for result in results} == {1}
    assert {result.pose.scale_segment for result in results[1:]} == {1}
    assert set(states_of(results[1:])) == {TrackingState.OK}


def test_an_exchanged_extractor_is_used_from_the_next_frame_on(
    player: Player, corridor: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = drive(pose, 4)
    player.play(corridor, truth[:3], rng, **FAULTS)
    few = corridor.keypoints(truth[3], rng)
    player.frontend.exchange(lambda image: few)
    assert len(player.show(BLANK).keypoints) == len(few)


def arrays_of(record: Any) -> Iterator[Any]:
    """
    Every array of a record and of the records in it, by its place.
    """
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, np.ndarray):
            yield field.name, value
        elif is_dataclass(value):
            yield from ((f'{field.name}.{name}', array) for name, array in arrays_of(value))


def test_a_result_never_changes_afterwards(
    player: Player, corridor: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    results, before = [], []
    for world_from_camera in drive(pose, 12):
        results += player.play(corridor, [world_from_camera], rng, **FAULTS)
        before.append({name: array.copy() for name, array in arrays_of(results[-1])})
    for result, arrays in zip(results, before, strict=True):
        found = dict(arrays_of(result))
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_what_the_frontend_remembers_cannot_be_written_into_through_a_result(
    player: Player, corridor: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    result = player.play(corridor, drive(pose, 2), rng, **FAULTS)[-1]
    points = result.keypoints
    shared = points.xy, points.scores, points.descriptors, result.track_ids, result.track_ages, result.world_from_camera
    for array in shared:
        with pytest.raises(ValueError, match='read-only'):
            array[:] = 0


def test_a_large_image_is_worked_on_small_and_answered_in_its_own_pixels(
    new_player: Callable[..., Player], corridor: Scene, pose: Callable[..., NDArray[Any]]
) -> None:
    def play(camera: Any, config: Any) -> Any:
        return new_player(config, camera).play(corridor, drive(pose, 6), np.random.default_rng(4), **FAULTS)

    small = play(corridor.camera, FrontendConfig())
    large = play(corridor.camera.resized(1280, 960), FrontendConfig(max_side_px=640))
    assert {result.working_size for result in small + large} == {(480, 640)}
    for found, expected in zip(large, small, strict=True):
        np.testing.assert_allclose(found.world_from_camera, expected.world_from_camera, atol=1e-6)
        for name in ('reference_xy', 'current_xy'):
            xy = getattr(expected, name)
            np.testing.assert_allclose(getattr(found, name), 2 * xy + 0.5, atol=1e-3)
        np.testing.assert_allclose(found.keypoints.xy, 2 * expected.keypoints.xy + 0.5, atol=1e-3)
        np.testing.assert_allclose(found.bearing_xy, expected.bearing_xy, atol=1e-6)
    np.testing.assert_allclose(large[-1].pose.rms_px, 2 * small[-1].pose.rms_px, rtol=1e-3)


def test_the_extractor_never_sees_a_larger_image_than_the_working_size() -> None:
    shapes = []

    def extract(image: NDArray[Any]) -> Any:
        shapes.append(image.shape)
        return BLANK

    for max_side_px in (1280, 0):
        frontend = Frontend(extract, FrontendConfig(max_side_px=max_side_px))
        frontend.process(Frame(0, 0, np.zeros((3000, 4000), np.uint8)))
    assert shapes == [(960, 1280), (3000, 4000)]


def test_another_working_size_starts_over(
    player: Player, corridor: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    player.play(corridor, drive(pose, 3), rng, **FAULTS)
    player.frontend.configure(FrontendConfig(max_side_px=320, min_texture=0))
    result = player.show(corridor.keypoints(pose(), rng))
    assert result.pose.reason == 'the working size changed from 640x480 to 320x240'


def test_settings_change_between_frames(
    player: Player, corridor: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = drive(pose, 6)
    player.play(corridor, truth[:3], rng, **FAULTS)
    player.frontend.configure(build(FrontendConfig, {'min_texture': 0, 'motion': {'degraded_inliers': 5000}}))
    results = player.play(corridor, truth[3:], rng, **FAULTS)
    assert set(states_of(results)) == {TrackingState.DEGRADED}
    assert results[0].scale_segment == 0
    assert 'matches agree with the motion, 5000 make a good one' in results[0].pose.reason
