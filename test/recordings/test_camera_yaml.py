# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.errors import DataError
from kp2d_ros.recordings.camera_yaml import (
    CameraInfoFields,
    camera_from_fields,
    is_rectified_topic,
    read_camera,
)

K = (500.0, 0.0, 319.5, 0.0, 510.0, 239.5, 0.0, 0.0, 1.0)
P = (400.0, 0.0, 310.0, -40.0, 0.0, 400.0, 230.0, 0.0, 0.0, 0.0, 1.0, 0.0)
D = (-0.3, 0.1, 1e-3, 2e-3, 0.01)
FIELDS = CameraInfoFields(640, 480, 'plumb_bob', D, K, P)


def test_an_image_as_the_camera_took_it_has_k_and_d() -> None:
    camera = camera_from_fields(FIELDS).camera
    np.testing.assert_array_equal(camera.matrix.ravel(), K)
    np.testing.assert_array_equal(camera.coefficients, D)
    assert (camera.width, camera.height, camera.lens) == (640, 480, LensModel.PLUMB_BOB)


def test_a_rectified_image_has_the_left_part_of_p_and_no_distortion() -> None:
    camera = camera_from_fields(FIELDS, rectified=True).camera
    np.testing.assert_array_equal(camera.matrix, [[400, 0, 310], [0, 400, 230], [0, 0, 1]])
    assert not camera.coefficients.any()


@pytest.mark.parametrize(
    ('topic', 'expected'),
    [
        ('/camera/image_rect', True),
        ('/camera/image_rect_color/compressed', True),
        ('image_rect', True),
        ('/camera/image_raw', False),
        ('/image_rectangle_detector/image', True),  # the convention knows prefixes only
        ('/camera/my_image_rect', False),
    ],
)
def test_rectified_topics_are_known_by_name(topic: str, expected: bool) -> None:
    assert is_rectified_topic(topic) is expected


@pytest.mark.parametrize('rectified', [False, True])
def test_zeros_mean_not_calibrated_and_the_reason_says_so(rectified: bool) -> None:
    calibration = camera_from_fields(CameraInfoFields(640, 480, '', (), (0.0,) * 9), rectified=rectified)
    assert calibration.camera is None
    assert f'{"P" if rectified else "K"}[0] == 0' in calibration.reason


