# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Losses of where points are and how they score: location (KP2D, eq. 3), score (eq. 6), uniform positions (UnsuperPoint).
"""

from __future__ import annotations

import torch
from torch import Tensor

from kp2d_ros.training.config import ScoreLossConfig
from kp2d_ros.training.correspondence import CellPoints, Correspondence
from kp2d_ros.training.reductions import batch_mean, masked_mean, masked_reduce


def location_loss(pairs: Correspondence, reduction: str = 'mean') -> Tensor:
    """
    Distance in pixels of the matched pairs; 0 where nothing is matched. Gradients reach both locations.

    :param reduction: ``mean`` over the matched pairs of the batch (public code) or ``sum`` over those of an image,
        averaged over the images (paper).
    """
    return masked_reduce(pairs.distance_px, pairs.matched, reduction)


def unsupervised_point_loss(
    source: CellPoints, target: CellPoints, pairs: Correspondence, config: ScoreLossConfig
) -> Tensor:
    """
    Sum of both scores times (d_i - mean d) over the matched pairs: nearer than the average is rewarded.

    The distance keeps its gradient, as in the public code. 0 where nothing is matched.
    """
    scores = target.score.gather(1, pairs.nearest) + source.score
    # sum(s (d - mean d)) = sum(s d) - sum(s) mean(d): whole-batch sums only, so that processes can share the batch.
    matched = pairs.matched
    scored_distance = masked_reduce(scores * pairs.distance_px, matched, config.reduction)
    total_score = masked_reduce(scores, matched, config.reduction)
    mean_distance = masked_mean(pairs.distance_px, matched)
    return config.usp_factor * (scored_distance - total_score * mean_distance)


def score_consistency_loss(
    source: CellPoints,
    target: CellPoints,
    target_score_at_warped: Tensor,
    pairs: Correspondence,
    config: ScoreLossConfig,
) -> Tensor:
    """
    Squared difference of the two views' scores; 0 where no cell counts.

    :param target_score_at_warped: (B, N) bilinear target score at q_i, sampled at detached positions.
    """
    warped = config.consistency_partner == 'warped'
    partner = target_score_at_warped if warped else target.score.gather(1, pairs.nearest)
    domain = pairs.visible if config.consistency_domain == 'visible' else pairs.matched
    return masked_reduce((partner - source.score).square(), domain, config.reduction)


def uniform_position_loss(relative_xy: Tensor) -> Tensor:
    """
    Squared distance of the sorted relative positions from a uniform distribution, summed over cells and both axes
    (UnsuperPoint, section 3.2.3).

    :param relative_xy: (B, N, 2) positions within the cell in [0, 1]; averaged over the images.
    """
    count = relative_xy.shape[1]
    ramp = torch.arange(count, dtype=relative_xy.dtype, device=relative_xy.device) / max(count - 1, 1)
    per_image = (relative_xy.sort(dim=1).values - ramp[:, None]).square().sum(dim=(1, 2))
    return batch_mean(per_image)
