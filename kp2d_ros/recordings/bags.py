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
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.rosbag1 import ReaderError as ReaderError1
from rosbags.rosbag2 import ReaderError as ReaderError2
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_typestore

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Float32Array, Float64Array, ImageArray, Sensor
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.recordings.bag_limits import check_overlap, limit_unpacking
from kp2d_ros.recordings.bag_poses import camera_trajectory, fixed_transform, poses_of, stamp_ns_of
from kp2d_ros.recordings.bag_topics import (
    choose_depth_topic,
    choose_image_topic,
    choose_right_topic,
    info_topic,
    is_depth_topic,
)
from kp2d_ros.recordings.camera_yaml import Calibration, CameraInfoFields, camera_from_fields, is_rectified_topic
from kp2d_ros.recordings.image_decoding import (
    DEPTH_UNITS,
    decode_compressed,
    decode_compressed_depth,
    decode_depth,
    decode_image,
)
from kp2d_ros.recordings.pairing import TOLERANCE_NS, PairNames, StampPairing, report_unpaired, require_pairs
from kp2d_ros.recordings.sequence import RecordedDepth, RecordedImage, Recording
from kp2d_ros.recordings.stereo_rig import find_rig, report_rig

_log = logging.getLogger(__name__)

_LOOKED_AT = 100  # images of each topic, before it is said that two do not belong together
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


@dataclass(frozen=True, slots=True)
class BagOptions:
    """
    Which topics of a bag to read, raw or compressed; None: those that are clear without being named.

    ``image_topic``: of a stereo rig the left, of a depth camera the colour images. ``camera_info_topic``: None:
    ``camera_info`` beside them. ``ground_truth_topic``: PoseStamped, Odometry, TransformStamped or TFMessage of the
    camera, or of a frame that ``/tf_static`` joins to it; None: the topic named ``ground_truth``, if there is one.
    ``right_topic``: None: as the left one, with right for left. ``baseline``: metres to the right camera, where neither
    the calibration nor ``/tf_static`` says it. ``depth_scale``: metres that a 1 stands for; 0: by the encoding.
    """

    image_topic: str | None = None
    camera_info_topic: str | None = None
    ground_truth_topic: str | None = None
    right_topic: str | None = None
    baseline: float = 0.0
    depth_topic: str | None = None
    depth_scale: float = 0.0


def open_bag(path: Path, *, sensor: Sensor = Sensor.MONO, **options: Any) -> Recording:
    """
    Open a rosbag2 folder, a single mcap or sqlite3 file, or a ROS 1 bag.

    An image has the time of its header, or that of its recording where the header has none. Images of two cameras
    belong together by their times: the nearest ones, within the tolerance of :mod:`kp2d_ros.recordings.pairing`.

    :param options: fields of :class:`BagOptions`.
    :raises DataError: if the bag cannot be read, a topic is missing or not clear, listing those there are, or no images
        of two cameras belong together.
    """
    wanted = BagOptions(**options)
    with _opened(path) as reader:
        try:
            topic, partner = _choose_topics(reader, sensor, wanted)
        except DataError as error:
            raise DataError(f'{path}: {error}') from error
        first = next(_messages(reader, topic), None)
        if first is None:
            raise DataError(f'{path}: found no message on {topic}, expected images')
        calibration = _read_calibration(path, reader, topic, wanted.camera_info_topic)
        camera_frame = first[2].header.frame_id
        truth = _find_ground_truth(path, reader, wanted.ground_truth_topic, camera_frame)
        count = sum(connection.msgcount for connection in reader.connections if connection.topic == topic)
        name = path.stem if path.is_file() else path.resolve().name
        if calibration.camera is None:
            _log.warning('%s: %s', path, calibration.reason)
        recording = Recording(name, count, partial(_read_images, path, topic), calibration.camera, truth)
        if not partner:
            return recording
        names = PairNames(*(('left', 'right') if sensor is Sensor.STEREO else ('colour', 'depth')), str(path))
        _check_pairs(reader, topic, partner, names)
        read = partial(_read_pairs, path, (topic, partner), names, wanted.depth_scale)
        recording = replace(recording, sensor=sensor, read=read)
        if sensor is Sensor.RGBD:
            if _encoding(reader, partner) == 'mono16':
                _log.warning('%s: %s has the encoding mono16, taken as depth in millimetres (16UC1)', path, partner)
            return recording
        return _with_rig(recording, path, reader, (calibration, partner, camera_frame), wanted.baseline)


