# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The way of one image: message, pixels, frame, result. What is wrong with a message is said once and passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from kp2d_ros.core.errors import Kp2dError
from kp2d_ros.core.records import Frame, FrontendResult, ImageArray
from kp2d_ros.ros.calibration_source import CalibrationSource
from kp2d_ros.ros.conversions import ns_from_time
from kp2d_ros.ros.engine import Engine
from kp2d_ros.ros.log_bridge import ThrottledLog
from kp2d_ros.ros.stamp_gate import StampGate, StampVerdict


@dataclass(frozen=True, slots=True)
class Arrival:
    """
    An image message as it came in.

    ``seq`` counts the images of this run; ``arrived`` is ``perf_counter()`` and ``clock_ns`` the time of the node's
    clock when it came.
    """

    message: Any
    seq: int
    arrived: float
    clock_ns: int


@dataclass(frozen=True, slots=True)
class Processed:
    """
    A frame and its result; ``stage_ms`` holds the milliseconds of ``wait``, ``decode`` and the frontend's stages.

    ``began_anew``: nothing before this frame counts any more, by request or because time began again.
    """

    frame: Frame
    result: FrontendResult
    stage_ms: dict[str, float]
    arrived: float
    began_anew: bool = False


class FrameProcessor:
    """
    Makes results of arrivals; used by the worker's thread.
    """

    def __init__(
        self,
        engine: Engine,
        decode: Callable[[Any], ImageArray],
        calibrations: CalibrationSource,
        gate: StampGate,
        log: ThrottledLog,
    ) -> None:
        self._engine = engine
        self._decode = decode
        self._calibrations = calibrations
        self._gate = gate
        self._log = log

    def process(self, arrival: Arrival) -> Processed | None:
        """
        The result of one image; None if it cannot be used, which was said.
        """
        begin = perf_counter()
        try:
            image = self._decode(arrival.message)
        except Kp2dError as error:
            self._refuse(error)
            return None
        decoded = perf_counter()
        stamp_ns = self._stamp_ns(arrival)
        verdict = self._judge(stamp_ns)
        if verdict is StampVerdict.LATE:
            return None
        height, width = image.shape[:2]
        calibration = self._calibrations.calibration_for(width, height)
        frame_id = arrival.message.header.frame_id
        frame = Frame(arrival.seq, stamp_ns, image, calibration.camera, frame_id)
        try:
            result = self._engine.process(frame)
        except Kp2dError as error:
            self._refuse(error)
            return None
        if calibration.camera is None and result.pose is not None:
            result = replace(result, pose=replace(result.pose, reason=calibration.reason))
        stage_ms = {'wait': (begin - arrival.arrived) * 1e3, 'decode': (decoded - begin) * 1e3, **result.stage_ms}
        return Processed(frame, result, stage_ms, arrival.arrived, self._engine.began_anew)

    def _stamp_ns(self, arrival: Arrival) -> int:
        stamp_ns = ns_from_time(arrival.message.header.stamp)
        if stamp_ns > 0:
            return stamp_ns
        self._log.complain('zero stamp', 'image: found a stamp of zero, using the time of its arrival')
        return arrival.clock_ns

    def _judge(self, stamp_ns: int) -> StampVerdict:
        newest_ns = self._gate.newest_ns
        verdict = self._gate.check(stamp_ns)
        if verdict is not StampVerdict.ACCEPT and newest_ns is not None:
            back = (newest_ns - stamp_ns) * 1e-9
            if verdict is StampVerdict.LATE:
                self._log.complain('late', f'image dropped: its stamp is not newer than the last ({back:.3f} s back)')
            else:
                self._log.complain('restart', f'time went back by {back:.3f} s: beginning anew')
                self._engine.restart()
        return verdict

    def _refuse(self, error: Kp2dError) -> None:
        text = ' '.join(str(error).split())
        self._log.complain(text.partition(':')[0], f'image dropped: {text}')
