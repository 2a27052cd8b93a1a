# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Descriptor losses on N sampled points per image: triplet (KP2D, eq. 5), contrastive, InfoNCE, hinge.

``anchor`` (B, N, D) are unit descriptors of the source at its keypoints, ``positive`` (B, N, D) those of the target
at the warped keypoints q_i. The negatives of an anchor are the positives of other points of the same image that lie
outside its relaxation field.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from kp2d_ros.training.config import DescriptorLossConfig
from kp2d_ros.training.reductions import batch_mean, global_sum, safe_norm

_MINIMUM_POINTS = 20  # images with fewer visible points are left out (public code)
_PAIRWISE_EPSILON = 1e-6  # torch's pairwise distance adds it to the difference


class DescriptorLoss(NamedTuple):
    """
    The loss, and the share of visible points whose nearest candidate is their own partner (no gradient).
    """

    loss: Tensor
    recall: Tensor


def excluded_negatives(warped_xy: Tensor, visible: Tensor, config: DescriptorLossConfig) -> Tensor:
    """
    (B, N, N) bool: candidate j is no negative of i (in its relaxation field, or not visible).
    """
    right, down = (axis.unsqueeze(2) - axis.unsqueeze(1) for axis in warped_xy.detach().unbind(dim=-1))
    if config.relax_shape == 'box':
        near = (right.abs() <= config.relax_px) & (down.abs() <= config.relax_px)
    else:
        near = right.square() + down.square() <= config.relax_px**2
    return near | ~visible.unsqueeze(1)


def hardest_negative(similarity: Tensor, excluded: Tensor) -> Tensor:
    """
    Index (B, N) of the most similar candidate that is not excluded.
    """
    return similarity.masked_fill(excluded, -torch.inf).argmax(dim=-1)


def semi_hard_negative(similarity: Tensor, positive_similarity: Tensor, excluded: Tensor) -> Tensor:
    """
    Index (B, N) of the most similar candidate that is still less similar than the positive (FaceNet, section 3.2).

    Where every candidate is more similar than the positive, the least similar one.
    """
    allowed = similarity.masked_fill(excluded, -torch.inf)
    semi_hard = allowed.masked_fill(similarity >= positive_similarity.unsqueeze(-1), -torch.inf)
    easiest = similarity.masked_fill(excluded, torch.inf).argmin(dim=-1)
    return torch.where(semi_hard.amax(dim=-1) > -torch.inf, semi_hard.argmax(dim=-1), easiest)


def descriptor_loss(
    anchor: Tensor, positive: Tensor, warped_xy: Tensor, visible: Tensor, config: DescriptorLossConfig
) -> DescriptorLoss:
    """
    Triplet, contrastive or InfoNCE loss; per image the mean over its visible points, then the mean over the batch.

    Images with fewer than 20 visible points contribute 0; a point without any negative contributes 0.

    :param visible: (B, N) bool, the set M.
    """
    similarity = anchor @ positive.transpose(1, 2)
    with torch.no_grad():
        excluded = excluded_negatives(warped_xy, visible, config)
        own = torch.arange(similarity.shape[1], device=similarity.device)
        found = similarity.masked_fill(~visible.unsqueeze(1), -torch.inf).argmax(dim=-1) == own
        counts = visible.sum(dim=-1, keepdim=True)
        counted = visible & (counts >= _MINIMUM_POINTS)
        recall = global_sum((found & visible).float()) / global_sum(visible.float()).clamp(min=1.0)
    if config.type == 'infonce':
        terms = _infonce_terms(similarity, excluded, config.temperature)
    else:
        terms = _mined_terms(anchor, positive, similarity.detach(), excluded, config)
    terms = torch.where(counted, terms, torch.zeros_like(terms))
    if config.reduction == 'mean':
        terms = terms / counts.clamp(min=1)
    return DescriptorLoss(batch_mean(terms.sum(dim=-1)), recall)


