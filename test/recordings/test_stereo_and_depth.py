# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The contract of every reader of stereo pairs and of depth, on one recording written in every layout.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.records import DepthImage, Frame, RightImage, Sensor
from kp2d_ros.core.se3 import invert_transform, rotation_from_vector, transform_from
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.recordings.camera_yaml import CameraInfoFields
from kp2d_ros.recordings.sources import open_sequence
from kp2d_ros.recordings.stereo_rig import fields_from_rig

pytest.importorskip('rosbags')

from kp2d_ros.recordings.bag_writer import BagConfig, write_bag

COUNT = 4
STEP_NS = 100_000_000
BASELINE = transform_from(np.eye(3), np.array([0.25, 0.0, 0.0]))
RIG = transform_from(rotation_from_vector(np.array([0.01, -0.02, 0.005])), np.array([0.24, 0.003, -0.002]))
BODY_FROM_LEFT = transform_from(rotation_from_vector(np.array([0.1, -1.5, 0.3])), np.array([0.02, -0.06, 0.01]))
LENS = np.array([-0.2, 0.05, 1e-3, 2e-3, 0.0])


@dataclass(frozen=True)
class Drive:
    """
    What every reader must give back; the partners of some images may be missing, or late.
    """

    frames: tuple[Frame, ...]
    name: str = 'drive'
    camera: CameraModel | None = None
    ground_truth: Trajectory | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)


def make_drive(left_from_right: Any, lens: Any) -> Drive:
    rng = np.random.default_rng(0)
    left, right = (
        CameraModel(32, 24, np.array([[fx, 0, 15.5], [0, 31.0, 11.5], [0, 0, 1]]), LensModel.PLUMB_BOB, lens)
        for fx in (30.0, 30.0 if left_from_right is BASELINE else 29.0)
    )
    frames = []
    for seq in range(COUNT):
        stamp_ns = 1403715273262142976 + seq * STEP_NS
        images = rng.integers(0, 256, (2, 24, 32), np.uint8)
        metres = (rng.integers(0, 9000, (24, 32)) / 1000.0).astype(np.float32)
        frames.append(
            Frame(
                *(seq, stamp_ns, images[0], left, ''),
                RightImage(stamp_ns, images[1], right, left_from_right),
                DepthImage(stamp_ns, metres),
            )
        )
    return Drive(tuple(frames), camera=left)


RECTIFIED, RAW = make_drive(BASELINE, np.zeros(5)), make_drive(RIG, LENS)


