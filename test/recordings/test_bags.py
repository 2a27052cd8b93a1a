# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rosbags')

from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.records import Frame
from kp2d_ros.core.se3 import rotation_from_vector, transform_from
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.recordings.bag_writer import BagConfig, write_bag
from kp2d_ros.recordings.bags import open_bag
from kp2d_ros.recordings.sources import open_sequence

STORE = get_typestore(Stores.ROS2_JAZZY)
STORE1 = get_typestore(Stores.ROS1_NOETIC)
IMAGE = np.arange(12, dtype=np.uint8).reshape(3, 4)
PNG = cv2.imencode('.png', IMAGE)[1].tobytes()


def make(name: str, *fields: Any, store: Any = STORE) -> Any:
    package, _, kind = name.partition('/')
    return store.types[f'{package}/msg/{kind}'](*fields)


def header(stamp_ns: int = 5_000_000_007, frame_id: str = 'cam') -> Any:
    return make('std_msgs/Header', make('builtin_interfaces/Time', *divmod(stamp_ns, 10**9)), frame_id)


def image_message(stamp_ns: int = 5_000_000_007, encoding: str = 'mono8', step: int = 4) -> Any:
    return make('sensor_msgs/Image', header(stamp_ns), 3, 4, encoding, 0, step, IMAGE.ravel())


def compressed_message(format_name: str = 'png', content: Any = PNG) -> Any:
    return make('sensor_msgs/CompressedImage', header(), format_name, np.frombuffer(content, np.uint8))


def info_message(fx: float = 3.0, width: int = 4) -> Any:
    k = np.array([fx, 0, 1.5, 0, 3, 1, 0, 0, 1.0])
    p = np.array([2.0, 0, 1.6, 0, 0, 2.0, 1.1, 0, 0, 0, 1, 0])
    region = make('sensor_msgs/RegionOfInterest', 0, 0, 0, 0, False)
    fields = (header(), 3, width, 'plumb_bob', np.full(5, 0.01), k, np.eye(3).ravel(), p, 0, 0, region)
    return make('sensor_msgs/CameraInfo', *fields)


def transform_message(parent: Any, child: Any, pose: Any, stamp_ns: int = 5_000_000_007) -> Any:
    half = np.arccos(np.clip((np.trace(pose[:3, :3]) - 1) / 2, -1, 1)) / 2
    axis = pose[[2, 0, 1], [1, 2, 0]] - pose[[1, 2, 0], [2, 0, 1]]
    axis = axis / np.linalg.norm(axis) if np.linalg.norm(axis) > 0 else axis
    rotation = make('geometry_msgs/Quaternion', *(axis * np.sin(half)).tolist(), float(np.cos(half)))
    transform = make('geometry_msgs/Transform', make('geometry_msgs/Vector3', *pose[:3, 3].tolist()), rotation)
    return make('geometry_msgs/TransformStamped', header(stamp_ns, parent), child, transform)


@pytest.fixture
def write_messages(tmp_path: Path) -> Callable[..., Any]:
    def write(*messages: Any, storage: Any = StoragePlugin.MCAP) -> Any:
        path = tmp_path / 'recorded'
        connections = {}
        with Writer(path, version=9, storage_plugin=storage) as writer:
            for i, (topic, message) in enumerate(messages):
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, message.__msgtype__, typestore=STORE)
                content = STORE.serialize_cdr(message, message.__msgtype__)
                writer.write(connections[topic], 7_000_000_000 + i, content)
        return path

    return write


def topic_of(sequence: Any) -> Any:
    return next(sequence.read()).place.rpartition(' of ')[2]


def test_takes_the_only_image_topic_and_the_calibration_beside_it(write_messages: Any) -> None:
    sequence = open_bag(write_messages(('/a/image_raw', image_message()), ('/a/camera_info', info_message())))
    assert (sequence.name, topic_of(sequence), sequence.camera.fx) == ('recorded', '/a/image_raw', 3.0)
    (frame,) = sequence
    np.testing.assert_array_equal(frame.image, IMAGE)
    assert (frame.stamp_ns, frame.frame_id) == (5_000_000_007, 'cam')


