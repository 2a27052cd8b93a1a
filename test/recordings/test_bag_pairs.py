# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Bags of two cameras whose messages do not come as one would wish.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rosbags')

from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Sensor
from kp2d_ros.core.se3 import quaternion_from_rotation, rotation_from_vector, transform_from
from kp2d_ros.recordings.bags import open_bag

STORE = get_typestore(Stores.ROS2_JAZZY)
MS = 1_000_000
LEFT, RIGHT, COLOR, DEPTH = '/s/left/image', '/s/right/image', '/c/color/image', '/c/depth/image'
START = 5_000_000_000
STAMPS = [START + k * 100 * MS for k in range(8)]
Message = tuple[str, int, Any]  # topic, time of recording, content


def make(name: str, *fields: Any) -> Any:
    package, _, kind = name.partition('/')
    return STORE.types[f'{package}/msg/{kind}'](*fields)


def header(stamp_ns: int, frame_id: str) -> Any:
    return make('std_msgs/Header', make('builtin_interfaces/Time', *divmod(stamp_ns, 10**9)), frame_id)


def image(topic: str, stamp_ns: int, pixels: Any, encoding: str = 'mono8', received_ns: int = 0) -> Message:
    content = np.ascontiguousarray(pixels).view(np.uint8).ravel()
    fields = (header(stamp_ns, topic.split('/')[2]), *pixels.shape, encoding, 0, content.size // len(pixels), content)
    return topic, received_ns or stamp_ns, make('sensor_msgs/Image', *fields)


def info(topic: str, p3: float) -> Message:
    k = np.array([3.0, 0, 1.5, 0, 3, 1, 0, 0, 1])
    p = np.array([2.0, 0, 1.5, p3, 0, 2.0, 1, 0, 0, 0, 1, 0])
    region = make('sensor_msgs/RegionOfInterest', 0, 0, 0, 0, False)
    fields = (header(START, ''), 3, 4, 'plumb_bob', np.zeros(5), k, np.eye(3).ravel(), p, 0, 0, region)
    return topic, START, make('sensor_msgs/CameraInfo', *fields)


def fixed(parent: str, child: str, pose: Any) -> Message:
    rotation = make('geometry_msgs/Quaternion', *quaternion_from_rotation(pose[:3, :3]).tolist())
    transform = make('geometry_msgs/Transform', make('geometry_msgs/Vector3', *pose[:3, 3].tolist()), rotation)
    stamped = make('geometry_msgs/TransformStamped', header(START, parent), child, transform)
    return '/tf_static', START, make('tf2_msgs/TFMessage', [stamped])


def pixels(number: int) -> Any:
    return np.full((3, 4), number, np.uint8)


def pair_messages(right_offset_ns: int = 0, p3: float = -0.4, skip: Sequence[int] = ()) -> list[Message]:
    messages = [info('/s/left/camera_info', 0.0), info('/s/right/camera_info', p3)]
    for k, stamp_ns in enumerate(STAMPS):
        messages.append(image(LEFT, stamp_ns, pixels(k)))
        if k not in skip:
            messages.append(image(RIGHT, stamp_ns + right_offset_ns, pixels(100 + k)))
    return messages


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write_messages(messages: Sequence[Message]) -> Path:
        path, connections = tmp_path / f'recorded_{len(list(tmp_path.iterdir()))}', {}
        with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            for topic, received_ns, message in sorted(messages, key=lambda each: each[1]):
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, message.__msgtype__, typestore=STORE)
                content = STORE.serialize_cdr(message, message.__msgtype__)
                writer.write(connections[topic], received_ns, content)
        return path

    return write_messages


def numbers(path: Path) -> list[tuple[int, int]]:
    """
    Which image was read with which.
    """
    frames = list(open_bag(path, sensor=Sensor.STEREO))
    assert [frame.seq for frame in frames] == list(range(len(frames)))
    return [(int(frame.image[0, 0]), int(frame.right.image[0, 0]) - 100) for frame in frames]


def test_what_was_taken_within_the_tolerance_belongs_together(write: Callable[..., Path]) -> None:
    assert numbers(write(pair_messages(15 * MS))) == [(k, k) for k in range(8)]


