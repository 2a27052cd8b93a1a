# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Which source keypoint falls on which target keypoint (KP2D, section 3.1).

Source is the warped view S, target the un-warped one T; ``target_from_source`` maps normalised coordinates of S to
normalised coordinates of T. The N = Hc * Wc cells are in raster order.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from kp2d_ros.networks.cells import border_mask, normalise_xy, pixels_from_normalised, points_from_map
from kp2d_ros.networks.network import KeypointMaps
from kp2d_ros.training.reductions import safe_norm

_FAR = 1e3  # normalised: nothing is near it


class CellPoints(NamedTuple):
    """
    The keypoints of one view, cell by cell.

    :ivar xy: (B, N, 2) pixels.
    :ivar score: (B, N).
    :ivar shown: (B, N) bool, the point lies on the photograph, not on fill.
    :ivar usable: (B, N) bool, shown, and not in the outermost ring of cells.
    """

    xy: Tensor
    score: Tensor
    shown: Tensor
    usable: Tensor


class Correspondence(NamedTuple):
    """
    The source keypoints, seen in the target.

    :ivar warped_xy: (B, N, 2) q_i in target pixels; the gradient reaches the source locations.
    :ivar visible: (B, N) bool, the set M: usable cells whose q_i lies inside the target.
    :ivar nearest: (B, N) int64, a_i, the target cell whose keypoint is nearest (over all cells).
    :ivar distance_px: (B, N) d_i in pixels; the gradient reaches both locations.
    :ivar matched: (B, N) bool, the set V: visible and nearer than the threshold.
    """

    warped_xy: Tensor
    visible: Tensor
    nearest: Tensor
    distance_px: Tensor
    matched: Tensor


def cell_points(maps: KeypointMaps, valid: Tensor | None = None) -> CellPoints:
    """
    The maps of one view as lists of cells.

    :param valid: (B, 1, H, W) bool, where the view shows the photograph; None: everywhere.
    """
    batch, _, rows, columns = maps.score.shape
    xy = points_from_map(maps.xy)
    inner = border_mask(rows, columns, like=xy).bool().flatten().expand(batch, -1)
    shown = torch.ones_like(inner)
    if valid is not None:
        height, width = valid.shape[-2:]
        column = xy[..., 0].detach().round().long().clamp(0, width - 1)
        row = xy[..., 1].detach().round().long().clamp(0, height - 1)
        shown = valid.flatten(1).gather(1, row * width + column)
    return CellPoints(xy, maps.score.flatten(1), shown, inner & shown)


def warp_points(xy: Tensor, target_from_source: Tensor, width: int, height: int) -> tuple[Tensor, Tensor]:
    """
    Source pixels (B, N, 2) in target pixels, and whether each lies strictly inside the target (B, N).

    Points on or behind the horizon of the homography are put far outside.
    """
    normalised = normalise_xy(xy, width, height)
    homogeneous = torch.cat([normalised, torch.ones_like(normalised[..., :1])], dim=-1)
    warped = homogeneous @ target_from_source.transpose(1, 2)
    in_front = warped[..., 2:] > 1e-6
    depth = torch.where(in_front, warped[..., 2:], torch.ones_like(warped[..., 2:]))
    warped_normalised = torch.where(in_front, warped[..., :2] / depth, depth.new_tensor(_FAR))
    inside = (warped_normalised.abs() < 1).all(dim=-1)
    return pixels_from_normalised(warped_normalised, width, height), inside


def nearest_neighbour(points: Tensor, candidates: Tensor) -> Tensor:
    """
    Index (B, N) of the nearest of the candidates (B, K, 2) for each point (B, N, 2); no gradient.
    """
    with torch.no_grad():
        # |p - c|^2 without |p|^2, which is the same for all candidates; centred for the precision of float32.
        centre = candidates.mean(dim=1, keepdim=True)
        p, c = points - centre, candidates - centre
        return torch.baddbmm(c.square().sum(-1).unsqueeze(1), p, c.transpose(1, 2), alpha=-2.0).argmin(dim=-1)


def correspond(
    source: CellPoints, target: CellPoints, target_from_source: Tensor, size: tuple[int, int], threshold_px: float
) -> Correspondence:
    """
    For each source cell the nearest target keypoint after the warp (one direction, not mutual).

    :param target_from_source: (B, 3, 3) homographies in normalised coordinates.
    :param size: width and height of both views in pixels.
    :param threshold_px: eps_uv of the paper, 4.
    """
    warped_xy, inside = warp_points(source.xy, target_from_source, *size)
    nearest = nearest_neighbour(warped_xy, target.xy)
    partner = target.xy.gather(1, nearest.unsqueeze(-1).expand(-1, -1, 2))
    distance_px = safe_norm(warped_xy - partner)
    visible = source.usable & inside
    return Correspondence(warped_xy, visible, nearest, distance_px, visible & (distance_px.detach() < threshold_px))