def test_lists_the_image_topics_where_there_are_several(write_messages: Any) -> None:
    path = write_messages(('/left/image', image_message()), ('/right/image', image_message()))
    with pytest.raises(DataError, match='/left/image, /right/image, expected one: name it'):
        open_bag(path)
    assert topic_of(open_bag(path, image_topic='right/image')) == '/right/image'
    with pytest.raises(DataError, match='/left/image, /right/image, expected /front/image'):
        open_bag(path, image_topic='front/image')


def test_raw_and_compressed_images_of_one_topic_are_one_choice(write_messages: Any) -> None:
    path = write_messages(
        ('/c/image', image_message()),
        ('/c/image/compressed', compressed_message()),
        ('/c/image/compressedDepth', compressed_message()),
    )
    assert topic_of(open_bag(path)) == '/c/image'
    assert topic_of(open_bag(path, image_topic='/c/image/compressed')) == '/c/image/compressed'


def test_finds_the_compressed_images_of_a_topic_named_without_transport(write_messages: Any) -> None:
    path = write_messages(('/c/image/compressed', compressed_message()), ('/c/camera_info', info_message()))
    sequence = open_bag(path, image_topic='/c/image')
    assert topic_of(sequence) == '/c/image/compressed'
    assert sequence.camera is not None


def test_a_bag_without_images_says_so(write_messages: Any) -> None:
    with pytest.raises(DataError, match=r'image topics \(none\)'):
        open_bag(write_messages(('/camera_info', info_message())))


def test_rectified_images_take_the_projection_matrix(write_messages: Any) -> None:
    camera = open_bag(write_messages(('/a/image_rect', image_message()), ('/a/camera_info', info_message()))).camera
    np.testing.assert_array_equal(camera.matrix, [[2, 0, 1.6], [0, 2, 1.1], [0, 0, 1]])
    assert not camera.coefficients.any()


@pytest.mark.parametrize(
    ('extra', 'reason'),
    [
        ([], r'camera_info topics \(none\), expected /a/camera_info'),
        ([('/b/camera_info', info_message())], 'camera_info topics /b/camera_info, expected /a/camera_info'),
        ([('/a/camera_info', info_message(fx=0.0))], r'K\[0\] == 0'),
    ],
)
def test_without_calibration_images_still_come_and_the_log_says_why(
    write_messages: Any, caplog: pytest.LogCaptureFixture, extra: list[Any], reason: str
) -> None:
    with caplog.at_level(logging.WARNING):
        path = write_messages(('/a/image', image_message()), *extra)
        sequence = open_bag(path)
    assert sequence.camera is None
    assert len(list(sequence)) == 1
    assert re.search(reason, caplog.text)
    with pytest.raises(DataError, match='expected /a/nothing'):
        open_bag(path, camera_info_topic='/a/nothing')


def test_the_first_calibrated_camera_info_counts(write_messages: Any) -> None:
    messages = [('/image', image_message()), ('/camera_info', info_message(0.0)), ('/camera_info', info_message(9.0))]
    assert open_bag(write_messages(*messages)).camera.fx == 9.0


def test_nan_in_the_calibration_is_refused(write_messages: Any) -> None:
    path = write_messages(('/image', image_message()), ('/camera_info', info_message(np.nan)))
    with pytest.raises(DataError, match=r'/camera_info: camera matrix: found .*nan'):
        open_bag(path)


def test_a_calibration_from_elsewhere_can_be_named(write_messages: Any) -> None:
    path = write_messages(('/image', image_message()), ('/b/camera_info', info_message(8.0)))
    assert open_bag(path, camera_info_topic='b/camera_info').camera.fx == 8.0


