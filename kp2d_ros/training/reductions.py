# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Sums and means over masks: safe where nothing is left, and over all processes of a distributed run.
"""

from __future__ import annotations

import torch
import torch.distributed
from torch import Tensor


def global_sum(values: Tensor) -> Tensor:
    """
    The sum of a tensor over itself and over all processes, as a scalar.

    Its gradient is the number of processes, so that the average that DistributedDataParallel takes over the
    processes is the gradient of one process with the whole batch, also through products and quotients of such sums.
    """
    local = values.sum()
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return local
    total = local.detach().clone()
    torch.distributed.all_reduce(total)
    scaled = local * torch.distributed.get_world_size()
    return scaled + (total - scaled).detach()


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """
    Mean of ``values`` where ``mask`` is true, over all processes; 0 (with zero gradient) where nothing is left.

    Values outside the mask may be anything, NaN included.
    """
    kept = torch.where(mask, values, torch.zeros_like(values))
    return global_sum(kept) / global_sum(mask.to(values.dtype)).detach().clamp(min=1.0)


def batch_mean(per_image: Tensor) -> Tensor:
    """
    Mean of one value per image, over all processes.
    """
    return masked_mean(per_image, torch.ones_like(per_image, dtype=torch.bool))


def masked_reduce(values: Tensor, mask: Tensor, reduction: str) -> Tensor:
    """
    ``mean`` over the true elements of (B, N) values of the whole batch, or ``sum`` over those of an image.

    The sums of the images are averaged, so that no loss grows with the batch.
    """
    if reduction == 'mean':
        return masked_mean(values, mask)
    return batch_mean(torch.where(mask, values, torch.zeros_like(values)).sum(dim=-1))


def safe_norm(vectors: Tensor) -> Tensor:
    """
    Euclidean length along the last axis, with gradient 0 (not NaN) at the zero vector.
    """
    return safe_sqrt(vectors.square().sum(dim=-1))


def safe_sqrt(squares: Tensor) -> Tensor:
    """
    Square root with value and gradient 0 at 0 and below.
    """
    positive = squares > 0
    return torch.where(positive, torch.where(positive, squares, torch.ones_like(squares)).sqrt(), squares.new_zeros(()))


def descriptor_distance(similarity: Tensor) -> Tensor:
    """
    Euclidean distance of unit vectors from their dot product: sqrt(2 - 2 f.g), clamped to the possible range.
    """
    return safe_sqrt(2.0 - 2.0 * similarity.clamp(-1.0, 1.0))
