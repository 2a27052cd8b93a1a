# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The weights that a user names: a checkpoint on disk, one that ships, or a network without training by the name of its
form.
"""

from __future__ import annotations

from pathlib import Path

import torch

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.inference.shipped import shipped_file, shipped_names
from kp2d_ros.networks.build import build_network
from kp2d_ros.networks.checkpoint import Checkpoint, checkpoint_from_network, load_checkpoint
from kp2d_ros.networks.config import PRESETS

_SEED = 0


def find_checkpoint(model: str) -> Checkpoint:
    """
    The checkpoint at a path, the one that ships under a name, or the network of a preset with weights straight from the
    initialisation.

    Untrained weights are the same each time.

    :raises ConfigError: if it is neither a file nor the name of a network, or is exported already.
    :raises DataError: if the file cannot be read as a checkpoint.
    :raises BackendError: if the weights do not fit the network.
    """
    path = shipped_file(model, 'cpu', 'torch') or Path(model).expanduser()
    if path.suffix == '.onnx':
        raise ConfigError(f'model: found {model}, an exported network, expected a checkpoint')
    if path.is_file():
        return load_checkpoint(path)
    if model in PRESETS:
        return untrained_checkpoint(model)
    known = ', '.join([*shipped_names(), *PRESETS])
    raise ConfigError(f'model: found {model!r}, which is neither a file nor one of {known}')


def untrained_checkpoint(preset: str) -> Checkpoint:
    """
    A preset with weights straight from the initialisation, the same each time.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        network = build_network(PRESETS[preset])
    return checkpoint_from_network(network, f'untrained-{preset}', is_trained=False)
