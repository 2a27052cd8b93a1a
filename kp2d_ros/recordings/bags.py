# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Bags of ROS 2 (mcap, sqlite3) and ROS 1, read and written without ROS; the only file that imports ``rosbags``.
"""

from __future__ import annotations

import heapq
import logging
import sqlite3
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.interfaces import Connection
from rosbags.rosbag1 import ReaderError as ReaderError1
from rosbags.rosbag2 import ReaderError as ReaderError2
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_typestore

from kp2d_ros.core.cameras import CameraModel
from kp2d_ros.core.errors import DataError, ShapeError
from kp2d_ros.core.records import Frame, ImageArray
from kp2d_ros.core.se3 import quaternion_from_rotation
from kp2d_ros.core.settings import setting, validate
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.recordings.bag_poses import camera_trajectory, poses_of, stamp_ns_of
from kp2d_ros.recordings.camera_yaml import Calibration, CameraInfoFields, camera_from_fields, is_rectified_topic
from kp2d_ros.recordings.image_decoding import decode_compressed, decode_image

if TYPE_CHECKING:
    from kp2d_ros.recordings.sequence import SequenceReader

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


@dataclass(frozen=True, slots=True)
class BagSequence:
    """
    One image topic of a bag; each iteration reads the bag anew.

    A frame has the time of its header, or that of its recording where the header has none. A message that is no image
    ends the iteration with a DataError that names it.
    """

    name: str
    path: Path
    image_topic: str
    count: int
    camera: CameraModel | None = None
    ground_truth: Trajectory | None = None

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Frame]:
        with _opened(self.path) as reader:
            for seq, (received_ns, message) in enumerate(_messages(reader, self.image_topic)):
                try:
                    image = _decode(message)
                    yield Frame(seq, stamp_ns_of(message) or received_ns, image, self.camera, message.header.frame_id)
                except (DataError, ShapeError) as error:
                    raise DataError(f'{self.path}: message {seq} of {self.image_topic}: {error}') from error


@dataclass(frozen=True, slots=True)
class BagConfig:
    """
    How a sequence is written as a bag.
    """

    storage: str = setting('mcap', 'file format', choices=('mcap', 'sqlite3'))
    compression: str = setting('', 'of the images; empty: raw', choices=('', 'jpeg', 'png'))
    ground_truth: str = setting('pose', 'message of the true poses', choices=('pose', 'odometry', 'tf'))
    image_topic: str = setting('/camera/image_raw', 'camera_info is written beside it')
    ground_truth_topic: str = setting('/ground_truth', 'of the true poses; tf: /tf is usual')
    frame_id: str = setting('camera', 'optical frame of the camera')

    def __post_init__(self) -> None:
        validate(self)


def open_bag(
    path: Path,
    *,
    image_topic: str | None = None,
    camera_info_topic: str | None = None,
    ground_truth_topic: str | None = None,
) -> BagSequence:
    """
    Open a rosbag2 folder, a single mcap or sqlite3 file, or a ROS 1 bag.

    :param image_topic: raw or compressed images; None: the only ones in the bag.
    :param camera_info_topic: None: ``camera_info`` beside the image topic.
    :param ground_truth_topic: PoseStamped, Odometry, TransformStamped or TFMessage of the camera, or of a frame that
        ``/tf_static`` joins to it.
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
        truth = None
        if ground_truth_topic:
            truth = _read_ground_truth(path, reader, ground_truth_topic, first[1].header.frame_id)
        count = sum(connection.msgcount for connection in reader.connections if connection.topic == topic)
    name = path.stem if path.is_file() else path.resolve().name
    return BagSequence(name, path, topic, count, calibration.camera, truth)


def write_bag(path: Path, sequence: SequenceReader, config: BagConfig | None = None) -> None:
    """
    Write a sequence as a rosbag2 folder: its images, their calibration, and the true poses where they are known.

    :param path: the folder; it must not exist yet.
    :raises DataError: if it exists or cannot be written.
    """
    config = config or BagConfig()
    plugin = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}[config.storage]
    try:
        # Version 8 is what Humble and Jazzy read too.
        with Writer(path, version=8, storage_plugin=plugin) as writer:
            recorder = _Recorder(writer, config)
            streams = [recorder.images(sequence), recorder.poses(sequence.ground_truth)]
            for _, topic, message in heapq.merge(*streams, key=itemgetter(0)):
                recorder.write(topic, message)
    except (WriterError, OSError) as error:
        raise DataError(f'{path}: cannot be written: {error}') from error


@contextmanager
def _opened(path: Path) -> Iterator[AnyReader]:
    try:
        # Bags of Humble and before do not say what their messages look like.
        with AnyReader([path], default_typestore=get_typestore(Stores.LATEST)) as reader:
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
    d, k, p = (getattr(info, name, None) for name in 'dkp')
    roi = info.roi
    return CameraInfoFields(
        width=int(info.width),
        height=int(info.height),
        distortion_model=info.distortion_model,
        d=info.D if d is None else d,
        k=info.K if k is None else k,
        p=info.P if p is None else p,
        binning=(int(info.binning_x), int(info.binning_y)),
        roi=(int(roi.x_offset), int(roi.y_offset), int(roi.width), int(roi.height)),
    )


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


