# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
IO-Nets on disk: safetensors with the form of the network beside the weights.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from kp2d_ros.core.errors import BackendError, ConfigError, DataError
from kp2d_ros.core.settings import build
from kp2d_ros.networks.inlier_net import InlierConfig, InlierNet
from kp2d_ros.networks.tensor_file import TensorFile, read_tensor_file, write_tensor_file

_KIND = 'inlier_net'


def save_inlier_net(path: Path, network: InlierNet, model_id: str) -> None:
    """
    Write an IO-Net, in one piece or not at all.

    :param model_id: the keypoint network that it was trained with; its descriptor distances mean nothing to another.
    :raises DataError: if the folder cannot be written to.
    """
    document = {'kind': _KIND, 'config': dataclasses.asdict(network.config), 'model_id': model_id}
    write_tensor_file(path, TensorFile(dict(network.state_dict()), document))


def load_inlier_net(path: Path, device: torch.device | str = 'cpu') -> tuple[InlierNet, str]:
    """
    The IO-Net of a file in evaluation mode, and the id of the keypoint network that it belongs to.

    :raises DataError: if the file cannot be read as such.
    :raises BackendError: if the weights do not fit its form.
    """
    file = read_tensor_file(path)
    if file.document.get('kind') != _KIND:
        raise DataError(f'{path}: found a file of kind {file.document.get("kind")!r}, expected {_KIND!r}')
    try:
        network = InlierNet(build(InlierConfig, file.document.get('config', {})))
        network.load_state_dict(file.tensors)
    except ConfigError as error:
        raise DataError(f'{path}: {error}') from error
    except RuntimeError as error:
        raise BackendError(f'{path}: the weights do not fit the network: {error}') from error
    return network.to(device).eval(), str(file.document.get('model_id', ''))
