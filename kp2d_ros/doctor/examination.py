# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The doctor: looks at frames as they come and says what is wrong with them, from the first seconds on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kp2d_ros.core.records import Frame, Sensor
from kp2d_ros.doctor.calibration import judge_calibration
from kp2d_ros.doctor.findings import Finding
from kp2d_ros.doctor.look import Extract, take_look
from kp2d_ros.doctor.rgbd import DepthCheck, DepthPicture
from kp2d_ros.doctor.static_parts import StaticPartsCheck, StillParts
from kp2d_ros.doctor.stereo import PairPicture, StereoCheck
from kp2d_ros.doctor.stream import StreamCheck

_EARLY_LOOKS = 30  # after which close looks become rare
_RARER = 5


@dataclass(frozen=True, slots=True)
class ExaminationConfig:
    """
    How closely is looked: the longer side of images is shrunk to ``max_side_px``; a close look is taken every
    ``every_frames`` frames and not before ``every_s`` seconds (by the stamps) after the last one, after the first
    looks five times as rarely where ``gets_rarer``. ``is_gapless``: whether every frame of the source is shown.
    """

    max_side_px: int = 1280
    every_frames: int = 1
    every_s: float = 0.0
    gets_rarer: bool = False
    is_gapless: bool = True


class Doctor:
    """
    Examines the frames of one source in their order. What it remembers and what a frame costs are bounded.

    :param extract: gives the keypoints of an image; of a close look at most two images are extracted.
    """

    def __init__(self, sensor: Sensor, extract: Extract, config: ExaminationConfig | None = None) -> None:
        self._sensor, self._extract = sensor, extract
        self._config = config or ExaminationConfig()
        self._stream = StreamCheck(sensor, self._config.is_gapless)
        self._static = StaticPartsCheck()
        self._stereo = StereoCheck(extract, self._config.max_side_px) if sensor is Sensor.STEREO else None
        self._depth = DepthCheck() if sensor is Sensor.RGBD else None
        self._before: tuple[Frame, ...] = ()  # the last two
        self._since_look = self._look_ns = 0
        self.frames = self.looks = 0

    def show(self, frame: Frame) -> bool:
        """
        Take note of the next frame; whether a frame was looked at closely: the very first one, or the one before, once
        what comes after it is known.
        """
        self.frames += 1
        self._stream.glance(frame)
        before, self._before = self._before, (*self._before[-1:], frame)
        if not before:
            self._look_at(frame, ())
            self._since_look = -1  # not a second time when it is the one before
            return True
        self._since_look += 1
        return self._is_due(before[-1]) and self._look_at(before[-1], (*before[:-1], frame))

    def _look_at(self, frame: Frame, neighbours: Sequence[Frame]) -> bool:
        self._since_look, self._look_ns = 0, frame.stamp_ns
        look = take_look(self.looks, frame, neighbours, self._extract, self._config.max_side_px)
        self.looks += 1
        for check in (self._stream, self._static, self._stereo, self._depth):
            if check is not None:
                check.add(look)
        return True

    def findings(self, expected: int | None = None) -> list[Finding]:
        """
        What can be said so far, one finding for each thing that was looked at.

        :param expected: how many frames there should have been, where readers leave out those without a partner.
        """
        found = self._stream.findings(expected)
        for frame in self._before[-1:]:
            found.append(judge_calibration(frame.camera))
            if self._sensor is Sensor.STEREO and frame.right is not None:
                found.append(judge_calibration(frame.right.camera, 'right camera'))
        for check in (self._stereo, self._depth):
            found += [] if check is None else check.findings()
        return [*found, *self._static.findings()]

    @property
    def pair(self) -> PairPicture | None:
        """
        The last pair with its matched points; None without one.
        """
        return None if self._stereo is None else self._stereo.picture

    @property
    def depth(self) -> DepthPicture | None:
        """
        The last image with its depth; None without one.
        """
        return None if self._depth is None else self._depth.picture

    def still_parts(self) -> StillParts | None:
        """
        What never moved, as a mask; None if that cannot be told.
        """
        return self._static.still_parts()

    def _is_due(self, frame: Frame) -> bool:
        slower = _RARER if self._config.gets_rarer and self.looks >= _EARLY_LOOKS else 1
        seconds = abs(frame.stamp_ns - self._look_ns) * 1e-9  # a looped bag goes back
        return self._since_look >= self._config.every_frames and seconds >= slower * self._config.every_s