@contextmanager
def _opened(path: Path) -> Iterator[AnyReader]:
    try:
        # Bags of Humble and before do not say what their messages look like.
        with AnyReader([path], default_typestore=get_typestore(Stores.LATEST)) as reader:
            check_overlap(reader)
            yield reader
    except _READ_ERRORS as error:
        raise DataError(f'{path}: cannot be read as a bag: {error or type(error).__name__}') from error


def _messages(reader: AnyReader, *topics: str) -> Iterator[tuple[str, int, Any]]:
    """
    The messages of some topics with the name of theirs and the time of recording, in that order.
    """
    connections = [connection for connection in reader.connections if connection.topic in topics]
    if connections:  # without any, rosbags gives the messages of all topics
        for connection, received_ns, content in reader.messages(connections):
            yield connection.topic, received_ns, reader.deserialize(content, connection.msgtype)


def _read_images(path: Path, topic: str) -> Iterator[RecordedImage]:
    with _opened(path) as reader:
        for number, (_, received_ns, message) in enumerate(_messages(reader, topic)):
            yield _recorded_image(_Message(f'{path}: message {number} of {topic}', received_ns, message))


def _read_pairs(path: Path, topics: tuple[str, str], names: PairNames, depth_scale: float) -> Iterator[RecordedImage]:
    """
    The images of the first topic with those of the second that belong to them: right ones, or depth.
    """
    pairing = StampPairing[_Message]()

    def join(pairs: Iterable[tuple[_Message, _Message]]) -> Iterator[RecordedImage]:
        for first, second in pairs:
            image = _recorded_image(first)
            if names.second == 'right':
                yield replace(image, right=_recorded_image(second))
            else:
                yield replace(image, depth=_recorded_depth(second, depth_scale))

    with _opened(path) as reader:
        for topic, received_ns, message in _messages(reader, *topics):
            camera = topics.index(topic)
            place = f'{path}: message {pairing.counts[camera]} of {topic}'
            found = _Message(place, received_ns, message)
            yield from join(pairing.add(camera, found.stamp_ns, found))
        yield from join(pairing.finish())
    report_unpaired(names, pairing.pair_count, *pairing.counts)


@dataclass(frozen=True, slots=True)
class _Message:
    """
    A message with an image, and where it is.
    """

    place: str
    received_ns: int
    content: Any

    @property
    def stamp_ns(self) -> int:
        return stamp_ns_of(self.content) or self.received_ns


def _recorded_image(message: _Message) -> RecordedImage:
    try:
        image = _decode(message.content)
    except DataError as error:
        raise DataError(f'{message.place}: {error}') from error
    return RecordedImage(message.stamp_ns, image, message.place, message.content.header.frame_id)


def _recorded_depth(message: _Message, depth_scale: float) -> RecordedDepth:
    try:
        metres = _decode_depth(message.content, depth_scale)
    except DataError as error:
        raise DataError(f'{message.place}: {error}') from error
    return RecordedDepth(message.stamp_ns, metres, message.place)


def _decode(message: Any) -> ImageArray:
    if hasattr(message, 'format'):
        return decode_compressed(message.format, message.data)
    return decode_image(*_pixel_fields(message), message.data)


def _decode_depth(message: Any, depth_scale: float) -> Float32Array:
    if hasattr(message, 'format'):
        return decode_compressed_depth(message.format, message.data, depth_scale)
    return decode_depth(*_pixel_fields(message), message.data, depth_scale)


def _pixel_fields(message: Any) -> tuple[str, int, int, int, bool]:
    return message.encoding, message.height, message.width, message.step, bool(message.is_bigendian)


def _choose_topics(reader: AnyReader, sensor: Sensor, wanted: BagOptions) -> tuple[str, str]:
    """
    The topic of the images, and that of the right or depth ones; empty with one camera.
    """
    found = _topics(reader, _IMAGE, _COMPRESSED)
    depths: list[str] = []
    if len(found) > 1:
        named = [topic for topic in found if is_depth_topic(topic)]
        depths = named or [topic for topic in found if _encoding(reader, topic) in DEPTH_UNITS]
    # Depth first: of a bag without any, that is what has to be said.
    depth = choose_depth_topic(found, wanted.depth_topic, depths) if sensor is Sensor.RGBD else ''
    topic = choose_image_topic(found, wanted.image_topic, depths, sensor, wanted.right_topic)
    return topic, choose_right_topic(found, topic, wanted.right_topic) if sensor is Sensor.STEREO else depth


