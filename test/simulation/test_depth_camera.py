# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kp2d_ros.simulation.depth_camera import measure_depth
from kp2d_ros.simulation.renderer import SeenSurfaces


def seen(depth: Any, cosine: float = 1.0) -> SeenSurfaces:
    depth = np.asarray(depth, np.float32)
    return SeenSurfaces(depth, np.full_like(depth, cosine))


def test_the_error_grows_with_the_square_of_the_depth(rng: np.random.Generator) -> None:
    for depth in (1.0, 2.0, 4.0):
        found = measure_depth(seen(np.full((300, 300), depth)), 0.003, 6.0, rng)
        assert np.std(found) == pytest.approx(0.003 * depth**2, rel=0.05)
        assert np.mean(found) == pytest.approx(depth, abs=0.1 * 0.003 * depth**2)


def test_neighbours_err_alike_and_far_pixels_do_not(rng: np.random.Generator) -> None:
    error = measure_depth(seen(np.full((200, 200), 3.0)), 0.003, 6.0, rng).astype(float) - 3.0
    error -= error.mean()
    assert np.mean(error[:, 1:] * error[:, :-1]) > 0.8 * np.mean(error**2)
    assert abs(np.mean(error[:, 20:] * error[:, :-20])) < 0.05 * np.mean(error**2)


def test_depths_are_whole_millimetres(rng: np.random.Generator) -> None:
    found = measure_depth(seen(rng.uniform(1.0, 1.05, (40, 40))), 0.003, 6.0, rng)
    np.testing.assert_array_equal(np.rint(found * 1000).astype(np.float32) * np.float32(0.001), found)
    assert found.dtype == np.float32


@pytest.mark.parametrize('depth', [0.1, 6.5, np.inf])
def test_what_is_too_near_or_too_far_or_not_there_gives_nothing(depth: float, rng: np.random.Generator) -> None:
    assert not measure_depth(seen(np.full((10, 10), depth)), 0.0, 6.0, rng).any()


def test_a_surface_met_at_a_grazing_angle_gives_nothing(rng: np.random.Generator) -> None:
    wall = np.full((10, 10), 2.0)
    assert measure_depth(seen(wall, float(np.cos(np.radians(79.0)))), 0.0, 6.0, rng).all()
    assert not measure_depth(seen(wall, float(np.cos(np.radians(81.0)))), 0.0, 6.0, rng).any()


def test_what_is_near_spreads_over_its_edge_by_a_pixel(rng: np.random.Generator) -> None:
    depth = np.full((20, 20), 3.0)
    depth[5:10, 5:10] = 1.0
    expected = np.full((20, 20), 3.0)
    expected[4:11, 4:11] = 1.0
    np.testing.assert_allclose(measure_depth(seen(depth), 0.0, 6.0, rng), expected)


def test_a_slope_is_no_edge(rng: np.random.Generator) -> None:
    slope = np.broadcast_to(np.linspace(1.0, 3.0, 60), (20, 60))
    np.testing.assert_allclose(measure_depth(seen(slope), 0.0, 6.0, rng), slope, atol=0.0006)


def test_pixels_that_see_nothing_are_no_foreground(rng: np.random.Generator) -> None:
    depth = np.full((10, 10), 2.0)
    depth[:, 5:] = np.inf
    found = measure_depth(seen(depth), 0.0, 6.0, rng)
    np.testing.assert_allclose(found[:, :5], 2.0)
    assert not found[:, 5:].any()
