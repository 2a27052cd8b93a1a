# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Rendered images of a crooked stereo rig with real lenses and of a depth camera, against the true depths and poses.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.records import Frame, Keypoints, TrackingState
from kp2d_ros.core.se3 import rotation_angle, vector_from_rotation
from kp2d_ros.core.settings import build
from kp2d_ros.odometry.frontend import Frontend, FrontendConfig
from kp2d_ros.simulation.scene import SceneConfig, SimulatedSequence

COUNT = 6
SENSORS = ['stereo', 'rgbd']


def extract(image: NDArray[np.uint8]) -> Keypoints:
    """
    What ORB finds, as bits.
    """
    gray = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    found, descriptors = cv2.ORB.create(nfeatures=500, fastThreshold=8).detectAndCompute(gray, None)
    if not found:
        return Keypoints(np.empty((0, 2), np.float32), np.empty(0, np.float32), np.empty((0, 32), np.uint8))
    xy = np.array([point.pt for point in found], np.float32)
    return Keypoints(xy, np.array([point.response for point in found], np.float32), np.asarray(descriptors, np.uint8))


@pytest.fixture(scope='module')
def sequences() -> dict[str, SimulatedSequence]:
    """
    A rig whose right camera is turned, and a depth camera, both walking through the room.
    """
    settings = {'frames': COUNT, 'width': 400, 'height': 300, 'color': False, 'speed': 1.0, 'noise': 1.0}
    return {sensor: SimulatedSequence(build(SceneConfig, settings | {'sensor': sensor})) for sensor in SENSORS}


@pytest.fixture(scope='module')
def frames(sequences: dict[str, SimulatedSequence]) -> dict[str, list[Frame]]:
    return {sensor: list(sequence) for sensor, sequence in sequences.items()}


def play(sensor: str, shown: list[Frame], settings: dict[str, Any] | None = None) -> list[Any]:
    frontend = Frontend(extract, build(FrontendConfig, {'sensor': sensor, **(settings or {})}))
    return [frontend.process(frame) for frame in shown]


def depth_errors(result: Any, truth: NDArray[np.float32]) -> NDArray[Any]:
    """
    By how many sigmas depths are off, of keypoints that lie on no edge.
    """
    column, row = np.rint(result.keypoints.xy).astype(int).T
    low, high = (getattr(cv2, name)(truth, np.ones((5, 5), np.uint8)) for name in ('erode', 'dilate'))
    smooth = ((high - low) < 0.05 * truth)[row, column] & np.isfinite(result.inverse_depth_sigma)
    assert smooth.sum() > 60
    return np.asarray(((result.inverse_depth - 1 / truth[row, column]) / result.inverse_depth_sigma)[smooth])


@pytest.mark.parametrize('sensor', SENSORS)
def test_depths_are_true_and_their_sigmas_as_well(
    sensor: str, sequences: dict[str, SimulatedSequence], frames: dict[str, list[Frame]]
) -> None:
    sequence = sequences[sensor]
    (result,) = play(sensor, frames[sensor][:1])
    errors = depth_errors(result, sequence.render_depth(sequence.ground_truth.world_from_camera[0]))
    assert abs(np.median(errors)) < 0.4
    assert 0.2 < 1.4826 * np.median(np.abs(errors)) < 1.8
    assert (np.abs(errors) < 5).mean() > 0.93


@pytest.mark.parametrize('sensor', SENSORS)
@pytest.mark.parametrize('max_side_px', [0, 320])
def test_the_path_is_the_true_one_in_metres(
    sensor: str, max_side_px: int, sequences: dict[str, SimulatedSequence], frames: dict[str, list[Frame]]
) -> None:
    truth = sequences[sensor].ground_truth.world_from_camera
    results = play(sensor, frames[sensor], {'max_side_px': max_side_px})
    assert {result.state for result in results[1:]} == {TrackingState.OK}
    for result, true in zip(results, truth, strict=True):
        expected = np.linalg.inv(truth[0]) @ true
        assert np.linalg.norm(result.world_from_camera[:3, 3] - expected[:3, 3]) < 0.012
        assert np.degrees(rotation_angle(result.world_from_camera[:3, :3].T @ expected[:3, :3])) < 0.25


@pytest.mark.parametrize('sensor', SENSORS)
def test_squared_errors_of_the_poses_are_what_their_covariances_say(
    sensor: str, sequences: dict[str, SimulatedSequence], frames: dict[str, list[Frame]]
) -> None:
    truth = sequences[sensor].ground_truth.world_from_camera
    exact = {'motion': {'systematic_px': 0.0, 'systematic_share': 0.0}}  # as the calibration of this room is
    squares = []
    for result in play(sensor, frames[sensor], exact)[1:]:
        true = np.linalg.inv(truth[result.pose.reference_seq]) @ truth[result.seq]
        found = result.pose.reference_from_current
        turn = vector_from_rotation(found[:3, :3] @ true[:3, :3].T)
        error = np.concatenate([found[:3, 3] - true[:3, 3], turn])
        squares.append(error @ np.linalg.solve(result.pose.covariance, error) / 6.0)
    assert 0.5 < np.mean(squares) < 2.0


def test_the_right_camera_may_be_exposed_otherwise(
    sequences: dict[str, SimulatedSequence], frames: dict[str, list[Frame]]
) -> None:
    frame = frames['stereo'][0]
    assert frame.right is not None
    darker = np.asarray(0.6 * frame.right.image + 10, np.uint8)
    (result,) = play('stereo', [replace(frame, right=replace(frame.right, image=darker))])
    truth = sequences['stereo'].render_depth(sequences['stereo'].ground_truth.world_from_camera[0])
    assert (np.abs(depth_errors(result, truth)) < 5).mean() > 0.93


@pytest.mark.parametrize('fault', ['covered', 'another place', 'swapped'])
def test_a_right_image_that_is_none_gives_no_depths(fault: str, frames: dict[str, list[Frame]]) -> None:
    frame = frames['stereo'][0]
    assert frame.right is not None
    left, right = frame.image, frame.right.image
    images = {
        'covered': (left, np.full_like(right, 12)),
        'another place': (left, np.ascontiguousarray(right[::-1])),
        'swapped': (right, left),
    }
    shown = replace(frame, image=images[fault][0], right=replace(frame.right, image=images[fault][1]))
    (result,) = play('stereo', [shown])
    assert np.isfinite(result.inverse_depth_sigma).mean() < 0.05


@pytest.mark.parametrize('sensor', SENSORS)
def test_frames_without_depth_are_bridged(
    sensor: str, sequences: dict[str, SimulatedSequence], frames: dict[str, list[Frame]]
) -> None:
    shown = list(frames[sensor])
    for k in (2, 3):
        right, depth = shown[k].right, shown[k].depth
        blind_right = None if right is None else replace(right, image=np.full_like(right.image, 12))
        blind_depth = None if depth is None else replace(depth, metres=np.full_like(depth.metres, np.nan))
        shown[k] = replace(shown[k], right=blind_right, depth=blind_depth)
    results = play(sensor, shown)
    truth = sequences[sensor].ground_truth.world_from_camera
    assert {result.state for result in results[1:]} == {TrackingState.OK}
    expected = (np.linalg.inv(truth[0]) @ truth[-1])[:3, 3]
    assert np.linalg.norm(results[-1].world_from_camera[:3, 3] - expected) < 0.03
