# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The settings of a whole training run, and the presets that ship with the package.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.resources import find_shipped_file
from kp2d_ros.core.settings import build, load_yaml, merge, section, setting, validate
from kp2d_ros.networks.config import NetworkConfig, network_config
from kp2d_ros.pairs.loading import LoaderConfig
from kp2d_ros.pairs.pair_maker import PAIR_PRESETS, PairConfig
from kp2d_ros.training.config import PAPER_LOSSES, UNSUPERPOINT_LOSSES, LoopConfig, LossConfig, OptimiserConfig

# The files of config/training/.
PRESETS = (
    'compact-n',
    'compact-s',
    'compact-m',
    'v0',
    'v1',
    'v2',
    'v3',
    'v4',
    'v4-paper',
    'resnet18',
    'unsuperpoint',
)
_LOSS_PRESETS: Mapping[str, Mapping[str, Any]] = {
    'official_code': {},
    'paper': PAPER_LOSSES,
    'unsuperpoint': UNSUPERPOINT_LOSSES,
}


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """
    Everything that a training run can be told.
    """

    name: str = setting('kp2d', 'name of the trained network, the first part of its model id')
    network: NetworkConfig = section(NetworkConfig)
    initial: str = setting(
        '', 'checkpoint to start from, of this network or of a narrower one of its form; empty: random weights'
    )
    pretrained: str = setting('', 'torchvision file of ImageNet weights for the encoder of a resnet18; empty: random')
    pairs: PairConfig = section(PairConfig)
    loader: LoaderConfig = section(LoaderConfig)
    loss: LossConfig = section(LossConfig)
    optimiser: OptimiserConfig = section(OptimiserConfig)
    training: LoopConfig = section(LoopConfig)

    def __post_init__(self) -> None:
        validate(self)
        if self.loss.inlier.weight == 0 and self.loss.descriptor.type == 'none':
            raise ConfigError(
                'loss: found neither a descriptor nor an inlier loss, expected one that trains descriptors'
            )
        if self.initial and self.pretrained:
            raise ConfigError('pretrained: found it beside initial, expected one of them')


def load_train_config(preset: str, overrides: Mapping[str, Any]) -> TrainConfig:
    """
    The settings of a shipped preset or of a YAML file, with overrides laid over them.

    A file may name what it builds on: ``network_preset`` (v0, v4, compact-s, ...), ``pairs_preset`` (official_code,
    paper, wide) and ``loss_preset`` (official_code, paper, unsuperpoint); its own keys lie over those.

    :raises ConfigError: if the preset or a key is unknown, or a value does not fit.
    """
    values = merge(load_yaml(_preset_path(preset)), overrides)
    network = dataclasses.asdict(network_config(str(values.pop('network_preset', 'v4'))))
    pairs = _pick(PAIR_PRESETS, values.pop('pairs_preset', 'official_code'), 'pairs_preset')
    loss = _pick(_LOSS_PRESETS, values.pop('loss_preset', 'official_code'), 'loss_preset')
    return build(TrainConfig, merge({'network': network, 'pairs': pairs, 'loss': loss}, values))


def _preset_path(preset: str) -> Path:
    if preset.endswith(('.yaml', '.yml')):
        return Path(preset)
    try:
        return find_shipped_file(f'config/training/{preset}.yaml')
    except DataError as error:
        raise _unknown_name('preset', preset, PRESETS, ' or a .yaml file') from error


def _pick(presets: Mapping[str, Mapping[str, Any]], name: Any, key: str) -> Mapping[str, Any]:
    if name not in presets:
        raise _unknown_name(key, name, presets)
    return presets[name]


def _unknown_name(key: str, name: Any, known: Iterable[str], more: str = '') -> ConfigError:
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f'did you mean {near[0]}?' if near else f'expected one of {", ".join(names)}{more}'
    return ConfigError(f'{key}: found {name!r}, {hint}')
