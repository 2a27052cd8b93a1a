# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kp2d_ros.core.errors import DataError, ShapeError
from kp2d_ros.core.se3 import rotation_from_vector, transform_from
from kp2d_ros.core.trajectories import Trajectory, format_tum, nanoseconds_from_text, read_tum


@pytest.fixture
def trajectory(rng: np.random.Generator) -> Trajectory:
    poses = [transform_from(rotation_from_vector(rng.normal(0, 2, 3)), rng.normal(0, 50, 3)) for _ in range(5)]
    stamps = np.array([-1_500_000_001, -7, 0, 1403715273262142976, 1403715273262142977], np.int64)
    return Trajectory(stamps, np.array(poses))


def test_text_gives_the_trajectory_back_with_every_nanosecond(tmp_path: Path, trajectory: Any) -> None:
    (tmp_path / 'a.txt').write_text(format_tum(trajectory), encoding='utf-8')
    again = read_tum(tmp_path / 'a.txt')
    np.testing.assert_array_equal(again.stamps_ns, trajectory.stamps_ns)
    np.testing.assert_allclose(again.world_from_camera, trajectory.world_from_camera, atol=1e-8)


def test_reads_the_text_of_the_benchmark(tmp_path: Path) -> None:
    lines = '# ground truth\n\n  1305031102.1758 1.3405 0.6266 1.6575 0.0 0.0 0.7071068 0.7071068\r\n'
    (tmp_path / 'a.txt').write_text(lines, encoding='utf-8')
    (pose,) = read_tum(tmp_path / 'a.txt').world_from_camera
    np.testing.assert_allclose(pose[:3], [[0, -1, 0, 1.3405], [1, 0, 0, 0.6266], [0, 0, 1, 1.6575]], atol=1e-7)


@pytest.mark.parametrize(
    ('text', 'complaint'),
    [
        ('1 2 3\n', 'line 1: found .*expected 8 finite numbers'),
        ('# x\n1 0 0 0 0 0 0 nan\n', 'line 2: .*expected 8 finite numbers'),
        ('1 0 0 0 0 0 0 one\n', 'line 1: could not convert'),
        ('noon 0 0 0 0 0 0 1\n', "line 1: not a number: 'noon'"),
        ('1 0 0 0 0 0 0 0\n', 'line 1: .*expected 8 finite numbers.* not all 0'),
        ('# only words\n', 'found no pose'),
        ('2 0 0 0 0 0 0 1\n1 0 0 0 0 0 0 1\n', 'expected strictly rising times'),
    ],
)
def test_names_what_is_wrong_with_a_text(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / 'a.txt').write_text(text, encoding='utf-8')
    with pytest.raises(DataError, match=complaint):
        read_tum(tmp_path / 'a.txt')


def test_names_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'a\.txt: cannot be read as a TUM trajectory'):
        read_tum(tmp_path / 'a.txt')
    (tmp_path / 'a.txt').write_bytes(b'\xff\xfe\xff')
    with pytest.raises(DataError, match=r'a\.txt: cannot be read as a TUM trajectory'):
        read_tum(tmp_path / 'a.txt')


@pytest.mark.parametrize('stamps', [[1, 1], [2, 1]])
def test_refuses_times_that_do_not_rise(stamps: list[int]) -> None:
    with pytest.raises(DataError, match=rf'found {stamps[1]} after {stamps[0]} in row 1'):
        Trajectory(np.array(stamps, np.int64), np.tile(np.eye(4), (2, 1, 1)))


def test_refuses_lengths_that_do_not_agree() -> None:
    with pytest.raises(ShapeError, match=r'world_from_camera: found shape \(1, 4, 4\)'):
        Trajectory(np.array([1, 2], np.int64), np.eye(4)[None])


def test_an_empty_trajectory_has_no_lines() -> None:
    empty = Trajectory(np.empty(0, np.int64), np.empty((0, 4, 4)))
    assert len(empty) == 0
    assert format_tum(empty).startswith('#')
    assert format_tum(empty).count('\n') == 1


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('1305031102.175304', 1305031102175304000),
        ('1403715273.262142976', 1403715273262142976),
        ('0', 0),
        ('.5', 500_000_000),
        ('5.', 5_000_000_000),
        (' -0.25 ', -250_000_000),
        ('1.037360e-01', 103_736_000),
        ('1.5E3', 1_500_000_000_000),
        ('1.0000000019', 1_000_000_001),  # cut, not rounded
    ],
)
def test_seconds_become_whole_nanoseconds(text: str, expected: int) -> None:
    assert nanoseconds_from_text(text) == expected


@given(nanoseconds=st.integers(-(2**63) + 10**10, 2**63 - 10**10))
def test_decimal_text_of_any_time_gives_it_back(nanoseconds: Any) -> None:
    sign, whole = ('-', -nanoseconds) if nanoseconds < 0 else ('', nanoseconds)
    assert nanoseconds_from_text(f'{sign}{whole // 10**9}.{whole % 10**9:09d}') == nanoseconds


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=12) | st.from_regex(r'[-+.e0-9]{1,14}', fullmatch=True))
def test_any_text_is_a_time_of_64_bits_or_refused(text: Any) -> None:
    try:
        assert abs(nanoseconds_from_text(text)) < 2**63
    except ValueError:
        return


@pytest.mark.parametrize('text', ['', '.', '-', 'nan', 'inf', '1e999', '1e999999999', '9300000000', '1.2.3', '1,5'])
def test_refuses_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match='not a '):
        nanoseconds_from_text(text)
