# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Whatever comes in: one line, and the next good image is processed.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from sensor_msgs.msg import CameraInfo, CompressedImage, Image  # noqa: E402

from kp2d_ros.inference.classical import ClassicalExtractor  # noqa: E402
from kp2d_ros.inference.extractor import ExtractorConfig  # noqa: E402
from kp2d_ros.inference.pipeline import PipelineConfig  # noqa: E402
from kp2d_ros.msg import FrontendStatus  # noqa: E402
from kp2d_ros.recordings.image_decoding import SUPPORTED_ENCODINGS  # noqa: E402
from kp2d_ros.ros.calibration_source import CalibrationSource  # noqa: E402
from kp2d_ros.ros.conversions import header_from  # noqa: E402
from kp2d_ros.ros.engine import Engine  # noqa: E402
from kp2d_ros.ros.frame_processor import Arrival, FrameProcessor  # noqa: E402
from kp2d_ros.ros.image_messages import decode_message, image_message  # noqa: E402
from kp2d_ros.ros.log_bridge import ThrottledLog  # noqa: E402
from kp2d_ros.ros.stamp_gate import StampGate  # noqa: E402

ORB = PipelineConfig(extractor=ExtractorConfig(name='orb', max_keypoints=50))
SECOND = 10**9
UINT32 = st.integers(0, 2**32 - 1)
SMALL = st.integers(0, 40)
STAMPS = st.builds(header_from, st.integers(0, 2**31 * SECOND - 1), st.text(max_size=5))
ENCODINGS = st.sampled_from(SUPPORTED_ENCODINGS) | st.sampled_from(['mono8', 'rgb8', '', 'h264', 'RGB8']) | st.text()

IMAGES = st.builds(
    Image,
    header=STAMPS,
    height=SMALL | UINT32,
    width=SMALL | UINT32,
    step=st.integers(0, 200) | UINT32,
    is_bigendian=st.integers(0, 255),
    encoding=ENCODINGS,
    data=st.binary(max_size=4000),
)
COMPRESSED = st.builds(
    CompressedImage,
    header=STAMPS,
    format=st.sampled_from(['jpeg', 'png', 'rgb8; jpeg compressed bgr8', '16UC1; compressedDepth png']) | st.text(),
    data=st.binary(max_size=300)
    | st.builds(bytes.__add__, st.sampled_from([b'\xff\xd8\xff\xe0', b'\x89PNG\r\n\x1a\n']), st.binary(max_size=300)),
)
NUMBERS = st.floats(width=64) | st.sampled_from([0.0, 1.0, 100.0])
CAMERA_INFOS = st.builds(
    CameraInfo,
    header=STAMPS,
    height=SMALL | UINT32,
    width=SMALL | UINT32,
    distortion_model=st.sampled_from(['plumb_bob', 'rational_polynomial', 'equidistant', '']) | st.text(),
    d=st.lists(NUMBERS, max_size=14),
    k=st.lists(NUMBERS, min_size=9, max_size=9),
    p=st.lists(NUMBERS, min_size=12, max_size=12),
    binning_x=SMALL | UINT32,
    binning_y=SMALL | UINT32,
)


@pytest.fixture
def processor():
    """
    The way of an image through the worker, and the lines that it says.
    """
    lines = []
    engine = Engine(ClassicalExtractor(ORB.extractor), ORB)
    calibrations = CalibrationSource('/camera_info', is_rectified=False)
    log = ThrottledLog(lines.append, period=0.0)
    processor = FrameProcessor(engine, decode_message, calibrations, StampGate(SECOND // 2), log)
    return processor, calibrations, lines


CHECKS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@CHECKS
@given(message=IMAGES | COMPRESSED)
def test_every_image_message_is_processed_or_refused_in_one_line(processor, message):
    process, _, lines = processor
    before = len(lines)
    processed = process.process(Arrival(message, 0, 0.0, SECOND))
    said = lines[before:]
    assert all(line and '\n' not in line for line in said)
    if processed is None:
        assert len(said) == 1 or 'stamp of zero' in said[0]
    else:
        assert processed.frame.image.shape[:2] == processed.frame.image.shape[:2]


@CHECKS
@given(message=CAMERA_INFOS, is_rectified=st.booleans())
def test_every_calibration_gives_a_camera_or_a_reason(message, is_rectified):
    source = CalibrationSource('/camera_info', is_rectified)
    source.receive(message)
    calibration = source.calibration_for(message.width, message.height)
    assert (calibration.camera is None) == bool(calibration.reason)
    assert '\n' not in calibration.reason


@CHECKS
@given(stamps=st.lists(st.integers(-5 * SECOND, 20 * SECOND), max_size=30))
def test_stamps_of_what_comes_out_rise_until_time_begins_anew(processor, pattern, stamps):
    process, _, _ = processor
    newest = None
    process._gate.forget()
    for number, stamp_ns in enumerate(stamps):
        message = image_message(pattern.view(0)[:40, :40], header_from(stamp_ns, ''))
        processed = process.process(Arrival(message, number, 0.0, 7 * SECOND))
        if processed is None:
            continue
        assert processed.frame.stamp_ns == (stamp_ns if stamp_ns > 0 else 7 * SECOND)
        if newest is not None and processed.frame.stamp_ns <= newest:
            assert processed.began_anew
        newest = processed.frame.stamp_ns


def test_node_lives_on_after_every_kind_of_malformed_message(rig):
    rig.start()
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image')
    lines = []
    rig.node.session.log._say = lines.append
    rig.publish_camera_info(lambda c: c.has_arrived, k=[float('nan')] * 9)
    good = rig.image(0)
    wrong = [
        {'step': 3},
        {'data': b'short'},
        {'height': 0, 'width': 0},
        {'encoding': 'h265'},
        {'data': b''},
    ]
    for number, fields in enumerate(wrong * 3, start=1):
        images.publish(rig.image(number, **fields))
        rig.spin_until(lambda number=number: rig.node.session.counts().dropped == number)
    images.publish(good)
    rig.spin_until(lambda: len(statuses) == 1)
    kinds = sorted(line.split(':')[1].strip() for line in lines)
    assert kinds == ['encoding', 'image data', 'image size', 'step']
    assert (statuses[0].frames_received, statuses[0].frames_dropped) == (16, 15)
    assert 'camera_info is not usable' in rig.node.session._inputs.calibrations.problem
