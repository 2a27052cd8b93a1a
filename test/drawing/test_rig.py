# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from kp2d_ros.doctor.depth_edges import Registration
from kp2d_ros.doctor.rgbd import DepthPicture
from kp2d_ros.doctor.stereo import PairPicture
from kp2d_ros.drawing.rig import draw_depth_edges, draw_rows


def pair_of(row_px: float, count: int = 1) -> PairPicture:
    image = np.zeros((480, 640), np.uint8)
    xy = np.full((count, 2), 200.0)
    return PairPicture((image, image), xy, xy, np.full(count, row_px))


def test_a_row_that_is_off_is_drawn_twenty_times_as_far() -> None:
    left = draw_rows(pair_of(3.0))[:480, :640]
    rows = np.flatnonzero(left[:, 200].any(axis=1))
    assert rows.min() == pytest.approx(200 - 60, abs=2) and rows.max() == pytest.approx(200, abs=3)
    assert left[170, 200, 0] > left[170, 200, 1]  # red


def test_a_row_that_agrees_is_green_and_no_point_is_no_trouble() -> None:
    left = draw_rows(pair_of(0.0))[:480, :640]
    assert left[200, 200, 1] > 200 > left[200, 200, 0]
    assert not draw_rows(pair_of(0.0, count=0))[:480, :640].any()


@pytest.mark.parametrize('size', [(480, 640), (240, 320)])
def test_edges_of_depth_are_drawn_where_they_are_and_where_they_fit(size: tuple[int, int]) -> None:
    metres = np.full(size, 3.0, np.float32)
    metres[:, size[1] // 2 :] = 1.0
    image = np.zeros((480, 640, 3), np.uint8)
    plain = draw_depth_edges(DepthPicture(image, metres, None))[:480, :640]
    assert np.abs(np.flatnonzero(plain[240].any(axis=1)) - 319).max() <= 1
    moved = draw_depth_edges(DepthPicture(image, metres, Registration(np.array([40.0, 0.0]), 0.0)))[:480, :640]
    green = np.flatnonzero(moved[240, :, 1] > 200)
    assert np.abs(green - 359).max() <= 1
