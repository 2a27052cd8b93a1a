# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kp2d_ros.core.errors import ShapeError
from kp2d_ros.networks import cells
from kp2d_ros.networks.build import build_network
from kp2d_ros.networks.config import NetworkConfig, network_config
from kp2d_ros.networks.network import dropout

TINY = NetworkConfig(
    channels=(4, 6, 8, 10), head_channels=12, upsample_channels=5, tail_channels=7, descriptor_dim=9, with_drop=False
)
VARIANTS = {
    'v4': TINY,
    'v1': dataclasses.replace(TINY, do_upsample=False),
    'v0': dataclasses.replace(TINY, do_upsample=False, do_cross=False),
    'gray': dataclasses.replace(TINY, use_color=False, input_scale=2.0),
}


def random_network(config: Any, seed: int = 0) -> Any:
    """
    A network whose batch norms are not at their neutral initialisation, in evaluation mode.
    """
    torch.manual_seed(seed)
    network = build_network(config)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.1, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return network.eval()


def literal_forward(state: Any, image: Any, config: Any) -> tuple[Any, Any, Any]:
    """
    The published network, written down once more from its layer names.
    """

    def cbl(x: Any, name: str, active: bool = True) -> Any:
        x = F.conv2d(x, state[f'{name}.0.weight'], padding=1)
        norm = [state[f'{name}.1.{key}'][:, None, None] for key in ('running_mean', 'running_var', 'weight', 'bias')]
        x = (x - norm[0]) / (norm[1] + 1e-5).sqrt() * norm[2] + norm[3]
        return torch.where(x > 0, x, 0.01 * x) if active else x

    def conv(x: Any, name: str) -> Any:
        return F.conv2d(x, state[f'{name}.weight'], state[f'{name}.bias'], padding=1)

    x = (image - 0.5) * config.input_scale
    x = F.max_pool2d(cbl(cbl(x, 'conv1a'), 'conv1b'), 2)
    x = F.max_pool2d(cbl(cbl(x, 'conv2a'), 'conv2b'), 2)
    skip = cbl(cbl(x, 'conv3a'), 'conv3b')
    x = cbl(cbl(F.max_pool2d(skip, 2), 'conv4a'), 'conv4b')
    score = 1 / (1 + torch.exp(-conv(cbl(x, 'convDa'), 'convDb')))
    offset = torch.tanh(conv(cbl(x, 'convPa'), 'convPb'))
    rows, columns = score.shape[-2:]
    xy = torch.zeros_like(offset)
    for r in range(rows):
        for c in range(columns):
            if r in (0, rows - 1) or c in (0, columns - 1):
                score[:, :, r, c] = 0
            reach = 7.0 if config.do_cross else 3.5
            xy[:, 0, r, c] = (8 * c + 3.5 + reach * offset[:, 0, r, c]).clamp(0, 8 * columns - 1)
            xy[:, 1, r, c] = (8 * r + 3.5 + reach * offset[:, 1, r, c]).clamp(0, 8 * rows - 1)
    tail = cbl(x, 'convFa')
    if config.do_upsample:
        wide = cbl(tail, 'convFb', active=False)
        batch, _, h, w = wide.shape
        wide = wide.reshape(batch, -1, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(batch, -1, 2 * h, 2 * w)
        tail = torch.cat([wide, skip], 1)
    return score, xy, conv(cbl(tail, 'convFaa'), 'convFbb')


@pytest.mark.parametrize('config', VARIANTS.values(), ids=VARIANTS)
@torch.no_grad()
def test_forward_equals_the_published_layers(config: Any) -> None:
    network = random_network(config).double()
    image = torch.rand(2, config.image_channels, 32, 40, dtype=torch.float64)
    for found, expected in zip(network(image), literal_forward(network.state_dict(), image, config), strict=True):
        assert torch.allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize(('name', 'parameters', 'dim'), [('v4', 5_312_227, 256), ('v0', 4_131_555, 256)])
@torch.no_grad()
def test_published_sizes(name: str, parameters: int, dim: int) -> None:
    with torch.device('meta'):
        network = build_network(network_config(name))
        maps = network(torch.empty(1, 3, 240, 320))
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert maps.score.shape == (1, 1, 30, 40)
    assert maps.xy.shape == (1, 2, 30, 40)
    stride = 4 if name == 'v4' else 8
    assert maps.descriptors.shape == (1, dim, 240 // stride, 320 // stride)


def test_layers_have_the_names_of_the_public_checkpoints() -> None:
    with torch.device('meta'):
        names = set(build_network(network_config('v4')).state_dict())
    blocks = ['1a', '1b', '2a', '2b', '3a', '3b', '4a', '4b', 'Da', 'Pa', 'Fa', 'Fb', 'Faa']
    keys = ['0.weight', '1.weight', '1.bias', '1.running_mean', '1.running_var', '1.num_batches_tracked']
    expected = {f'conv{b}.{k}' for b in blocks for k in keys}
    assert names == expected | {f'conv{b}.{k}' for b in ('Db', 'Pb', 'Fbb') for k in ('weight', 'bias')}


@torch.no_grad()
def test_maps_mean_the_same_in_training_and_evaluation() -> None:
    network = random_network(TINY)
    image = torch.rand(2, 3, 32, 32)
    evaluated = network(image)
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()  # the statistics of the batch are the one thing that may differ
    for first, second in zip(network(image), evaluated, strict=True):
        assert torch.equal(first, second)


@torch.no_grad()
def test_one_image_gives_the_same_alone_and_in_a_batch() -> None:
    network = random_network(TINY)
    images = torch.rand(3, 3, 32, 40)
    together = network(images)
    alone = network(images[1:2])
    for batch, single in zip(together, alone, strict=True):
        assert torch.allclose(batch[1:2], single, atol=1e-5)


@pytest.mark.parametrize('points', [3, 50])
@torch.no_grad()
def test_describing_some_points_equals_sampling_the_dense_map(points: int) -> None:
    network = random_network(TINY)
    image = torch.rand(2, 3, 32, 40)
    xy = torch.rand(2, points, 2) * torch.tensor([39.0, 31.0])
    xy[0, 0] = 0
    maps, features = network(image), network.forward_features(image)
    expected = cells.sample_descriptors(maps.descriptors, xy, 40, 32)
    assert torch.allclose(network.describe(features, xy), expected, atol=1e-5)
    assert torch.equal(features.score, maps.score)
    assert torch.equal(features.xy, maps.xy)


@pytest.mark.parametrize(
    ('shape', 'message'),
    [
        ((1, 3, 32, 36), '36x32 pixels, expected both sides to be multiples of 8'),
        ((1, 3, 0, 32), 'multiples of 8'),
        ((1, 1, 32, 32), r'expected floating point in \[0, 1\] of shape \(B, 3, H, W\)'),
        ((3, 32, 32), 'of shape'),
    ],
)
def test_images_of_another_shape_are_refused(shape: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        random_network(TINY)(torch.zeros(shape))


def test_bytes_are_refused() -> None:
    with pytest.raises(ShapeError, match=r'found torch\.uint8'):
        random_network(TINY)(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))


@pytest.mark.parametrize('config', VARIANTS.values(), ids=VARIANTS)
def test_gradients_reach_every_parameter(config: Any) -> None:
    torch.manual_seed(0)
    network = build_network(dataclasses.replace(config, with_drop=True))
    maps = network(torch.rand(2, config.image_channels, 24, 24))
    for part, head in (('score', 'convDb'), ('xy', 'convPb'), ('descriptors', 'convFbb')):
        network.zero_grad(set_to_none=True)
        getattr(maps, part).square().sum().backward(retain_graph=True)
        reached = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
        assert {f'{head}.weight', 'conv1a.0.weight'} <= reached
    sum(m.square().sum() for m in maps).backward()
    assert all(p.grad is not None for p in network.parameters())  # no parameter is unused


def test_dropout_acts_in_training_only() -> None:
    network = build_network(dataclasses.replace(TINY, with_drop=True))
    image = torch.rand(1, 3, 32, 32)
    assert not torch.equal(network(image).descriptors, network(image).descriptors)
    network.eval()
    assert torch.equal(network(image).descriptors, network(image).descriptors)


def test_dropout_takes_a_fifth_of_the_channels() -> None:
    kept = dropout(NetworkConfig()).train()(torch.ones(1, 40_000, 1, 1)).flatten()
    assert (kept == 0).float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert kept.max().item() == pytest.approx(1 / 0.8)


class Silenced(nn.Module):
    """
    Stands in for dropout: one of its calls loses every channel.
    """

    def __init__(self, call: int) -> None:
        super().__init__()
        self.call, self.channels = call, list[int]()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.channels.append(x.shape[1])
        return x * 0 if len(self.channels) - 1 == self.call else x


@pytest.mark.parametrize('config', VARIANTS.values(), ids=VARIANTS)
@torch.no_grad()
def test_dropout_follows_every_stage_and_the_first_layer_of_every_head(config: NetworkConfig) -> None:
    network = random_network(config)
    image = torch.rand(1, config.image_channels, 32, 32)
    plain = network(image)
    for call, lost in enumerate([{0, 1, 2}] * 4 + [{0}, {1}, {2}]):  # of score, location and descriptors
        network.dropout = Silenced(call)
        found = network(image)
        assert {i for i in range(3) if not torch.equal(found[i], plain[i])} == lost
        assert network.dropout.channels == [*config.channels, *[config.head_channels] * 3]


@torch.no_grad()
def test_half_precision_weights_give_pixels_in_single_precision() -> None:
    network = random_network(TINY)
    image = torch.rand(1, 3, 32, 640)
    expected = network(image)
    maps = network.bfloat16()(image)
    assert maps.xy.dtype == maps.score.dtype == torch.float32
    assert maps.descriptors.dtype == torch.bfloat16
    assert (maps.xy - expected.xy).abs().max() < 0.5


@torch.no_grad()
def test_exported_program_gives_the_same() -> None:
    network = random_network(TINY)
    image = torch.rand(1, 3, 32, 40)
    program = torch.export.export(network, (image,))
    for found, expected in zip(program.module()(image), network(image), strict=True):
        assert torch.allclose(found, expected, atol=1e-6)
