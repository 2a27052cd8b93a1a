# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from sensor_msgs.msg import CameraInfo, RegionOfInterest  # noqa: E402

from kp2d_ros.ros.calibrations import CalibrationSource  # noqa: E402


def message(**fields: Any) -> CameraInfo:
    known = {'width': 640, 'height': 480, 'distortion_model': 'plumb_bob', 'd': [0.1, 0.0, 0.0, 0.0, 0.0]}
    matrix = [500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0]
    return CameraInfo(**{**known, 'k': matrix, **fields})


@pytest.fixture
def source() -> CalibrationSource:
    return CalibrationSource('/cam/camera_info', is_rectified=False)


def test_says_that_nothing_has_arrived_on_which_topic(source: Any) -> None:
    assert not source.wait(0.0)
    assert not source.wait(0.0)
    assert source.calibration_for(640, 480).reason == 'no camera_info has arrived on /cam/camera_info'


def test_the_same_calibration_stays_the_same_camera(source: Any) -> None:
    source.receive(message())
    first = source.calibration_for(640, 480).camera
    source.receive(message())
    assert source.calibration_for(640, 480).camera is first
    source.receive(message(d=[0.2, 0.0, 0.0, 0.0, 0.0]))
    second = source.calibration_for(640, 480).camera
    assert second is not first
    assert second.coefficients[0] == 0.2


def test_a_broken_calibration_takes_the_place_of_a_good_one_with_its_reason(source: Any) -> None:
    source.receive(message())
    source.receive(message(k=[float('nan')] * 9))
    assert source.calibration_for(640, 480).camera is None
    assert 'camera_info is not usable: camera matrix' in source.problem
    source.receive(message())
    assert source.problem == ''


def test_counts_the_size_of_the_image_that_is_sent(source: Any) -> None:
    source.receive(message(binning_x=2, binning_y=2))
    assert source.calibration_for(320, 240).camera.fx == 250.0
    assert 'is for 320x240 images, but this one is 640x480' in source.calibration_for(640, 480).reason
    source.receive(message(roi=RegionOfInterest(x_offset=100, y_offset=50, width=200, height=100)))
    camera = source.calibration_for(200, 100).camera
    assert (camera.matrix[0, 2], camera.matrix[1, 2]) == (220.0, 190.0)
