# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The contract of every sequence reader, on one recording written in every layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.records import Frame
from kp2d_ros.core.se3 import invert_transform, quaternion_from_rotation, rotation_from_vector, transform_from
from kp2d_ros.core.trajectories import Trajectory, format_tum
from kp2d_ros.recordings.sources import open_sequence, open_sequences

pytest.importorskip('rosbags')

from kp2d_ros.recordings.bag_writer import BagConfig, write_bag

BODY_FROM_CAMERA = transform_from(rotation_from_vector(np.array([0.1, -1.5, 0.3])), np.array([0.02, -0.06, 0.01]))


@dataclass(frozen=True)
class Recording:
    """
    A sequence in memory: what every reader must give back.
    """

    name: str
    stamps_ns: list[int]
    images: list[np.ndarray]
    camera: CameraModel | None
    ground_truth: Trajectory | None
    camera_yaml: str

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Frame]:
        for seq, (stamp_ns, image) in enumerate(zip(self.stamps_ns, self.images, strict=True)):
            yield Frame(seq, stamp_ns, image, self.camera)


@pytest.fixture(scope='module')
def recording(format_camera: Callable[[CameraModel], str]) -> Recording:
    rng, count = np.random.default_rng(0), 4
    poses = np.array(
        [transform_from(rotation_from_vector(rng.normal(0, 0.3, 3)), rng.normal(0, 1, 3)) for _ in range(count)]
    )
    stamps_ns = [1403715273262142976 + i * 50000001 for i in range(count)]
    matrix = np.array([[30.0, 0, 15.5], [0, 31.0, 11.5], [0, 0, 1]])
    camera = CameraModel(32, 24, matrix, LensModel.PLUMB_BOB, np.array([-0.2, 0.05, 1e-3, 2e-3, 0.0]))
    images = list(rng.integers(0, 256, (count, 24, 32, 3), np.uint8))
    truth = Trajectory(np.array(stamps_ns, np.int64), poses)
    return Recording('drive', stamps_ns, images, camera, truth, format_camera(camera))


def seconds(stamp_ns: Any) -> str:
    return f'{stamp_ns // 10**9}.{stamp_ns % 10**9:09d}'


def write_image(path: Path, image: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1])


def rows_of(poses: Any) -> Any:
    return '\n'.join(' '.join(f'{v:.12e}' for v in pose[:3].ravel()) for pose in poses) + '\n'


def write_kitti(root: Any, recording: Any) -> None:
    folder = root / 'sequences' / '07'
    for i, image in enumerate(recording.images):
        write_image(folder / 'image_2' / f'{i:06d}.png', image)
    # More times and poses than images, as in a part of a sequence.
    times = [*recording.stamps_ns, recording.stamps_ns[-1] + 10**9]
    (folder / 'times.txt').write_text('\n'.join(map(seconds, times)))
    left_from_camera = transform_from(np.eye(3), np.array([0.06, -0.01, 0.02]))
    projection = recording.camera.matrix @ invert_transform(left_from_camera)[:3]
    lines = ['P0: ' + ' '.join(['1'] * 12), 'P2: ' + ' '.join(f'{v:.12e}' for v in projection.ravel())]
    (folder / 'calib.txt').write_text('\n'.join(lines))
    world_from_left = [pose @ invert_transform(left_from_camera) for pose in recording.ground_truth.world_from_camera]
    (root / 'poses').mkdir()
    (root / 'poses' / '07.txt').write_text(rows_of([*world_from_left, np.eye(4)]))


def write_euroc(root: Any, recording: Any) -> None:
    folder = root / 'mav0' / 'cam0'
    lines = ['#timestamp [ns],filename']
    for stamp_ns, image in zip(recording.stamps_ns, recording.images, strict=True):
        write_image(folder / 'data' / f'{stamp_ns}.png', image)
        lines.append(f'{stamp_ns},{stamp_ns}.png')
    (folder / 'data.csv').write_text('\r\n'.join(lines))
    camera = recording.camera
    (folder / 'sensor.yaml').write_text(
        '%YAML:1.0\n#Camera\nsensor_type: camera\n'
        f'T_BS:\n  cols: 4\n  rows: 4\n  data: {BODY_FROM_CAMERA.ravel().tolist()}\n'
        f'resolution: [{camera.width}, {camera.height}]\ncamera_model: pinhole\n'
        f'intrinsics: [{camera.fx}, {camera.fy}, {camera.matrix[0, 2]}, {camera.matrix[1, 2]}]\n'
        f'distortion_model: radial-tangential\ndistortion_coefficients: {camera.coefficients[:4].tolist()}\n'
    )
    lines = ['#timestamp, p_RS_R_x [m], ...']
    for stamp_ns, pose in zip(recording.stamps_ns, recording.ground_truth.world_from_camera, strict=True):
        body = pose @ invert_transform(BODY_FROM_CAMERA)
        x, y, z, w = quaternion_from_rotation(body[:3, :3])
        lines.append(','.join(map(repr, [stamp_ns, *body[:3, 3].tolist(), *map(float, (w, x, y, z)), 0.0, 0.0])))
    truth = root / 'mav0' / 'state_groundtruth_estimate0'
    truth.mkdir()
    (truth / 'data.csv').write_text('\n'.join(lines))


