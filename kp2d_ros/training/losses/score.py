# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Score losses (KP2D, eq. 6): points that fall on each other score high, and both views agree on the score.
"""

from __future__ import annotations

from torch import Tensor

from kp2d_ros.training.config import ScoreLossConfig
from kp2d_ros.training.correspondence import CellPoints, Correspondence
from kp2d_ros.training.reductions import masked_mean, masked_reduce


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