@pytest.mark.parametrize(
    ('bad', 'complaint'),
    [
        (('/image', image_message(step=3)), 'message 1 of /image: step: found 3'),
        (('/image', image_message(encoding='odd')), "message 1 of /image: encoding: found 'odd'"),
    ],
)
def test_an_image_message_that_is_none_is_named_after_those_before_it(
    write_messages: Any, bad: tuple[str, Any], complaint: str
) -> None:
    frames = iter(open_bag(write_messages(('/image', image_message()), bad)))
    assert next(frames).seq == 0
    with pytest.raises(DataError, match=complaint):
        next(frames)


def test_an_image_without_a_stamp_has_the_time_of_its_recording(write_messages: Any) -> None:
    (frame,) = open_bag(write_messages(('/image', image_message(stamp_ns=0))))
    assert frame.stamp_ns == 7_000_000_000


def test_poses_of_the_robot_become_poses_of_the_camera_through_tf_static(write_messages: Any) -> None:
    base_from_mount = transform_from(rotation_from_vector(np.array([0.3, 0, 0])), np.array([1.0, 0, 0]))
    mount_from_cam = transform_from(rotation_from_vector(np.array([0, 0.4, 0.1])), np.array([0, 0.2, 0]))
    odom_from_base = transform_from(rotation_from_vector(np.array([0, 0, 1.0])), np.array([3.0, 4.0, 0]))
    tf = [
        transform_message('map', 'odom', np.eye(4)),  # moves as well, but only base is fixed to the camera
        transform_message('odom', '/base', odom_from_base),
    ]
    fixed = [transform_message('base', 'mount', base_from_mount), transform_message('mount', 'cam', mount_from_cam)]
    path = write_messages(
        ('/image', image_message()),
        ('/tf', make('tf2_msgs/TFMessage', tf)),
        ('/tf_static', make('tf2_msgs/TFMessage', fixed)),
    )
    truth = open_bag(path, ground_truth_topic='/tf').ground_truth
    assert truth.stamps_ns.tolist() == [5_000_000_007]
    expected = odom_from_base @ base_from_mount @ mount_from_cam
    np.testing.assert_allclose(truth.world_from_camera, [expected], atol=1e-12)


def test_poses_of_several_frames_are_refused_by_name(write_messages: Any) -> None:
    tf = [transform_message('odom', child, np.eye(4)) for child in ('left_wheel', 'right_wheel')]
    path = write_messages(('/image', image_message()), ('/tf', make('tf2_msgs/TFMessage', tf)))
    with pytest.raises(DataError, match=r'/tf: ground truth: found poses of left_wheel, right_wheel, expected'):
        open_bag(path, ground_truth_topic='/tf')
    with pytest.raises(DataError, match='pose topics /tf, expected /gps'):
        open_bag(path, ground_truth_topic='/gps')


def test_poses_of_an_unrelated_frame_are_taken_with_a_warning(
    write_messages: Any, caplog: pytest.LogCaptureFixture
) -> None:
    message = transform_message('world', 'marker', transform_from(np.eye(3), np.array([1.0, 2.0, 3.0])))
    path = write_messages(('/image', image_message()), ('/mocap', message))
    assert open_bag(path, ground_truth_topic='mocap').ground_truth.world_from_camera[0, :3, 3].tolist() == [1, 2, 3]
    assert "from 'marker' to 'cam'" in caplog.text


