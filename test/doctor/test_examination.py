# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kp2d_ros.core.records import DepthImage, Frame, Keypoints, RightImage, Sensor
from kp2d_ros.doctor.examination import Doctor, ExaminationConfig
from kp2d_ros.doctor.findings import Finding, Severity

NOTHING = Keypoints(np.empty((0, 2), np.float32), np.empty(0, np.float32), np.empty((0, 8), np.float32))


def frames_of(count: int, step_ns: int = 100_000_000) -> list[Frame]:
    return [Frame(seq, seq * step_ns, np.full((48, 64), 90, np.uint8)) for seq in range(count)]


def looks_at(config: ExaminationConfig, count: int) -> list[int]:
    doctor = Doctor(Sensor.MONO, lambda image: NOTHING, config)
    return [frame.seq for frame in frames_of(count) if doctor.show(frame)]


def test_a_close_look_is_taken_every_so_many_frames_and_from_the_first() -> None:
    assert looks_at(ExaminationConfig(every_frames=4), 14) == [0, 5, 9, 13]  # each when the next one is there


def test_a_close_look_is_taken_every_so_many_seconds_and_later_more_rarely() -> None:
    looks = looks_at(ExaminationConfig(every_s=1.0, gets_rarer=True), 500)
    assert looks[:4] == [0, 11, 21, 31]
    assert np.diff(looks)[-2:].tolist() == [50, 50]


def test_time_that_goes_back_does_not_end_the_looks() -> None:
    doctor = Doctor(Sensor.MONO, lambda image: NOTHING, ExaminationConfig(every_s=1.0))
    frames = frames_of(20)
    assert sum(doctor.show(frame) for frame in [*frames, *frames]) >= 3


@pytest.mark.parametrize('sensor', list(Sensor))
def test_before_the_first_frame_and_after_blank_ones_the_doctor_only_says_so(sensor: Sensor) -> None:
    doctor = Doctor(sensor, lambda image: NOTHING)
    assert {finding.severity for finding in doctor.findings()} == {Severity.UNKNOWN}
    for frame in frames_of(3):
        doctor.show(frame)
    found = {finding.kind: finding.severity for finding in doctor.findings()}
    assert found['texture'] is Severity.WARNING and found['calibration'] is Severity.ERROR


def test_a_plain_wall_lacks_texture(
    simulate: Callable[..., tuple[Frame, ...]], examine: Callable[..., dict[str, Finding]]
) -> None:
    assert examine(simulate())['texture'].severity is Severity.OK
    plain = [replace(frame, image=np.full_like(frame.image, 120)) for frame in simulate()]
    assert examine(plain)['texture'].severity is Severity.WARNING


def test_images_that_change_their_size_are_no_trouble(extract: Any, simulate: Callable[..., tuple[Frame, ...]]) -> None:
    doctor = Doctor(Sensor.MONO, extract)
    for frame in simulate()[:4]:
        doctor.show(frame)
        doctor.show(replace(frame, stamp_ns=frame.stamp_ns + 1, camera=None, image=frame.image[:100, :200].copy()))
    assert doctor.looks == 7 and doctor.findings()  # the first at once, the last one not yet


@pytest.mark.parametrize('size', [(1, 1), (2, 3), (9, 16), (20, 300), (300, 20), (64, 48)])
@pytest.mark.parametrize('sensor', list(Sensor))
def test_whatever_is_in_an_image_of_any_size_the_doctor_has_finite_findings(
    size: tuple[int, int], sensor: Sensor, extract: Any, rng: np.random.Generator
) -> None:
    doctor = Doctor(sensor, extract)
    noise = rng.integers(0, 256, size, np.uint8)
    for seq in range(12):
        image = np.roll(noise, 3 * seq, axis=1) if seq < 10 else np.zeros_like(noise)
        metres = rng.choice([0.0, np.nan, np.inf, -1.0, 1.0, 3.0], size).astype(np.float32)
        right = RightImage(seq, np.roll(image, -2, axis=1), None, np.eye(4) if seq % 2 else None)
        colored = np.dstack([image] * 3) if seq % 3 else image
        doctor.show(Frame(seq, seq * 10**8, colored, right=right, depth=DepthImage(seq, metres)))
        for finding in doctor.findings():
            assert np.isfinite([*finding.values.values()]).all(), finding
