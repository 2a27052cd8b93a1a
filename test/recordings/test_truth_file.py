# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.se3 import quaternion_from_rotation, rotation_from_vector, transform_from
from kp2d_ros.core.trajectories import Trajectory, format_tum
from kp2d_ros.recordings.text_tables import read_truth_file

STAMPS = [1_403_715_273_262_142_976 + k * 50_000_000 for k in range(4)]


@pytest.fixture
def trajectory(rng: np.random.Generator) -> Trajectory:
    poses = [transform_from(rotation_from_vector(rng.normal(size=3)), rng.normal(size=3)) for _ in STAMPS]
    return Trajectory(np.array(STAMPS, np.int64), np.array(poses))


def write(path: Path, lines: list[str]) -> Path:
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return path


def kitti_lines(trajectory: Trajectory) -> list[str]:
    return [' '.join(repr(float(value)) for value in pose[:3].ravel()) for pose in trajectory.world_from_camera]


def euroc_lines(trajectory: Trajectory) -> list[str]:
    lines = ['#timestamp, p_x [m], p_y [m], p_z [m], q_w [], q_x [], q_y [], q_z [], v_x [m s^-1]']
    for stamp, pose in zip(trajectory.stamps_ns.tolist(), trajectory.world_from_camera, strict=True):
        x, y, z, w = quaternion_from_rotation(pose[:3, :3])
        lines.append(','.join([str(stamp), *(repr(float(v)) for v in (*pose[:3, 3], w, x, y, z, 0.0))]))
    return lines


def assert_same(found: Trajectory, expected: Trajectory) -> None:
    np.testing.assert_array_equal(found.stamps_ns, expected.stamps_ns)
    np.testing.assert_allclose(found.world_from_camera, expected.world_from_camera, atol=1e-8)


def test_the_columns_tell_tum_kitti_and_euroc(trajectory: Trajectory, tmp_path: Path) -> None:
    tum = tmp_path / 'tum.txt'
    tum.write_text(format_tum(trajectory))
    assert_same(read_truth_file(tum), trajectory)
    assert_same(read_truth_file(write(tmp_path / 'data.csv', euroc_lines(trajectory))), trajectory)
    kitti = write(tmp_path / '00.txt', kitti_lines(trajectory))
    assert_same(read_truth_file(kitti, STAMPS), trajectory)
    times = write(tmp_path / 'other.txt', [f'{stamp // 10**9}.{stamp % 10**9:09d}' for stamp in STAMPS])
    assert_same(read_truth_file(kitti, times=times), trajectory)
    times.rename(tmp_path / 'times.txt')
    assert_same(read_truth_file(kitti), trajectory)


def test_the_camera_may_sit_elsewhere_on_the_tracked_body(trajectory: Trajectory, tmp_path: Path) -> None:
    tum = tmp_path / 'tum.txt'
    tum.write_text(format_tum(trajectory))
    frame_from_camera = transform_from(rotation_from_vector(np.array([0.0, 1.5, 0.0])), np.array([0.1, 0.0, 0.2]))
    found = read_truth_file(tum, frame_from_camera=frame_from_camera)
    np.testing.assert_allclose(found.world_from_camera, trajectory.world_from_camera @ frame_from_camera, atol=1e-8)


def test_poses_without_a_time_each_are_refused(trajectory: Trajectory, tmp_path: Path) -> None:
    kitti = write(tmp_path / '00.txt', kitti_lines(trajectory))
    with pytest.raises(DataError, match=r'00\.txt: found 4 poses and 3 images, expected as many'):
        read_truth_file(kitti, STAMPS[:3])
    with pytest.raises(DataError, match=r'found 4 poses and 2 times in .*two\.txt'):
        read_truth_file(kitti, STAMPS, times=write(tmp_path / 'two.txt', ['0.1', '0.2']))


@pytest.mark.parametrize(
    ('lines', 'message'),
    [
        (['a b c'], r"line 1: found 'a b c', expected time tx ty tz"),
        ([], 'found no pose'),
        ([f'{STAMPS[0]},1,2,3,1,0,0,x'], 'line 1: .* expected 7 numbers'),
        ([f'{STAMPS[0]},1,2,3,1,0,0,0', '12.5,1,2,3,1,0,0,0'], 'line 2: .* expected a time in ns first'),
    ],
)
def test_what_is_no_trajectory_is_refused_by_line(lines: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_truth_file(write(tmp_path / 'truth.txt', lines))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'nowhere\.txt: cannot be read'):
        read_truth_file(tmp_path / 'nowhere.txt')
