# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
From the messages of one moment to the frame that the frontend works on.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from kp2d_ros.core.checks import check_registered
from kp2d_ros.core.records import DepthImage, Frame, RightImage
from kp2d_ros.ros.calibrations import CalibrationSource, RigSource
from kp2d_ros.ros.conversions import decode_depth_message, decode_message, ns_from_time

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ImageSet:
    """
    The message of an image, and that of the right image or the depth that belongs to it; None with one camera.
    """

    image: Any
    partner: Any = None

    @property
    def header(self) -> Any:
        """
        That of the image.
        """
        return self.image.header


@dataclass(frozen=True, slots=True)
class MadeFrame:
    """
    A frame, and why its camera is not known; empty where it is.
    """

    frame: Frame
    reason: str = ''


class FrameMaker:
    """
    Decodes images and joins them with their calibration; used by the worker's thread.
    """

    def __init__(self, calibrations: CalibrationSource | RigSource, depth_scale: float = 0.0) -> None:
        """
        :param calibrations: of the camera; of both, if the partner of an image is the right one.
        :param depth_scale: metres that a 1 of a depth image stands for; 0: as its encoding says.
        """
        self._calibrations = calibrations
        self._depth_scale = depth_scale
        self._has_warned = False

    def wait(self, timeout: float) -> bool:
        """
        Whether the calibration has arrived, within so many seconds at the latest.
        """
        return self._calibrations.wait(timeout)

    def make(self, images: ImageSet, seq: int, stamp_ns: int) -> MadeFrame:
        """
        The frame of some messages.

        :raises DataError: if one of them is no whole image.
        """
        rig = self._calibrations
        made = self._of_image(images.image, seq, stamp_ns)
        if images.partner is None:
            return made
        partner_ns = ns_from_time(images.partner.header.stamp) or stamp_ns
        if isinstance(rig, RigSource):
            return self._with_right(rig, made, images.partner, partner_ns)
        self._warn_of_mono16(images.partner)
        depth = DepthImage(partner_ns, decode_depth_message(images.partner, self._depth_scale))
        height, width = made.frame.image.shape[:2]
        rows, columns = depth.metres.shape
        check_registered((height, width), (rows, columns))
        return replace(made, frame=replace(made.frame, depth=depth))

    def _of_image(self, message: Any, seq: int, stamp_ns: int) -> MadeFrame:
        source = self._calibrations.left if isinstance(self._calibrations, RigSource) else self._calibrations
        image = decode_message(message)
        calibration = source.calibration_for(image.shape[1], image.shape[0])
        return MadeFrame(Frame(seq, stamp_ns, image, calibration.camera, message.header.frame_id), calibration.reason)

    def _with_right(self, rig: RigSource, made: MadeFrame, message: Any, stamp_ns: int) -> MadeFrame:
        """
        The frame with its right image; a rig of which something is missing is not calibrated.
        """
        image = decode_message(message)
        calibration, pose = rig.right.calibration_for(image.shape[1], image.shape[0]), rig.left_from_right()
        right = RightImage(stamp_ns, image, calibration.camera, pose.left_from_right)
        reason = made.reason or (calibration.reason and f'right camera: {calibration.reason}') or pose.reason
        frame = replace(made.frame, camera=None if reason else made.frame.camera, right=right)
        return MadeFrame(frame, reason)

    def _warn_of_mono16(self, message: Any) -> None:
        if not self._has_warned and getattr(message, 'encoding', '').lower() == 'mono16':
            self._has_warned = True
            _logger.warning('depth comes as mono16, which does not say that it is depth: taken for millimetres (16UC1)')
