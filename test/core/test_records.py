# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.errors import ShapeError
from kp2d_ros.core.records import (
    DepthImage,
    Frame,
    Keypoints,
    Matches,
    PoseModel,
    RelativePose,
    ScaleKind,
    TrackingState,
)

CAMERA = CameraModel(4, 3, np.array([[3.0, 0, 1.5], [0, 3, 1], [0, 0, 1]]), LensModel.PLUMB_BOB, np.zeros(5))


def keypoints(count: int = 2, descriptor: Any = np.float32) -> Keypoints:
    return Keypoints(np.zeros((count, 2), np.float32), np.zeros(count, np.float32), np.zeros((count, 8), descriptor))


def test_a_frame_takes_gray_and_rgb_with_and_without_a_camera() -> None:
    assert Frame(0, 5, np.zeros((3, 4), np.uint8), CAMERA).camera is CAMERA
    assert Frame(0, 5, np.zeros((3, 4, 3), np.uint8)).camera is None


@pytest.mark.parametrize('image', [np.zeros((3, 4)), np.zeros((3, 4, 2), np.uint8), np.zeros((0, 4), np.uint8)])
def test_a_frame_refuses_what_is_no_image(image: NDArray[Any]) -> None:
    with pytest.raises(ShapeError, match='image: found'):
        Frame(0, 5, image)


def test_a_frame_refuses_the_camera_of_another_image_size() -> None:
    with pytest.raises(ShapeError, match='calibration for 4x3, expected one for the image size 3x4'):
        Frame(0, 5, np.zeros((4, 3), np.uint8), CAMERA)


def test_records_do_not_change() -> None:
    frame = Frame(0, 5, np.zeros((3, 4), np.uint8))
    with pytest.raises(FrozenInstanceError):
        frame.seq = 1  # type: ignore[misc]


@pytest.mark.parametrize('count', [0, 2])
def test_keypoints_know_their_number_and_kind_of_descriptor(count: int) -> None:
    assert len(keypoints(count)) == count
    assert not keypoints(count).is_binary
    assert keypoints(count, np.uint8).is_binary


@pytest.mark.parametrize(
    ('xy', 'scores', 'descriptors', 'complaint'),
    [
        ((2, 3), (2,), (2, 8), 'xy'),
        ((2, 2), (3,), (2, 8), 'scores'),
        ((2, 2), (2,), (3, 8), 'descriptors'),
        ((2, 2), (2,), (16,), 'descriptors'),
    ],
)
def test_keypoints_refuse_lengths_that_do_not_agree(
    xy: tuple[int, int], scores: tuple[int], descriptors: tuple[Any, ...], complaint: str
) -> None:
    with pytest.raises(ShapeError, match=complaint):
        Keypoints(np.zeros(xy, np.float32), np.zeros(scores, np.float32), np.zeros(descriptors, np.float32))


def test_keypoints_refuse_descriptors_of_another_type() -> None:
    with pytest.raises(ShapeError, match='found float64, expected float32 or uint8'):
        keypoints(2, np.float64)


def test_matches_can_be_empty_and_refuse_lengths_that_do_not_agree() -> None:
    assert len(Matches.empty()) == 0
    index = np.arange(3)
    assert len(Matches(index, index, np.ones(3, np.float32))) == 3
    with pytest.raises(ShapeError, match='current_index'):
        Matches(index, index[:2], np.ones(3, np.float32))
    with pytest.raises(ShapeError, match='scores'):
        Matches(index, index, np.ones(2, np.float32))


def test_a_relative_pose_refuses_matrices_of_another_shape() -> None:
    with pytest.raises(ShapeError, match='reference_from_current'):
        RelativePose(
            reference_seq=0,
            reference_stamp_ns=0,
            state=TrackingState.OK,
            reference_from_current=np.eye(3),
            covariance=np.eye(6),
        )
    with pytest.raises(ShapeError, match='covariance'):
        RelativePose(
            reference_seq=0,
            reference_stamp_ns=0,
            state=TrackingState.OK,
            reference_from_current=np.eye(4),
            covariance=np.eye(3),
        )


@pytest.mark.parametrize(
    ('message', 'prefix', 'enum'),
    [
        ('RelativePose', '', TrackingState),
        ('FrontendStatus', '', TrackingState),
        ('RelativePose', 'SCALE_', ScaleKind),
        ('RelativePose', 'MODEL_', PoseModel),
    ],
)
def test_the_numbers_of_the_states_are_those_of_the_messages(message: str, prefix: str, enum: Any) -> None:
    text = (Path(__file__).parents[2] / 'msg' / f'{message}.msg').read_text(encoding='utf-8')
    declared = dict(
        line.split('#')[0].split()[1::2] for line in text.splitlines() if line.startswith('uint8 ') and '=' in line
    )
    for member in enum:
        assert int(declared[prefix + member.name]) == member.value


@pytest.mark.parametrize(
    'metres', [np.ones((4, 4), np.uint16), np.ones((4, 4)), np.ones((0, 4), np.float32), np.ones(4, np.float32)]
)
def test_a_depth_image_is_metres_in_float32(metres: NDArray[Any]) -> None:
    with pytest.raises(ShapeError, match='depth: found'):
        DepthImage(0, metres)
