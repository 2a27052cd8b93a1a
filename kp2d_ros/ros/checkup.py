# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The doctor beside the frontend: looks at what was processed, now and then, and keeps what it finds for the diagnostics.
"""

from __future__ import annotations

from collections.abc import Callable

from kp2d_ros.core.records import Frame, Sensor
from kp2d_ros.doctor.examination import Doctor, ExaminationConfig
from kp2d_ros.doctor.findings import Finding
from kp2d_ros.inference.classical import ClassicalExtractor
from kp2d_ros.inference.extractor import ExtractorConfig
from kp2d_ros.ros.log_bridge import ThrottledLog
from kp2d_ros.ros.node_config import NodeConfig
from kp2d_ros.ros.worker import Counts, Processed

# A close look a second at first, every five seconds later. A live node leaves frames out: no fault of the source.
_EXAMINATION = ExaminationConfig(max_side_px=640, every_s=1.0, gets_rarer=True, is_gapless=False)
_KEYPOINTS = 400  # ORB: cheap, whatever the frontend extracts


class Checkup:
    """
    From activation to deactivation. Images are shown on the thread of the worker; findings may be read on any.
    """

    def __init__(self, config: NodeConfig, log: ThrottledLog) -> None:
        self._log = log
        self._doctor: Doctor | None = None
        self.findings: tuple[Finding, ...] = ()  # replaced as a whole
        if config.doctor:
            extractor = ClassicalExtractor(ExtractorConfig(name='orb', max_keypoints=_KEYPOINTS))
            self._doctor = Doctor(Sensor(config.sensor), extractor.extract, _EXAMINATION)

    def after(self, publish: Callable[[Processed, Counts], float]) -> Callable[[Processed, Counts], float]:
        """
        What publishes, and then shows the frame to the doctor: nothing that is published waits for it.
        """

        def publish_and_show(processed: Processed, counts: Counts) -> float:
            latency_ms = publish(processed, counts)
            self.show(processed.frame)
            return latency_ms

        return publish_and_show

    def show(self, frame: Frame) -> None:
        """
        Take note of a frame; a doctor that fails is not asked again.
        """
        if self._doctor is None:
            return
        try:
            if self._doctor.show(frame):
                self.findings = tuple(self._doctor.findings())
        except Exception as error:  # noqa: BLE001 - whatever it stumbles over, the frontend goes on
            self._doctor = None
            self._log.complain('doctor', f'the doctor ends: {type(error).__name__}: {" ".join(str(error).split())}')
