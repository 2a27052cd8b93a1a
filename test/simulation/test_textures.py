# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kp2d_ros.simulation import textures

PAINTERS = [getattr(textures, name) for name in dir(textures) if name.startswith('paint_')]


@pytest.mark.parametrize('paint', PAINTERS)
@pytest.mark.parametrize(('height', 'width', 'texels'), [(32, 32, 10.0), (96, 160, 60.0), (160, 32, 200.0)])
def test_a_picture_has_the_size_that_was_asked_for_and_depends_on_the_seed_alone(
    paint: Any, height: int, width: int, texels: float
) -> None:
    first, again, other = (paint(np.random.default_rng(seed), height, width, texels) for seed in (1, 1, 2))
    assert (first.shape, first.dtype) == ((height, width, 3), np.uint8)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize('paint', PAINTERS)
def test_no_part_of_a_picture_is_flat(paint: Any) -> None:
    picture = paint(np.random.default_rng(0), 128, 192, 80.0).astype(float).mean(axis=2)
    tiles = picture.reshape(8, 16, 12, 16).std(axis=(1, 3))
    assert tiles.min() > 0.5


def test_grain_has_unit_spread_at_coarse_and_fine_scales(rng: np.random.Generator) -> None:
    noise = textures.grain(rng, 256, 256, 200.0)
    coarse = noise.reshape(16, 16, 16, 16).mean(axis=(1, 3))
    assert noise.std() == pytest.approx(0.8, abs=0.3)
    assert 0.3 < coarse.std() < 0.9
    assert (noise - np.kron(coarse, np.ones((16, 16)))).std() > 0.3
