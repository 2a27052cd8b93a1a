# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.se3 import rotation_from_vector, transform_from
from kp2d_ros.recordings.camera_yaml import CameraInfoFields
from kp2d_ros.recordings.stereo_rig import find_rig, left_from_right_of, rectified_rig, rig_from_frames

K = (500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0)


def fields(p3: float = 0.0, **changes: Any) -> CameraInfoFields:
    p = (400.0, 0.0, 310.0, p3, 0.0, 400.0, 230.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    return replace(CameraInfoFields(640, 480, 'plumb_bob', (), K, p), **changes)


def test_a_rectified_pair_differs_by_the_baseline_alone() -> None:
    turned = tuple(rotation_from_vector(np.array([0.0, 0.1, 0.0])).ravel())
    rig = left_from_right_of(fields(r=turned), fields(-48.0), True)
    np.testing.assert_allclose(rig.left_from_right, transform_from(np.eye(3), np.array([0.12, 0, 0])), atol=1e-15)
    assert (rig.reason, rig.warning) == ('', '')


def test_an_unrectified_pair_has_the_pose_that_it_was_calibrated_with() -> None:
    """
    Oracle: OpenCV's rectification, from which camera_calibration takes R and P.
    """
    rotation = rotation_from_vector(np.array([0.01, -0.03, 0.02]))
    left_from_right = transform_from(rotation, np.array([0.2, 0.004, -0.01]))
    matrix, no_lens = np.reshape(K, (3, 3)), np.zeros(5)
    right_from_left = np.linalg.inv(left_from_right)
    found = cv2.stereoRectify(
        *(matrix, no_lens, matrix, no_lens, (640, 480)), right_from_left[:3, :3].copy(), right_from_left[:3, 3:].copy()
    )
    left, right = (fields(r=tuple(found[i].ravel()), p=tuple(found[i + 2].ravel())) for i in (0, 1))
    rig = left_from_right_of(left, right, False)
    np.testing.assert_allclose(rig.left_from_right, left_from_right, atol=1e-9)


def test_the_frame_of_a_pair_may_be_a_third_camera() -> None:
    rig = left_from_right_of(fields(40.0), fields(-120.0), True)
    assert rig.left_from_right[0, 3] == pytest.approx(0.4)


def test_a_baseline_of_zero_is_none_and_says_so_unless_one_is_given() -> None:
    rig = left_from_right_of(fields(), fields(), True)
    assert rig.left_from_right is None
    assert 'baseline is 0' in rig.reason
    rig = left_from_right_of(fields(), fields(), True, 0.05)
    assert rig.left_from_right[0, 3] == 0.05


def test_a_given_baseline_does_not_silently_lose_against_the_calibration() -> None:
    rig = left_from_right_of(fields(), fields(-48.0), True, 0.2)
    assert rig.left_from_right[0, 3] == pytest.approx(0.12)
    assert '0.12 m: the given one of 0.2 m is not used' in rig.warning
    assert not left_from_right_of(fields(), fields(-48.0), True, 0.12).warning


def test_what_is_strange_about_a_baseline_is_said() -> None:
    assert 'baseline is 120 m' in left_from_right_of(fields(), fields(-48000.0), True).warning
    assert 'swapped' in left_from_right_of(fields(-48.0), fields(), True).warning


def test_cameras_that_were_calibrated_apart_have_the_given_baseline_or_none() -> None:
    empty = fields(p=(0.0,) * 12)
    assert 'baseline is 0' in left_from_right_of(fields(), empty, False).reason
    assert left_from_right_of(empty, empty, False, 0.3).left_from_right[0, 3] == 0.3


def test_two_cameras_that_look_the_same_way_need_a_baseline_alone() -> None:
    np.testing.assert_array_equal(
        rectified_rig(0.2).left_from_right, [[1, 0, 0, 0.2], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    )
    assert 'baseline is 12 m' in rectified_rig(12.0).warning


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'p': (1.0,) * 11}, 'P: found 11 numbers'),
        ({'p': (1.0,) * 11 + (np.nan,)}, 'expected finite'),
        ({'r': (0.0,) * 9}, 'expected a rotation'),
        ({'r': (1.0, 0, 0, 0, 1, 0, 0, 0, -1)}, 'expected a rotation'),
        ({'p': (1.0, 0, 0, -4, 0, 0, 0, 0, 0, 0, 1, 0)}, 'projection matrix of a camera'),
        ({'r': ()}, 'R: found 0 numbers'),
    ],
)
def test_numbers_that_are_those_of_no_camera_are_refused(changes: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        left_from_right_of(fields(), fields(**{'p3': -48.0, **changes}), False)


def test_frames_give_the_rig_of_raw_images_and_the_distance_of_rectified_ones() -> None:
    pose = transform_from(rotation_from_vector(np.array([0.0, 0.1, 0.0])), np.array([0.3, 0.4, 0.0]))
    np.testing.assert_array_equal(rig_from_frames(pose, False).left_from_right, pose)
    np.testing.assert_array_equal(rig_from_frames(pose, True).left_from_right, rectified_rig(0.5).left_from_right)
    pose[0, 3] = -0.3
    assert 'swapped' in rig_from_frames(pose, True).warning
    assert rig_from_frames(None, True) is rig_from_frames(np.eye(4), True) is None


@pytest.mark.parametrize(
    ('p3', 'frames', 'baseline', 'expected'),
    [
        (-48.0, 0.3, 0.0, 0.12),
        (-48.0, 0.3, 0.5, 0.12),
        (0.0, 0.3, 0.5, 0.3),
        (0.0, 0.0, 0.5, 0.5),
        (0.0, 0.0, 0.0, None),
        (None, 0.3, 0.5, 0.3),
        (None, 0.0, 0.5, 0.5),
        (None, 0.0, 0.0, None),
    ],
)
def test_the_calibration_knows_before_the_frames_and_they_before_the_option(
    p3: Any, frames: float, baseline: float, expected: Any
) -> None:
    right = None if p3 is None else fields(p3)
    pose = transform_from(np.eye(3), np.array([frames, 0.0, 0.0]))
    rig = find_rig((fields(), right), True, lambda: pose, baseline)
    assert (rig.left_from_right is None) is (expected is None) is bool(rig.reason)
    if expected is not None:
        assert rig.left_from_right[0, 3] == pytest.approx(expected)
    assert ('is not used' in rig.warning) is (p3 == -48.0 and baseline == 0.5)
