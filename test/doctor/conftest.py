# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Sequences that are healthy, or ill on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import pytest

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.records import Frame, Sensor
from kp2d_ros.doctor.examination import Doctor, ExaminationConfig
from kp2d_ros.doctor.findings import Finding
from kp2d_ros.inference.classical import ClassicalExtractor
from kp2d_ros.inference.extractor import ExtractorConfig
from kp2d_ros.simulation.scene import SceneConfig, SimulatedSequence

ORB = ClassicalExtractor(ExtractorConfig(name='orb', max_keypoints=300))


@cache
def simulated(**settings: Any) -> tuple[Frame, ...]:
    """
    Small images of the simulated room, drawn once for all tests.
    """
    small = {'width': 320, 'height': 240, 'samples': 1, 'color': False, 'frames': 10, 'swing_deg': 25.0}
    return tuple(SimulatedSequence(SceneConfig(**(small | settings))))


@pytest.fixture(scope='session')
def simulate() -> Callable[..., tuple[Frame, ...]]:
    return simulated


@pytest.fixture(scope='session')
def examine() -> Callable[..., dict[str, Finding]]:
    """
    What the doctor finds in some frames, by kind.
    """

    def findings(frames: Iterable[Frame], sensor: str = 'mono', **settings: Any) -> dict[str, Finding]:
        doctor = Doctor(Sensor(sensor), ORB.extract, ExaminationConfig(**settings))
        for frame in frames:
            doctor.show(frame)
        return {finding.kind: finding for finding in doctor.findings()}

    return findings


@pytest.fixture(scope='session')
def extract() -> Callable[..., Any]:
    return ORB.extract


@pytest.fixture
def new_camera() -> Callable[..., CameraModel]:
    """
    Makes a pinhole camera.
    """

    def make(
        width: int = 640, height: int = 480, focal: float = 500.0, centre: Any = None, fy: float | None = None
    ) -> CameraModel:
        x, y = (0.5 * width - 0.5, 0.5 * height - 0.5) if centre is None else centre
        matrix = np.array([[focal, 0.0, x], [0.0, fy or focal, y], [0.0, 0.0, 1.0]])
        return CameraModel(width, height, matrix, LensModel.PLUMB_BOB, np.zeros(5))

    return make