@pytest.mark.parametrize(
    ('change', 'complaint'),
    [
        ({'k': (float('nan'), *K[1:])}, 'camera matrix: found .*nan'),
        ({'k': (-500.0, *K[1:])}, 'positive focal lengths'),
        ({'k': K[:8]}, 'K of 8 numbers, expected 9'),
        ({'d': (float('inf'), *D[1:])}, 'distortion of plumb_bob'),
        ({'d': (*D, 0.5)}, 'distortion of plumb_bob: .* expected 0 or 4 or 5'),
        ({'distortion_model': 'equidistant', 'd': ()}, 'distortion of equidistant'),
        ({'distortion_model': 'magic'}, "distortion model: found 'magic'"),
        ({'width': 0}, 'camera size: found 0x480'),
    ],
)
def test_refuses_numbers_that_are_no_camera(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        camera_from_fields(replace(FIELDS, **change))


@pytest.mark.filterwarnings('error')
def test_huge_numbers_are_refused_without_a_warning() -> None:
    fields = replace(
        FIELDS, k=(1e308, 0.0, 1e308, 0.0, 1e308, 1e308, 0.0, 0.0, 1e308), binning=(2, 2), roi=(9, 9, 9, 9)
    )
    with pytest.raises(DataError, match='camera matrix'):
        camera_from_fields(fields)


@pytest.mark.parametrize(
    ('model', 'given_count', 'expected_count'),
    [('plumb_bob', 0, 5), ('', 0, 5), ('plumb_bob', 4, 5), ('rational_polynomial', 5, 8), ('equidistant', 4, 4)],
)
def test_missing_coefficients_are_zero(model: str, given_count: int, expected_count: int) -> None:
    camera = camera_from_fields(replace(FIELDS, distortion_model=model, d=(0.1,) * given_count)).camera
    assert camera.coefficients.tolist() == [0.1] * given_count + [0.0] * (expected_count - given_count)


@pytest.mark.parametrize(('model', 'count'), [('plumb_bob', 5), ('rational_polynomial', 8), ('equidistant', 4)])
def test_zeros_beyond_what_the_model_has_are_cut(model: str, count: int) -> None:
    camera = camera_from_fields(replace(FIELDS, distortion_model=model, d=(0.1,) * count + (0.0,) * 6)).camera
    assert camera.coefficients.tolist() == [0.1] * count


def test_binning_and_region_of_interest_move_the_projected_points_with_the_pixels(rng: np.random.Generator) -> None:
    points = np.column_stack([rng.uniform(-0.5, 0.5, (20, 2)), rng.uniform(1, 3, 20)])
    full = camera_from_fields(FIELDS).camera.project(points)
    part = camera_from_fields(replace(FIELDS, binning=(2, 4), roi=(100, 40, 400, 200))).camera
    assert (part.width, part.height) == (200, 50)
    # Full pixels 100 and 101 become pixel 0, whose centre is at 100.5; rows 40 to 43 have theirs at 41.5.
    np.testing.assert_allclose(part.project(points), (full - (100.5, 41.5)) / (2, 4), atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    focal_ratio=st.floats(0.02, 1e4),
    lens=st.sampled_from(list(LensModel)),
    coefficients=st.lists(st.floats(-1e3, 1e3), min_size=8, max_size=8),
)
def test_yaml_gives_the_same_camera_back(
    tmp_path_factory: pytest.TempPathFactory, size: Any, focal_ratio: Any, lens: Any, coefficients: Any
) -> None:
    count = {LensModel.PLUMB_BOB: 5, LensModel.RATIONAL_POLYNOMIAL: 8, LensModel.EQUIDISTANT: 4}[lens]
    focal = focal_ratio * max(size)
    matrix = np.array([[focal, 0, size[0] / 3], [0, focal * 1.1, size[1] / 3], [0, 0, 1]])
    camera = CameraModel(*size, matrix, lens, np.array(coefficients[:count]))
    path = tmp_path_factory.getbasetemp() / 'camera.yaml'
    path.write_text(
        f'image_width: {size[0]}\nimage_height: {size[1]}\ncamera_name: left\ncamera_matrix:\n  rows: 3\n  cols: 3\n'
        f'  data: {matrix.ravel().tolist()}\ndistortion_model: {lens.value}\ndistortion_coefficients:\n  rows: 1\n'
        f'  cols: {count}\n  data: {camera.coefficients.tolist()}\n'
    )
    again = read_camera(path)
    assert (again.width, again.height, again.lens) == (*size, lens)
    np.testing.assert_array_equal(again.matrix, matrix)
    np.testing.assert_array_equal(again.coefficients, camera.coefficients)


GOOD_YAML = """image_width: 64
image_height: 48
camera_matrix: {rows: 3, cols: 3, data: [50, 0, 31.5, 0, 50, 23.5, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}
"""


@pytest.mark.parametrize(
    ('old', 'new', 'complaint'),
    [
        ('image_width: 64', '', 'image_width: found None, expected a whole number'),
        ('64', 'wide', "image_width: found 'wide'"),
        ('data: [50,', 'data: [x,', 'camera_matrix: found'),
        ('camera_matrix', 'camera_metrics', 'camera_matrix: found None'),
        ('[50, 0,', '[.nan, 0,', 'camera matrix: found'),
        ('[50, 0,', '[0, 0,', 'not calibrated'),
        ('image_height: 48', 'image_height: [', 'is not YAML'),
        ('plumb_bob', 'fisheye', 'distortion of equidistant'),
    ],
)
def test_names_the_file_and_what_is_wrong_with_it(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    path = tmp_path / 'camera.yaml'
    path.write_text(GOOD_YAML.replace(old, new), encoding='utf-8')
    if old == 'plumb_bob':
        path.write_text(GOOD_YAML.replace(old, new).replace('[0, 0, 0, 0, 0]', '[0, 0, 0]'), encoding='utf-8')
    with pytest.raises(DataError, match=rf'camera\.yaml: .*{complaint}'):
        read_camera(path)


def test_reads_plain_lists_and_numbers_that_yaml_takes_for_texts(tmp_path: Path) -> None:
    path = tmp_path / 'camera.yaml'
    text = GOOD_YAML.replace(
        '{rows: 3, cols: 3, data: [50, 0, 31.5, 0, 50, 23.5, 0, 0, 1]}', '[50, 0, 31, 0, 5e1, 23, 0, 0, 1]'
    )
    path.write_text(text.replace('[0, 0, 0, 0, 0]', '[1e-05, 0, 0, 0, 0]'), encoding='utf-8')
    camera = read_camera(path)
    assert camera.fy == 50.0
    assert camera.coefficients[0] == 1e-5


def test_names_the_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'camera\.yaml: cannot be read'):
        read_camera(tmp_path / 'camera.yaml')
