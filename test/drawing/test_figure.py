# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Charts: a method has one colour in all of them, and each number is drawn.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from kp2d_ros.core.records import ImageArray
from kp2d_ros.drawing.figure import DENSITY, Axes, Bar, bar_chart, line_chart, method_looks, time_chart

pytest.importorskip('matplotlib')


def pixels(picture: bytes) -> ImageArray:
    """
    An RGB image of a PNG.
    """
    return np.asarray(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)[..., ::-1], np.uint8)


def width_of(picture: bytes, color: str) -> int:
    """
    Columns of a chart that show a colour of bars, which the paper shines through.
    """
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
    near = np.abs(pixels(picture) - (0.85 * rgb + 0.15 * 255)).max(axis=2) < 6
    return int(near.any(axis=0).sum())


def test_a_method_has_its_colour_whoever_stands_beside_it() -> None:
    alone = method_looks(['sift'])['sift']
    assert method_looks(['kp2d', 'orb', 'best.safetensors', 'sift'])['sift'] == alone
    assert method_looks(['mine'])['mine'] == method_looks(['orb', 'mine', 'kp2d-v4'])['mine']


def test_no_two_methods_of_a_report_look_alike() -> None:
    shipped = ['kp2d', 'kp2d-compact-m', 'kp2d-v4', 'sift', 'orb', 'opencv-sift', 'opencv-orb', 'opencv-akaze']
    looks = method_looks([*shipped, *(f'run {number}' for number in range(20))])
    assert len({look.color for look in list(looks.values())[:8]}) == 8
    assert len(set(looks.values())) == len(looks)


def test_more_methods_than_looks_can_be_drawn() -> None:
    assert len(method_looks(f'run {number}' for number in range(60))) == 60


def test_bars_are_as_long_as_their_numbers() -> None:
    looks = method_looks(['sift', 'orb'])
    picture = bar_chart({'share': {'sift': Bar(40.0, (30.0, 50.0)), 'orb': Bar(20.0)}, 'other': {'sift': Bar(0.0)}})
    long, short = (width_of(picture, looks[name].color) for name in ('sift', 'orb'))
    assert 1.8 < long / short < 2.2
    negative = bar_chart({'px': {'sift': Bar(-1.0), 'orb': Bar(float('nan'))}})
    assert width_of(negative, looks['sift'].color) > 0


@pytest.mark.parametrize('log', [False, True])
def test_lines_and_histograms_are_pictures_of_the_size_of_the_page(log: bool) -> None:
    axes = Axes('samples', 'share', (10, 30, 100), log)
    picture = line_chart({'all': {'a': (0.1, 0.5, 0.9), 'b': (0.2, 0.4, float('nan'))}}, axes)
    assert pixels(picture).shape == (350 * DENSITY, 500 * DENSITY, 3)
    times = {'a': [1.0, 20.0], 'b': [0.0]}
    assert pixels(time_chart({'match': times})).shape == (300 * DENSITY, 720 * DENSITY, 3)
    assert pixels(time_chart(dict.fromkeys('abcd', times))).shape == (300 * DENSITY, 1040 * DENSITY, 3)