def write_tum(root: Any, recording: Any) -> None:
    lines = ['# color images']
    for stamp_ns, image in zip(recording.stamps_ns, recording.images, strict=True):
        write_image(root / 'rgb' / f'{seconds(stamp_ns)}.png', image)
        lines.append(f'{seconds(stamp_ns)} rgb/{seconds(stamp_ns)}.png')
    (root / 'rgb.txt').write_text('\n'.join(lines))
    (root / 'groundtruth.txt').write_text(format_tum(recording.ground_truth))
    (root / 'camera.yaml').write_text(recording.camera_yaml)


def write_folder(root: Any, recording: Any) -> None:
    for i, image in enumerate(recording.images):
        write_image(root / 'images' / f'{i + 8}.png', image)  # 8, 9, 10, 11: not in the order of their letters
    (root / 'times.txt').write_text('\n'.join(map(seconds, recording.stamps_ns)))
    (root / 'camera.yaml').write_text(recording.camera_yaml)
    (root / 'poses.txt').write_text(rows_of(recording.ground_truth.world_from_camera))


def write_bare_folder(root: Any, recording: Any) -> None:
    for i, image in enumerate(recording.images):
        write_image(root / f'frame{i}.PNG', image)
    (root / '._frame0.png').write_bytes(b'what some systems leave behind')
    (root / 'times.txt').write_text('\n'.join(map(seconds, recording.stamps_ns)))
    (root / 'camera.yaml').write_text(recording.camera_yaml)
    (root / 'poses.txt').write_text(format_tum(recording.ground_truth))


def bag_layout(**changes: Any) -> Callable[..., None]:
    def write(root: Any, recording: Any) -> None:
        write_bag(root / 'bag', recording, BagConfig(**changes))

    return write


def bare_bag(root: Any, recording: Any) -> None:
    write_bag(root / 'bag', recording)
    (root / 'bag' / 'metadata.yaml').unlink()


LAYOUTS = {
    'kitti root': (write_kitti, '.', {}),
    'kitti sequence': (write_kitti, 'sequences/07', {}),
    'euroc': (write_euroc, '.', {}),
    'euroc mav0': (write_euroc, 'mav0', {}),
    'tum': (write_tum, '.', {}),
    'folder': (write_folder, '.', {}),
    'bare folder': (write_bare_folder, '.', {}),
    'mcap': (bag_layout(), 'bag', {'ground_truth_topic': 'ground_truth'}),
    'mcap file': (bag_layout(ground_truth_topic='/truth'), 'bag/bag.mcap', {'ground_truth_topic': '/truth'}),
    'only an mcap file in a folder': (bare_bag, 'bag', {}),
    'sqlite3': (bag_layout(storage='sqlite3'), 'bag', {}),
    'db3 file': (bag_layout(storage='sqlite3'), 'bag/bag.db3', {}),
    'png in mcap': (bag_layout(compression='png', ground_truth_topic='/mocap/ground_truth'), 'bag', {}),
}


@pytest.fixture(scope='module', params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope='module')
def opened(layout: Any, tmp_path_factory: pytest.TempPathFactory, recording: Any) -> Any:
    write, inner, options = LAYOUTS[layout]
    root = tmp_path_factory.mktemp('drive')
    write(root, recording)
    return open_sequence(root / inner, **options)


def test_gives_every_image_with_its_time_in_order_each_time_it_is_read(opened: Any, recording: Any) -> None:
    assert len(opened) == len(recording)
    assert opened.name
    for _ in range(2):
        frames = list(opened)
        assert [frame.seq for frame in frames] == [0, 1, 2, 3]
        assert [frame.stamp_ns for frame in frames] == recording.stamps_ns
        for frame, image in zip(frames, recording.images, strict=True):
            np.testing.assert_array_equal(frame.image, image)
            assert frame.camera is opened.camera


def test_two_readers_at_once_do_not_disturb_each_other(opened: Any) -> None:
    first, second = iter(opened), iter(opened)
    next(first)
    next(first)
    assert next(second).seq == 0
    assert next(first).seq == 2


