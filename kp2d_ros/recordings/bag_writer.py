# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Any sequence as a bag of ROS 2: its images and what came with them, their calibration and the true poses.
"""

from __future__ import annotations

import heapq
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
from rosbags.typesys import Stores, get_typestore

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import DepthImage, Frame, ImageArray, Sensor
from kp2d_ros.core.se3 import quaternion_from_rotation
from kp2d_ros.core.settings import setting, validate
from kp2d_ros.recordings.camera_yaml import CameraInfoFields
from kp2d_ros.recordings.sequence import SequenceReader
from kp2d_ros.recordings.stereo_rig import fields_from_frame

_STORE = get_typestore(Stores.ROS2_HUMBLE)
_PLUGINS = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}
_IMAGE_TOPICS = {
    Sensor.MONO: '/camera/image_raw',
    Sensor.STEREO: '/stereo/left/image_raw',
    Sensor.RGBD: '/camera/color/image_raw',
}
_MILLIMETRES = 1000.0
_FARTHEST_MM = 65535  # what 16UC1 holds; drivers write 0 for what was not measured
# Of compressed_depth_image_transport, before the PNG: its format, and two parameters that only 32FC1 has.
_DEPTH_HEADER = struct.pack('<i2f', 0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class BagConfig:
    """
    How a sequence is written as a bag.
    """

    storage: str = setting('mcap', 'file format', choices=tuple(_PLUGINS))
    compression: str = setting('', 'of the images; empty: raw; depth is always a png', choices=('', 'jpeg', 'png'))
    image_topic: str = setting('', 'camera_info is written beside it; empty: by the sensor')
    right_topic: str = setting('/stereo/right/image_raw', 'right images, camera_info beside them')
    depth_topic: str = setting('/camera/depth/image_raw', 'depth images (16UC1, millimetres)')
    ground_truth_topic: str = setting('/ground_truth', 'of the true poses')
    frame_id: str = setting('camera', 'optical frame of the camera')
    right_frame_id: str = setting('right_camera', 'optical frame of the right camera')

    def __post_init__(self) -> None:
        validate(self)

    def image_topic_of(self, sensor: Sensor) -> str:
        """
        Where the images are that have a pose: those of the left camera, or of the one that sees colour.
        """
        return self.image_topic or _IMAGE_TOPICS[sensor]


@dataclass(frozen=True, slots=True)
class _Entry:
    """
    A message on its way into a bag.
    """

    stamp_ns: int
    topic: str
    message: Any


def write_bag(path: Path, sequence: SequenceReader, config: BagConfig | None = None) -> None:
    """
    Write a sequence as a rosbag2 folder: its images, right images and depth, their calibration, and the true poses
    where they are known.

    The folder is there when it is whole: whatever ends the writing before leaves none.

    :param path: the folder; it must not exist yet.
    :raises DataError: if it exists or cannot be written, or the cameras of a stereo rig are not side by side.
    """
    if path.exists():
        raise DataError(f'{path}: exists already, expected the name of a bag to make')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # In a folder of its own, since the files of a bag have the name of the bag.
        with tempfile.TemporaryDirectory(prefix=f'.{path.name}.', dir=path.parent) as part:
            _write(Path(part) / path.name, sequence, config or BagConfig())
            (Path(part) / path.name).rename(path)
    except (WriterError, OSError, sqlite3.Error) as error:
        raise DataError(f'{path}: cannot be written: {getattr(error, "strerror", None) or error}') from error


def _write(path: Path, sequence: SequenceReader, config: BagConfig) -> None:
    connections: dict[str, Connection] = {}
    # Version 8 is what Humble and Jazzy read too.
    with Writer(path, version=8, storage_plugin=_PLUGINS[config.storage]) as writer:
        for entry in heapq.merge(_images(sequence, config), _poses(sequence, config), key=attrgetter('stamp_ns')):
            name = entry.message.__msgtype__
            if entry.topic not in connections:
                connections[entry.topic] = writer.add_connection(entry.topic, name, typestore=_STORE)
            content = _STORE.serialize_cdr(entry.message, name)
            writer.write(connections[entry.topic], entry.stamp_ns, content)


def _images(sequence: SequenceReader, config: BagConfig) -> Iterator[_Entry]:
    """
    The images, each followed by its calibration.
    """
    for frame in sequence:
        left, right = fields_from_frame(frame)
        header = _header(frame.stamp_ns, config.frame_id)
        topic = config.image_topic_of(_sensor_of(frame))
        yield from _image_entries(frame.stamp_ns, topic, header, frame.image, left, config)
        if frame.right is not None:
            header = _header(frame.right.stamp_ns, config.right_frame_id)
            yield from _image_entries(frame.stamp_ns, config.right_topic, header, frame.right.image, right, config)
        if frame.depth is not None:
            header = _header(frame.depth.stamp_ns, config.frame_id)
            yield _depth_entry(frame.stamp_ns, header, frame.depth, config)


def _sensor_of(frame: Frame) -> Sensor:
    if frame.right is not None:
        return Sensor.STEREO
    return Sensor.MONO if frame.depth is None else Sensor.RGBD


def _image_entries(
    stamp_ns: int, topic: str, header: Any, image: ImageArray, calibration: CameraInfoFields | None, config: BagConfig
) -> Iterator[_Entry]:
    yield _Entry(
        stamp_ns, f'{topic}/compressed' if config.compression else topic, _image(header, image, config.compression)
    )
    if calibration is not None:
        yield _Entry(stamp_ns, f'{topic.rpartition("/")[0]}/camera_info', _camera_info(header, calibration))


def _poses(sequence: SequenceReader, config: BagConfig) -> Iterator[_Entry]:
    truth = sequence.ground_truth
    if truth is None:
        return
    for stamp_ns, matrix in zip(truth.stamps_ns.tolist(), truth.world_from_camera, strict=True):
        position = _make('geometry_msgs/msg/Point', *matrix[:3, 3].tolist())
        orientation = _make('geometry_msgs/msg/Quaternion', *map(float, quaternion_from_rotation(matrix[:3, :3])))
        pose = _make('geometry_msgs/msg/Pose', position, orientation)
        message = _make('geometry_msgs/msg/PoseStamped', _header(stamp_ns, 'world'), pose)
        yield _Entry(stamp_ns, config.ground_truth_topic, message)


def _make(name: str, *fields: Any) -> Any:
    return _STORE.types[name](*fields)


def _header(stamp_ns: int, frame_id: str) -> Any:
    return _make('std_msgs/msg/Header', _make('builtin_interfaces/msg/Time', *divmod(stamp_ns, 10**9)), frame_id)


def _image(header: Any, image: ImageArray, compression: str) -> Any:
    encoding = 'mono8' if image.ndim == 2 else 'rgb8'
    if not compression:
        return _raw_image(header, encoding, image)
    stored = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    note = f'{encoding}; {compression} compressed {"" if image.ndim == 2 else "bgr8"}'
    content = cv2.imencode({'jpeg': '.jpg', 'png': '.png'}[compression], stored)[1]
    return _make('sensor_msgs/msg/CompressedImage', header, note, content)


def _raw_image(header: Any, encoding: str, image: npt.NDArray[Any]) -> Any:
    height, width = image.shape[:2]
    content = np.ascontiguousarray(image).ravel().view(np.uint8)
    fields = (height, width, encoding, 0, content.size // height, content)
    return _make('sensor_msgs/msg/Image', header, *fields)


def _depth_entry(stamp_ns: int, header: Any, depth: DepthImage, config: BagConfig) -> _Entry:
    """
    Depth in whole millimetres; 0 where there is none, or too much for the format.
    """
    with np.errstate(invalid='ignore'):
        millimetres = np.rint(depth.metres * _MILLIMETRES)
        stored = np.where((millimetres > 0) & (millimetres <= _FARTHEST_MM), millimetres, 0).astype('<u2')
    if not config.compression:
        return _Entry(stamp_ns, config.depth_topic, _raw_image(header, '16UC1', stored))
    content = np.frombuffer(_DEPTH_HEADER + cv2.imencode('.png', stored)[1].tobytes(), np.uint8)
    message = _make('sensor_msgs/msg/CompressedImage', header, '16UC1; compressedDepth png', content)
    return _Entry(stamp_ns, f'{config.depth_topic}/compressedDepth', message)


def _camera_info(header: Any, fields: CameraInfoFields) -> Any:
    region = _make('sensor_msgs/msg/RegionOfInterest', 0, 0, 0, 0, False)
    return _make(
        'sensor_msgs/msg/CameraInfo',
        *(header, fields.height, fields.width, fields.distortion_model),
        *(np.array(values, np.float64) for values in (fields.d, fields.k, fields.r, fields.p)),
        *(0, 0, region),
    )
