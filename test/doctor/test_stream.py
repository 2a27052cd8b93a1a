# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from kp2d_ros.core.records import DepthImage, Frame, RightImage, Sensor
from kp2d_ros.doctor.findings import Finding, Severity
from kp2d_ros.doctor.stream import StreamCheck

IMAGE = np.full((48, 64), 120, np.uint8)
STEP = 50_000_000


def look_at(
    stamps: Sequence[int], levels: Sequence[int] | None = None, sensor: Sensor = Sensor.MONO, gapless: bool = True
) -> dict[str, Finding]:
    check = StreamCheck(sensor, gapless)
    for seq, stamp in enumerate(stamps):
        image = IMAGE if levels is None else np.full_like(IMAGE, levels[seq])
        check.glance(Frame(seq, stamp, image))
    return {finding.kind: finding for finding in check.findings()}


def test_a_steady_stream_is_fine_with_its_rate() -> None:
    rate = look_at([STEP * i for i in range(20)])['rate']
    assert rate.severity is Severity.OK
    assert rate.values['rate_hz'] == pytest.approx(20.0)


def test_gaps_are_counted_and_the_longest_is_said() -> None:
    stamps = [STEP * i for i in range(40) if i not in (10, 11, 20)]
    rate = look_at(stamps)['rate']
    assert rate.severity is Severity.WARNING
    assert rate.values['gaps'] == 2 and rate.values['longest_gap_s'] == pytest.approx(0.15)
    assert '2 gaps, the longest of 0.15 s' in rate.found


def test_stamps_that_stay_or_go_back_are_said() -> None:
    same = look_at([0, STEP, STEP, 2 * STEP])['rate']
    assert same.severity is Severity.WARNING and same.values['duplicates'] == 1
    back = look_at([0, STEP, 2 * STEP, 0, STEP, 0, STEP])['rate']
    assert back.severity is Severity.ERROR and back.values['backwards'] == 2


def test_times_that_never_pass_are_said() -> None:
    assert look_at([5, 5, 5])['rate'].severity is Severity.WARNING
    assert look_at([5])['rate'].severity is Severity.UNKNOWN


def test_gaps_say_nothing_where_frames_were_left_out_on_purpose() -> None:
    assert not {'rate', 'partners'} & set(look_at([0, STEP, 9 * STEP], sensor=Sensor.STEREO, gapless=False))


@pytest.mark.parametrize(
    ('levels', 'word'), [([5] * 20, 'too dark'), ([250] * 20, 'too bright'), ([60, 60, 140, 140] * 5, 'fix exposure')]
)
def test_images_of_bad_exposure_are_said(levels: list[int], word: str) -> None:
    exposure = look_at([STEP * i for i in range(20)], levels)['exposure']
    assert exposure.severity is Severity.WARNING and word in exposure.advice


def test_frames_without_a_partner_are_counted() -> None:
    right, depth = RightImage(0, IMAGE), DepthImage(0, np.ones((48, 64), np.float32))
    check = StreamCheck(Sensor.STEREO, True)
    for seq in range(10):
        check.glance(Frame(seq, seq * STEP, IMAGE, right=right if seq % 3 else None, depth=depth))
    partners = next(finding for finding in check.findings() if finding.kind == 'partners')
    assert partners.severity is Severity.WARNING
    assert '6 of 10 images have a right image' in partners.found


def test_frames_that_a_reader_left_out_have_no_partner() -> None:
    check = StreamCheck(Sensor.RGBD, True)
    check.glance(Frame(0, 0, IMAGE, depth=DepthImage(0, np.ones((48, 64), np.float32))))
    found = {finding.kind: finding for finding in check.findings(expected=4)}
    assert '1 of 4 images have depth' in found['partners'].found
    assert found['partners'].severity is Severity.ERROR


def test_no_frame_at_all_is_said() -> None:
    (finding,) = StreamCheck(Sensor.MONO, True).findings()
    assert finding.severity is Severity.UNKNOWN