def test_gives_the_calibration(opened: Any, recording: Any, layout: Any) -> None:
    camera = opened.camera
    np.testing.assert_allclose(camera.matrix, recording.camera.matrix, rtol=1e-9)
    expected = np.zeros(5) if 'kitti' in layout else recording.camera.coefficients  # KITTI is rectified
    np.testing.assert_array_equal(camera.coefficients, expected)
    assert (camera.width, camera.height) == (32, 24)


def test_gives_the_true_poses_of_the_camera(opened: Any, recording: Any) -> None:
    np.testing.assert_array_equal(opened.ground_truth.stamps_ns, recording.ground_truth.stamps_ns)
    expected = recording.ground_truth.world_from_camera
    np.testing.assert_allclose(opened.ground_truth.world_from_camera, expected, atol=1e-8)


@pytest.mark.parametrize('name', ['kitti root', 'euroc', 'tum', 'folder'])
@pytest.mark.parametrize('content', [None, b'', b'\x89PNG\r\n\x1a\nrubbish'])
def test_an_image_that_is_missing_or_broken_is_named(
    tmp_path: Path, recording: Any, name: str, content: bytes | None
) -> None:
    write, inner, _ = LAYOUTS[name]
    write(tmp_path, recording)
    image = sorted(tmp_path.rglob('*.png'))[2]
    sequence = open_sequence(tmp_path / inner)
    image.unlink() if content is None else image.write_bytes(content)
    with pytest.raises(DataError, match=image.name):
        list(sequence)


@pytest.mark.parametrize('name', ['euroc', 'tum', 'folder', 'mcap'])
def test_an_image_of_another_size_than_the_calibration_is_named(tmp_path: Path, recording: Any, name: str) -> None:
    write, inner, _ = LAYOUTS[name]
    wrong = replace(recording, images=[image[:20] for image in recording.images])
    write(tmp_path, replace(wrong, camera=None) if name == 'mcap' else wrong)
    calibration = tmp_path / 'camera.txt'
    calibration.write_text(recording.camera_yaml)
    sequence = open_sequence(tmp_path / inner, calibration=calibration)
    with pytest.raises(DataError, match='calibration for 32x24, expected one for the image size 32x20'):
        list(sequence)


def test_a_calibration_of_the_users_own_wins(tmp_path: Path, recording: Any) -> None:
    write_folder(tmp_path, recording)
    (tmp_path / 'better.yaml').write_text(recording.camera_yaml.replace('30.0', '29.0'))
    assert open_sequence(tmp_path, calibration=tmp_path / 'better.yaml').camera.fx == 29.0


@pytest.mark.parametrize(
    ('name', 'options', 'complaint'),
    [
        (
            'kitti root',
            {'image_topic': '/a'},
            r"image topic: found '/a' for .* is KITTI odometry, .* an option of a bag",
        ),
        ('tum', {'ground_truth_topic': '/a'}, 'ground truth topic: found .* is TUM RGB-D'),
        ('folder', {'camera': 1}, r'camera: found 1 for .* is images, .* an option of KITTI odometry or EuRoC'),
        ('mcap', {'camera': 0}, 'camera: found 0 for .* is a bag'),
    ],
)
def test_an_option_that_a_recording_does_not_take_is_refused_by_name(
    tmp_path: Path, recording: Any, name: str, options: dict[str, Any], complaint: str
) -> None:
    write, inner, _ = LAYOUTS[name]
    write(tmp_path, recording)
    with pytest.raises(ConfigError, match=complaint):
        open_sequence(tmp_path / inner, **options)


def test_several_recordings_each_take_the_options_that_they_have(tmp_path: Path, recording: Any) -> None:
    write_folder(tmp_path / 'images', recording)
    write_bag(tmp_path / 'bag', recording)
    paths = [tmp_path / 'images', tmp_path / 'bag']
    assert [len(sequence) for sequence in open_sequences(paths, image_topic='/camera/image_raw')] == [4, 4]
    with pytest.raises(ConfigError, match='camera: found 1'):
        open_sequences(paths, camera=1)


def test_says_what_it_looked_for_where_there_is_nothing(tmp_path: Path) -> None:
    (tmp_path / 'notes.txt').write_text('hello')
    for path in (tmp_path, tmp_path / 'notes.txt'):
        with pytest.raises(DataError, match=r'metadata\.yaml.*\.bag, \.db3, \.mcap.*KITTI.*EuRoC.*TUM.*images'):
            open_sequence(path)
    with pytest.raises(DataError, match='does not exist'):
        open_sequence(tmp_path / 'nowhere')
