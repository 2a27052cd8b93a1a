# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
IO-Net's loss (KP2D, eq. 8): classify the matches of the lowest-scored points, and through them shape descriptors.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from kp2d_ros.training.config import InlierLossConfig
from kp2d_ros.training.reductions import descriptor_distance, global_sum, masked_mean, masked_reduce


class InlierPairs(NamedTuple):
    """
    The input of IO-Net and its truth.

    :ivar features: (B, K, 5): x, y of the source, x, y of the target, both normalised to [-1, 1], and the descriptor
        distance; the gradient reaches positions and descriptors.
    :ivar error_px: (B, K) distance of the warped source point from the target point, no gradient.
    """

    features: Tensor
    error_px: Tensor


class PointSet(NamedTuple):
    """
    Points of one view for IO-Net.

    :ivar score: (B, N).
    :ivar normalised_xy: (B, N, 2) in [-1, 1].
    :ivar descriptors: (B, N, D) of unit length.
    :ivar target_xy: (B, N, 2) the point in target pixels.
    """

    score: Tensor
    normalised_xy: Tensor
    descriptors: Tensor
    target_xy: Tensor


def take_rows(field: Tensor, index: Tensor) -> Tensor:
    """
    The rows of (B, N) or (B, N, C) that an index (B, K) names.
    """
    if field.dim() == 2:
        return field.gather(1, index)
    return field.gather(1, index.unsqueeze(-1).expand(-1, -1, field.shape[-1]))


def lowest_scores(score: Tensor, count: int) -> Tensor:
    """
    Index (B, K) of the K lowest scores (B, N), in raster order; all of them if there are no more.
    """
    return score.topk(min(count, score.shape[1]), dim=1, largest=False).indices.sort(dim=1).values


def inlier_pairs(source: PointSet, target: PointSet, config: InlierLossConfig) -> InlierPairs:
    """
    Descriptor matches of points, as IO-Net sees them: every source point with its nearest target descriptor.

    ``separate`` (public code): all of them; both sets are the K points of the lowest scores, which
    :func:`lowest_scores` found. ``pairs`` (paper): of all cells, the K pairs of the lowest summed score.
    """
    similarity = source.descriptors @ target.descriptors.transpose(1, 2)
    best, index = similarity.max(dim=-1)
    partner_xy = take_rows(target.normalised_xy, index)
    features = torch.cat([source.normalised_xy, partner_xy, descriptor_distance(best).unsqueeze(-1)], dim=-1)
    error_px = (source.target_xy - take_rows(target.target_xy, index)).detach().norm(dim=-1)
    if config.selection == 'pairs':
        pair_score = source.score + take_rows(target.score, index)
        lowest = lowest_scores(pair_score.detach(), config.pair_count)
        features = take_rows(features, lowest)
        error_px = take_rows(error_px, lowest)
    return InlierPairs(features, error_px)


def output_kind(config: InlierLossConfig) -> str:
    """
    What the output of an IO-Net means after training with this loss: one of
    :data:`kp2d_ros.networks.inlier_net.OUTPUTS`.
    """
    if config.type == 'regression':
        return 'sign' if config.inlier_target_positive else 'negative_sign'
    return {'balanced_bce': 'logit', 'sampling': 'log_weight'}[config.type]


def inlier_loss(logits: Tensor, error_px: Tensor, config: InlierLossConfig) -> Tensor:
    """
    Loss of IO-Net's raw output (B, K) against the truth; 0 while the batch has too few inliers to learn from.

    ``regression``: squared difference from +1 (inlier) and -1 (KP2D). ``balanced_bce``: binary cross entropy with the
    two classes weighing the same (Yi et al., 2018). ``sampling``: cross entropy between the softmax over the pairs of
    an image and the uniform distribution over its inliers (NG-RANSAC's initialisation, Brachmann and Rother, 2019).
    """
    inlier = error_px < config.threshold_px
    enough = (global_sum(inlier.float()).detach() > config.minimum_inliers).to(logits.dtype)
    if config.type == 'regression':
        sign = 1.0 if config.inlier_target_positive else -1.0
        terms = (logits - torch.where(inlier, sign, -sign)).square()
        loss = config.factor * masked_reduce(terms, torch.ones_like(inlier), config.reduction)
    elif config.type == 'balanced_bce':
        terms = torch.nn.functional.binary_cross_entropy_with_logits(logits, inlier.to(logits.dtype), reduction='none')
        loss = 0.5 * (masked_mean(terms, inlier) + masked_mean(terms, ~inlier))
    else:
        truth = inlier / inlier.sum(dim=-1, keepdim=True).clamp(min=1)
        terms = -(truth * logits.log_softmax(dim=-1)).sum(dim=-1)
        loss = masked_mean(terms, inlier.any(dim=-1))
    return enough * loss
