# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from kp2d_ros.core.records import Frame, ImageArray, Sensor
from kp2d_ros.doctor.examination import Doctor
from kp2d_ros.doctor.findings import Finding, Severity

Simulate = Callable[..., tuple[Frame, ...]]


def painted(frames: tuple[Frame, ...], where: np.ndarray, picture: ImageArray) -> list[Frame]:
    return [replace(frame, image=np.where(where, picture, frame.image).astype(np.uint8)) for frame in frames]


def mask_of(frames: Any, extract: Any) -> tuple[Finding, Any]:
    doctor = Doctor(Sensor.MONO, extract)
    for frame in frames:
        doctor.show(frame)
    return next(finding for finding in doctor.findings() if finding.kind == 'mask'), doctor.still_parts()


@pytest.fixture
def drive(simulate: Simulate) -> tuple[Frame, ...]:
    return simulate(frames=24, rate_hz=5.0, speed=0.6, swing_deg=0.0)


@pytest.mark.parametrize('part', ['hood', 'rim'])
def test_parts_of_the_robot_and_the_rim_of_the_lens_are_masked(
    part: str, drive: tuple[Frame, ...], extract: Any, rng: np.random.Generator
) -> None:
    y, x = np.mgrid[:240, :320]
    if part == 'hood':
        where = (y >= 190) & (x >= 80) & (x < 230)
        picture = cv2.resize(rng.integers(30, 220, (24, 32)).astype(np.uint8), (320, 240))
    else:
        where, picture = np.hypot(x - 160, y - 120) > 165, np.full((240, 320), 4, np.uint8)
    finding, parts = mask_of(painted(drive, where, picture), extract)
    assert finding.severity is Severity.WARNING and 'mask' in finding.advice
    assert parts.mask.shape == (240, 320) and set(np.unique(parts.mask)) == {0, 255}
    masked = parts.mask == 0
    assert masked[where].mean() > 0.95  # white: use
    assert masked[~where].mean() < 0.05


def test_a_scene_without_such_parts_gives_no_mask(drive: tuple[Frame, ...], extract: Any) -> None:
    finding, parts = mask_of(drive, extract)
    assert finding.severity is Severity.OK
    assert parts.share == 0.0 and parts.mask.min() == 255


def test_a_plain_sky_is_no_part_of_the_robot(drive: tuple[Frame, ...], extract: Any) -> None:
    where = np.mgrid[:240, :320][0] < 60
    finding, _ = mask_of(painted(drive, where, np.full((240, 320), 200, np.uint8)), extract)
    assert finding.severity is Severity.OK, finding


def test_a_bag_that_is_looped_tells_as_much(drive: tuple[Frame, ...], extract: Any) -> None:
    finding, _ = mask_of([*drive[:9], *drive[:9]], extract)
    assert finding.severity is Severity.OK


def test_a_camera_at_rest_tells_nothing(simulate: Simulate, extract: Any) -> None:
    finding, parts = mask_of(simulate(still_frames=99, swing_deg=0.0), extract)
    assert finding.severity is Severity.UNKNOWN and parts is None
