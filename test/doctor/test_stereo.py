# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kp2d_ros.core.records import Frame
from kp2d_ros.core.se3 import transform_from
from kp2d_ros.doctor.findings import Finding, Severity

RECTIFIED = {'distortion': (0.0,) * 5, 'rig_rotation_deg': (0.0, 0.0, 0.0)}
Simulate = Callable[..., tuple[Frame, ...]]
Examine = Callable[..., dict[str, Finding]]


def right_of(frame: Any, **changes: Any) -> Any:
    return replace(frame.right, **changes)


def with_right(frames: tuple[Frame, ...], **changes: Any) -> list[Frame]:
    return [replace(frame, right=right_of(frame, **changes)) for frame in frames]


def test_a_healthy_rig_is_said_to_be_so_with_what_was_measured(simulate: Simulate, examine: Examine) -> None:
    found = examine(simulate(sensor='stereo'), 'stereo')  # distorted lenses, turned against each other
    for kind in ('baseline', 'order', 'rows', 'delay', 'partners', 'likeness'):
        assert found[kind].severity is Severity.OK, found[kind]
        assert not found[kind].advice
    assert found['baseline'].values['baseline_m'] == pytest.approx(0.12)
    assert found['rows'].values['systematic_px'] < 0.1
    assert abs(found['delay'].values['delay_ms']) < 3.0


def test_left_and_right_swapped_is_an_error(simulate: Simulate, examine: Examine) -> None:
    order = examine(simulate(sensor='stereo', swap_cameras=True, **RECTIFIED), 'stereo')['order']
    assert order.severity is Severity.ERROR
    assert 'swapped' in order.found and 'exchange' in order.advice
    assert order.values['negative_share'] > 0.9


def test_rows_of_a_raw_pair_are_judged_after_it_was_exchanged(simulate: Simulate, examine: Examine) -> None:
    found = examine(simulate(sensor='stereo', swap_cameras=True, frames=6), 'stereo')
    assert found['order'].severity is Severity.ERROR
    assert found['rows'].severity is Severity.UNKNOWN and 'exchange' in found['rows'].advice


@pytest.mark.parametrize('delay_s', [0.03, -0.03])
@pytest.mark.parametrize('rig', [RECTIFIED, {}], ids=['rectified', 'raw'])
def test_a_late_camera_is_found_with_its_delay(
    delay_s: float, rig: dict[str, Any], simulate: Simulate, examine: Examine
) -> None:
    found = examine(simulate(sensor='stereo', right_delay_s=delay_s, **rig), 'stereo')
    delay = found['delay']
    assert delay.severity is Severity.ERROR
    assert delay.values['delay_ms'] == pytest.approx(1e3 * delay_s, abs=5.0)
    assert ('before' if delay_s > 0 else 'after') in delay.found
    assert found['rows'].severity is Severity.OK  # what motion puts off is no fault of the calibration


def test_a_stamp_that_says_how_late_a_camera_is_is_told_beside_the_measured_delay(
    simulate: Simulate, examine: Examine
) -> None:
    frames = simulate(sensor='stereo', right_delay_s=0.03, **RECTIFIED)
    honest = [replace(f, right=right_of(f, stamp_ns=f.stamp_ns - 30_000_000)) for f in frames]
    assert 'stamps differ by -30.0 ms' in examine(honest, 'stereo')['delay'].found


@pytest.mark.parametrize('axis', [0, 1, 2])
def test_a_camera_that_turned_since_it_was_calibrated_puts_rows_off(
    axis: int, simulate: Simulate, examine: Examine
) -> None:
    turn_deg = np.zeros(3)
    turn_deg[axis] = 2.0 if axis else 0.6
    frames = simulate(sensor='stereo', **(RECTIFIED | {'rig_rotation_deg': tuple(turn_deg.tolist())}))
    claimed = transform_from(np.eye(3), np.array([0.12, 0.0, 0.0]))
    found = examine(with_right(frames, left_from_right=claimed), 'stereo')
    rows = found['rows']
    assert rows.severity > Severity.OK and 'calibrate' in rows.advice
    turn = [rows.values[f'turn_{name}_deg'] for name in 'xyz']
    np.testing.assert_allclose(turn, turn_deg, atol=0.25)
    assert found['delay'].severity is Severity.OK


