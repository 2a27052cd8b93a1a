# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Bags of ROS 2 (mcap, sqlite3) and ROS 1, read without ROS.
"""

from __future__ import annotations

import logging
import sqlite3
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.rosbag1 import ReaderError as ReaderError1
from rosbags.rosbag2 import ReaderError as ReaderError2
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_typestore

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import ImageArray
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.recordings.bag_limits import check_overlap, limit_unpacking
from kp2d_ros.recordings.bag_poses import camera_trajectory, poses_of, stamp_ns_of
from kp2d_ros.recordings.camera_yaml import Calibration, CameraInfoFields, camera_from_fields, is_rectified_topic
from kp2d_ros.recordings.image_decoding import decode_compressed, decode_image
from kp2d_ros.recordings.sequence import RecordedImage, Recording

_log = logging.getLogger(__name__)

_IMAGE = 'sensor_msgs/msg/Image'
_COMPRESSED = 'sensor_msgs/msg/CompressedImage'
_CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
_POSE_TYPES = {
    'geometry_msgs/msg/PoseStamped',
    'geometry_msgs/msg/PoseWithCovarianceStamped',
    'geometry_msgs/msg/TransformStamped',
    'nav_msgs/msg/Odometry',
    'tf/msg/tfMessage',
    'tf2_msgs/msg/TFMessage',
}
# What a damaged file makes rosbags raise, or the libraries under it that only some of its versions use.
_READ_ERRORS: tuple[type[Exception], ...] = (
    *(AnyReaderError, ReaderError1, ReaderError2, SerdeError, TypesysError),
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(TypeError, ValueError, sqlite3.Error, struct.error, zlib.error),
)
for _module, _error in (('apsw', 'Error'), ('backports.zstd', 'ZstdError'), ('compression.zstd', 'ZstdError')):
    with suppress(ImportError):
        _READ_ERRORS += (getattr(import_module(_module), _error),)
limit_unpacking()


def open_bag(
    path: Path,
    *,
    image_topic: str | None = None,
    camera_info_topic: str | None = None,
    ground_truth_topic: str | None = None,
) -> Recording:
    """
    Open a rosbag2 folder, a single mcap or sqlite3 file, or a ROS 1 bag.

    An image has the time of its header, or that of its recording where the header has none.

    :param image_topic: raw or compressed images; None: the only ones in the bag.
    :param camera_info_topic: None: ``camera_info`` beside the image topic.
    :param ground_truth_topic: PoseStamped, Odometry, TransformStamped or TFMessage of the camera, or of a frame that
        ``/tf_static`` joins to it; None: the topic named ``ground_truth``, if there is one.
    :raises DataError: if the bag cannot be read, or a topic is missing or not clear, listing those there are.
    """
    with _opened(path) as reader:
        topic = _choose_image_topic(path, reader, image_topic)
        first = next(_messages(reader, topic), None)
        if first is None:
            raise DataError(f'{path}: found no message on {topic}, expected images')
        calibration = _read_calibration(path, reader, topic, camera_info_topic)
        if calibration.camera is None:
            _log.warning('%s: %s', path, calibration.reason)
        truth = _find_ground_truth(path, reader, ground_truth_topic, first[1].header.frame_id)
        count = sum(connection.msgcount for connection in reader.connections if connection.topic == topic)
    name = path.stem if path.is_file() else path.resolve().name
    return Recording(name, count, partial(_read_images, path, topic), calibration.camera, truth)


@contextmanager
def _opened(path: Path) -> Iterator[AnyReader]:
    try:
        # Bags of Humble and before do not say what their messages look like.
        with AnyReader([path], default_typestore=get_typestore(Stores.LATEST)) as reader:
            check_overlap(reader)
            yield reader
    except _READ_ERRORS as error:
        raise DataError(f'{path}: cannot be read as a bag: {error or type(error).__name__}') from error


def _messages(reader: AnyReader, topic: str) -> Iterator[tuple[int, Any]]:
    """
    The messages of a topic with their time of recording, in that order.
    """
    connections = [connection for connection in reader.connections if connection.topic == topic]
    if connections:  # without any, rosbags gives the messages of all topics
        for connection, received_ns, content in reader.messages(connections):
            yield received_ns, reader.deserialize(content, connection.msgtype)


def _read_images(path: Path, topic: str) -> Iterator[RecordedImage]:
    with _opened(path) as reader:
        for number, (received_ns, message) in enumerate(_messages(reader, topic)):
            place = f'{path}: message {number} of {topic}'
            try:
                image = _decode(message)
            except DataError as error:
                raise DataError(f'{place}: {error}') from error
            yield RecordedImage(stamp_ns_of(message) or received_ns, image, place, message.header.frame_id)


def _decode(message: Any) -> ImageArray:
    if hasattr(message, 'format'):
        return decode_compressed(message.format, message.data)
    fields = (message.encoding, message.height, message.width, message.step, bool(message.is_bigendian))
    return decode_image(*fields, message.data)


def _topics(reader: AnyReader, *types: str) -> list[str]:
    return sorted({c.topic for c in reader.connections if c.msgtype in types and c.msgcount})


def _choose_image_topic(path: Path, reader: AnyReader, wanted: str | None) -> str:
    found = _topics(reader, _IMAGE, _COMPRESSED)
    if wanted:
        wanted = '/' + wanted.strip('/')
        choice = [topic for topic in (wanted, f'{wanted}/compressed') if topic in found][:1]
    else:
        pictures = [topic for topic in found if not topic.endswith('/compressedDepth')]
        choice = [topic for topic in pictures if topic.rpartition('/compressed')[0] not in pictures]
    if len(choice) != 1:
        expected = f'{wanted}' if wanted else 'one: name it'
        raise DataError(f'{path}: found the image topics {", ".join(found) or "(none)"}, expected {expected}')
    return choice[0]


def _read_calibration(path: Path, reader: AnyReader, image_topic: str, wanted: str | None) -> Calibration:
    base = image_topic.removesuffix('/compressed')
    topic = '/' + wanted.strip('/') if wanted else f'{base.rpartition("/")[0]}/camera_info'
    found = _topics(reader, _CAMERA_INFO)
    if topic not in found:
        text = f'found the camera_info topics {", ".join(found) or "(none)"}, expected {topic}'
        if wanted:
            raise DataError(f'{path}: {text}')
        return Calibration(None, f'{text}: poses need a calibration')
    calibration = Calibration(None, f'found no message on {topic}')
    for _, message in _messages(reader, topic):
        try:
            calibration = camera_from_fields(_fields_of(message), rectified=is_rectified_topic(base))
        except DataError as error:
            raise DataError(f'{path}: {topic}: {error}') from error
        if calibration.camera is not None:
            break
    return calibration


def _fields_of(info: Any) -> CameraInfoFields:
    """
    The fields of a CameraInfo, whose matrices have upper-case names in ROS 1.
    """
    d, k, p, r = (getattr(info, name, None) for name in 'dkpr')
    roi = info.roi
    return CameraInfoFields(
        width=int(info.width),
        height=int(info.height),
        distortion_model=info.distortion_model,
        d=info.D if d is None else d,
        k=info.K if k is None else k,
        p=info.P if p is None else p,
        r=info.R if r is None else r,
        binning=(int(info.binning_x), int(info.binning_y)),
        roi=(int(roi.x_offset), int(roi.y_offset), int(roi.width), int(roi.height)),
    )


def _find_ground_truth(path: Path, reader: AnyReader, wanted: str | None, camera_frame: str) -> Trajectory | None:
    """
    The poses of the topic that was asked for, else those of the only one named ``ground_truth``, if they can be used.
    """
    if wanted:
        return _read_ground_truth(path, reader, wanted, camera_frame)
    named = [topic for topic in _topics(reader, *_POSE_TYPES) if topic.rpartition('/')[2] == 'ground_truth']
    try:
        return _read_ground_truth(path, reader, named[0], camera_frame) if len(named) == 1 else None
    except DataError as error:
        _log.warning('%s; it is left out', error)
        return None


def _read_ground_truth(path: Path, reader: AnyReader, topic: str, camera_frame: str) -> Trajectory:
    topic = '/' + topic.strip('/')
    found = _topics(reader, *_POSE_TYPES)
    other = next((c.msgtype for c in reader.connections if c.topic == topic and c.msgtype not in _POSE_TYPES), '')
    if other:
        known = ', '.join(sorted(name.rpartition('/')[2] for name in _POSE_TYPES))
        raise DataError(f'{path}: {topic} carries {other}, which is no pose, expected one of {known}')
    if topic not in found:
        raise DataError(f'{path}: found the pose topics {", ".join(found) or "(none)"}, expected {topic}')
    try:
        poses = [pose for _, message in _messages(reader, topic) for pose in poses_of(message)]
        fixed = [pose for _, message in _messages(reader, '/tf_static') for pose in poses_of(message)]
        return camera_trajectory(poses, fixed, camera_frame)
    except DataError as error:
        raise DataError(f'{path}: {topic}: {error}') from error
