# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import (
    FrontendResult,
    Keypoints,
    Matches,
    PoseModel,
    RelativePose,
    ScaleKind,
    TrackingState,
)
from kp2d_ros.core.se3 import rotation_from_vector, transform_from
from kp2d_ros.recordings.camera_yaml import fields_from_camera
from kp2d_ros.recordings.stereo_rig import fields_from_rig, left_from_right_of

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from builtin_interfaces.msg import Time  # noqa: E402
from rclpy.serialization import deserialize_message, serialize_message  # noqa: E402

from kp2d_ros.ros import conversions as convert  # noqa: E402
from kp2d_ros.ros.conversions import DescriptorType  # noqa: E402

HEADER = convert.header_from(1_234_567_890_123_456_789, 'camera')


def over_the_wire(message: Any) -> Any:
    return deserialize_message(serialize_message(message), type(message))


def make_result(
    rng: np.random.Generator,
    count: int = 7,
    matched: int = 3,
    binary: bool = False,
    bearings: bool = True,
    probability: bool = True,
) -> FrontendResult:
    if binary:
        descriptors = rng.integers(0, 256, (count, 32), np.uint8)
    else:
        descriptors = rng.normal(size=(count, 16)).astype(np.float32)
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    xy = rng.uniform(0, 600, (count, 2)).astype(np.float32)
    pose = RelativePose(
        reference_seq=4,
        reference_stamp_ns=1_000_000_001,
        state=TrackingState.DEGRADED,
        reference_from_current=transform_from(rotation_from_vector(rng.normal(size=3)), rng.normal(size=3)),
        covariance=np.diag(rng.uniform(0, 1, 6)),
        scale=ScaleKind.CHAINED,
        scale_segment=3,
        model=PoseModel.HOMOGRAPHY,
        match_count=matched,
        inlier_count=2,
        parallax_deg=1.5,
        rms_px=0.25,
        reason='few inliers',
    )
    return FrontendResult(
        seq=9,
        stamp_ns=2_000_000_002,
        keypoints=Keypoints(xy, rng.uniform(0, 1, count).astype(np.float32), descriptors),
        bearing_xy=rng.normal(size=(count, 2)).astype(np.float32) if bearings else None,
        track_ids=rng.integers(0, 2**32, count, np.uint32),
        track_ages=rng.integers(0, 2**16, count).astype(np.uint16),
        matches=Matches(
            np.arange(matched)[::-1].copy(), np.arange(matched), rng.uniform(0, 1, matched).astype(np.float32)
        ),
        reference_xy=xy[:matched][::-1],
        current_xy=xy[:matched],
        inlier=rng.uniform(size=matched) < 0.5,
        inlier_probability=rng.uniform(0, 1, matched).astype(np.float32) if probability else None,
        pose=pose,
        state=pose.state,
        world_from_camera=np.eye(4),
        scale_segment=3,
    )


def context(kind: Any) -> Any:
    return convert.KeypointContext(HEADER, 640, 480, 'model:0123', kind)


# The largest error of one element: float16 keeps 11 bits, a byte is a step of 1/127.
@pytest.mark.parametrize(
    ('kind', 'tolerance', 'size'),
    [(DescriptorType.F32, 0.0, 4), (DescriptorType.F16, 2**-11, 2), (DescriptorType.U8, 0.5 / 127 + 1e-6, 1)],
)
def test_float_descriptors_survive_the_round_trip_up_to_their_rounding(
    rng: np.random.Generator, kind: Any, tolerance: float, size: int
) -> None:
    result = make_result(rng)
    message = over_the_wire(convert.keypoints_message(result, context(kind)))
    back = convert.keypoints_from_message(message)
    assert message.descriptor_type == int(kind)
    assert (message.descriptor_dim, len(message.descriptors)) == (16, 7 * 16 * size)
    assert not message.descriptor_is_binary
    assert back.descriptors.dtype == np.float32
    np.testing.assert_allclose(back.descriptors, result.keypoints.descriptors, atol=tolerance, rtol=0)
    np.testing.assert_array_equal(back.xy, result.keypoints.xy)
    np.testing.assert_array_equal(back.scores, result.keypoints.scores)


@pytest.mark.parametrize('kind', [DescriptorType.F32, DescriptorType.F16, DescriptorType.U8])
def test_binary_descriptors_stay_bits_whatever_is_asked_for(rng: np.random.Generator, kind: Any) -> None:
    result = make_result(rng, binary=True)
    message = over_the_wire(convert.keypoints_message(result, context(kind)))
    assert (message.descriptor_type, message.descriptor_is_binary, message.descriptor_dim) == (3, True, 32)
    np.testing.assert_array_equal(convert.keypoints_from_message(message).descriptors, result.keypoints.descriptors)


