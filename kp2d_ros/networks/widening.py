# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A wide KeypointNet that begins where a narrow, trained one stands (Chen et al., Net2Net, ICLR 2016).

Every channel of the narrow network appears several times in the wide one, and what it gave to the next layer is shared
among its copies at random: the wide network computes the same, and the copies learn different things from there on.
"""

from __future__ import annotations

import dataclasses
from typing import cast

import torch
from torch import Tensor, nn

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.networks.config import KEYPOINTNET, NetworkConfig
from kp2d_ros.networks.keypoint_net import KeypointNet
from kp2d_ros.networks.network import KeypointNetwork

# The layers in the order of the data, and where each takes it from.
_SOURCES = {
    'conv1a': ('image',),
    'conv1b': ('conv1a',),
    'conv2a': ('conv1b',),
    'conv2b': ('conv2a',),
    'conv3a': ('conv2b',),
    'conv3b': ('conv3a',),
    'conv4a': ('conv3b',),
    'conv4b': ('conv4a',),
    'convDa': ('conv4b',),
    'convDb': ('convDa',),
    'convPa': ('conv4b',),
    'convPb': ('convPa',),
    'convFa': ('conv4b',),
    'convFb': ('convFa',),
    'convFaa': ('convFb', 'conv3b'),
    'convFbb': ('convFaa',),
}
_WIDTHS = ('channels', 'head_channels', 'upsample_channels', 'tail_channels', 'descriptor_dim')
_SHARES = (0.5, 1.5)  # of what a channel gave, before they are made to sum up to it
_SHUFFLED = 4  # channels that become one at twice the resolution


def can_widen(narrow: NetworkConfig, wide: NetworkConfig) -> bool:
    """
    Whether the two are KeypointNets with upsampling that differ in their widths alone, and the second is nowhere
    narrower; the scale of the input and dropout may differ.
    """
    taken = {name: getattr(narrow, name) for name in (*_WIDTHS, 'input_scale', 'with_drop')}
    pairs = zip(_sizes(narrow), _sizes(wide), strict=True)
    return (
        wide.architecture == KEYPOINTNET
        and wide.do_upsample
        and dataclasses.replace(wide, **taken) == narrow
        and all(small <= large for small, large in pairs)
    )


def widen(narrow: KeypointNetwork, wide: NetworkConfig, *, seed: int = 0, noise: float = 0.0) -> KeypointNet:
    """
    A network of another width with the outputs of a narrow one; descriptors are repeated and keep their similarities.

    That holds exactly where every element of a descriptor is repeated equally often.

    :param noise: standard deviation of what is added to the last descriptor layer, over that of its weights. Copies of
        an element of a descriptor would learn the same for ever without it.
    :raises ConfigError: if the networks differ in more than their widths.
    """
    if not can_widen(narrow.config, wide):
        raise ConfigError(
            f'widening: found {narrow.config}, expected a KeypointNet with upsampling that differs from {wide} by '
            'being narrower, and in nothing else'
        )
    network = KeypointNet(wide)
    generator = torch.Generator().manual_seed(seed)
    channels = {'image': torch.arange(wide.image_channels)}  # by layer: which narrow channel each wide one copies
    for name, sources in _SOURCES.items():
        small, large = _convolution(narrow, name), _convolution(network, name)
        taken = _joined([(channels[source], _outputs(narrow, source)) for source in sources])
        copies = _copies(name, small.out_channels, large.out_channels)
        shares = _random_shares(taken, generator)
        with torch.no_grad():
            large.weight.copy_(small.weight[copies][:, taken] * shares[:, None, None])
            if large.bias is not None and small.bias is not None:
                large.bias.copy_(small.bias[copies])
        _copy_norm(narrow, network, name, copies)
        channels[name] = copies[::_SHUFFLED] // _SHUFFLED if name == 'convFb' else copies
    with torch.no_grad():
        _convolution(network, 'conv1a').weight.mul_(narrow.config.input_scale / wide.input_scale)
        last = network.last_layer.weight
        last.add_(torch.randn(last.shape, generator=generator) * (noise * last.std()))
    return network.train(narrow.training)


def _sizes(config: NetworkConfig) -> list[int]:
    return [*config.channels, *(getattr(config, name) for name in _WIDTHS[1:])]


def _convolution(network: nn.Module, name: str) -> nn.Conv2d:
    layer = network.get_submodule(name)
    return cast('nn.Conv2d', layer if isinstance(layer, nn.Conv2d) else layer.get_submodule('0'))


def _outputs(network: nn.Module, source: str) -> int:
    """
    The channels that a layer hands on.
    """
    if source == 'image':
        return _convolution(network, 'conv1a').in_channels
    count = _convolution(network, source).out_channels
    return count // _SHUFFLED if source == 'convFb' else count


def _joined(parts: list[tuple[Tensor, int]]) -> Tensor:
    """
    The copied channels of several sources behind each other, numbered as in the narrow network.
    """
    joined, begin = [], 0
    for channels, count in parts:
        joined.append(channels + begin)
        begin += count
    return torch.cat(joined)


def _copies(name: str, small: int, large: int) -> Tensor:
    """
    Which narrow output each wide one copies, all in turn; the four that are shuffled into one stay together.
    """
    if name != 'convFb':
        return torch.arange(large) % small
    groups = torch.arange(large // _SHUFFLED) % (small // _SHUFFLED)
    return (groups[:, None] * _SHUFFLED + torch.arange(_SHUFFLED)).flatten()


def _random_shares(taken: Tensor, generator: torch.Generator) -> Tensor:
    """
    What each copy passes on; the shares of the copies of one channel sum up to 1.
    """
    low, high = _SHARES
    shares = low + (high - low) * torch.rand(len(taken), generator=generator)
    sums = torch.zeros(int(taken.max()) + 1).index_add_(0, taken, shares)
    return shares / sums[taken]


def _copy_norm(narrow: nn.Module, wide: nn.Module, name: str, copies: Tensor) -> None:
    layer = wide.get_submodule(name)
    if isinstance(layer, nn.Conv2d):
        return
    source = narrow.get_submodule(name).get_submodule('1').state_dict()
    layer.get_submodule('1').load_state_dict({k: v[copies] if v.dim() else v for k, v in source.items()})