def _mined_terms(
    anchor: Tensor, positive: Tensor, similarity: Tensor, excluded: Tensor, config: DescriptorLossConfig
) -> Tensor:
    """
    (B, N) triplet or contrastive loss of each point with its one mined negative.
    """
    if config.mining == 'hardest':
        negative_index = hardest_negative(similarity, excluded)
    else:
        negative_index = semi_hard_negative(similarity, similarity.diagonal(dim1=1, dim2=2), excluded)
    has_negative = ~excluded.all(dim=-1)
    negative = positive.gather(1, negative_index.unsqueeze(-1).expand_as(positive))
    positive_distance = safe_norm(anchor - positive + _PAIRWISE_EPSILON)
    negative_distance = safe_norm(anchor - negative + _PAIRWISE_EPSILON)
    if config.type == 'triplet':
        terms = (positive_distance - negative_distance + config.margin).clamp(min=0.0)
        return torch.where(has_negative, terms, torch.zeros_like(terms))
    # Contrastive (Hadsell et al., 2006) on each positive and its mined negative.
    push = (config.contrastive_margin - negative_distance).clamp(min=0.0).square()
    return positive_distance.square() + torch.where(has_negative, push, torch.zeros_like(push))


def _infonce_terms(similarity: Tensor, excluded: Tensor, temperature: float) -> Tensor:
    """
    (B, N) cross entropy of each point with its partner among its partner and all negatives (van den Oord et al., 2018).

    The mean of both directions: the partner of an anchor among the positives, and of a positive among the anchors.
    """
    logits = similarity / temperature
    own = torch.eye(logits.shape[-1], dtype=torch.bool, device=logits.device)
    forward = logits.masked_fill(excluded & ~own, -torch.inf)
    backward = logits.transpose(1, 2).masked_fill(excluded & ~own, -torch.inf)  # the relaxation field is symmetric
    positive = logits.diagonal(dim1=1, dim2=2)
    return 0.5 * (forward.logsumexp(dim=-1) + backward.logsumexp(dim=-1)) - positive


def hinge_descriptor_loss(
    anchor: Tensor, positive: Tensor, warped_xy: Tensor, target_xy: Tensor, config: DescriptorLossConfig
) -> Tensor:
    """
    UnsuperPoint's hinge over all N^2 pairs of source and target points (its section 3.2.4), summed over an image.

    :param anchor: (B, N, D) unit descriptors of the source keypoints.
    :param positive: (B, N, D) unit descriptors of the target's own keypoints.
    :param warped_xy: (B, N, 2) source keypoints in the target; a pair corresponds within 8 pixels.
    """
    similarity = anchor @ positive.transpose(1, 2)
    apart = torch.cdist(warped_xy.detach(), target_xy.detach())
    attract = config.hinge_balance * (config.hinge_positive_margin - similarity).clamp(min=0.0)
    repel = (similarity - config.hinge_negative_margin).clamp(min=0.0)
    terms = torch.where(apart <= config.hinge_radius_px, attract, repel)
    return batch_mean(terms.sum(dim=(1, 2)))


def decorrelation_loss(descriptors: Tensor) -> Tensor:
    """
    Mean squared off-diagonal element of the correlation matrix of the descriptor elements (UnsuperPoint, eq. 17).

    :param descriptors: (B, N, D); averaged over the images.
    """
    centred = descriptors - descriptors.mean(dim=1, keepdim=True)
    scaled = centred / centred.square().sum(dim=1, keepdim=True).clamp(min=1e-12).sqrt()
    correlation = scaled.transpose(1, 2) @ scaled
    size = correlation.shape[-1]
    off_diagonal = correlation * (1.0 - torch.eye(size, dtype=correlation.dtype, device=correlation.device))
    per_image = off_diagonal.square().sum(dim=(1, 2)) / max(size * (size - 1), 1)
    return batch_mean(per_image)
