# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from kp2d_ros.networks.build import build_network
from kp2d_ros.networks.config import PRESETS, network_config
from kp2d_ros.networks.cost import count_macs, count_parameters


def macs(name, height, width):
    with torch.device('meta'):
        return count_macs(build_network(network_config(name)), height, width)


@pytest.mark.parametrize(('name', 'expected'), [('v4', 13.17e9), ('v0', 7.51e9)])
def test_published_costs(name, expected):
    assert macs(name, 240, 320) == pytest.approx(expected, rel=1e-3)
    assert macs(name, 480, 640) == 4 * macs(name, 240, 320)


def test_compact_networks_cost_at_most_a_tenth_of_v4():
    compact = [name for name in PRESETS if name.startswith('compact')]
    assert len(compact) >= 2
    assert all(macs(name, 240, 320) <= 0.1 * macs('v4', 240, 320) for name in compact)


def test_counting_leaves_the_network_alone():
    network = build_network(network_config('compact-s'))
    count_macs(network, 32, 32)
    assert network.training
    assert not any(parameter.is_meta for parameter in network.parameters())
    assert count_parameters(network) == sum(p.numel() for p in network.parameters())
