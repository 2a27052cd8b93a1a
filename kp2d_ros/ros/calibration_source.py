# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The latest calibration, between the thread that receives it and the one that uses it.
"""

from __future__ import annotations

import threading
from typing import Any

from kp2d_ros.core.errors import DataError
from kp2d_ros.recordings.camera_yaml import Calibration
from kp2d_ros.ros.conversions import camera_from_message


class CalibrationSource:
    """
    Keeps the last camera_info as a camera, or the reason why there is none.

    Cameras repeat their calibration with every image; the same numbers give the same object.
    """

    def __init__(self, topic: str, is_rectified: bool) -> None:
        self._is_rectified = is_rectified
        self._calibration = Calibration(None, f'no camera_info has arrived on {topic}')
        self._numbers: tuple[Any, ...] = ()
        self._arrived = threading.Event()

    @property
    def problem(self) -> str:
        """
        Why there is no camera, or why the last image had none; empty: there is one.
        """
        return self._calibration.reason

    @property
    def has_arrived(self) -> bool:
        """
        Whether any camera_info came.
        """
        return self._arrived.is_set()

    def receive(self, message: Any) -> None:
        """
        Take a ``sensor_msgs/CameraInfo``.
        """
        roi = message.roi
        numbers = (
            *(message.width, message.height, message.binning_x, message.binning_y, message.distortion_model),
            *(roi.x_offset, roi.y_offset, roi.width, roi.height),
            *(bytes(memoryview(values)) for values in (message.d, message.k, message.p)),
        )
        if numbers != self._numbers:
            self._numbers = numbers
            try:
                self._calibration = camera_from_message(message, self._is_rectified)
            except DataError as error:
                self._calibration = Calibration(None, f'camera_info is not usable: {error}')
        self._arrived.set()

    def wait(self, timeout: float) -> bool:
        """
        Whether a camera_info came, within so many seconds at the latest.
        """
        return self._arrived.wait(timeout)

    def calibration_for(self, width: int, height: int) -> Calibration:
        """
        The camera of an image of that size, or why there is none.
        """
        calibration = self._calibration
        camera = calibration.camera
        if camera is None or (camera.width, camera.height) == (width, height):
            return calibration
        return Calibration(
            None, f'camera_info is for {camera.width}x{camera.height} images, but this one is {width}x{height}'
        )
