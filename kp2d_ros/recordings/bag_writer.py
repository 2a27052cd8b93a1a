# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Any sequence as a bag of ROS 2: its images, their calibration and the true poses.
"""

from __future__ import annotations

import heapq
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
from rosbags.typesys import Stores, get_typestore

from kp2d_ros.core.cameras import CameraModel
from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Frame
from kp2d_ros.core.se3 import quaternion_from_rotation
from kp2d_ros.core.settings import setting, validate
from kp2d_ros.recordings.sequence import SequenceReader

_STORE = get_typestore(Stores.ROS2_HUMBLE)
_PLUGINS = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}


@dataclass(frozen=True, slots=True)
class BagConfig:
    """
    How a sequence is written as a bag.
    """

    storage: str = setting('mcap', 'file format', choices=tuple(_PLUGINS))
    compression: str = setting('', 'of the images; empty: raw', choices=('', 'jpeg', 'png'))
    image_topic: str = setting('/camera/image_raw', 'camera_info is written beside it')
    ground_truth_topic: str = setting('/ground_truth', 'of the true poses')
    frame_id: str = setting('camera', 'optical frame of the camera')

    def __post_init__(self) -> None:
        validate(self)


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
    Write a sequence as a rosbag2 folder: its images, their calibration, and the true poses where they are known.

    The folder is there when it is whole: whatever ends the writing before leaves none.

    :param path: the folder; it must not exist yet.
    :raises DataError: if it exists or cannot be written.
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
    base = config.image_topic
    topic = f'{base}/compressed' if config.compression else base
    for frame in sequence:
        header = _header(frame.stamp_ns, config.frame_id)
        yield _Entry(frame.stamp_ns, topic, _image(header, frame, config.compression))
        if frame.camera is not None:
            info = _camera_info(header, frame.camera)
            yield _Entry(frame.stamp_ns, f'{base.rpartition("/")[0]}/camera_info', info)


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


def _image(header: Any, frame: Frame, compression: str) -> Any:
    encoding, image = ('mono8' if frame.image.ndim == 2 else 'rgb8'), frame.image
    if not compression:
        height, width = image.shape[:2]
        fields = (height, width, encoding, 0, image.size // height, np.ascontiguousarray(image).ravel())
        return _make('sensor_msgs/msg/Image', header, *fields)
    stored = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    note = f'{encoding}; {compression} compressed {"" if image.ndim == 2 else "bgr8"}'
    content = cv2.imencode({'jpeg': '.jpg', 'png': '.png'}[compression], stored)[1]
    return _make('sensor_msgs/msg/CompressedImage', header, note, content)


def _camera_info(header: Any, camera: CameraModel) -> Any:
    matrices = (camera.matrix, np.eye(3), np.hstack([camera.matrix, np.zeros((3, 1))]))
    region = _make('sensor_msgs/msg/RegionOfInterest', 0, 0, 0, 0, False)
    return _make(
        'sensor_msgs/msg/CameraInfo',
        *(header, camera.height, camera.width, camera.lens.value, camera.coefficients),
        *(matrix.ravel() for matrix in matrices),
        *(0, 0, region),
    )
