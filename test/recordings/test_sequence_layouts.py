# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What is particular to each folder layout; what they share is in test_sequence.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kp2d_ros.core.cameras import LensModel
from kp2d_ros.core.errors import DataError
from kp2d_ros.recordings.euroc import open_euroc
from kp2d_ros.recordings.image_files import StampedFiles, list_images, open_image_files
from kp2d_ros.recordings.image_folder import open_image_folder
from kp2d_ros.recordings.kitti import open_kitti
from kp2d_ros.recordings.text_tables import read_poses, read_times
from kp2d_ros.recordings.tum import open_tum

IDENTITY = '1 0 0 0 0 1 0 0 0 0 1 0'


def write(root: Any, **texts: Any) -> None:
    for name, text in texts.items():
        path = root / name.replace('__', '/').replace('_dot_', '.')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding='utf-8')


def write_images(folder: Path, names: Any, size: tuple[int, int] = (6, 8)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        cv2.imwrite(str(folder / name), np.full(size, 7, np.uint8))


@pytest.fixture
def kitti(tmp_path: Path) -> Path:
    folder = tmp_path / 'sequences' / '00'
    lines = [f'P{i}: 7 0 3 {-7 * i} 0 7 2 0 0 0 1 0' for i in range(4)]
    write(folder, calib_dot_txt='\n'.join(lines), times_dot_txt='0.0e+00\n1.0e-01\n2.0e-01\n')
    for camera, names in ((0, ['000000.png', '000002.png']), (1, ['000001.png'])):
        write_images(folder / f'image_{camera}', names)
    write(tmp_path, poses__00_dot_txt='\n'.join([IDENTITY] * 3))
    return tmp_path


def test_kitti_joins_images_times_and_poses_by_number(kitti: Any) -> None:
    sequence = open_kitti(kitti)
    assert [Path(image.place).name for image in sequence.read()] == ['000000.png', '000002.png']
    assert [frame.stamp_ns for frame in sequence] == [0, 200000000]
    assert sequence.ground_truth.stamps_ns.tolist() == [0, 200_000_000]


def test_kitti_right_camera_stands_one_baseline_to_the_right(kitti: Any) -> None:
    sequence = open_kitti(kitti, camera=1)
    assert [frame.stamp_ns for frame in sequence] == [100000000]
    assert sequence.ground_truth.world_from_camera[0, :3, 3].tolist() == [1, 0, 0]
    with pytest.raises(DataError, match=r'images of cameras \[0, 1\], expected those of camera 2'):
        open_kitti(kitti, camera=2)


def test_kitti_without_poses_has_no_ground_truth_and_fewer_poses_give_a_shorter_one(kitti: Any) -> None:
    (kitti / 'poses' / '00.txt').write_text(IDENTITY)
    assert len(open_kitti(kitti).ground_truth) == 1
    (kitti / 'poses' / '00.txt').unlink()
    assert open_kitti(kitti).ground_truth is None


def test_kitti_refuses_an_unclear_root_and_images_without_a_time(kitti: Any) -> None:
    write_images(kitti / 'sequences' / '00' / 'image_0', ['000003.png'])
    with pytest.raises(DataError, match=r'000003\.png: found no time'):
        open_kitti(kitti)
    write(kitti, sequences__05__calib_dot_txt='')
    (kitti / 'sequences' / '05' / 'image_0').mkdir()
    with pytest.raises(DataError, match='found the sequences 00, 05, expected one'):
        open_kitti(kitti)


@pytest.mark.parametrize(
    ('calibration', 'complaint'),
    [
        ('P1: 1 2 3', 'found no line P0:'),
        ('P0: 1 2 3', 'line 1: .*expected 12'),
        ('P0: 0' + ' 0' * 11, 'camera matrix'),
    ],
)
def test_kitti_refuses_a_broken_calibration(kitti: Any, calibration: Any, complaint: str) -> None:
    (kitti / 'sequences' / '00' / 'calib.txt').write_text(calibration)
    with pytest.raises(DataError, match=complaint):
        open_kitti(kitti)


SENSOR = """camera_model: pinhole
intrinsics: [7, 7, 3.5, 2.5]
resolution: [8, 6]
distortion_model: equidistant
distortion_coefficients: [0.1, 0.2, 0.3, 0.4]
"""


@pytest.fixture
def euroc(tmp_path: Path) -> Path:
    write_images(tmp_path / 'mav0' / 'cam0' / 'data', ['1403715273262142976.png'])
    listed = '#timestamp [ns],filename\n1403715273262142976,1403715273262142976.png\n'
    write(tmp_path / 'mav0', cam0__data_dot_csv=listed, cam0__sensor_dot_yaml=SENSOR)
    return tmp_path


def test_euroc_without_ground_truth_or_extrinsics(euroc: Any) -> None:
    sequence = open_euroc(euroc)
    assert sequence.ground_truth is None
    assert sequence.camera.lens is LensModel.EQUIDISTANT
    assert next(iter(sequence)).stamp_ns == 1403715273262142976


def test_euroc_without_sensor_file_has_no_camera(euroc: Any) -> None:
    (euroc / 'mav0' / 'cam0' / 'sensor.yaml').unlink()
    assert open_euroc(euroc).camera is None


def test_euroc_reads_the_motion_capture_of_tum_vi(euroc: Any) -> None:
    write(euroc, mav0__mocap0__data_dot_csv='#t,p,q\n5,1,2,3,1,0,0,0\n')
    assert open_euroc(euroc).ground_truth.world_from_camera[0, :3, 3].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ('name', 'text', 'complaint'),
    [
        ('cam0/data.csv', 'soon,a.png\n', r'data\.csv, line 1: .*expected a time in ns'),
        ('cam0/data.csv', '9' * 20 + ',a.png\n', r'data\.csv, line 1: .*up to 19 digits'),
        ('cam0/data.csv', '17\n', r'data\.csv, line 1'),
        ('cam0/sensor.yaml', SENSOR.replace('pinhole', 'omni'), "camera model 'omni'"),
        ('cam0/sensor.yaml', SENSOR.replace('[7, 7,', '[7,'), 'intrinsics .*expected 4 numbers'),
        ('cam0/sensor.yaml', SENSOR.replace('0.4]', 'x]'), 'distortion_coefficients'),
        ('cam0/sensor.yaml', SENSOR.replace('[7, 7,', '[0, 7,'), r'sensor\.yaml: camera matrix'),
        ('cam0/sensor.yaml', SENSOR + 'T_BS: {data: [1, 2]}', 'expected 16 numbers'),
        ('cam0/sensor.yaml', '[', r'sensor\.yaml: is not YAML'),
        ('state_groundtruth_estimate0/data.csv', '5,1,2,3,1,0,0\n', r'data\.csv, line 1: .*expected 7'),
        ('state_groundtruth_estimate0/data.csv', '5,1,2,3,0,0,0,0\n', 'quaternion: found'),
        ('state_groundtruth_estimate0/data.csv', '# nothing\n', 'found no pose'),
    ],
)
def test_euroc_names_what_is_wrong(euroc: Any, name: str, text: Any, complaint: str) -> None:
    path = euroc / 'mav0' / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with pytest.raises(DataError, match=complaint):
        open_euroc(euroc)


