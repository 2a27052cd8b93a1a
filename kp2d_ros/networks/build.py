# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
From a configuration to a network.
"""

from __future__ import annotations

from collections.abc import Callable

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
