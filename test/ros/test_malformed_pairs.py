# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Whatever comes as the right image, as depth, or as the calibration of the right camera: one line, and the next one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from sensor_msgs.msg import CameraInfo, CompressedImage, Image  # noqa: E402

from kp2d_ros.inference.classical import ClassicalExtractor  # noqa: E402
from kp2d_ros.inference.extractor import ExtractorConfig  # noqa: E402
from kp2d_ros.ros.calibrations import CalibrationSource, RigSettings, RigSource  # noqa: E402
from kp2d_ros.ros.conversions import header_from, image_message  # noqa: E402
from kp2d_ros.ros.engine import Engine  # noqa: E402
from kp2d_ros.ros.frame_maker import FrameMaker, ImageSet  # noqa: E402
from kp2d_ros.ros.log_bridge import ThrottledLog  # noqa: E402
from kp2d_ros.ros.node_config import NodeConfig  # noqa: E402
from kp2d_ros.ros.worker import Arrival, Worker  # noqa: E402

SECOND = 10**9
SIZE = 40
UINT32 = st.integers(0, 2**32 - 1)
SIZES = st.sampled_from([0, 1, 20, SIZE, 80])
STAMPS = st.builds(header_from, st.integers(0, 2**31 * SECOND - 1), st.text(max_size=5))
ENCODINGS = st.sampled_from(['mono8', 'mono16', '16UC1', '32FC1', 'rgb8', '']) | st.text(max_size=10)
IMAGES = st.builds(
    Image,
    header=STAMPS,
    height=SIZES | UINT32,
    width=SIZES | UINT32,
    step=st.sampled_from([SIZE, 2 * SIZE, 4 * SIZE]) | UINT32,
    is_bigendian=st.integers(0, 1),
    encoding=ENCODINGS,
    data=st.binary(max_size=200).map(lambda content: (content * 7000)[: 4 * SIZE * SIZE]),
)
DEPTH_HEADERS = st.binary(min_size=12, max_size=12)
COMPRESSED = st.builds(
    CompressedImage,
    header=STAMPS,
    format=st.sampled_from(
        ['jpeg', '16UC1; compressedDepth png', '32FC1; compressedDepth', '16UC1; compressedDepth rvl']
    ),
    data=st.builds(bytes.__add__, DEPTH_HEADERS, st.sampled_from([b'', b'\x89PNG\r\n\x1a\n', b'\x28\0\0\0\x28\0\0\0']))
    | st.binary(max_size=200),
)
NUMBERS = st.floats(width=64) | st.sampled_from([0.0, 1.0, -3.0, 40.0])
CAMERA_INFOS = st.builds(
    CameraInfo,
    height=SIZES,
    width=SIZES,
    distortion_model=st.sampled_from(['plumb_bob', 'equidistant', '']),
    d=st.lists(NUMBERS, max_size=8),
    k=st.lists(NUMBERS, min_size=9, max_size=9),
    r=st.lists(NUMBERS, min_size=9, max_size=9),
    p=st.lists(NUMBERS, min_size=12, max_size=12),
)
CHECKS = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
K = [40.0, 0.0, 19.5, 0.0, 40.0, 19.5, 0.0, 0.0, 1.0]
P = [40.0, 0.0, 19.5, 0.0, 0.0, 40.0, 19.5, 0.0, 0.0, 0.0, 1.0, 0.0]
INFO = CameraInfo(width=SIZE, height=SIZE, distortion_model='plumb_bob', k=K, p=P, r=np.eye(3).ravel().tolist())


class Desk:
    """
    A worker whose thread does not run, with what a sensor needs, and the lines that it says.
    """

    def __init__(self, sensor: str, rng: np.random.Generator) -> None:
        self.lines: list[str] = []
        self.results: list[Any] = []
        config = NodeConfig(sensor=sensor, extractor=ExtractorConfig(name='orb', max_keypoints=50))
        self.left, self.right = (CalibrationSource(topic, is_rectified=False) for topic in ('/left', '/right'))
        self.left.receive(INFO)
        calibrations = RigSource(self.left, self.right, RigSettings(False)) if sensor == 'stereo' else self.left
        engine = Engine(ClassicalExtractor(config.extractor), config)
        log = ThrottledLog(self.lines.append, period=0.0)
        self.worker = Worker(config, engine, FrameMaker(calibrations), self._publish, log)
        self._image = rng.integers(0, 256, (SIZE, SIZE), np.uint8)
        self._count = 0

    def _publish(self, processed: Any, counts: Any) -> float:
        self.results.append(processed)
        return 0.0

    def handle(self, partner: Any) -> list[str]:
        """
        What is said of a good image with that partner; it is processed, or that is one line.
        """
        self._count += 1
        before, results = len(self.lines), len(self.results)
        image = image_message(self._image, header_from(self._count * SECOND, 'eye'))
        self.worker.handle(Arrival(ImageSet(image, partner), self._count, 0.0, SECOND))
        said = self.lines[before:]
        assert len(said) + len(self.results) - results == 1, said
        assert all('\n' not in line and 'unexpected' not in line and len(line) < 600 for line in said)
        return said


@pytest.fixture(params=['stereo', 'rgbd'])
def desk(request: pytest.FixtureRequest, rng: np.random.Generator) -> Desk:
    return Desk(request.param, rng)


@CHECKS
@given(partner=IMAGES | COMPRESSED)
def test_every_partner_is_used_or_refused_in_one_line(desk: Desk, partner: Any) -> None:
    desk.handle(partner)


@CHECKS
@given(info=CAMERA_INFOS)
def test_every_right_calibration_gives_a_rig_or_a_reason(rng: np.random.Generator, info: Any) -> None:
    desk = Desk('stereo', rng)
    desk.right.receive(info)
    right = image_message(np.zeros((info.height or 1, info.width or 1), np.uint8), header_from(SECOND, 'eye'))
    said = desk.handle(right)
    if not said:
        (processed,) = desk.results
        frame = processed.frame
        known = frame.right.camera is not None and frame.right.left_from_right is not None
        assert (frame.camera is not None) == known
