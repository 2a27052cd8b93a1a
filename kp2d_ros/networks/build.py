# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
From a configuration to a network, to one that is ready to run, and what it costs.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kp2d_ros.networks.config import KEYPOINTNET, RESNET18, NetworkConfig
from kp2d_ros.networks.keypoint_net import KeypointNet
from kp2d_ros.networks.keypoint_resnet import KeypointResnet
from kp2d_ros.networks.network import KeypointNetwork

_ARCHITECTURES: dict[str, Callable[[NetworkConfig], KeypointNetwork]] = {
    KEYPOINTNET: KeypointNet,
    RESNET18: KeypointResnet,
}


def build_network(config: NetworkConfig) -> KeypointNetwork:
    """
    A network in training mode with weights straight from the initialisation (torch's random stream).
    """
    return _ARCHITECTURES[config.architecture](config)


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