@pytest.mark.parametrize('binary', [False, True])
def test_no_descriptors_are_sent_if_nobody_wants_them(rng: np.random.Generator, binary: bool) -> None:
    message = convert.keypoints_message(make_result(rng, binary=binary), context(DescriptorType.NONE))
    assert (message.descriptor_type, message.descriptor_dim, len(message.descriptors)) == (0, 0, 0)
    assert not message.descriptor_is_binary
    assert convert.keypoints_from_message(message).descriptors.shape == (7, 0)


def test_keypoint_message_carries_everything_else(rng: np.random.Generator) -> None:
    result = make_result(rng)
    message = over_the_wire(convert.keypoints_message(result, context(DescriptorType.F16)))
    assert (message.frame_seq, message.width, message.height, message.model_id) == (9, 640, 480, 'model:0123')
    assert convert.ns_from_time(message.header.stamp) == 1_234_567_890_123_456_789
    np.testing.assert_array_equal(message.track_ids, result.track_ids)
    np.testing.assert_array_equal(message.track_ages, result.track_ages)
    np.testing.assert_array_equal(np.reshape(message.bearing_xy, (-1, 2)), result.bearing_xy)
    without = convert.keypoints_message(replace(result, bearing_xy=None), context(DescriptorType.F16))
    assert len(without.bearing_xy) == 0


@pytest.mark.parametrize('kind', list(DescriptorType))
def test_an_image_without_keypoints_gives_empty_arrays(rng: np.random.Generator, kind: Any) -> None:
    result = make_result(rng, count=0, matched=0)
    back = convert.keypoints_from_message(over_the_wire(convert.keypoints_message(result, context(kind))))
    assert back.xy.shape == (0, 2)
    assert len(convert.matches_message(result, HEADER).reference_index) == 0


@pytest.mark.parametrize('probability', [False, True])
def test_matches_travel_as_flat_arrays(rng: np.random.Generator, probability: bool) -> None:
    result = make_result(rng, probability=probability)
    message = over_the_wire(convert.matches_message(result, HEADER))
    assert (message.current_seq, message.reference_seq) == (9, 4)
    assert convert.ns_from_time(message.reference_stamp) == 1_000_000_001
    np.testing.assert_array_equal(message.reference_index, result.matches.reference_index)
    np.testing.assert_array_equal(message.current_index, result.matches.current_index)
    np.testing.assert_array_equal(message.scores, result.matches.scores)
    np.testing.assert_array_equal(np.reshape(message.reference_xy, (-1, 2)), result.reference_xy)
    np.testing.assert_array_equal(np.reshape(message.current_xy, (-1, 2)), result.current_xy)
    np.testing.assert_array_equal(message.inlier, result.inlier)
    np.testing.assert_array_equal(message.inlier_probability, result.inlier_probability if probability else [])


def test_first_image_is_its_own_reference(rng: np.random.Generator) -> None:
    message = convert.matches_message(replace(make_result(rng), pose=None), HEADER)
    assert (message.reference_seq, convert.ns_from_time(message.reference_stamp)) == (9, 2_000_000_002)


def test_relative_pose_survives_the_round_trip(rng: np.random.Generator) -> None:
    pose = make_result(rng).pose
    assert pose is not None
    message = over_the_wire(convert.relative_pose_message(pose, 9, HEADER))
    back = convert.relative_pose_from_message(message)
    np.testing.assert_allclose(back.reference_from_current, pose.reference_from_current, atol=1e-12)
    np.testing.assert_array_equal(back.covariance, pose.covariance)
    same = {'reference_from_current': pose.reference_from_current, 'covariance': pose.covariance}
    assert replace(back, **same) == replace(pose, **same)
    assert message.current_seq == 9


@pytest.mark.parametrize(('name', 'value'), [('state', 99), ('scale', 99), ('model', 99)])
def test_refuses_unknown_constants(rng: np.random.Generator, name: str, value: int) -> None:
    message = convert.relative_pose_message(make_result(rng).pose, 9, HEADER)
    setattr(message, name, value)
    with pytest.raises(DataError, match=r'RelativePose\.msg'):
        convert.relative_pose_from_message(message)


