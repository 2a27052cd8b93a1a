# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest

from kp2d_ros.core.records import DepthImage, Float32Array, Frame
from kp2d_ros.doctor.depth_edges import EdgeMatch, match_edges, register_edges
from kp2d_ros.doctor.findings import Finding, Severity

Simulate = Callable[..., tuple[Frame, ...]]
Examine = Callable[..., dict[str, Finding]]


def with_depth(frames: tuple[Frame, ...], change: Callable[[Float32Array], Float32Array]) -> list[Frame]:
    return [replace(f, depth=DepthImage(f.depth.stamp_ns, change(f.depth.metres).astype(np.float32))) for f in frames]


def boxes(
    rng: np.random.Generator, shift: tuple[int, int] = (0, 0), zoom: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """
    An image of gray boxes before a wall, and their depth, which lies shifted and zoomed about the middle.
    """
    image, depth = np.full((240, 320), 60, np.uint8), np.full((240, 320), 3.0, np.float32)
    for _ in range(14):
        x, y = rng.integers(10, (270, 190))
        w, h = rng.integers(20, 50, 2)
        image[y : y + h, x : x + w] = rng.integers(100, 250)
        depth[y : y + h, x : x + w] = rng.uniform(1.0, 2.0)
    middle = np.array([159.5, 119.5])
    affine = np.column_stack([zoom * np.eye(2), middle - zoom * middle + shift])
    return image, cv2.warpAffine(depth, affine, (320, 240), flags=cv2.INTER_NEAREST, borderValue=3.0)


@pytest.mark.parametrize(('shift', 'zoom'), [((0, 0), 1.0), ((5, -3), 1.0), ((0, 0), 1.1), ((-4, 2), 0.9)])
def test_the_place_of_depth_on_the_image_is_found(
    shift: tuple[int, int], zoom: float, rng: np.random.Generator
) -> None:
    matches = [match_edges(*boxes(rng, shift, zoom)) for _ in range(4)]
    assert all(isinstance(match, EdgeMatch) for match in matches)
    found = register_edges(matches)
    assert 1.0 / (1.0 + found.zoom) == pytest.approx(zoom, abs=0.015)
    np.testing.assert_allclose(-found.shift_px * zoom, shift, atol=1.0)


def test_depth_without_edges_fits_anywhere() -> None:
    image = np.zeros((240, 320), np.uint8)
    for depth in (np.full((240, 320), 2.0, np.float32), np.full((240, 320), np.nan, np.float32)):
        assert match_edges(image, depth) is None


def test_a_healthy_depth_camera_is_said_to_be_so(simulate: Simulate, examine: Examine) -> None:
    found = examine(simulate(sensor='rgbd', frames=20), 'rgbd')
    for kind in ('depth unit', 'depth holes', 'registration', 'partners'):
        assert found[kind].severity is Severity.OK, found[kind]
    assert found['depth unit'].values['step_m'] == pytest.approx(0.001, rel=1e-3)
    assert found['depth delay'].severity in (Severity.OK, Severity.UNKNOWN)


@pytest.mark.parametrize(('factor', 'word'), [(1000.0, 'large'), (0.001, 'small')])
def test_depth_in_the_wrong_unit_is_an_error(factor: float, word: str, simulate: Simulate, examine: Examine) -> None:
    frames = with_depth(simulate(sensor='rgbd', frames=20)[:4], lambda metres: metres * factor)
    unit = examine(frames, 'rgbd')['depth unit']
    assert unit.severity is Severity.ERROR
    assert f'1000 times too {word}' in unit.advice


def test_depth_beside_the_image_is_found(simulate: Simulate, examine: Examine) -> None:
    frames = with_depth(simulate(sensor='rgbd', frames=20), lambda metres: np.roll(metres, 8, axis=1))
    registration = examine(frames, 'rgbd')['registration']
    assert registration.severity is Severity.ERROR
    assert registration.values['shift_x_px'] == pytest.approx(-8.0, abs=1.5)
    assert 'registers' in registration.advice


@pytest.mark.parametrize('delay_s', [0.08, -0.08])
def test_late_depth_is_found_with_its_delay(delay_s: float, simulate: Simulate, examine: Examine) -> None:
    swing = {'frames': 30, 'swing_deg': 60.0, 'speed': 0.1}
    delay = examine(simulate(sensor='rgbd', depth_delay_s=delay_s, **swing), 'rgbd')['depth delay']
    assert delay.severity is Severity.ERROR, delay
    assert delay.values['delay_ms'] == pytest.approx(1e3 * delay_s, abs=25.0)
    assert ('before' if delay_s > 0 else 'after') in delay.found


def test_depth_without_a_measured_pixel_is_an_error(simulate: Simulate, examine: Examine) -> None:
    for value in (0.0, np.nan, np.inf, -1.0):
        frames = with_depth(simulate(sensor='rgbd', frames=20)[:2], partial(np.full_like, fill_value=value))
        found = examine(frames, 'rgbd')
        assert found['depth unit'].severity is Severity.ERROR and 'not' not in found['depth unit'].found
        assert found['depth holes'].severity is Severity.WARNING
        assert found['registration'].severity is Severity.UNKNOWN


def test_without_depth_nothing_is_said_of_it(simulate: Simulate, examine: Examine) -> None:
    found = examine(simulate(), 'rgbd')
    assert found['depth'].severity is Severity.UNKNOWN
    assert found['partners'].severity is Severity.ERROR


def test_a_size_that_changes_begins_anew(simulate: Simulate, examine: Examine) -> None:
    frames = simulate(sensor='rgbd', frames=20)[:6]
    small = [
        replace(
            f, camera=None, image=f.image[:120, :160].copy(), depth=DepthImage(f.stamp_ns, f.depth.metres[:120, :160])
        )
        for f in frames
    ]
    assert 'registration' in examine([*frames, *small], 'rgbd')
