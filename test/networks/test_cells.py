# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from kp2d_ros.networks import cells


def slow_bilinear(values: Any, x: Any, y: Any) -> NDArray[Any]:
    """
    The value of a map (C, H, W) at a place given in its own elements, zeros outside.
    """
    channels, rows, columns = values.shape
    result = np.zeros(channels)
    for row in (int(np.floor(y)), int(np.floor(y)) + 1):
        for column in (int(np.floor(x)), int(np.floor(x)) + 1):
            if 0 <= row < rows and 0 <= column < columns:
                result += values[:, row, column] * (1 - abs(x - column)) * (1 - abs(y - row))
    return result


def test_no_offset_is_the_centre_of_the_cell() -> None:
    xy = cells.pixels_from_offsets(torch.zeros(1, 2, 2, 3), cell=8, cross_ratio=2.0)
    assert xy[0, 0].tolist() == [[3.5, 11.5, 19.5]] * 2
    assert xy[0, 1].tolist() == [[3.5] * 3, [11.5] * 3]


@pytest.mark.parametrize(('cross_ratio', 'reach'), [(1.0, 3.5), (2.0, 7.0)])
def test_full_offset_moves_by_the_cross_ratio(cross_ratio: float, reach: float) -> None:
    offsets = torch.zeros(1, 2, 3, 3)
    offsets[0, 0, 1, 1], offsets[0, 1, 1, 1] = 1.0, -1.0
    xy = cells.pixels_from_offsets(offsets, 8, cross_ratio)
    assert xy[0, :, 1, 1].tolist() == [11.5 + reach, 11.5 - reach]
    assert xy[0, :, 0, 1].tolist() == [11.5, 3.5]


def test_keypoints_stay_in_the_image_and_lose_their_gradient_there() -> None:
    offsets = torch.full((1, 2, 2, 3), -1.0, requires_grad=True)
    xy = cells.pixels_from_offsets(offsets, 8, 2.0)
    assert xy.min() == 0
    xy.sum().backward()
    assert offsets.grad[0, 0].tolist() == [[0, 7, 7]] * 2
    far = cells.pixels_from_offsets(torch.ones(1, 2, 2, 3), 8, 2.0)
    assert far[0, :, -1, -1].tolist() == [23, 15]


def test_sigmoid_places_a_point_between_the_edges_of_its_cell() -> None:
    logits = torch.tensor([-100.0, 0.0, 100.0, 0.7])
    xy = cells.pixels_from_logits(logits.expand(1, 2, 4, 4), 8, 1.0, 'sigmoid')
    for column, share in enumerate(logits.sigmoid().tolist()):
        # UnsuperPoint counts from the edge of the image, half a pixel before the first pixel centre.
        expected = min(max(8 * (column + share) - 0.5, 0), 31)
        assert xy[0, 0, 0, column].item() == pytest.approx(expected, abs=1e-5)
    assert torch.allclose(xy[0, 1, 1], xy[0, 1, 1, 1] + 4 * (2 * logits.sigmoid() - 1))


def test_tanh_is_the_mapping_of_the_paper() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 2, 3, 4, dtype=torch.float16)
    xy = cells.pixels_from_logits(logits, 8, 2.0, 'tanh')
    assert xy.dtype == torch.float32
    assert torch.equal(xy, cells.pixels_from_offsets(logits.float().tanh(), 8, 2.0))


def test_border_mask_is_zero_on_the_outermost_ring() -> None:
    mask = cells.border_mask(4, 5, like=torch.zeros(()))
    assert mask.tolist() == [[0] * 5, [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0] * 5]
    assert cells.border_mask(30, 40, like=mask).sum() == 1064  # of 1200 cells at 320x240
    assert cells.border_mask(60, 80, like=mask).sum() == 4524
    assert cells.border_mask(1, 2, like=mask).tolist() == [[0, 0]]


def test_normalised_coordinates_span_the_pixel_centres() -> None:
    xy = torch.tensor([[0.0, 0.0], [319.0, 239.0], [159.5, 119.5]])
    assert cells.normalise_xy(xy, 320, 240).tolist() == [[-1, -1], [1, 1], [0, 0]]
    there_and_back = cells.pixels_from_normalised(cells.normalise_xy(xy + 0.3, 320, 240), 320, 240)
    assert torch.allclose(there_and_back, xy + 0.3, atol=1e-4)


def test_points_from_map_are_in_raster_order() -> None:
    values = torch.arange(12.0).reshape(1, 2, 2, 3)
    assert cells.points_from_map(values)[0].tolist() == [[i, i + 6] for i in range(6)]


def test_sampling_a_map_equals_bilinear_interpolation_by_hand(rng: np.random.Generator) -> None:
    width, height = 40, 24
    values = rng.normal(size=(2, 3, 6, 10))
    xy = np.concatenate([rng.uniform((0, 0), (width - 1, height - 1), (2, 20, 2)), [[[0, 0]], [[39, 23]]]], axis=1)
    sampled = cells.sample_map(torch.from_numpy(values), torch.from_numpy(xy), width, height)
    for b in range(2):
        for n, (x, y) in enumerate(xy[b]):
            assert np.allclose(sampled[b, n], slow_bilinear(values[b], x * 9 / 39, y * 5 / 23))


def test_sampled_descriptors_have_unit_length_and_no_points_give_none(rng: np.random.Generator) -> None:
    values = torch.from_numpy(rng.normal(size=(1, 7, 6, 10)).astype(np.float32))
    xy = torch.from_numpy(rng.uniform(0, 20, (1, 5, 2)).astype(np.float32))
    assert torch.allclose(cells.sample_descriptors(values, xy, 40, 24).norm(dim=-1), torch.ones(1, 5))
    assert cells.sample_descriptors(values, xy[:, :0], 40, 24).shape == (1, 0, 7)


def test_unit_length_of_zero_is_zero_with_a_finite_gradient() -> None:
    vectors = torch.zeros(2, 3, requires_grad=True)
    unit = cells.unit_length(vectors)
    unit.sum().backward()
    assert unit.abs().sum() == 0
    assert vectors.grad.isfinite().all()


def test_half_maps_are_sampled_in_single_precision(rng: np.random.Generator) -> None:
    values = torch.from_numpy(rng.normal(size=(1, 4, 160, 4)).astype(np.float16))
    xy = torch.tensor([[[0.0, 601.3]]])
    sampled = cells.sample_map(values, xy, 16, 640)
    assert sampled.dtype == torch.float32
    assert torch.allclose(sampled, cells.sample_map(values.float(), xy, 16, 640))


@pytest.mark.parametrize('padding', [0, 1])
def test_convolving_at_the_points_equals_convolving_everywhere(rng: np.random.Generator, padding: int) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(5, 4, 3, padding=padding).double()
    values = torch.from_numpy(rng.normal(size=(2, 5, 7, 9)))
    width, height = 50, 30
    xy = torch.from_numpy(rng.uniform(0, 1, (2, 30, 2)) * (width - 1, height - 1))
    xy[0, :4] = torch.tensor([[0.0, 0.0], [width - 1, height - 1], [0.0, height - 1], [width - 1, 0.0]])
    sparse = cells.sample_convolved(values, layer, xy, width, height)
    # At the last pixel rounding may fall on either side of the border, where the map ends.
    assert torch.allclose(sparse, cells.sample_map(layer(values), xy, width, height), atol=1e-9)


def test_gradients_of_sampling_are_right() -> None:
    torch.manual_seed(0)
    values = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    xy = torch.tensor([[[3.3, 4.1], [10.2, 6.7]]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v, p: cells.sample_descriptors(v, p, 16, 12), (values, xy))
