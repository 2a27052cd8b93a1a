# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kp2d_ros.core.errors import DataError, ShapeError
from kp2d_ros.core.se3 import (
    angle_between,
    hat,
    invert_transform,
    is_rotation,
    quaternion_from_rotation,
    renormalised,
    rotation_angle,
    rotation_from_quaternion,
    rotation_from_vector,
    transform_from,
    transform_points,
    vector_from_rotation,
)

triples = st.lists(st.floats(-3, 3), min_size=3, max_size=3).map(np.array)


@given(a=triples, b=triples)
def test_hat_is_the_cross_product(a: Any, b: Any) -> None:
    np.testing.assert_allclose(hat(a) @ b, np.cross(a, b), atol=1e-12)


@given(vector=triples)
def test_a_vector_becomes_the_rotation_that_opencv_makes_of_it(vector: Any) -> None:
    rotation = rotation_from_vector(vector)
    np.testing.assert_allclose(rotation, cv2.Rodrigues(vector)[0], atol=1e-9)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)


@given(vector=triples, scale=st.sampled_from([1.0, 1e-3, 1e-6, 1e-9]))
def test_a_rotation_gives_its_vector_back_however_small(vector: Any, scale: Any) -> None:
    vector = vector * scale
    assume(np.linalg.norm(vector) < 3.1)
    found = vector_from_rotation(rotation_from_vector(vector))
    np.testing.assert_allclose(found, vector, rtol=1e-6, atol=2e-9)


def test_half_a_turn_gives_its_axis_back_up_to_the_sign() -> None:
    for axis in np.eye(3):
        found = vector_from_rotation(rotation_from_vector(np.pi * axis))
        np.testing.assert_allclose(np.abs(found), np.pi * axis, atol=1e-9)


@given(quaternion=st.lists(st.floats(-2, 2), min_size=4, max_size=4).map(np.array))
def test_a_quaternion_comes_back_with_unit_length_and_positive_w(quaternion: Any) -> None:
    norm = np.linalg.norm(quaternion)
    assume(norm > 1e-3)
    found = quaternion_from_rotation(rotation_from_quaternion(quaternion))
    expected = quaternion / norm
    assert found[3] >= 0
    assert np.linalg.norm(found) == pytest.approx(1.0)
    assert min(np.abs(found - expected).max(), np.abs(found + expected).max()) < 1e-9


def test_quaternions_are_in_the_order_x_y_z_w() -> None:
    quarter = np.sqrt(0.5)
    about_z = rotation_from_quaternion(np.array([0.0, 0.0, quarter, quarter]))
    np.testing.assert_allclose(about_z @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(quaternion_from_rotation(np.eye(3)), [0, 0, 0, 1], atol=1e-12)


def test_a_matrix_that_is_a_rotation_only_nearly_gives_the_nearest_quaternion(rng: np.random.Generator) -> None:
    rotation = rotation_from_vector(np.array([0.3, -1.0, 2.0]))
    found = quaternion_from_rotation(rotation + rng.normal(0, 1e-4, (3, 3)))
    np.testing.assert_allclose(found, quaternion_from_rotation(rotation), atol=5e-4)


@pytest.mark.parametrize('quaternion', [[0, 0, 0, 0], [np.nan, 0, 0, 1], [np.inf, 0, 0, 1], [1e-12, 0, 0, 0]])
def test_refuses_a_quaternion_without_direction(quaternion: list[Any]) -> None:
    with pytest.raises(DataError, match='quaternion: found'):
        rotation_from_quaternion(np.array(quaternion, float))


def test_refuses_a_quaternion_of_another_shape() -> None:
    with pytest.raises(ShapeError, match=r'quaternion: found shape \(3,\)'):
        rotation_from_quaternion(np.zeros(3))


@given(vector=triples, translation=triples, points=st.lists(triples, min_size=1, max_size=4))
def test_points_go_there_and_back(vector: Any, translation: Any, points: Any) -> None:
    a_from_b = transform_from(rotation_from_vector(vector), translation)
    points_b = np.array(points)
    points_a = transform_points(a_from_b, points_b)
    np.testing.assert_allclose(points_a, points_b @ a_from_b[:3, :3].T + translation, atol=1e-12)
    np.testing.assert_allclose(transform_points(invert_transform(a_from_b), points_a), points_b, atol=1e-9)
    np.testing.assert_allclose(invert_transform(a_from_b) @ a_from_b, np.eye(4), atol=1e-12)


def test_no_points_stay_no_points() -> None:
    assert transform_points(np.eye(4), np.empty((0, 3))).shape == (0, 3)


@given(angle=st.floats(0, np.pi))
def test_the_angle_of_a_rotation_is_that_of_its_vector(angle: Any) -> None:
    axis = np.array([0.6, 0.0, 0.8])
    assert rotation_angle(rotation_from_vector(angle * axis)) == pytest.approx(angle, abs=1e-8)


@given(angle=st.floats(0, np.pi), lengths=st.tuples(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)))
def test_the_angle_between_vectors_does_not_depend_on_their_lengths(angle: Any, lengths: Any) -> None:
    first = np.array([lengths[0], 0.0, 0.0])
    second = lengths[1] * np.array([np.cos(angle), np.sin(angle), 0.0])
    assert angle_between(first, second) == pytest.approx(angle, abs=1e-9)


def test_the_angle_with_a_zero_vector_is_nan() -> None:
    assert np.isnan(angle_between(np.zeros(3), np.ones(3)))


@given(vector=triples)
def test_a_rotation_blurred_by_rounding_becomes_one_again(vector: Any) -> None:
    exact = transform_from(rotation_from_vector(vector), np.array([1.0, -2.0, 3.0]))
    blurred = exact.copy()
    blurred[:3, :3] += 1e-6 * np.arange(9).reshape(3, 3)
    found = renormalised(blurred)
    np.testing.assert_allclose(found[:3, :3] @ found[:3, :3].T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(found, exact, atol=1e-5)
    np.testing.assert_array_equal(found[:, 3], exact[:, 3])


@given(triples)
def test_a_rotation_is_one_as_files_write_it_and_its_mirror_image_is_none(vector: Any) -> None:
    rotation = rotation_from_vector(vector)
    assert is_rotation(rotation)
    assert is_rotation(rotation.round(4))
    assert not is_rotation(rotation * [1.0, 1.0, -1.0])
    assert not is_rotation(rotation * 1.01)
    assert not is_rotation(np.full((3, 3), np.nan))
