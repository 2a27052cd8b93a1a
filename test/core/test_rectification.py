# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.rectification import rectify_rig
from kp2d_ros.core.se3 import invert_transform, rotation_from_vector, transform_from, transform_points

CROOKED = transform_from(rotation_from_vector(np.array([0.02, -0.05, 0.03])), np.array([0.4, 0.02, -0.03]))


def test_a_rectified_pair_keeps_its_axes() -> None:
    rig = rectify_rig(transform_from(np.eye(3), np.array([0.12, 0.0, 0.0])))
    np.testing.assert_allclose(rig.from_left, np.eye(3), atol=1e-15)
    np.testing.assert_allclose(rig.from_right, np.eye(3), atol=1e-15)
    assert rig.baseline == pytest.approx(0.12)


def test_points_of_a_crooked_rig_lie_in_the_same_row_and_apart_by_the_baseline_over_the_depth(
    rng: np.random.Generator,
) -> None:
    rig = rectify_rig(CROOKED)
    left = rng.uniform((-1, -1, 2), (1, 1, 6), (50, 3))
    right = transform_points(invert_transform(CROOKED), left)
    turned_left, turned_right = left @ rig.from_left.T, right @ rig.from_right.T
    np.testing.assert_allclose(turned_left - turned_right, [[rig.baseline, 0.0, 0.0]] * 50, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det([rig.from_left, rig.from_right]), 1.0)


@pytest.mark.parametrize('offset', [(0.0, 0.0, 0.0), (np.nan, 0.0, 0.0), (np.inf, 0.0, 0.0)])
def test_cameras_without_a_baseline_are_no_rig(offset: tuple[float, float, float]) -> None:
    with pytest.raises(DataError, match=r'stereo baseline: found \S+ m, expected at least 0.001'):
        rectify_rig(transform_from(np.eye(3), np.array(offset)))


def test_cameras_behind_each_other_are_no_rig() -> None:
    with pytest.raises(DataError, match='one camera before the other'):
        rectify_rig(transform_from(np.eye(3), np.array([0.1, 0.0, 1.0])))


@pytest.mark.parametrize('fault', ['mirrored', 'stretched', 'not a number'])
def test_what_is_no_rotation_is_no_rig(fault: str) -> None:
    pose = transform_from(np.eye(3), np.array([0.1, 0.0, 0.0]))
    pose[:3, :3] *= {'mirrored': -1.0, 'stretched': 1.01, 'not a number': np.nan}[fault]
    with pytest.raises(DataError, match=r'stereo rig: found \[\[.*between the cameras, expected a rotation'):
        rectify_rig(pose)
    nearly = transform_from(np.eye(3), np.array([0.1, 0.0, 0.0]))
    nearly[:3, :3] += 1e-4  # as a file of four digits has it
    assert rectify_rig(nearly).baseline == pytest.approx(0.1)


@pytest.mark.parametrize('offset', [(-0.2, 0.0, 0.0), (0.0, 0.2, 0.0), (0.0, -0.2, 0.05)])
def test_the_second_camera_may_be_at_any_side(offset: tuple[float, float, float]) -> None:
    left_from_right = transform_from(rotation_from_vector(np.array([0.01, 0.02, -0.03])), np.array(offset))
    rig = rectify_rig(left_from_right)
    points = np.array([[0.3, -0.2, 4.0], [-1.0, 0.5, 9.0]])
    left, right = points, transform_points(invert_transform(left_from_right), points)
    apart = left @ rig.from_left.T - right @ rig.from_right.T
    np.testing.assert_allclose(apart, [[np.linalg.norm(offset), 0.0, 0.0]] * 2, atol=1e-12)
    assert (points @ rig.from_left.T)[:, 2].min() > 3.5  # still before the cameras


def test_the_axes_look_to_where_the_two_cameras_look_on_average() -> None:
    for angle in (0.2, -0.3):
        turned = rotation_from_vector(np.array([angle, 0.0, 0.0]))  # about the baseline
        rig = rectify_rig(transform_from(turned, np.array([0.1, 0.0, 0.0])))
        np.testing.assert_allclose(rig.from_left, rotation_from_vector(np.array([-0.5 * angle, 0, 0])), atol=1e-12)
        np.testing.assert_allclose(rig.from_right, rig.from_left.T, atol=1e-12)
