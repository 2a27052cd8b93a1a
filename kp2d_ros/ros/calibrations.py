# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Calibrations between the thread that receives them and the one that uses them: a camera, or a rig of two, or the reason
why there is none.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any

from sensor_msgs.msg import CameraInfo

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Float64Array
from kp2d_ros.recordings.camera_yaml import Calibration, CameraInfoFields, camera_from_fields
from kp2d_ros.recordings.stereo_rig import RigCalibration, left_from_right_of, rig_from_frames
from kp2d_ros.ros.conversions import fields_of

_TRANSFORM_SECONDS = 2.0  # a static transform comes within a second of its publisher

_logger = logging.getLogger(__name__)


class CalibrationSource:
    """
    The latest calibration, between the thread that receives it and the one that uses it: a camera, or the reason why
    there is none.

    Cameras repeat their calibration with every image; the same numbers give the same object.
    """

    def __init__(self, topic: str, is_rectified: bool) -> None:
        self._is_rectified = is_rectified
        self._calibration = Calibration(None, f'no camera_info has arrived on {topic}')
        self._arrived = threading.Event()
        self.numbers: tuple[Any, ...] = ()  # of the last message: another tuple is another calibration
        self.fields: CameraInfoFields | None = None
        self.frame_id = ''

    @property
    def problem(self) -> str:
        """
        Why there is no camera although a calibration arrived; empty: there is one, or nothing arrived.
        """
        return self._calibration.reason if self._arrived.is_set() else ''

    def receive(self, message: CameraInfo) -> None:
        """
        Take a calibration: the subscription's callback.
        """
        roi = message.roi
        numbers = (
            *(message.width, message.height, message.binning_x, message.binning_y, message.distortion_model),
            *(roi.x_offset, roi.y_offset, roi.width, roi.height),
            *(bytes(memoryview(values)) for values in (message.d, message.k, message.r, message.p)),
        )
        if numbers != self.numbers:
            fields = fields_of(message)
            try:
                self._calibration = camera_from_fields(fields, rectified=self._is_rectified)
            except DataError as error:
                self._calibration = Calibration(None, f'camera_info is not usable: {error}')
            self.frame_id, self.fields, self.numbers = message.header.frame_id, fields, numbers
        self._arrived.set()

    def wait(self, timeout: float) -> bool:
        """
        Whether a calibration has arrived, within so many seconds at the latest.
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


@dataclass(frozen=True, slots=True)
class RigSettings:
    """
    ``is_rectified``: the images are; ``baseline`` in metres is for a rig of which nobody else says it, 0: not given.
    """

    is_rectified: bool
    baseline: float = 0.0


class RigSource:
    """
    The calibrations of two cameras, and where the right one is: by P of the two, else by TF, else by a parameter.
    """

    def __init__(
        self,
        left: CalibrationSource,
        right: CalibrationSource,
        settings: RigSettings,
        find_transform: Callable[[str, str], Float64Array | None] | None = None,
    ) -> None:
        """
        :param find_transform: gives the pose of a frame in another one by their names, None if nobody says.
        """
        self.left = left
        self.right = right
        self.needs_transform = False  # whether transforms should be listened to
        self._settings = settings
        self._find_transform = find_transform
        self._rig = RigCalibration(None)
        self._rig_of: tuple[Any, ...] = ()
        self._asked_at: float | None = None
        self._is_waiting = False

    @property
    def problem(self) -> str:
        """
        As :attr:`CalibrationSource.problem`, of either camera or of the rig.
        """
        right = self.right.problem and f'right camera: {self.right.problem}'
        return self.left.problem or right or self._rig.reason

    @property
    def warning(self) -> str:
        """
        What is strange about the rig; empty: nothing.
        """
        return self._rig.warning

    def wait(self, timeout: float) -> bool:
        """
        Whether all that can be known has arrived, within so many seconds at the latest.
        """
        if not (self.left.wait(timeout) and self.right.wait(timeout)):
            return False
        self.left_from_right()
        if self._is_waiting:
            sleep(timeout)
        return not self._is_waiting

    def left_from_right(self) -> RigCalibration:
        """
        The rig, or why there is none; called by the thread that uses it alone.
        """
        left, right = self.left.fields, self.right.fields
        if left is None or right is None:
            return RigCalibration(None, 'the calibrations of both cameras are needed')
        rig_of = (self.left.numbers, self.right.numbers)
        if rig_of != self._rig_of:
            rig = self._by_all(left, right)
            if rig.warning and rig.warning != self._rig.warning:
                _logger.warning('%s', rig.warning)
            self._rig = rig
            if rig.left_from_right is not None:
                self._rig_of = rig_of
        return self._rig

    def _by_all(self, left: CameraInfoFields, right: CameraInfoFields) -> RigCalibration:
        self._is_waiting = False
        rectified, baseline = self._settings.is_rectified, self._settings.baseline
        try:
            rig = left_from_right_of(left, right, rectified)
            if rig.left_from_right is not None:
                return rig
            found = self._by_transform()
            if found is not None:
                return found
            if not self._is_waiting and baseline:
                return left_from_right_of(left, right, rectified, baseline)
        except DataError as error:
            return RigCalibration(None, f'the rig is not usable: {error}')
        if self._is_waiting:
            return RigCalibration(None, f'{rig.reason}; waiting for the transform of the two cameras')
        frames = f'from {self.right.frame_id!r} to {self.left.frame_id!r}'
        return RigCalibration(None, f'{rig.reason}, and there is no transform {frames}; set the parameter baseline')

    def _by_transform(self) -> RigCalibration | None:
        """
        The rig that TF tells; None if it does not, or does not yet.
        """
        if self._find_transform is None:
            return None
        self.needs_transform = True
        self._asked_at = self._asked_at or monotonic()
        pose = self._find_transform(self.left.frame_id, self.right.frame_id)
        self._is_waiting = pose is None and monotonic() - self._asked_at < _TRANSFORM_SECONDS
        return rig_from_frames(pose, self._settings.is_rectified)
