# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A network made ready to run: batch norms folded into the convolutions before them.
"""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kp2d_ros.networks.network import KeypointNetwork


def fold_batch_norms(network: KeypointNetwork) -> KeypointNetwork:
    """
    A copy in evaluation mode, without batch norms and gradients, in channels_last, with the same outputs.
    """
    folded = copy.deepcopy(network).eval().requires_grad_(False)
    for module in list(folded.modules()):
        previous: tuple[str, nn.Module] | None = None
        for name, child in list(module.named_children()):
            # In every network here a batch norm is registered right behind the convolution that it follows.
            if isinstance(child, nn.BatchNorm2d) and previous and isinstance(previous[1], nn.Conv2d):
                setattr(module, previous[0], _folded(previous[1], child))
                setattr(module, name, nn.Identity())
            previous = (name, child)
    return folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """
    gamma (w x + b - mean) / sqrt(var + eps) + beta as one convolution, computed in float64.
    """
    dtype = convolution.weight.dtype
    return fuse_conv_bn_eval(convolution.double(), norm.double()).to(dtype)
