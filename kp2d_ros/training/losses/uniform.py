# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
UnsuperPoint's regulariser on where points lie within their cells (its section 3.2.3).
"""

from __future__ import annotations

import torch
from torch import Tensor

from kp2d_ros.training.reductions import batch_mean


def uniform_position_loss(relative_xy: Tensor) -> Tensor:
    """
    Squared distance of the sorted relative positions from a uniform distribution, summed over cells and both axes.

    :param relative_xy: (B, N, 2) positions within the cell in [0, 1]; averaged over the images.
    """
    count = relative_xy.shape[1]
    ramp = torch.arange(count, dtype=relative_xy.dtype, device=relative_xy.device) / max(count - 1, 1)
    per_image = (relative_xy.sort(dim=1).values - ramp[:, None]).square().sum(dim=(1, 2))
    return batch_mean(per_image)
