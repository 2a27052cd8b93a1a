# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kp2d_ros.core.errors import ShapeError
from kp2d_ros.networks import cells
from kp2d_ros.networks.build import build_network
from kp2d_ros.networks.config import NetworkConfig, network_config

TINY = NetworkConfig(architecture='resnet18', channels=(4, 6, 8, 10), head_channels=12, descriptor_dim=5)


@pytest.fixture(scope='module')
def network() -> Any:
    torch.manual_seed(0)
    network = build_network(TINY).double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return network.eval()


def literal_forward(state: Any, image: Any) -> tuple[Any, Any, Any]:  # noqa: C901  (a network is long, not complicated)
    """
    The published encoder and decoder, written down once more from the layer names.
    """

    def conv(x: Any, name: str, stride: int = 1, padding: int = 1) -> Any:
        return F.conv2d(x, state[f'{name}.weight'], state.get(f'{name}.bias'), stride, padding)

    def norm(x: Any, name: str) -> Any:
        mean, var, weight, bias = (
            state[f'{name}.{key}'][:, None, None] for key in ('running_mean', 'running_var', 'weight', 'bias')
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    def block(x: Any, name: str, stride: Any) -> Any:
        y = norm(conv(x, f'{name}.conv1', stride), f'{name}.bn1').relu()
        y = norm(conv(y, f'{name}.conv2'), f'{name}.bn2')
        if f'{name}.downsample.0.weight' in state:
            x = norm(conv(x, f'{name}.downsample.0', stride, 0), f'{name}.downsample.1')
        return (x + y).relu()

    def layer(x: Any, index: Any) -> Any:
        name = f'encoderK.rn.layer{index}'
        return block(block(x, f'{name}.0', 1 if index == 1 else 2), f'{name}.1', 1)

    def cbl(x: Any, name: str) -> Any:
        return F.leaky_relu(norm(conv(x, f'{name}.0'), f'{name}.1'), 0.01)

    def up(x: Any, index: Any, skip: Any) -> Any:
        x = cbl(x, f'decoderK.upconv{index}_0.conv').repeat_interleave(2, -1).repeat_interleave(2, -2)
        return cbl(torch.cat([x, skip], 1), f'decoderK.upconv{index}_1.conv')

    def head(x: Any, name: str) -> Any:
        return conv(F.pad(cbl(x, f'decoderK.{name}'), (1, 1, 1, 1), 'reflect'), f'decoderK.{name}.4', padding=0)

    stem = norm(conv((image - 0.5) * 0.225, 'encoderK.rn.conv1', 2, 3), 'encoderK.rn.bn1').relu()
    first = layer(F.max_pool2d(stem, 3, 2, 1), 1)
    second = layer(first, 2)
    third = layer(second, 3)
    x = up(up(layer(third, 4), 4, third), 3, second)
    score, offset = torch.sigmoid(head(x, 'scoreconv')), torch.tanh(head(x, 'locconv'))
    descriptors = head(up(up(x, 2, first), 1, stem), 'featconv')
    score = score * cells.border_mask(*score.shape[-2:], like=score)
    return score, cells.pixels_from_offsets(offset, 8, 2.0), descriptors


@torch.no_grad()
def test_forward_equals_the_published_layers(network: Any) -> None:
    image = torch.rand(2, 3, 64, 96, dtype=torch.float64)
    for found, expected in zip(network(image), literal_forward(network.state_dict(), image), strict=True):
        assert torch.allclose(found, expected, atol=1e-10)


@torch.no_grad()
def test_published_size() -> None:
    with torch.device('meta'):
        network = build_network(network_config('resnet18'))
        maps = network(torch.empty(1, 3, 256, 320))
    encoder = torch.nn.utils.parameters_to_vector(network.encoderK.parameters()).numel()
    decoder = torch.nn.utils.parameters_to_vector(network.decoderK.parameters()).numel()
    assert (encoder, decoder) == (11_176_512, 5_761_731)
    assert maps.score.shape == (1, 1, 32, 40)
    assert maps.descriptors.shape == (1, 64, 128, 160)


def test_sides_must_be_multiples_of_32(network: Any) -> None:
    with pytest.raises(ShapeError, match='320x240 pixels, expected both sides to be multiples of 32'):
        network(torch.zeros(1, 3, 240, 320))


@torch.no_grad()
def test_describing_some_points_equals_sampling_the_dense_map(network: Any) -> None:
    image = torch.rand(1, 3, 64, 96, dtype=torch.float64)
    xy = torch.rand(1, 7, 2, dtype=torch.float64) * torch.tensor([95.0, 63.0])
    expected = cells.sample_descriptors(network(image).descriptors, xy, 96, 64)
    assert torch.allclose(network.describe(network.forward_features(image), xy), expected, atol=1e-9)


def test_dropout_is_a_switch() -> None:
    torch.manual_seed(0)
    image = torch.rand(2, 3, 64, 64)
    without = build_network(NetworkConfig(**{n: getattr(TINY, n) for n in TINY.__slots__} | {'with_drop': False}))
    assert torch.equal(without(image).score, without(image).score)
    with_drop = build_network(TINY)
    assert not torch.equal(with_drop(image).score, with_drop(image).score)
