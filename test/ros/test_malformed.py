# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Whatever comes in: one line, and the next good image is processed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from sensor_msgs.msg import CameraInfo, CompressedImage, Image  # noqa: E402

from kp2d_ros.inference.classical import ClassicalExtractor  # noqa: E402
from kp2d_ros.inference.extractor import ExtractorConfig  # noqa: E402
from kp2d_ros.msg import FrontendStatus  # noqa: E402
from kp2d_ros.recordings.image_decoding import SUPPORTED_ENCODINGS  # noqa: E402
from kp2d_ros.ros.calibrations import CalibrationSource  # noqa: E402
from kp2d_ros.ros.conversions import header_from, image_message  # noqa: E402
from kp2d_ros.ros.engine import Engine  # noqa: E402
from kp2d_ros.ros.frame_maker import FrameMaker, ImageSet  # noqa: E402
from kp2d_ros.ros.log_bridge import ThrottledLog  # noqa: E402
from kp2d_ros.ros.node_config import NodeConfig  # noqa: E402
from kp2d_ros.ros.worker import Arrival, Worker  # noqa: E402

if TYPE_CHECKING:
    from test.ros.conftest import Pattern, Rig

ORB = NodeConfig(extractor=ExtractorConfig(name='orb', max_keypoints=50))
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


class Desk:
    """
    A worker whose thread does not run, and the lines that it says.
    """

    def __init__(self) -> None:
        self.lines = []
        self.results = []
        engine = Engine(ClassicalExtractor(ORB.extractor), ORB)
        frames = FrameMaker(CalibrationSource('/camera_info', is_rectified=False))
        log = ThrottledLog(self.lines.append, period=0.0)
        self.worker = Worker(ORB, engine, frames, self._publish, log)

    def _publish(self, processed: Any, counts: Any) -> float:
        self.results.append(processed)
        return 0.0

    def handle(self, message: Any, seq: int = 0, clock_ns: Any = SECOND) -> Any:
        """
        What came of a message, None if nothing did.
        """
        before = len(self.results)
        self.worker.handle(Arrival(ImageSet(message), seq, 0.0, clock_ns))
        return self.results[-1] if len(self.results) > before else None


@pytest.fixture
def desk() -> Desk:
    return Desk()


CHECKS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@CHECKS
@given(message=IMAGES | COMPRESSED)
def test_every_image_message_is_processed_or_refused_in_one_line(desk: Any, message: Any) -> None:
    before = len(desk.lines)
    processed = desk.handle(message)
    said = desk.lines[before:]
    assert all(line and '\n' not in line and 'unexpected' not in line and len(line) < 600 for line in said)
    if processed is None:
        assert len(said) == 1 or 'stamp of zero' in said[0]


@pytest.mark.parametrize(
    ('sec', 'nanosec', 'words'),
    [
        (2**31 - 1, 2**32 - 1, 'image dropped: stamp: found 4294967295 ns beside the seconds, expected less than'),
        (-(2**31), 0, 'image: found a negative stamp (-2147483648.000 s), using the time of its arrival'),
        (0, 0, 'image: found a stamp of zero, using the time of its arrival'),
        (2**31 - 1, 10**9 - 1, ''),
    ],
)
def test_stamps_at_the_ends_of_their_range_are_used_or_refused_in_words(
    desk: Any, pattern: Pattern, sec: int, nanosec: int, words: str
) -> None:
    message = image_message(pattern.view(0), header_from(0, 'camera'))
    message.header.stamp.sec, message.header.stamp.nanosec = sec, nanosec
    processed = desk.handle(message)
    assert (processed is None) == ('dropped' in words)
    assert [line[: len(words)] for line in desk.lines] == ([words] if words else [])
    if processed is not None:  # the fields that go out are checked as well
        assert header_from(processed.frame.stamp_ns, '').stamp.nanosec < 10**9


@pytest.mark.parametrize('field', ['encoding', 'format'])
def test_what_a_message_says_is_not_repeated_at_any_length(desk: Any, pattern: Pattern, field: str) -> None:
    message = image_message(pattern.view(0), header_from(1, 'camera'))
    if field == 'format':
        message = CompressedImage(header=message.header, data=b'nothing')
    setattr(message, field, 'x' * 100_000)
    assert desk.handle(message) is None
    (line,) = desk.lines
    assert len(line) < 600


def test_that_images_are_worked_on_smaller_is_said_once_for_each_size(
    desk: Desk, pattern: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sizes = [(1280, 720), (1920, 1080), (1280, 720), (1920, 1080), (2560, 1440)]
    with caplog.at_level('INFO', 'kp2d_ros'):
        for number, size in enumerate(sizes, start=1):
            image = cv2.resize(pattern.view(number), size)
            assert desk.handle(image_message(image, header_from(number * SECOND, '')), number) is not None
    assert [record.getMessage().split(' are ')[0] for record in caplog.records] == [
        'images of 1920x1080',
        'images of 2560x1440',
    ]


def test_a_calibration_is_not_repeated_at_any_length() -> None:
    source = CalibrationSource('/camera_info', is_rectified=False)
    source.receive(CameraInfo(width=640, height=480, distortion_model='x' * 100_000, k=[1.0] * 9))
    assert len(source.problem) < 600


@CHECKS
@given(message=CAMERA_INFOS, is_rectified=st.booleans())
def test_every_calibration_gives_a_camera_or_a_reason(message: Any, is_rectified: Any) -> None:
    source = CalibrationSource('/camera_info', is_rectified)
    source.receive(message)
    calibration = source.calibration_for(message.width, message.height)
    assert (calibration.camera is None) == bool(calibration.reason)
    assert '\n' not in calibration.reason


@CHECKS
@given(stamps=st.lists(st.integers(-5 * SECOND, 20 * SECOND), max_size=30))
def test_stamps_of_what_comes_out_rise_until_time_begins_anew(desk: Any, pattern: Pattern, stamps: Any) -> None:
    newest = None
    desk.worker.reset()
    for number, stamp_ns in enumerate(stamps):
        message = image_message(pattern.view(0)[:40, :40], header_from(stamp_ns, ''))
        processed = desk.handle(message, number, 7 * SECOND)
        if processed is None:
            continue
        assert processed.frame.stamp_ns == (stamp_ns if stamp_ns > 0 else 7 * SECOND)
        if newest is not None and processed.frame.stamp_ns <= newest:
            assert processed.began_anew
        newest = processed.frame.stamp_ns


def test_node_lives_on_after_every_kind_of_malformed_message(rig: Rig) -> None:
    rig.start()
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image')
    lines = []
    rig.node.log.say = lines.append
    rig.publish_camera_info(lambda c: c.wait(0.0), k=[float('nan')] * 9)
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
        rig.spin_until(lambda number=number: rig.node.worker.counts().dropped == number)
    images.publish(good)
    rig.spin_until(lambda: len(statuses) == 1)
    kinds = sorted(line.split(':')[1].strip() for line in lines)
    assert kinds == ['encoding', 'image data', 'image size', 'step']
    assert (statuses[0].frames_received, statuses[0].frames_dropped) == (16, 15)
    assert 'camera_info is not usable' in rig.node.inputs.calibrations.problem