@pytest.mark.parametrize('kind', ['PoseStamped', 'PoseWithCovarianceStamped', 'Odometry'])
def test_poses_of_the_camera_come_in_any_message_that_has_some(write_messages: Any, kind: str) -> None:
    pose = make(
        'geometry_msgs/Pose', make('geometry_msgs/Point', 1.0, 2.0, 3.0), make('geometry_msgs/Quaternion', 0, 0, 0, 1)
    )
    uncertain = make('geometry_msgs/PoseWithCovariance', pose, np.zeros(36))
    zero = make('geometry_msgs/Vector3', 0.0, 0.0, 0.0)
    twist = make('geometry_msgs/TwistWithCovariance', make('geometry_msgs/Twist', zero, zero), np.zeros(36))
    message = {
        'PoseStamped': lambda: make('geometry_msgs/PoseStamped', header(), pose),
        'PoseWithCovarianceStamped': lambda: make('geometry_msgs/PoseWithCovarianceStamped', header(), uncertain),
        'Odometry': lambda: make('nav_msgs/Odometry', header(frame_id='odom'), 'cam', uncertain, twist),
    }[kind]()
    path = write_messages(('/image', image_message()), ('/truth', message))
    assert open_bag(path, ground_truth_topic='/truth').ground_truth.world_from_camera[0, :3, 3].tolist() == [1, 2, 3]
    assert open_bag(path).ground_truth is None


def test_the_topic_named_ground_truth_needs_no_mention_where_it_is_the_only_one(write_messages: Any) -> None:
    def pose(topic: Any) -> tuple[Any, Any]:
        return topic, transform_message('world', 'cam', np.eye(4))

    path = write_messages(('/image', image_message()), pose('/sim/ground_truth'), pose('/odometry'))
    assert len(open_bag(path).ground_truth) == 1


def test_a_topic_named_ground_truth_that_nobody_asked_for_may_be_unusable(
    write_messages: Any, caplog: pytest.LogCaptureFixture
) -> None:
    tf = [transform_message('odom', child, np.eye(4)) for child in ('left_wheel', 'right_wheel')]
    path = write_messages(('/image', image_message()), ('/ground_truth', make('tf2_msgs/TFMessage', tf)))
    assert open_bag(path).ground_truth is None
    assert 'found poses of left_wheel, right_wheel, expected those of one frame; it is left out' in caplog.text


def test_two_topics_named_ground_truth_are_no_answer(write_messages: Any) -> None:
    poses = [(topic, transform_message('world', 'cam', np.eye(4))) for topic in ('/a/ground_truth', '/b/ground_truth')]
    assert open_bag(write_messages(('/image', image_message()), *poses)).ground_truth is None


def test_poses_out_of_order_and_twice_are_put_in_order(write_messages: Any) -> None:
    shift = [transform_from(np.eye(3), np.array([float(i), 0, 0])) for i in range(3)]
    poses = [('/mocap', transform_message('w', 'cam', shift[i], 10**9 * (i + 1))) for i in (1, 0, 2, 1)]
    truth = open_bag(write_messages(('/image', image_message()), *poses), ground_truth_topic='/mocap').ground_truth
    assert truth.world_from_camera[:, 0, 3].tolist() == [0, 1, 2]


def test_reads_a_ros_1_bag(tmp_path: Path) -> None:
    def make1(name: str, *fields: Any) -> Any:
        return make(name, *fields, store=STORE1)

    stamp = make1('builtin_interfaces/Time', 12, 34)
    head = make1('std_msgs/Header', 0, stamp, 'cam')
    k, p = np.array([3.0, 0, 1.5, 0, 3, 1, 0, 0, 1]), np.zeros(12)
    region = make1('sensor_msgs/RegionOfInterest', 0, 0, 0, 0, False)
    info = make1('sensor_msgs/CameraInfo', head, 3, 4, 'plumb_bob', np.zeros(5), k, np.eye(3).ravel(), p, 0, 0, region)
    image = make1('sensor_msgs/Image', head, 3, 4, 'mono8', 0, 4, IMAGE.ravel())
    pose = make1(
        'geometry_msgs/Pose',
        make1('geometry_msgs/Point', 1.0, 2.0, 3.0),
        make1('geometry_msgs/Quaternion', 0.0, 0.0, 0.0, 1.0),
    )
    with Writer1(tmp_path / 'old.bag') as writer:
        for topic, message in [
            ('/cam/image_raw', image),
            ('/cam/camera_info', info),
            ('/truth', make1('geometry_msgs/PoseStamped', head, pose)),
        ]:
            connection = writer.add_connection(topic, message.__msgtype__, typestore=STORE1)
            writer.write(connection, 13 * 10**9, STORE1.serialize_ros1(message, message.__msgtype__))
    for path in (tmp_path / 'old.bag', tmp_path):  # the file, or the folder it is alone in
        sequence = open_sequence(path, ground_truth_topic='/truth')
        (frame,) = sequence
        np.testing.assert_array_equal(frame.image, IMAGE)
        assert (frame.stamp_ns, frame.camera.fx) == (12_000_000_034, 3.0)
        assert sequence.ground_truth.world_from_camera[0, :3, 3].tolist() == [1, 2, 3]