def test_refuses_arrays_that_do_not_fit_each_other(rng: np.random.Generator) -> None:
    message = convert.keypoints_message(make_result(rng), context(DescriptorType.F16))
    message.descriptors = message.descriptors[:-1]
    with pytest.raises(DataError, match='descriptors: found 223 bytes, expected 7 times 16'):
        convert.keypoints_from_message(message)
    message.xy = message.xy[:-1]
    with pytest.raises(DataError, match='xy: found 13 numbers'):
        convert.keypoints_from_message(message)


CAMERAS = [
    (LensModel.PLUMB_BOB, [-0.3, 0.1, 0.001, -0.002, 0.01]),
    (LensModel.RATIONAL_POLYNOMIAL, [0.1, 0.2, 0.001, 0.002, 0.3, 0.4, 0.5, 0.6]),
    (LensModel.EQUIDISTANT, [0.01, -0.02, 0.003, 0.0]),
]


def make_camera(lens: Any, coefficients: Any) -> CameraModel:
    matrix = np.array([[500.0, 0.0, 320.5], [0.0, 510.0, 239.5], [0.0, 0.0, 1.0]])
    return CameraModel(640, 480, matrix, lens, np.array(coefficients))


@pytest.mark.parametrize(('lens', 'coefficients'), CAMERAS)
def test_calibrations_survive_the_round_trip(lens: Any, coefficients: Any) -> None:
    camera = make_camera(lens, coefficients)
    message = over_the_wire(convert.camera_info_message(fields_from_camera(camera), HEADER))
    back = convert.camera_from_message(message, is_rectified=False).camera
    assert (back.width, back.height, back.lens) == (640, 480, lens)
    np.testing.assert_array_equal(back.matrix, camera.matrix)
    np.testing.assert_array_equal(back.coefficients, camera.coefficients)


def test_the_rig_of_two_calibrations_survives_the_round_trip() -> None:
    left, right = make_camera(*CAMERAS[0]), make_camera(*CAMERAS[1])
    pose = transform_from(rotation_from_vector(np.array([0.01, -0.02, 0.005])), np.array([0.2, 0.01, -0.005]))
    infos = [
        convert.fields_of(over_the_wire(convert.camera_info_message(fields, HEADER)))
        for fields in fields_from_rig(left, right, pose)
    ]
    np.testing.assert_allclose(left_from_right_of(*infos, False).left_from_right, pose, atol=1e-14)


def test_depth_survives_the_round_trip_bit_by_bit(rng: np.random.Generator) -> None:
    metres = rng.uniform(0.1, 10.0, (7, 5)).astype(np.float32)
    metres[0, 0], metres[1, 1] = np.nan, np.inf
    message = over_the_wire(convert.depth_message(metres[:, ::-1], HEADER))
    np.testing.assert_array_equal(convert.decode_depth_message(message), metres[:, ::-1])


def test_rectified_images_have_the_camera_of_p_without_distortion() -> None:
    message = convert.camera_info_message(fields_from_camera(make_camera(*CAMERAS[0])), HEADER)
    message.p = [400.0, 0, 300, -40, 0, 400, 200, 0, 0, 0, 1, 0]
    camera = convert.camera_from_message(message, is_rectified=True).camera
    assert (camera.fx, camera.matrix[0, 2]) == (400.0, 300.0)
    assert not camera.coefficients.any()


def test_uncalibrated_camera_is_a_reason_and_nan_an_error() -> None:
    message = convert.camera_info_message(fields_from_camera(make_camera(*CAMERAS[0])), HEADER)
    message.k = [0.0] * 9
    calibration = convert.camera_from_message(message, is_rectified=False)
    assert calibration.camera is None
    assert 'K[0] == 0' in calibration.reason
    message.k = [float('nan')] * 9
    with pytest.raises(DataError, match='camera matrix'):
        convert.camera_from_message(message, is_rectified=False)


@given(st.integers(0, (2**31 - 1) * 10**9 + 999_999_999))
def test_times_survive_the_round_trip_to_the_nanosecond(stamp_ns: Any) -> None:
    assert convert.ns_from_time(convert.time_from_ns(stamp_ns)) == stamp_ns


def test_refuses_times_that_the_message_cannot_hold() -> None:
    for stamp_ns in (2**31 * 10**9, -(2**31) * 10**9 - 1):
        with pytest.raises(DataError, match='expected one of 32 bits'):
            convert.time_from_ns(stamp_ns)
    assert convert.time_from_ns(-1).nanosec == 999_999_999
    with pytest.raises(DataError, match='found 1000000000 ns beside the seconds'):
        convert.ns_from_time(Time(sec=1, nanosec=10**9))
