# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The total loss of one batch of pairs: both networks run, all parts are computed and weighed (KP2D, eq. 2).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kp2d_ros.networks.cells import normalise_xy, points_from_map, sample_descriptors, sample_map
from kp2d_ros.networks.inlier_net import InlierNet
from kp2d_ros.networks.network import KeypointMaps, KeypointNetwork
from kp2d_ros.pairs.pair_maker import PairBatch
from kp2d_ros.training.config import LossConfig
from kp2d_ros.training.correspondence import CellPoints, Correspondence, cell_points, correspond
from kp2d_ros.training.losses.descriptor import decorrelation_loss, descriptor_loss, hinge_descriptor_loss
from kp2d_ros.training.losses.inlier import PointSet, inlier_loss, inlier_pairs, lowest_scores, take_rows
from kp2d_ros.training.losses.points import (
    location_loss,
    score_consistency_loss,
    uniform_position_loss,
    unsupervised_point_loss,
)


class Losses(NamedTuple):
    """
    The weighted total, and its parts before weighing (no gradient), all scalars.

    The part ``recall`` has no weight: the share of visible points whose nearest candidate is their own partner.
    """

    total: Tensor
    parts: dict[str, Tensor]


class _Views(NamedTuple):
    """
    Both views of a batch, as every part of the loss needs them.
    """

    source: CellPoints
    target: CellPoints
    source_maps: KeypointMaps
    target_maps: KeypointMaps
    pairs: Correspondence
    size: tuple[int, int]


class Objective(nn.Module):
    """
    Keypoint network and IO-Net under one loss; a module, so that DistributedDataParallel sees every parameter once.

    ``inlier_net`` is None where the IO loss has no weight.
    """

    def __init__(self, keypoint_net: KeypointNetwork, inlier_net: InlierNet | None, config: LossConfig) -> None:
        super().__init__()
        self.keypoint_net = keypoint_net
        self.inlier_net = inlier_net
        self.config = config

    def forward(self, batch: PairBatch) -> Losses:
        """
        All losses of a batch. The two views pass the network one after the other, each with its own batch statistics.
        """
        use_color = self.keypoint_net.config.use_color
        source_maps: KeypointMaps = self.keypoint_net(network_input(batch.source, use_color=use_color))
        target_maps: KeypointMaps = self.keypoint_net(network_input(batch.target, use_color=use_color))
        with torch.autocast(batch.source.device.type, enabled=False):
            views = self._views(batch, source_maps, target_maps)
            parts = {'location': location_loss(views.pairs, self.config.location.reduction)}
            parts.update(self._score_losses(views))
            parts.update(self._descriptor_losses(views))
            if self.inlier_net is not None:
                parts['inlier'] = self._inlier_loss(views, self.inlier_net)
            if self.config.uniform_weight > 0:
                parts['uniform'] = self._uniform_loss(views)
            return Losses(self._weighted_total(parts), {name: part.detach() for name, part in parts.items()})

    def _views(self, batch: PairBatch, source_maps: KeypointMaps, target_maps: KeypointMaps) -> _Views:
        size = (batch.source.shape[-1], batch.source.shape[-2])
        ignore = self.config.ignore_fill
        source = cell_points(source_maps, batch.source_valid if ignore else None)
        target = cell_points(target_maps, batch.target_valid if ignore else None)
        pairs = correspond(source, target, batch.target_from_source, size, self.config.location.threshold_px)
        return _Views(source, target, source_maps, target_maps, pairs, size)

    def _weighted_total(self, parts: dict[str, Tensor]) -> Tensor:
        config = self.config
        weights = {
            'location': config.location.weight,
            'usp': config.score.weight,
            'consistency': config.score.weight * config.score.consistency_weight,
            'descriptor': config.descriptor.weight,
            'decorrelation': config.descriptor.decorrelation_weight,
            'inlier': config.inlier.weight,
            'uniform': config.uniform_weight,
        }
        return torch.stack([weights[name] * part for name, part in parts.items() if name in weights]).sum()

    def _score_losses(self, views: _Views) -> dict[str, Tensor]:
        at_warped = sample_map(views.target_maps.score, views.pairs.warped_xy.detach(), *views.size)[..., 0]
        config = self.config.score
        return {
            'usp': unsupervised_point_loss(views.source, views.target, views.pairs, config),
            'consistency': score_consistency_loss(views.source, views.target, at_warped, views.pairs, config),
        }

    def _descriptor_losses(self, views: _Views) -> dict[str, Tensor]:
        config, pairs = self.config.descriptor, views.pairs
        if config.type == 'none':
            return {}
        warped_xy = pairs.warped_xy.detach()
        anchor = sample_descriptors(views.source_maps.descriptors, views.source.xy.detach(), *views.size)
        parts = {}
        if config.type == 'hinge':
            positive = sample_descriptors(views.target_maps.descriptors, views.target.xy.detach(), *views.size)
            parts['descriptor'] = hinge_descriptor_loss(anchor, positive, warped_xy, views.target.xy, config)
        else:
            positive = sample_descriptors(views.target_maps.descriptors, warped_xy, *views.size)
            mined = descriptor_loss(anchor, positive, warped_xy, pairs.visible, config)
            parts.update(descriptor=mined.loss, recall=mined.recall)
        if config.decorrelation_weight > 0:
            parts['decorrelation'] = decorrelation_loss(anchor) + decorrelation_loss(positive)
        return parts

    def _inlier_loss(self, views: _Views, inlier_net: InlierNet) -> Tensor:
        source = self._inlier_points(views.source, views.source_maps, views.pairs.warped_xy, views.size)
        target = self._inlier_points(views.target, views.target_maps, views.target.xy, views.size)
        pairs = inlier_pairs(source, target, self.config.inlier)
        return inlier_loss(inlier_net(pairs.features), pairs.error_px, self.config.inlier)

    def _inlier_points(
        self, points: CellPoints, maps: KeypointMaps, target_xy: Tensor, size: tuple[int, int]
    ) -> PointSet:
        config = self.config.inlier
        score = points.score.detach().masked_fill(~points.shown, torch.inf)  # fill is chosen last
        count = config.pair_count if config.selection == 'separate' else score.shape[1]
        index = lowest_scores(score, count)
        xy = take_rows(points.xy, index)
        descriptors = sample_descriptors(maps.descriptors, xy, *size)
        return PointSet(take_rows(score, index), normalise_xy(xy, *size), descriptors, take_rows(target_xy, index))

    def _uniform_loss(self, views: _Views) -> Tensor:
        cell = self.keypoint_net.config.cell
        relative = [_relative_positions(maps.xy, cell) for maps in (views.source_maps, views.target_maps)]
        return uniform_position_loss(relative[0]) + uniform_position_loss(relative[1])


def _relative_positions(xy: Tensor, cell: int) -> Tensor:
    """
    Positions (B, N, 2) within their own cells, 0 at the upper left and 1 at the lower right edge.
    """
    rows, columns = xy.shape[-2:]
    corner = torch.stack(
        [
            torch.arange(columns, device=xy.device).expand(rows, columns),
            torch.arange(rows, device=xy.device)[:, None].expand(rows, columns),
        ]
    )
    return points_from_map((xy + 0.5) / cell - corner)


def network_input(images: Tensor, *, use_color: bool) -> Tensor:
    """
    RGB images (B, 3, H, W) as a network wants them: as they are, or their mean as one channel, as in inference.
    """
    return images if use_color else images.mean(dim=1, keepdim=True)
