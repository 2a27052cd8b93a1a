# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Messages to records and back.

Arrays travel as flat ``array.array`` filled from their bytes: an ndarray assigned to a message field is checked element
by element, which costs a hundred times more than the rest of the node.
"""

from __future__ import annotations

import array
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, PoseWithCovariance
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import (
    Float32Array,
    Float64Array,
    FrontendResult,
    ImageArray,
    Keypoints,
    PoseModel,
    RelativePose,
    ScaleKind,
    TrackingState,
)
from kp2d_ros.core.se3 import quaternion_from_rotation, rotation_from_quaternion, transform_from
from kp2d_ros.msg import KeypointArray, MatchArray
from kp2d_ros.msg import RelativePose as RelativePoseMessage
from kp2d_ros.recordings.camera_yaml import Calibration, CameraInfoFields, camera_from_fields
from kp2d_ros.recordings.image_decoding import (
    decode_compressed,
    decode_compressed_depth,
    decode_depth,
    decode_image,
)

_QUANTISED_SCALE, _QUANTISED_ZERO = 127.0, 128.0


class DescriptorType(IntEnum):
    """
    How descriptors travel; the numbers are those of ``KeypointArray.msg``.
    """

    NONE = 0
    F32 = 1
    F16 = 2
    U8 = 3


_SAMPLES = {DescriptorType.F32: '<f4', DescriptorType.F16: '<f2'}


def time_from_ns(stamp_ns: int) -> Time:
    """
    ``builtin_interfaces/Time`` of integer nanoseconds.

    :raises DataError: if it holds no such time: 68 years around 1970.
    """
    seconds, nanoseconds = divmod(stamp_ns, 10**9)
    if not -(2**31) <= seconds < 2**31:
        raise DataError(f'stamp: found {seconds} s, expected one of 32 bits')
    return Time(sec=seconds, nanosec=nanoseconds)


def ns_from_time(stamp: Time) -> int:
    """
    Integer nanoseconds of a ``builtin_interfaces/Time``.

    :raises DataError: if its nanoseconds are a second and more.
    """
    if stamp.nanosec >= 10**9:
        raise DataError(f'stamp: found {stamp.nanosec} ns beside the seconds, expected less than {10**9}')
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def header_from(stamp_ns: int, frame_id: str) -> Header:
    """
    ``std_msgs/Header`` of a time and a coordinate frame.
    """
    return Header(stamp=time_from_ns(stamp_ns), frame_id=frame_id)


def decode_message(message: Image | CompressedImage) -> ImageArray:
    """
    Gray (H, W) or RGB (H, W, 3) uint8 of an image message of any supported encoding.

    :raises DataError: if the message is not a whole image.
    """
    if isinstance(message, CompressedImage):
        return decode_compressed(message.format, message.data)
    fields = (message.encoding, message.height, message.width, message.step, bool(message.is_bigendian))
    return decode_image(*fields, message.data)


def decode_depth_message(message: Image | CompressedImage, depth_scale: float = 0.0) -> Float32Array:
    """
    Depth (H, W) float32 in metres of an image message of depth.

    :param depth_scale: metres that a 1 stands for; 0: as the encoding says.
    :raises DataError: if the message is not a whole image of depth.
    """
    if isinstance(message, CompressedImage):
        return decode_compressed_depth(message.format, message.data, depth_scale)
    fields = (message.encoding, message.height, message.width, message.step, bool(message.is_bigendian))
    return decode_depth(*fields, message.data, depth_scale)


def image_message(image: ImageArray, header: Header) -> Image:
    """
    ``sensor_msgs/Image`` (mono8 or rgb8) of a gray (H, W) or RGB (H, W, 3) image.
    """
    height, width = image.shape[:2]
    channels = image.size // (height * width)
    encoding = 'mono8' if image.ndim == 2 else 'rgb8'
    fields = {'height': height, 'width': width, 'step': width * channels, 'data': _flat('B', image)}
    return Image(header=header, encoding=encoding, **fields)


def camera_from_message(message: CameraInfo, is_rectified: bool) -> Calibration:
    """
    The camera of a calibration message, binning and region of interest applied, or why there is none.

    :param is_rectified: whether the images are rectified: then P counts, and K and the distortion do not.
    :raises DataError: if the numbers are not those of a camera.
    """
    return camera_from_fields(fields_of(message), rectified=is_rectified)


def fields_of(message: CameraInfo) -> CameraInfoFields:
    """
    The fields of a calibration message.
    """
    roi = message.roi
    return CameraInfoFields(
        width=message.width,
        height=message.height,
        distortion_model=message.distortion_model,
        d=message.d,
        k=message.k,
        p=message.p,
        r=message.r,
        binning=(message.binning_x, message.binning_y),
        roi=(roi.x_offset, roi.y_offset, roi.width, roi.height),
    )


def camera_info_message(fields: CameraInfoFields, header: Header) -> CameraInfo:
    """
    ``sensor_msgs/CameraInfo`` with these fields; the images are those of the whole sensor.
    """
    numbers = {name: [float(value) for value in getattr(fields, name)] for name in ('d', 'k', 'r', 'p')}
    size = {'width': fields.width, 'height': fields.height}
    return CameraInfo(header=header, distortion_model=fields.distortion_model, **size, **numbers)


def depth_message(metres: Float32Array, header: Header) -> Image:
    """
    ``sensor_msgs/Image`` (32FC1) of depth (H, W) in metres.
    """
    height, width = metres.shape
    fields = {'height': height, 'width': width, 'step': 4 * width}
    return Image(header=header, encoding='32FC1', data=_flat('B', _bytes_of(metres, '<f4')), **fields)


def pose_message(a_from_b: Float64Array) -> Pose:
    """
    ``geometry_msgs/Pose`` of a 4x4 transform: the pose of b in a.
    """
    pose = Pose()
    pose.position.x, pose.position.y, pose.position.z = a_from_b[:3, 3].tolist()
    x, y, z, w = quaternion_from_rotation(a_from_b[:3, :3]).tolist()
    pose.orientation.x, pose.orientation.y, pose.orientation.z, pose.orientation.w = x, y, z, w
    return pose


def transform_from_pose(pose: Pose) -> Float64Array:
    """
    4x4 transform of a ``geometry_msgs/Pose``.

    :raises DataError: if the quaternion is zero.
    """
    q, p = pose.orientation, pose.position
    return transform_from(rotation_from_quaternion(np.array([q.x, q.y, q.z, q.w])), np.array([p.x, p.y, p.z]))


@dataclass(frozen=True, slots=True)
class KeypointContext:
    """
    What a keypoint message says beside the result of the frontend.
    """

    header: Header
    width: int
    height: int
    model_id: str
    descriptor_type: DescriptorType


def keypoints_message(result: FrontendResult, context: KeypointContext) -> KeypointArray:
    """
    The keypoints of one image; binary descriptors stay bits whatever the descriptor type is, unless it is NONE.
    """
    keypoints = result.keypoints
    kind, content = _pack_descriptors(keypoints, context.descriptor_type)
    return KeypointArray(
        header=context.header,
        frame_seq=result.seq,
        width=context.width,
        height=context.height,
        xy=_flat('f', keypoints.xy),
        bearing_xy=_flat('f', np.empty(0) if result.bearing_xy is None else result.bearing_xy),
        scores=_flat('f', keypoints.scores),
        track_ids=_flat('I', result.track_ids),
        track_ages=_flat('H', result.track_ages),
        descriptor_type=int(kind),
        descriptor_is_binary=kind is not DescriptorType.NONE and keypoints.is_binary,
        descriptor_dim=0 if kind is DescriptorType.NONE else keypoints.descriptors.shape[1],
        descriptors=content,
        model_id=context.model_id,
    )


def keypoints_from_message(message: KeypointArray) -> Keypoints:
    """
    The keypoints of a message; float16 and quantised descriptors become float32, rounded as they are.

    :raises DataError: if the lengths of the arrays do not agree.
    """
    xy = _rows(message.xy, np.float32, 2, 'xy')
    try:
        kind = DescriptorType(message.descriptor_type)
    except ValueError as error:
        raise DataError(f'descriptor_type: found {message.descriptor_type}, expected 0 to 3') from error
    dim = 0 if kind is DescriptorType.NONE else message.descriptor_dim
    sample = np.dtype(_SAMPLES.get(kind, 'u1'))
    if len(message.descriptors) != len(xy) * dim * sample.itemsize:
        raise DataError(
            f'descriptors: found {len(message.descriptors)} bytes, expected {len(xy)} times {dim} of {sample.name}'
        )
    if kind is DescriptorType.NONE:
        descriptors: npt.NDArray[Any] = np.empty((len(xy), 0), np.float32)
    else:
        descriptors = np.frombuffer(message.descriptors, sample).reshape(len(xy), dim)
        if not message.descriptor_is_binary:
            descriptors = descriptors.astype(np.float32)
            if kind is DescriptorType.U8:
                descriptors = (descriptors - np.float32(_QUANTISED_ZERO)) / np.float32(_QUANTISED_SCALE)
    return Keypoints(xy, np.frombuffer(message.scores, np.float32), descriptors)


def matches_message(result: FrontendResult, header: Header) -> MatchArray:
    """
    The pairs of one image with its reference; both are the image itself where there is no reference yet.
    """
    pose, matches = result.pose, result.matches
    probability = np.empty(0) if result.inlier_probability is None else result.inlier_probability
    return MatchArray(
        header=header,
        current_seq=result.seq,
        reference_stamp=time_from_ns(result.stamp_ns if pose is None else pose.reference_stamp_ns),
        reference_seq=result.seq if pose is None else pose.reference_seq,
        reference_index=_flat('I', matches.reference_index),
        current_index=_flat('I', matches.current_index),
        reference_xy=_flat('f', result.reference_xy),
        current_xy=_flat('f', result.current_xy),
        scores=_flat('f', matches.scores),
        inlier_probability=_flat('f', probability),
        inlier=_flat('B', result.inlier),
    )


def relative_pose_message(pose: RelativePose, seq: int, header: Header) -> RelativePoseMessage:
    """
    The motion since the reference image.
    """
    return RelativePoseMessage(
        header=header,
        current_seq=seq,
        reference_stamp=time_from_ns(pose.reference_stamp_ns),
        reference_seq=pose.reference_seq,
        reference_from_current=PoseWithCovariance(
            pose=pose_message(pose.reference_from_current), covariance=pose.covariance.ravel().tolist()
        ),
        state=int(pose.state),
        scale=int(pose.scale),
        scale_segment=pose.scale_segment,
        model=int(pose.model),
        match_count=pose.match_count,
        inlier_count=pose.inlier_count,
        parallax_deg=pose.parallax_deg,
        rms_px=pose.rms_px,
        reason=pose.reason,
    )


def relative_pose_from_message(message: RelativePoseMessage) -> RelativePose:
    """
    The relative pose of a message.

    :raises DataError: if a constant is unknown or the rotation is no quaternion.
    """
    try:
        state, scale, model = TrackingState(message.state), ScaleKind(message.scale), PoseModel(message.model)
    except ValueError as error:
        raise DataError(f'relative pose: {error}, expected a constant of RelativePose.msg') from error
    return RelativePose(
        reference_seq=message.reference_seq,
        reference_stamp_ns=ns_from_time(message.reference_stamp),
        state=state,
        reference_from_current=transform_from_pose(message.reference_from_current.pose),
        covariance=np.asarray(message.reference_from_current.covariance, np.float64).reshape(6, 6),
        scale=scale,
        scale_segment=message.scale_segment,
        model=model,
        match_count=message.match_count,
        inlier_count=message.inlier_count,
        parallax_deg=message.parallax_deg,
        rms_px=message.rms_px,
        reason=message.reason,
    )


def _flat(code: str, values: npt.NDArray[Any]) -> array.array[Any]:
    """
    The numbers of an array of any shape one after the other; ``code`` is that of ``array.array`` and of NumPy.
    """
    flat = array.array(code)
    flat.frombytes(np.ascontiguousarray(values, code).reshape(-1).view(np.uint8).data)
    return flat


def _bytes_of(values: npt.NDArray[Any], kind: str) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(values, kind).reshape(-1).view(np.uint8)


def _rows(values: Any, dtype: type[Any], width: int, name: str) -> npt.NDArray[Any]:
    if len(values) % width:
        raise DataError(f'{name}: found {len(values)} numbers, expected a multiple of {width}')
    return np.frombuffer(values, dtype).reshape(-1, width)


def _pack_descriptors(keypoints: Keypoints, wanted: DescriptorType) -> tuple[DescriptorType, array.array[int]]:
    values = keypoints.descriptors
    if wanted is DescriptorType.NONE or values.shape[1] == 0:
        return DescriptorType.NONE, array.array('B')
    if keypoints.is_binary:
        return DescriptorType.U8, _flat('B', values)
    if wanted is DescriptorType.F32:
        packed = values.astype('<f4', copy=False)
    elif wanted is DescriptorType.F16:
        packed = values.astype('<f2')
    else:
        packed = np.clip(np.rint(values * _QUANTISED_SCALE) + _QUANTISED_ZERO, 0, 255).astype(np.uint8)
    return wanted, _flat('B', _bytes_of(packed, packed.dtype.str))
