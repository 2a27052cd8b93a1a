# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Location loss (KP2D, eq. 3): matched keypoints fall on each other.
"""

from __future__ import annotations

from torch import Tensor

from kp2d_ros.training.correspondence import Correspondence
from kp2d_ros.training.reductions import masked_reduce


def location_loss(pairs: Correspondence, reduction: str = 'mean') -> Tensor:
    """
    Distance in pixels of the matched pairs; 0 where nothing is matched. Gradients reach both locations.

    :param reduction: ``mean`` over the matched pairs of the batch (public code) or ``sum`` over those of an image,
        averaged over the images (paper).
    """
    return masked_reduce(pairs.distance_px, pairs.matched, reduction)