class Moving:
    """
    A sequence of a few gray frames with poses between them.
    """

    name = 'moving'
    matrix = np.array([[3.0, 0, 1.5], [0, 3, 1], [0, 0, 1]])
    camera = CameraModel(4, 3, matrix, LensModel.EQUIDISTANT, np.array([0.1, 0.2, 0.3, 0.4]))
    ground_truth = Trajectory(np.array([5, 15, 25], np.int64), np.tile(np.eye(4), (3, 1, 1)))

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Any:
        return (Frame(i, 10 * (i + 1), IMAGE, self.camera) for i in range(3))


def test_writes_a_lens_and_true_poses_at_times_of_their_own(tmp_path: Path) -> None:
    write_bag(tmp_path / 'b', Moving(), BagConfig(image_topic='/left/image_raw', frame_id='left'))
    again = open_bag(tmp_path / 'b', ground_truth_topic='/ground_truth')
    assert again.camera.lens is LensModel.EQUIDISTANT
    np.testing.assert_array_equal(again.camera.coefficients, [0.1, 0.2, 0.3, 0.4])
    assert again.ground_truth.stamps_ns.tolist() == [5, 15, 25]
    assert [(frame.stamp_ns, frame.frame_id) for frame in again] == [(10, 'left'), (20, 'left'), (30, 'left')]


def test_writes_jpeg_of_nearly_the_same_pixels(tmp_path: Path) -> None:
    write_bag(tmp_path / 'b', Moving(), BagConfig(compression='jpeg'))
    sequence = open_bag(tmp_path / 'b')
    assert topic_of(sequence) == '/camera/image_raw/compressed'
    assert all(np.abs(frame.image.astype(int) - IMAGE).max() < 8 for frame in sequence)


def test_does_not_write_over_a_bag_nor_with_unknown_settings(tmp_path: Path) -> None:
    write_bag(tmp_path / 'b', Moving())
    with pytest.raises(DataError, match='exists already'):
        write_bag(tmp_path / 'b', Moving())
    with pytest.raises(ConfigError, match="storage: found 'zip'"):
        BagConfig(storage='zip')


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_damaged_bag_gives_frames_or_a_data_error(tmp_path: Path, rng: np.random.Generator, storage: str) -> None:
    write_bag(tmp_path / 'whole', Moving(), BagConfig(storage=storage))
    (file,) = (path for path in (tmp_path / 'whole').iterdir() if path.suffix in ('.mcap', '.db3'))
    content = file.read_bytes()
    damaged = tmp_path / f'damaged{file.suffix}'
    errors = 0
    for i in range(20):
        place = int(rng.integers(len(content)))
        patched = content[:place] + (rng.bytes(4) + content[place + 4 :] if i % 2 else b'')
        damaged.write_bytes(patched)
        try:
            list(open_bag(damaged, ground_truth_topic='/ground_truth'))
        except DataError:
            errors += 1
    assert errors >= 5


def test_a_file_that_is_no_bag_is_refused(tmp_path: Path) -> None:
    for name in ('a.mcap', 'a.db3', 'a.bag'):
        (tmp_path / name).write_bytes(b'this is no bag')
        with pytest.raises(DataError, match=f'{name}: cannot be read as a bag'):
            open_bag(tmp_path / name)