def _encoding(reader: AnyReader, topic: str) -> str:
    """
    The encoding of the first message of a topic, in lower case.
    """
    for _, _, message in _messages(reader, topic):
        encoding: str = getattr(message, 'encoding', None) or message.format.partition(';')[0]
        return encoding.strip().lower()
    return ''


def _check_pairs(reader: AnyReader, topic: str, partner: str, names: PairNames) -> None:
    """
    Look at the beginning of two topics.

    :raises DataError: if no two of their images belong together.
    """
    stamps: list[list[int]] = []
    delays_ns: list[float] = []
    for each in (topic, partner):
        messages = (_Message('', received_ns, message) for _, received_ns, message in _messages(reader, each))
        found = list(islice(((message.stamp_ns, message.received_ns) for message in messages), _LOOKED_AT))
        stamps.append([stamp_ns for stamp_ns, _ in found])
        delays_ns.append(median(received_ns - stamp_ns for stamp_ns, received_ns in found))
    require_pairs(stamps[0], stamps[1], names)
    # What is late by whole periods has partners too, wrong ones; but it was recorded with the right ones.
    offset_ns, start_ns = delays_ns[0] - delays_ns[1], stamps[1][0] - stamps[0][0]
    if abs(offset_ns) > TOLERANCE_NS:
        _log.warning(
            '%s: %s images are stamped %s than %s ones that were recorded at the same time: the clock or the driver of '
            'one camera may be wrong, and what is paired may not belong together',
            *(names.place, names.second, _how_late(offset_ns), names.first),
        )
    elif abs(start_ns) > TOLERANCE_NS:
        _log.warning(
            '%s: the first %s image is %s than the first %s one: if both cameras began together, one of them is late',
            *(names.place, names.second, _how_late(start_ns), names.first),
        )


def _how_late(offset_ns: float) -> str:
    return f'{abs(offset_ns) * 1e-6:.6g} ms {"later" if offset_ns > 0 else "earlier"}'


def _with_rig(
    recording: Recording, path: Path, reader: AnyReader, pair: tuple[Calibration, str, str], baseline: float
) -> Recording:
    """
    The recording of a stereo rig with its right camera, and where that is.

    :param pair: the left calibration, the right topic, and the frame_id of the left images.
    """
    left, topic, left_frame = pair
    right = _read_calibration(path, reader, topic, None)
    if right.camera is None:
        _log.warning('%s: right camera: %s', path, right.reason)

    def look_up() -> Float64Array | None:
        messages = _messages(reader, '/tf_static')
        fixed = [pose for _, _, message in messages for pose in poses_of(message)]
        right_frame = next(_messages(reader, topic))[2].header.frame_id
        return fixed_transform(fixed, left_frame, right_frame)

    try:
        rig = find_rig((left.fields, right.fields), is_rectified_topic(topic), look_up, baseline)
    except DataError as error:
        raise DataError(f'{path}: {error}') from error
    report_rig(str(path), rig)
    return replace(recording, right_camera=right.camera, left_from_right=rig.left_from_right)


def _topics(reader: AnyReader, *types: str) -> list[str]:
    return sorted({c.topic for c in reader.connections if c.msgtype in types and c.msgcount})


def _read_calibration(path: Path, reader: AnyReader, image_topic: str, wanted: str | None) -> Calibration:
    topic = '/' + wanted.strip('/') if wanted else info_topic(image_topic)
    found = _topics(reader, _CAMERA_INFO)
    if topic not in found:
        text = f'found the camera_info topics {", ".join(found) or "(none)"}, expected {topic}'
        if wanted:
            raise DataError(f'{path}: {text}')
        return Calibration(None, f'{text}: poses need a calibration')
    calibration = Calibration(None, f'found no message on {topic}')
    for _, _, message in _messages(reader, topic):
        try:
            calibration = camera_from_fields(_fields_of(message), rectified=is_rectified_topic(image_topic))
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
        poses = [pose for _, _, message in _messages(reader, topic) for pose in poses_of(message)]
        fixed = [pose for _, _, message in _messages(reader, '/tf_static') for pose in poses_of(message)]
        return camera_trajectory(poses, fixed, camera_frame)
    except DataError as error:
        raise DataError(f'{path}: {topic}: {error}') from error
