# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from kp2d_ros.core.errors import ShapeError
from kp2d_ros.core.sampling import sample_descriptors, sample_map


def test_known_values_between_the_elements_of_a_map() -> None:
    values = np.array([[[0, 1, 2], [10, 11, 12]]], np.float32)
    # A 9x5 image: the three columns lie at x = 0, 4, 8, the two rows at y = 0, 4.
    xy = np.array([[0, 0], [8, 4], [4, 2], [1, 1], [-4, 0], [np.nan, 1]], np.float32)
    assert np.allclose(sample_map(values, xy, 9, 5)[:, 0], [0, 12, 6, 0.25 + 2.5, 0, 0])


def test_equals_the_sampling_of_the_networks(rng: np.random.Generator) -> None:
    torch = pytest.importorskip('torch')
    from kp2d_ros.networks import cells

    values = rng.normal(size=(6, 10, 14)).astype(np.float32)
    xy = rng.uniform(-5, 60, (200, 2)).astype(np.float32)
    expected = cells.sample_descriptors(torch.from_numpy(values)[None], torch.from_numpy(xy)[None], 56, 40)[0]
    assert np.allclose(sample_descriptors(values, xy, 56, 40), expected.numpy(), atol=1e-5)


def test_no_points_give_no_descriptors() -> None:
    found = sample_descriptors(np.ones((6, 10, 14), np.float32), np.empty((0, 2), np.float32), 56, 40)
    assert found.shape == (0, 6)
    assert found.dtype == np.float32


def test_zero_map_gives_zero_descriptors() -> None:
    found = sample_descriptors(np.zeros((6, 10, 14), np.float32), np.ones((3, 2), np.float32), 56, 40)
    assert (found == 0).all()


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match='map'):
        sample_map(np.zeros((10, 14), np.float32), np.zeros((3, 2), np.float32), 56, 40)
    with pytest.raises(ShapeError, match='xy'):
        sample_map(np.zeros((6, 10, 14), np.float32), np.zeros((3, 3), np.float32), 56, 40)
