# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from kp2d_ros.networks.build import build_network, count_macs, count_parameters, fold_batch_norms
from kp2d_ros.networks.config import PRESETS, NetworkConfig, network_config

SIZES = {'channels': (4, 6, 8, 10), 'head_channels': 12, 'upsample_channels': 5, 'tail_channels': 7}


@pytest.mark.parametrize('values', [{}, {'do_upsample': False}, {'architecture': 'resnet18'}], ids=str)
@torch.no_grad()
def test_folded_network_has_the_same_outputs_and_no_batch_norm(values: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = build_network(NetworkConfig(**SIZES | values))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.1, 2)
            nn.init.uniform_(module.weight, -1, 2)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    folded = fold_batch_norms(network)
    image = torch.rand(2, 3, 64, 64)
    for found, expected in zip(folded(image), network.eval()(image), strict=True):
        assert torch.allclose(found, expected, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def macs(name: str, height: int, width: int) -> Any:
    with torch.device('meta'):
        return count_macs(build_network(network_config(name)), height, width)


@pytest.mark.parametrize(('name', 'expected'), [('v4', 13.17e9), ('v0', 7.51e9)])
def test_published_costs(name: str, expected: float) -> None:
    assert macs(name, 240, 320) == pytest.approx(expected, rel=1e-3)
    assert macs(name, 480, 640) == 4 * macs(name, 240, 320)


def test_compact_networks_cost_at_most_a_tenth_of_v4() -> None:
    compact = [name for name in PRESETS if name.startswith('compact')]
    assert len(compact) >= 2
    assert all(macs(name, 240, 320) <= 0.1 * macs('v4', 240, 320) for name in compact)


def test_counting_leaves_the_network_alone() -> None:
    network = build_network(network_config('compact-s'))
    count_macs(network, 32, 32)
    assert network.training
    assert not any(parameter.is_meta for parameter in network.parameters())
    assert count_parameters(network) == sum(p.numel() for p in network.parameters())
