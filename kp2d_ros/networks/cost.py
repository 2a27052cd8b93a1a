# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a network costs, in multiplications and parameters.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from kp2d_ros.networks.network import KeypointNetwork


def count_parameters(network: nn.Module) -> int:
    """
    Number of trainable numbers.
    """
    return sum(p.numel() for p in network.parameters())


def count_macs(network: KeypointNetwork, height: int, width: int) -> int:
    """
    Multiply-accumulate operations of the convolutions for one image, dense descriptors included.

    Runs on torch's meta device: nothing is computed.
    """
    total = 0

    def add(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        nonlocal total
        total += output.numel() * math.prod(module.get_parameter('weight').shape[1:])

    probe = copy.deepcopy(network).to('meta').eval()
    for module in probe.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(add)
    probe(torch.empty(1, network.config.image_channels, height, width, device='meta'))
    return total