def write_images(folder: Path, images: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        if name.endswith('.npy'):
            np.save(folder / name, image)
        else:
            cv2.imwrite(str(folder / name), image)


def rights(drive: Drive, form: str) -> dict[str, Any]:
    return {form.format(f.seq, f.right.stamp_ns): f.right.image for f in drive if f.right is not None}


def lefts(drive: Drive, form: str) -> dict[str, Any]:
    return {form.format(f.seq, f.stamp_ns): f.image for f in drive}


def depths(drive: Drive, form: str, unit: float = 0.0) -> dict[str, Any]:
    scaled = {form.format(f.seq, f.depth.stamp_ns): f.depth.metres for f in drive if f.depth is not None}
    return {name: np.rint(m / unit).astype(np.uint16) if unit else m for name, m in scaled.items()}


def seconds(stamp_ns: int) -> str:
    return f'{stamp_ns // 10**9}.{stamp_ns % 10**9:09d}'


def yaml_of(fields: CameraInfoFields) -> str:
    return (
        f'image_width: 32\nimage_height: 24\ndistortion_model: plumb_bob\n'
        f'camera_matrix: {{data: {list(fields.k)}}}\ndistortion_coefficients: {{data: {list(fields.d)}}}\n'
        f'rectification_matrix: {{data: {list(fields.r)}}}\nprojection_matrix: {{data: {list(fields.p)}}}\n'
    )


def both_fields(drive: Drive) -> tuple[CameraInfoFields, CameraInfoFields]:
    right = drive.frames[0].right
    return fields_from_rig(drive.camera, right.camera, right.left_from_right)


def write_kitti(root: Path, drive: Drive) -> None:
    folder = root / 'sequences' / '07'
    write_images(folder / 'image_2', lefts(drive, '{:06d}.png'))
    write_images(folder / 'image_3', rights(drive, '{:06d}.png'))
    (folder / 'times.txt').write_text('\n'.join(seconds(frame.stamp_ns) for frame in drive))
    lines = []
    for number, x in ((2, 0.06), (3, 0.06 + BASELINE[0, 3])):
        shift = transform_from(np.eye(3), np.array([-x, 0.01, -0.02]))
        projection = drive.camera.matrix @ shift[:3]
        lines.append(f'P{number}: ' + ' '.join(f'{value:.12e}' for value in projection.ravel()))
    (folder / 'calib.txt').write_text('\n'.join(lines))


def write_euroc(root: Path, drive: Drive) -> None:
    right = drive.frames[0].right
    cameras = {'cam0': (drive.camera, BODY_FROM_LEFT), 'cam1': (right.camera, BODY_FROM_LEFT @ RIG)}
    for name, (camera, pose) in cameras.items():
        images = lefts(drive, '{1}.png') if name == 'cam0' else rights(drive, '{1}.png')
        write_images(root / 'mav0' / name / 'data', images)
        rows = [f'{Path(image).stem},{image}' for image in images]
        (root / 'mav0' / name / 'data.csv').write_text('\n'.join(['#timestamp [ns],filename', *rows]))
        (root / 'mav0' / name / 'sensor.yaml').write_text(
            f'T_BS:\n  data: {pose.ravel().tolist()}\nresolution: [32, 24]\ncamera_model: pinhole\n'
            f'intrinsics: [{camera.fx}, {camera.fy}, 15.5, 11.5]\n'
            f'distortion_model: radial-tangential\ndistortion_coefficients: {camera.coefficients[:4].tolist()}\n'
        )


def write_tum(root: Path, drive: Drive) -> None:
    lists = {'rgb': lefts(drive, '{1}.png'), 'depth': depths(drive, '{1}.png', 1 / 5000)}
    for name, images in lists.items():
        write_images(root / name, images)
        rows = [f'{seconds(int(Path(image).stem))} {name}/{image}' for image in images]
        (root / f'{name}.txt').write_text('\n'.join(['# timestamp filename', *rows]))
    (root / 'camera.yaml').write_text(yaml_of(both_fields(drive)[0]))


def write_tartanair(root: Path, drive: Drive) -> None:
    write_images(root / 'image_left', lefts(drive, '{:06d}_left.png'))
    write_images(root / 'image_right', rights(drive, '{:06d}_right.png'))
    write_images(root / 'depth_left', depths(drive, '{:06d}_left_depth.npy'))
    (root / 'camera.yaml').write_text(yaml_of(both_fields(drive)[0]))


def write_folder(root: Path, drive: Drive) -> None:
    write_images(root / 'left', lefts(drive, 'image{}.png'))
    write_images(root / 'right', rights(drive, 'image{}.png'))
    for name, fields in zip(('left.yaml', 'right.yaml'), both_fields(drive), strict=True):
        (root / name).write_text(yaml_of(fields))
    (root / 'times.txt').write_text('\n'.join(seconds(frame.stamp_ns) for frame in drive))


def write_rectified_folder(root: Path, drive: Drive) -> None:
    write_folder(root, drive)
    (root / 'right.yaml').unlink()
    (root / 'left.yaml').unlink()
    (root / 'camera.yaml').write_text(yaml_of(both_fields(drive)[0]) + 'baseline: 0.25\n')


def folder_with_depth(suffix: str, unit: float, line: str = '') -> Callable[[Path, Drive], None]:
    def write(root: Path, drive: Drive) -> None:
        write_images(root / 'images', lefts(drive, 'image{}.png'))
        write_images(root / 'depth', depths(drive, f'image{{}}{suffix}', unit))
        (root / 'camera.yaml').write_text(yaml_of(both_fields(drive)[0]) + line)
        (root / 'times.txt').write_text('\n'.join(seconds(frame.stamp_ns) for frame in drive))

    return write


def bag(dropped: str, **changes: Any) -> Callable[[Path, Drive], None]:
    def write(root: Path, drive: Drive) -> None:
        frames = tuple(replace(frame, **{dropped: None}) for frame in drive)
        write_bag(root / 'bag', replace(drive, frames=frames), BagConfig(**changes))

    return write


stereo_bag, depth_bag = partial(bag, 'depth'), partial(bag, 'right')
STEREO: dict[str, tuple[Callable[[Path, Drive], None], str, Drive]] = {
    'kitti': (write_kitti, '.', RECTIFIED),
    'euroc': (write_euroc, '.', RAW),
    'tartanair': (write_tartanair, '.', RECTIFIED),
    'folder': (write_folder, '.', RAW),
    'rectified folder': (write_rectified_folder, '.', RECTIFIED),
    'bag': (stereo_bag(), 'bag', RAW),
    'sqlite3 bag of png': (stereo_bag(storage='sqlite3', compression='png'), 'bag', RAW),
    'cam0 and cam1': (stereo_bag(image_topic='/cam0/image', right_topic='/cam1/image'), 'bag', RAW),
}
RGBD: dict[str, tuple[Callable[[Path, Drive], None], str, Drive]] = {
    'tum': (write_tum, '.', RAW),
    'tartanair': (write_tartanair, '.', RECTIFIED),
    'folder of png': (folder_with_depth('.png', 0.001), '.', RAW),
    'folder of npy': (folder_with_depth('.npy', 0.0), '.', RAW),
    'folder with a scale': (folder_with_depth('.png', 0.0005, 'depth_scale: 0.0005\n'), '.', RAW),
    'bag': (depth_bag(), 'bag', RAW),
    'bag of png': (depth_bag(compression='png'), 'bag', RAW),
    'a topic that is depth by its encoding': (depth_bag(depth_topic='/camera/far/image_raw'), 'bag', RAW),
}
LAYOUTS = [*(('stereo', name) for name in STEREO), *(('rgbd', name) for name in RGBD)]


def layout_of(sensor: str, name: str) -> tuple[Callable[[Path, Drive], None], str, Drive]:
    return (STEREO if sensor == 'stereo' else RGBD)[name]


@pytest.fixture(params=LAYOUTS, ids=' '.join)
def layout(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    sensor, name = request.param
    write, inner, drive = layout_of(sensor, name)
    return sensor, write, tmp_path / inner, drive


def test_gives_every_pair_in_order_each_time_it_is_read(layout: Any, tmp_path: Path) -> None:
    sensor, write, path, drive = layout
    write(tmp_path, drive)
    sequence = open_sequence(path, sensor=sensor)
    assert (len(sequence), sequence.sensor) == (COUNT, Sensor(sensor))
    for _ in range(2):
        frames = list(sequence)
        assert [frame.seq for frame in frames] == [0, 1, 2, 3]
        assert (np.diff([frame.stamp_ns for frame in frames]) == STEP_NS).all()
        for frame, expected in zip(frames, drive, strict=True):
            np.testing.assert_array_equal(frame.image, expected.image)
            if sensor == 'stereo':
                assert frame.depth is None
                assert frame.right.stamp_ns == frame.stamp_ns
                np.testing.assert_array_equal(frame.right.image, expected.right.image)
            else:
                assert frame.right is None
                assert (frame.depth.stamp_ns, frame.depth.metres.dtype) == (frame.stamp_ns, np.float32)
                np.testing.assert_allclose(frame.depth.metres, expected.depth.metres, atol=1e-6)


def test_gives_both_cameras_and_where_they_are(layout: Any, tmp_path: Path) -> None:
    sensor, write, path, drive = layout
    write(tmp_path, drive)
    frame = next(iter(open_sequence(path, sensor=sensor)))
    np.testing.assert_allclose(frame.camera.matrix, drive.camera.matrix, rtol=1e-9)
    np.testing.assert_allclose(frame.camera.coefficients, drive.camera.coefficients)
    if sensor == 'stereo':
        expected = drive.frames[0].right
        np.testing.assert_allclose(frame.right.left_from_right, expected.left_from_right, atol=1e-9)
        np.testing.assert_allclose(frame.right.camera.matrix, expected.camera.matrix, rtol=1e-9)
        np.testing.assert_allclose(frame.right.camera.coefficients, expected.camera.coefficients)


def test_one_camera_alone_reads_the_left_or_colour_images_as_ever(layout: Any, tmp_path: Path) -> None:
    _, write, path, drive = layout
    write(tmp_path, drive)
    options = {'image_topic': BagConfig().image_topic_of(Sensor.STEREO)} if path.name == 'bag' else {}
    try:
        sequence = open_sequence(path)
    except DataError as error:  # two image topics, of which none is more than the other
        assert 'name it' in str(error)
        if 'cam0' in str(error):
            options = {'image_topic': '/cam0/image'}
        sequence = open_sequence(path, **options)
    for frame, expected in zip(sequence, drive, strict=True):
        np.testing.assert_array_equal(frame.image, expected.image)
        assert frame.right is frame.depth is None


def without(drive: Drive, *missing: int) -> Drive:
    """
    The drive without the partners of some images.
    """
    frames = [replace(f, right=None, depth=None) if f.seq in missing else f for f in drive]
    return replace(drive, frames=tuple(frames))


FILES = [each for each in LAYOUTS if 'bag' not in each[1] and 'cam0' not in each[1] and 'topic' not in each[1]]


@pytest.mark.parametrize(('sensor', 'name'), FILES)
def test_an_image_without_a_partner_is_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, sensor: str, name: str
) -> None:
    write, inner, drive = layout_of(sensor, name)
    write(tmp_path, without(drive, 1))
    with caplog.at_level(logging.WARNING):
        sequence = open_sequence(tmp_path / inner, sensor=sensor)
    assert len(sequence) == COUNT - 1
    frames = list(sequence)
    assert [frame.seq for frame in frames] == [0, 1, 2]
    np.testing.assert_array_equal(frames[1].image, drive.frames[2].image)
    assert '3 pairs of images: 1 of 4' in caplog.text


@pytest.mark.parametrize(('sensor', 'name'), FILES)
def test_a_partner_that_is_broken_is_named(tmp_path: Path, sensor: str, name: str) -> None:
    write, inner, drive = layout_of(sensor, name)
    write(tmp_path, drive)
    folders = {'right', 'image_3', 'image_right'} if sensor == 'stereo' else {'depth', 'depth_left'}
    files = [*(path for path in tmp_path.rglob('*.*') if path.parent.name in folders), *tmp_path.glob('*/cam1/data/*')]
    broken = sorted(files)[2]
    broken.write_bytes(b'rubbish')
    with pytest.raises(DataError, match=broken.name):
        list(open_sequence(tmp_path / inner, sensor=sensor))


@pytest.mark.parametrize(('sensor', 'name'), FILES)
def test_without_any_partner_it_says_what_it_looked_for(tmp_path: Path, sensor: str, name: str) -> None:
    write, inner, drive = layout_of(sensor, name)
    write(tmp_path, drive)
    for gone in ('image_3', 'image_right', 'right', 'depth', 'depth_left', 'cam1'):
        for folder in tmp_path.rglob(gone):
            folder.rename(tmp_path / f'{gone}_moved')
    (tmp_path / 'depth.txt').unlink(missing_ok=True)
    with pytest.raises(DataError, match=r'found no .*images, looked for \S+'):
        open_sequence(tmp_path / inner, sensor=sensor)


@pytest.mark.parametrize(
    ('name', 'sensor', 'options', 'complaint'),
    [
        ('tum', 'stereo', {}, 'is TUM RGB-D, which has no right images; .* expected mono or rgbd'),
        ('kitti', 'rgbd', {}, 'is KITTI odometry, which has no depth images; .* expected mono or stereo'),
        ('euroc', 'rgbd', {}, 'is EuRoC, which has no depth images'),
        ('kitti', 'stereo', {'camera': 3}, 'camera: found 3, expected the left one of a pair: 0 or 2'),
        ('euroc', 'stereo', {'camera': 1}, 'camera: found 1, expected the left one'),
        ('folder', 'three', {}, "sensor: found 'three', expected mono, stereo, rgbd"),
        ('bag', 'mono', {'right_topic': '/a'}, "right topic: found '/a' with the sensor mono, .* goes with stereo"),
        ('bag', 'stereo', {'depth_scale': 0.1}, 'depth scale: found 0.1 with the sensor stereo, .* goes with rgbd'),
        ('kitti', 'stereo', {'right_topic': '/a'}, 'right topic: found .* is an option of a bag'),
    ],
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, name: str, sensor: str, options: dict[str, Any], complaint: str
) -> None:
    write, inner, drive = {**RGBD, **STEREO}[name]
    write(tmp_path, drive)
    with pytest.raises((ConfigError, DataError), match=complaint):
        open_sequence(tmp_path / inner, sensor=sensor, **options)


def test_depth_of_another_shape_than_the_image_is_refused(tmp_path: Path) -> None:
    frames = [replace(frame, depth=DepthImage(frame.stamp_ns, frame.depth.metres[:20])) for frame in RAW]
    folder_with_depth('.npy', 0.0)(tmp_path, replace(RAW, frames=tuple(frames)))
    with pytest.raises(DataError, match=r'image0.npy: found depth of 32x20 for an image of 32x24'):
        list(open_sequence(tmp_path, sensor='rgbd'))


def test_depth_of_half_the_size_is_taken(tmp_path: Path) -> None:
    frames = [replace(frame, depth=DepthImage(frame.stamp_ns, frame.depth.metres[::2, ::2])) for frame in RAW]
    folder_with_depth('.npy', 0.0)(tmp_path, replace(RAW, frames=tuple(frames)))
    assert next(iter(open_sequence(tmp_path, sensor='rgbd'))).depth.metres.shape == (12, 16)


def test_a_rig_that_is_not_known_is_told_and_a_baseline_helps(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_folder(tmp_path, RECTIFIED)
    (tmp_path / 'right.yaml').unlink()
    with caplog.at_level(logging.WARNING):
        sequence = open_sequence(tmp_path, sensor='stereo')
    assert (sequence.left_from_right, sequence.right_camera) == (None, None)
    assert 'found no right.yaml' in caplog.text
    sequence = open_sequence(tmp_path, sensor='stereo', baseline=0.3)
    assert sequence.left_from_right[0, 3] == 0.3
    assert sequence.right_camera is sequence.camera


def test_a_calibration_of_the_users_own_is_that_of_both_cameras_where_the_right_one_has_none(tmp_path: Path) -> None:
    write_folder(tmp_path, RECTIFIED)
    (tmp_path / 'left.yaml').rename(tmp_path / 'own.txt')
    (tmp_path / 'right.yaml').unlink()
    sequence = open_sequence(tmp_path, sensor='stereo', baseline=0.3, calibration=tmp_path / 'own.txt')
    assert sequence.right_camera is sequence.camera is not None


def test_tartanair_has_its_own_camera_and_poses_with_x_forward(tmp_path: Path) -> None:
    write_tartanair(tmp_path, RECTIFIED)
    (tmp_path / 'camera.yaml').unlink()
    (tmp_path / 'pose_left.txt').write_text('0 0 0 0 0 0 1\n1 2 3 0 0 0 1\n')
    sequence = open_sequence(tmp_path, sensor='stereo')
    np.testing.assert_array_equal(sequence.camera.matrix, [[320, 0, 320], [0, 320, 240], [0, 0, 1]])
    first, second = sequence.ground_truth.world_from_camera
    # One ahead, two to the right, three down: z, x and y of the optical frame.
    np.testing.assert_allclose((invert_transform(first) @ second)[:3, 3], [2, 3, 1], atol=1e-12)
    with pytest.raises(DataError, match='calibration for 640x480'):
        list(sequence)