@pytest.mark.parametrize(
    ('name', 'fx'),
    [('rgbd_dataset_freiburg1_desk', 517.3), ('x_freiburg2', 520.9), ('freiburg3', 535.4), ('own', None)],
)
def test_tum_knows_the_cameras_of_the_benchmark_by_the_folders_name(
    tmp_path: Path, name: str, fx: float | None
) -> None:
    write(tmp_path / name, rgb_dot_txt='# rgb\n1305031102.175304 rgb/1305031102.175304.png\n')
    write_images(tmp_path / name / 'rgb', ['1305031102.175304.png'], size=(480, 640))
    sequence = open_tum(tmp_path / name)
    assert (sequence.camera.fx if sequence.camera else None) == fx
    assert [frame.stamp_ns for frame in sequence] == [1305031102175304000]
    assert sequence.ground_truth is None


@pytest.mark.parametrize('line', ['17.0', 'now rgb/a.png'])
def test_tum_names_the_line_that_is_wrong(tmp_path: Path, line: str) -> None:
    write(tmp_path, rgb_dot_txt=f'# rgb\n{line}\n')
    with pytest.raises(DataError, match=r'rgb\.txt, line 2: .*expected time in seconds, file name'):
        open_tum(tmp_path)


def test_a_list_without_images_is_refused(tmp_path: Path) -> None:
    write(tmp_path, rgb_dot_txt='# rgb\n')
    with pytest.raises(DataError, match='found 0 images'):
        open_tum(tmp_path)


