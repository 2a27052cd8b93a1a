# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Exponential moving average of weights: smoother than the last step, and what is validated and saved.
"""

from __future__ import annotations

import copy

import torch

from kp2d_ros.networks.network import KeypointNetwork


class AveragedNetwork:
    """
    A copy of a network whose parameters follow it slowly; its buffers (batch statistics) follow at once.
    """

    def __init__(self, network: KeypointNetwork, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: KeypointNetwork, step: int) -> None:
        """
        Move towards the network after a step, counted from 0; early steps move faster: min(decay, (1 + n) / (10 + n)).
        """
        decay = min(self._decay, (1 + step) / (10 + step))
        averaged = [p.detach() for p in self.network.parameters()]
        torch._foreach_lerp_(averaged, [p.detach() for p in network.parameters()], 1.0 - decay)
        for mine, theirs in zip(self.network.buffers(), network.buffers(), strict=True):
            mine.copy_(theirs)