class _Recorder:
    """
    Makes the messages of a sequence and writes them; topics begin with their first message.
    """

    def __init__(self, writer: Writer, config: BagConfig) -> None:
        self._writer = writer
        self._config = config
        self._store = get_typestore(Stores.ROS2_HUMBLE)
        self._connections: dict[str, Connection] = {}

    def write(self, topic: str, message: Any) -> None:
        """
        Write a message at the time of its header.
        """
        name = message.__msgtype__
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(topic, name, typestore=self._store)
        stamped = message.transforms[0] if hasattr(message, 'transforms') else message
        content = self._store.serialize_cdr(message, name)
        self._writer.write(self._connections[topic], stamp_ns_of(stamped), content)

    def images(self, sequence: SequenceReader) -> Iterator[tuple[int, str, Any]]:
        """
        Time, topic and message of the images, each followed by its calibration.
        """
        base = self._config.image_topic
        topic = f'{base}/compressed' if self._config.compression else base
        for frame in sequence:
            yield frame.stamp_ns, topic, self._image(frame)
            if frame.camera is not None:
                yield frame.stamp_ns, f'{base.rpartition("/")[0]}/camera_info', self._camera_info(frame, frame.camera)

    def poses(self, trajectory: Trajectory | None) -> Iterator[tuple[int, str, Any]]:
        """
        Time, topic and message of the true poses.
        """
        if trajectory is not None:
            for stamp_ns, pose in zip(trajectory.stamps_ns.tolist(), trajectory.world_from_camera, strict=True):
                yield stamp_ns, self._config.ground_truth_topic, self._pose(stamp_ns, pose)

    def _make(self, name: str, *fields: Any) -> Any:
        return self._store.types[name](*fields)

    def _header(self, stamp_ns: int, frame_id: str) -> Any:
        stamp = self._make('builtin_interfaces/msg/Time', *divmod(stamp_ns, 10**9))
        return self._make('std_msgs/msg/Header', stamp, frame_id)

    def _image(self, frame: Frame) -> Any:
        header = self._header(frame.stamp_ns, self._config.frame_id)
        encoding, image = ('mono8' if frame.image.ndim == 2 else 'rgb8'), frame.image
        if not self._config.compression:
            height, width = image.shape[:2]
            step = width * (image.size // (height * width))
            return self._make(_IMAGE, header, height, width, encoding, 0, step, np.ascontiguousarray(image).ravel())
        stored = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        extension = {'jpeg': '.jpg', 'png': '.png'}[self._config.compression]
        note = f'{encoding}; {self._config.compression} compressed {"" if image.ndim == 2 else "bgr8"}'
        return self._make(_COMPRESSED, header, note, cv2.imencode(extension, stored)[1])

    def _camera_info(self, frame: Frame, camera: CameraModel) -> Any:
        region = self._make('sensor_msgs/msg/RegionOfInterest', 0, 0, 0, 0, False)
        return self._make(
            _CAMERA_INFO,
            self._header(frame.stamp_ns, self._config.frame_id),
            camera.height,
            camera.width,
            camera.lens.value,
            camera.coefficients,
            camera.matrix.ravel(),
            np.eye(3).ravel(),
            np.hstack([camera.matrix, np.zeros((3, 1))]).ravel(),
            0,
            0,
            region,
        )

    def _pose(self, stamp_ns: int, world_from_camera: Any) -> Any:
        header = self._header(stamp_ns, 'world')
        x, y, z = (float(v) for v in world_from_camera[:3, 3])
        turn = [float(v) for v in quaternion_from_rotation(world_from_camera[:3, :3])]
        rotation = self._make('geometry_msgs/msg/Quaternion', *turn)
        if self._config.ground_truth == 'tf':
            shift = self._make('geometry_msgs/msg/Vector3', x, y, z)
            transform = self._make('geometry_msgs/msg/Transform', shift, rotation)
            stamped = self._make('geometry_msgs/msg/TransformStamped', header, self._config.frame_id, transform)
            return self._make('tf2_msgs/msg/TFMessage', [stamped])
        pose = self._make('geometry_msgs/msg/Pose', self._make('geometry_msgs/msg/Point', x, y, z), rotation)
        if self._config.ground_truth == 'pose':
            return self._make('geometry_msgs/msg/PoseStamped', header, pose)
        zero = self._make('geometry_msgs/msg/Vector3', 0.0, 0.0, 0.0)
        twist = self._make('geometry_msgs/msg/Twist', zero, zero)
        return self._make(
            'nav_msgs/msg/Odometry',
            header,
            self._config.frame_id,
            self._make('geometry_msgs/msg/PoseWithCovariance', pose, np.zeros(36)),
            self._make('geometry_msgs/msg/TwistWithCovariance', twist, np.zeros(36)),
        )