def test_images_without_times_follow_at_the_nominal_rate(tmp_path: Path) -> None:
    write_images(tmp_path, ['b2.png', 'b10.png', 'b1.png'])
    sequence = open_image_folder(tmp_path)
    assert [Path(image.place).name for image in sequence.read()] == ['b1.png', 'b2.png', 'b10.png']
    assert [frame.stamp_ns for frame in sequence] == [0, 100000000, 200000000]
    assert (sequence.camera, sequence.ground_truth) == (None, None)


def test_images_without_times_have_those_of_a_trajectory_of_as_many_lines(tmp_path: Path) -> None:
    write_images(tmp_path, ['1.png', '2.png'])
    write(tmp_path, poses_dot_txt='7.5 0 0 0 0 0 0 1\n8.5 0 0 0 0 0 0 1\n')
    assert [frame.stamp_ns for frame in open_image_folder(tmp_path)] == [7500000000, 8500000000]
    write(tmp_path, poses_dot_txt='7.5 0 0 0 0 0 0 1\n')
    assert [frame.stamp_ns for frame in open_image_folder(tmp_path)] == [0, 100000000]


def test_poses_of_fewer_images_give_a_shorter_ground_truth_and_more_are_passed_over(tmp_path: Path) -> None:
    write_images(tmp_path, ['1.png', '2.png'])
    for lines in (1, 2, 3):
        write(tmp_path, poses_dot_txt='\n'.join([IDENTITY] * lines))
        assert open_image_folder(tmp_path).ground_truth.stamps_ns.tolist() == [0, 100_000_000][:lines]


def test_a_folder_with_too_few_times_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path, ['1.png', '2.png'])
    write(tmp_path, times_dot_txt='0.5\n')
    with pytest.raises(DataError, match=r'times\.txt: found 1 times, expected one for each of the 2 images'):
        open_image_folder(tmp_path)


def test_images_are_found_by_suffix_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = ['img_9_b.jpg', 'img_10_a.PNG', 'img_9_a.jpeg', '.hidden.png', 'notes.txt', 'depth.exr']
    for name in names:
        (tmp_path / name).write_bytes(b'')
    assert [path.name for path in list_images(tmp_path)] == ['img_9_a.jpeg', 'img_9_b.jpg', 'img_10_a.PNG']
    assert list_images(tmp_path / 'nowhere') == []


def test_a_sequence_needs_a_time_per_image(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='sequence x: found 1 images and 2 times'):
        open_image_files('x', StampedFiles([tmp_path / 'a.png'], [1, 2]), None, None)


@pytest.mark.parametrize(
    ('text', 'complaint'),
    [
        ('1 0 0 0 0 1 0 0 0 0 1\n', 'line 1: .*expected 12'),
        (f'{IDENTITY}\n\n# x\n{IDENTITY} 5\n', 'line 4: .*expected 12'),
        ('2 0 0 0 0 2 0 0 0 0 2 0\n', 'whose left part is a rotation'),
        ('1 0 0 0 0 1 0 0 0 0 -1 0\n', 'whose left part is a rotation'),
        ('nan 0 0 0 0 1 0 0 0 0 1 0\n', 'expected 12 finite numbers'),
        ('a 0 0 0 0 1 0 0 0 0 1 0\n', 'expected 12 numbers'),
    ],
)
def test_poses_that_are_none_are_named_by_their_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / 'poses.txt').write_text(text)
    with pytest.raises(DataError, match=complaint):
        read_poses(tmp_path / 'poses.txt')


def test_times_keep_their_nanoseconds_and_name_the_line_that_is_none(tmp_path: Path) -> None:
    (tmp_path / 'times.txt').write_text('1403715273.262142976\r\n-0.5\n')
    assert read_times(tmp_path / 'times.txt') == [1403715273262142976, -500000000]
    (tmp_path / 'times.txt').write_text('1.0\nnoon\n')
    with pytest.raises(DataError, match=r"times\.txt, line 2: found 'noon'"):
        read_times(tmp_path / 'times.txt')
    (tmp_path / 'times.txt').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(DataError, match=r'times\.txt: cannot be read'):
        read_times(tmp_path / 'times.txt')
