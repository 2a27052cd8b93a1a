# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a keypoint network looks like, and the networks that have a name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.settings import setting, unknown_name, validate

KEYPOINTNET = 'keypointnet'
RESNET18 = 'resnet18'

TANH = 'tanh'
SIGMOID = 'sigmoid'

_STAGES = 4
_MAX_CHANNELS = 1024


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """
    The shape of a keypoint network; the defaults are KP2D's V4.

    For ``resnet18`` the four stages are those of the encoder, the decoder has ``head_channels`` twice, then
    ``channels[1]`` and ``channels[0]``, and the two widths of the descriptor's tail are not used.

    :raises ConfigError: if a value is out of range, or the architecture has no such form.
    """

    architecture: str = setting(KEYPOINTNET, 'Backbone', choices=(KEYPOINTNET, RESNET18))
    channels: tuple[int, ...] = setting((32, 64, 128, 256), 'Channels of the four encoder stages')
    head_channels: int = setting(256, 'Channels inside the heads at 1/8', minimum=1, maximum=_MAX_CHANNELS)
    upsample_channels: int = setting(
        128, 'Channels that the pixel shuffle brings to 1/4', minimum=1, maximum=_MAX_CHANNELS
    )
    tail_channels: int = setting(256, 'Channels before the last descriptor layer', minimum=1, maximum=_MAX_CHANNELS)
    descriptor_dim: int = setting(256, 'Length of a descriptor', minimum=1, maximum=_MAX_CHANNELS)
    do_upsample: bool = setting(True, 'Descriptors at 1/4 of the image instead of 1/8')
    do_cross: bool = setting(True, 'Keypoints may leave their cell by half its side')
    location: str = setting(
        TANH,
        'How a keypoint is placed: tanh between the outermost pixel centres of its cell (KP2D), or sigmoid between the '
        'edges of its cell (UnsuperPoint)',
        choices=(TANH, SIGMOID),
    )
    with_drop: bool = setting(True, 'Channel dropout in training')
    use_color: bool = setting(True, 'RGB instead of gray images')
    input_scale: float = setting(0.225, 'Factor s of the input normalisation (x - 0.5) * s', minimum=1e-3, maximum=1e3)

    def __post_init__(self) -> None:
        validate(self)
        if len(self.channels) != _STAGES or not all(1 <= c <= _MAX_CHANNELS for c in self.channels):
            raise ConfigError(
                f'channels: found {list(self.channels)}, expected {_STAGES} numbers from 1 to {_MAX_CHANNELS}'
            )
        if self.architecture == RESNET18 and not self.do_upsample:
            raise ConfigError('do_upsample: found False, expected True: a resnet18 always has descriptors at 1/2')

    @property
    def cell(self) -> int:
        """
        Side of a score cell in pixels, set by the three halvings of the encoder.
        """
        return 8

    @property
    def cross_ratio(self) -> float:
        """
        How far a keypoint may go from the centre of its cell, in halves of the cell.
        """
        return 2.0 if self.do_cross else 1.0

    @property
    def image_channels(self) -> int:
        """
        Three for RGB, one for gray.
        """
        return 3 if self.use_color else 1


_V4 = NetworkConfig()

# Narrow where the maps are large: at 320x240 the compact networks need 2.4 %, 5.1 % and 9.0 % of V4's multiplications,
# and 4 %, 7 % and 11 % of its time on one CPU core (onnxruntime; benchmarks/networks.py measures both).
_COMPACT_N = NetworkConfig(
    channels=(4, 8, 24, 48), head_channels=48, upsample_channels=16, tail_channels=32, descriptor_dim=32
)
_COMPACT_S = NetworkConfig(
    channels=(8, 16, 32, 64), head_channels=64, upsample_channels=16, tail_channels=48, descriptor_dim=64
)
_COMPACT_M = NetworkConfig(
    channels=(8, 16, 48, 96), head_channels=96, upsample_channels=24, tail_channels=64, descriptor_dim=64
)

PRESETS: Mapping[str, NetworkConfig] = MappingProxyType(
    {
        'v0': dataclasses.replace(_V4, do_upsample=False, do_cross=False),
        'v1': dataclasses.replace(_V4, do_upsample=False),
        'v2': _V4,  # V2 to V4 differ in their training only
        'v3': _V4,
        'v4': _V4,
        'resnet18': NetworkConfig(architecture=RESNET18, channels=(64, 128, 256, 512), descriptor_dim=64),
        'compact-n': _COMPACT_N,
        'compact-s': _COMPACT_S,
        'compact-m': _COMPACT_M,
    }
)


def network_config(name: str) -> NetworkConfig:
    """
    The configuration of a named network.

    :raises ConfigError: if no network has this name, with the nearest one that exists.
    """
    if name in PRESETS:
        return PRESETS[name]
    raise unknown_name('network', name, PRESETS)