def test_a_known_number_of_rows_is_found(simulate: Simulate, examine: Examine) -> None:
    frames = simulate(sensor='stereo', **RECTIFIED)
    lower = [replace(f, right=right_of(f, image=np.roll(f.right.image, 3, axis=0))) for f in frames]
    rows = examine(lower, 'stereo')['rows']
    assert rows.severity is Severity.ERROR
    assert rows.values['offset_px'] == pytest.approx(-3.0, abs=0.1)
    assert rows.values['systematic_px'] == pytest.approx(3.0, abs=0.1)


def test_few_pairs_do_not_tell_rows_from_a_late_camera(simulate: Simulate, examine: Examine) -> None:
    frames = simulate(sensor='stereo', right_delay_s=0.03, **RECTIFIED)
    rows = examine(frames[4:7], 'stereo')['rows']
    assert rows.severity is Severity.UNKNOWN and 'more pairs' in rows.advice


@pytest.mark.parametrize(
    ('baseline', 'severity', 'words'),
    [
        (0.0, Severity.ERROR, 'found 0 m'),
        (120.0, Severity.ERROR, '120 m'),
        (0.004, Severity.WARNING, '0.004 m'),
        (None, Severity.ERROR, 'not known'),
    ],
)
def test_a_baseline_that_no_rig_has_is_said(
    baseline: float | None, severity: Severity, words: str, simulate: Simulate, examine: Examine
) -> None:
    pose = None if baseline is None else transform_from(np.eye(3), np.array([baseline, 0.0, 0.0]))
    frames = with_right(simulate(sensor='stereo', **RECTIFIED), left_from_right=pose)
    found = examine(frames, 'stereo')
    assert found['baseline'].severity is severity
    assert words in found['baseline'].found and found['baseline'].advice
    assert found['rows'].severity is Severity.OK  # which needs no length


def test_at_rest_a_delay_cannot_be_told_and_that_is_said(simulate: Simulate, examine: Examine) -> None:
    frames = simulate(sensor='stereo', still_frames=99, swing_deg=0.0)
    found = examine(frames, 'stereo')
    assert found['delay'].severity is Severity.UNKNOWN
    assert 'cannot be told' in found['delay'].found and 'move the camera' in found['delay'].advice
    assert found['rows'].severity is Severity.OK
    assert found['mask'].severity is Severity.UNKNOWN


def test_images_of_two_places_are_no_pair(simulate: Simulate, examine: Examine, rng: np.random.Generator) -> None:
    frames = simulate(sensor='stereo', **RECTIFIED)
    noise = rng.integers(0, 255, frames[0].image.shape, dtype=np.uint8)
    pairs = examine(with_right(frames, image=noise), 'stereo')['pairs']
    assert pairs.severity is Severity.WARNING and 'look alike' in pairs.found


def test_a_blank_right_image_is_no_pair(simulate: Simulate, examine: Examine) -> None:
    frames = simulate(sensor='stereo', **RECTIFIED)
    found = examine(with_right(frames, image=np.zeros_like(frames[0].image)), 'stereo')
    assert found['pairs'].severity is Severity.WARNING
    assert found['likeness'].severity is Severity.WARNING


def test_without_right_images_nothing_is_said_of_the_rig(simulate: Simulate, examine: Examine) -> None:
    found = examine(simulate(), 'stereo')
    assert found['pairs'].severity is Severity.UNKNOWN
    assert found['partners'].severity is Severity.ERROR and '0 of 10' in found['partners'].found


def test_without_calibrations_rows_are_those_of_the_images(simulate: Simulate, examine: Examine) -> None:
    frames = simulate(sensor='stereo', **RECTIFIED)
    bare = [replace(f, camera=None, right=right_of(f, camera=None, left_from_right=None)) for f in frames]
    found = examine(bare, 'stereo')
    assert found['rows'].severity is Severity.OK
    assert found['calibration'].severity is found['calibration of the right camera'].severity is Severity.ERROR