def test_a_missing_image_costs_its_pair_alone(write: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    path = write(pair_messages(skip=[2, 3]))
    with caplog.at_level(logging.WARNING):
        assert numbers(path) == [(k, k) for k in (0, 1, 4, 5, 6, 7)]
    assert '6 pairs of images: 2 of 8 left and 0 of 6 right images have no partner within 20 ms' in caplog.text


def test_images_that_are_late_by_whole_periods_are_told_by_the_times_of_recording(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    messages = [
        (topic, received_ns - (500 * MS if topic == RIGHT else 0), content)
        for topic, received_ns, content in pair_messages(500 * MS)
    ]
    path = write(messages)
    with caplog.at_level(logging.WARNING):
        assert numbers(path) == [(5, 0), (6, 1), (7, 2)]
    assert 'right images are stamped 500 ms later than left ones that were recorded at the same time' in caplog.text
    assert '5 of 8 left and 5 of 8 right images have no partner' in caplog.text


def test_images_that_begin_later_are_told(write: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        open_bag(write(pair_messages(500 * MS)), sensor=Sensor.STEREO)
        assert 'the first right image is 500 ms later than the first left one' in caplog.text
        open_bag(write(pair_messages(-200 * MS)), sensor=Sensor.STEREO)
        assert 'the first right image is 200 ms earlier' in caplog.text


def test_images_that_never_meet_are_refused_with_their_offset(write: Callable[..., Path]) -> None:
    path = write(pair_messages(530 * MS))
    with pytest.raises(
        DataError, match=r'none of the right images is within 20 ms .* they are 530 ms later in the median'
    ):
        open_bag(path, sensor=Sensor.STEREO)


def test_messages_may_arrive_long_after_their_partners(write: Callable[..., Path]) -> None:
    messages = [
        (topic, received_ns + (350 * MS if topic == RIGHT else 0), content)
        for topic, received_ns, content in pair_messages()
    ]
    assert numbers(write(messages)) == [(k, k) for k in range(8)]


def test_a_topic_that_is_silent_is_missing(write: Callable[..., Path]) -> None:
    path = write(pair_messages(skip=range(8)))
    with pytest.raises(DataError, match=f'found no right images for {LEFT}, looked for {RIGHT} among {LEFT}'):
        open_bag(path, sensor=Sensor.STEREO)


def test_the_rig_is_that_of_the_calibrations_else_of_the_frames_else_of_the_option(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    pose = transform_from(rotation_from_vector(np.array([0.0, 0.02, 0.0])), np.array([0.3, 0.01, 0.0]))
    by_frames = [fixed('rig', 'left', np.eye(4)), fixed('rig', 'right', pose)]
    length = float(np.linalg.norm(pose[:3, 3]))
    for messages, expected in ((pair_messages() + by_frames, 0.2), (pair_messages(p3=0.0) + by_frames, length)):
        found = open_bag(write(messages), sensor=Sensor.STEREO).left_from_right
        assert np.linalg.norm(found[:3, 3]) == pytest.approx(expected)
    path = write(pair_messages(p3=0.0))
    with caplog.at_level(logging.WARNING):
        assert open_bag(path, sensor=Sensor.STEREO).left_from_right is None
    assert 'the baseline is 0' in caplog.text
    assert open_bag(path, sensor=Sensor.STEREO, baseline=0.5).left_from_right[0, 3] == 0.5


@pytest.mark.parametrize(
    ('encoding', 'stored', 'metres'),
    [
        ('16UC1', np.array([[0, 1500], [65535, 20]], np.uint16), [[0, 1.5], [65.535, 0.02]]),
        ('mono16', np.array([[0, 1500], [65535, 20]], np.uint16), [[0, 1.5], [65.535, 0.02]]),
        ('32FC1', np.array([[np.nan, 1.5], [np.inf, 2.0]], np.float32), [[np.nan, 1.5], [np.inf, 2]]),
    ],
)
def test_depth_has_the_unit_of_its_encoding(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture, encoding: str, stored: Any, metres: Any
) -> None:
    messages = [image(COLOR, START, np.zeros((2, 2), np.uint8)), image(DEPTH, START + 9 * MS, stored, encoding)]
    with caplog.at_level(logging.WARNING):
        (frame,) = open_bag(write(messages), sensor=Sensor.RGBD)
    np.testing.assert_allclose(frame.depth.metres, metres, rtol=1e-6)
    assert frame.depth.stamp_ns == START + 9 * MS
    assert bool(re.search('mono16, taken as depth in millimetres', caplog.text)) is (encoding == 'mono16')


def test_depth_that_cannot_be_read_is_named(write: Callable[..., Path]) -> None:
    path = write([image(COLOR, START, pixels(0)), image(DEPTH, START, pixels(0), 'mono8')])
    with pytest.raises(DataError, match=rf"message 0 of {DEPTH}: depth encoding: found 'mono8'"):
        list(open_bag(path, sensor=Sensor.RGBD))


def test_a_right_camera_without_calibration_is_told(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    messages = [message for message in pair_messages() if message[0] != '/s/right/camera_info']
    with caplog.at_level(logging.WARNING):
        sequence = open_bag(write(messages), sensor=Sensor.STEREO)
    assert (sequence.right_camera, sequence.left_from_right) == (None, None)
    assert (
        'right camera: found the camera_info topics /s/left/camera_info, expected /s/right/camera_info' in caplog.text
    )
    assert 'the baseline is not known' in caplog.text
