# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Grid of cells, pixels, normalised coordinates: the only place where one is turned into another.

Pixel (0, 0) is the centre of the top-left pixel. Normalised coordinates run from -1 at the first pixel centre to 1 at
the last one (``align_corners=True``). A map that is coarser than the image spans the same -1 to 1: its first element
lies at the first pixel, its last element at the last pixel. Points are (B, N, 2) with x first; maps are (B, C, H, W).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kp2d_ros.networks.config import SIGMOID

_TINY_SQUARE = 1e-12  # under the square root of a norm: nothing becomes NaN, and unit vectors change by 5e-13


def at_least_float32(tensor: Tensor) -> Tensor:
    """
    The tensor in float32, or in float64 if it is that already; half types cannot hold pixels of a large image.
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def cell_centres(rows: int, columns: int, cell: int, *, like: Tensor) -> Tensor:
    """
    (2, rows, columns) pixels, x first, of the centres of cells of ``cell`` pixels, of the type and device of ``like``.
    """
    x = torch.arange(columns, dtype=like.dtype, device=like.device) * cell + (cell - 1) / 2
    y = torch.arange(rows, dtype=like.dtype, device=like.device) * cell + (cell - 1) / 2
    return torch.stack([x[None, :].expand(rows, columns), y[:, None].expand(rows, columns)])


def border_mask(rows: int, columns: int, *, like: Tensor) -> Tensor:
    """
    (rows, columns) of 1, and 0 on the outermost ring of cells, of the type and device of ``like``.
    """
    row = torch.arange(rows, device=like.device)
    column = torch.arange(columns, device=like.device)
    inner_row = (row > 0) & (row < rows - 1)
    inner_column = (column > 0) & (column < columns - 1)
    return (inner_row[:, None] & inner_column[None, :]).to(like.dtype)


def pixels_from_logits(logits: Tensor, cell: int, cross_ratio: float, location: str) -> Tensor:
    """
    Keypoints (B, 2, Hc, Wc) in pixels of the unbounded output (B, 2, Hc, Wc) of a location head; at least float32.

    ``tanh``: :func:`pixels_from_offsets` of tanh(o), as KP2D. ``sigmoid``: the whole cell from edge to edge,
    x = 8 (col + sigmoid(o)) in UnsuperPoint, where 0 is the edge of the image and not the centre of a pixel:
    centre + 8 / 2 (2 sigmoid(o) - 1).
    """
    logits = at_least_float32(logits)
    if location == SIGMOID:
        return _pixels_around_centres(2 * logits.sigmoid() - 1, cell, cross_ratio * cell / 2)
    return pixels_from_offsets(logits.tanh(), cell, cross_ratio)


def pixels_from_offsets(offsets: Tensor, cell: int, cross_ratio: float) -> Tensor:
    """
    Keypoints (B, 2, Hc, Wc) in pixels of offsets (B, 2, Hc, Wc) in [-1, 1], kept inside the image.

    An offset of 1 is ``cross_ratio`` halves of a cell: [v, u] = [row, col] + [v', u'] s1 (s2 - 1) / 2 in the paper,
    with s1 the ratio and s2 the cell. The gradient of a coordinate that was moved to the border is 0.
    """
    return _pixels_around_centres(offsets, cell, cross_ratio * (cell - 1) / 2)


def _pixels_around_centres(offsets: Tensor, cell: int, reach_px: float) -> Tensor:
    rows, columns = offsets.shape[-2:]
    xy = cell_centres(rows, columns, cell, like=offsets) + offsets * reach_px
    x, y = xy.unbind(dim=1)
    return torch.stack([x.clamp(0, columns * cell - 1), y.clamp(0, rows * cell - 1)], dim=1)


def points_from_map(values: Tensor) -> Tensor:
    """
    (B, H * W, C) of a map (B, C, H, W), in raster order.
    """
    return values.flatten(2).transpose(1, 2)


def normalise_xy(xy: Tensor, width: int, height: int) -> Tensor:
    """
    Normalised coordinates (..., 2) of pixels (..., 2) of an image of this size.
    """
    return xy * xy.new_tensor([2 / max(width - 1, 1), 2 / max(height - 1, 1)]) - 1


def pixels_from_normalised(xy: Tensor, width: int, height: int) -> Tensor:
    """
    Pixels (..., 2) of normalised coordinates (..., 2) of an image of this size.
    """
    return (xy + 1) * xy.new_tensor([(width - 1) / 2, (height - 1) / 2])


def sample_map(values: Tensor, xy: Tensor, width: int, height: int) -> Tensor:
    """
    Bilinear values (B, N, C) of a map (B, C, H, W) at pixels (B, N, 2) of the image that the map spans.

    Outside the map there are zeros. The result is at least float32, whatever the map is.
    """
    values = at_least_float32(values)
    grid = normalise_xy(xy.to(values.dtype), width, height)
    sampled = F.grid_sample(values, grid[:, :, None], mode='bilinear', padding_mode='zeros', align_corners=True)
    return sampled[..., 0].transpose(1, 2)


def convolved_size(values: Tensor, layer: nn.Conv2d) -> tuple[int, int]:
    """
    Rows and columns of ``layer(values)`` for a 3x3 layer.
    """
    rows, columns = values.shape[-2:]
    return rows + 2 * int(layer.padding[0]) - 2, columns + 2 * int(layer.padding[1]) - 2


def sample_convolved(values: Tensor, layer: nn.Conv2d, xy: Tensor, width: int, height: int) -> Tensor:
    """
    ``sample_map(layer(values), xy, width, height)`` for a 3x3 layer, computed at the (B, N, 2) pixels only.

    A convolution and bilinear sampling are linear, so their order does not matter: the nine inputs of the layer are
    sampled at every point, then comes one matrix product. Exact at all pixels of the image: the zeros around the map
    are the zeros that the layer pads with.
    """
    values = at_least_float32(values)
    rows, columns = convolved_size(values, layer)
    place = (normalise_xy(xy.to(values.dtype), width, height) + 1) * xy.new_tensor([(columns - 1) / 2, (rows - 1) / 2])
    shift = torch.arange(3, dtype=values.dtype, device=values.device) - int(layer.padding[0])
    down, right = torch.meshgrid(shift, shift, indexing='ij')
    taps = (place[:, :, None] + torch.stack([right, down], dim=-1).reshape(9, 2)).flatten(1, 2)
    sampled = sample_map(values, taps, values.shape[-1], values.shape[-2])
    return F.linear(
        sampled.reshape(sampled.shape[0], -1, 9 * sampled.shape[2]),
        layer.weight.to(values.dtype).permute(0, 2, 3, 1).flatten(1),
        None if layer.bias is None else layer.bias.to(values.dtype),
    )


def unit_length(vectors: Tensor) -> Tensor:
    """
    (..., D) vectors divided by their length; zero stays zero, and its gradient is finite.
    """
    return vectors * (vectors.square().sum(dim=-1, keepdim=True) + _TINY_SQUARE).rsqrt()


def sample_descriptors(descriptors: Tensor, xy: Tensor, width: int, height: int) -> Tensor:
    """
    Descriptors (B, N, D) of unit length at pixels (B, N, 2), from the dense map (B, D, Hd, Wd) of a network.
    """
    return unit_length(sample_map(descriptors, xy, width, height))
