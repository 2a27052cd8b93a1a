# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A widened network computes what the narrow one did, and its copies learn different things.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.networks.build import build_network
from kp2d_ros.networks.config import NetworkConfig
from kp2d_ros.networks.widening import can_widen, widen

NARROW = NetworkConfig(
    channels=(4, 5, 6, 7), head_channels=6, upsample_channels=3, tail_channels=5, descriptor_dim=8, input_scale=2.0
)
WIDE = NetworkConfig(
    channels=(9, 5, 17, 8), head_channels=13, upsample_channels=8, tail_channels=12, descriptor_dim=24, with_drop=False
)


@pytest.fixture
def narrow() -> Any:
    torch.manual_seed(1)
    network = build_network(NARROW)
    for _ in range(3):  # batch statistics that are not 0 and 1
        network(torch.rand(4, 3, 48, 64))
    return network.eval()


def test_computes_the_same(narrow: Any) -> None:
    image = torch.rand(2, 3, 48, 64)
    with torch.no_grad():
        expected, found = narrow(image), widen(narrow, WIDE).eval()(image)
    torch.testing.assert_close(found.score, expected.score)
    torch.testing.assert_close(found.xy, expected.xy, rtol=0, atol=1e-3)
    torch.testing.assert_close(found.descriptors, expected.descriptors.repeat(1, 3, 1, 1), rtol=1e-3, atol=1e-4)


def test_copies_learn_different_things(narrow: Any) -> None:
    network = widen(narrow, WIDE, noise=0.1).train()
    maps = network(torch.rand(2, 3, 48, 64))
    (maps.descriptors.square().mean() + maps.score.mean()).backward()
    for layer, width in ((network.conv1a[0], 4), (network.convFaa[0], 5), (network.last_layer, 8)):
        gradient = layer.weight.grad
        assert not torch.allclose(gradient[0], gradient[width], rtol=1e-3), layer


@pytest.mark.parametrize(
    'change',
    [
        {'channels': (3, 5, 17, 8)},
        {'descriptor_dim': 7},
        {'do_cross': False},
        {'do_upsample': False},
        {'use_color': False},
        {'architecture': 'resnet18'},
    ],
    ids=str,
)
def test_refuses_what_differs_in_more_than_its_width(narrow: Any, change: dict[str, Any]) -> None:
    wide = replace(WIDE, **change)
    assert not can_widen(NARROW, wide)
    with pytest.raises(ConfigError, match='narrower, and in nothing else'):
        widen(narrow, wide)
