# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
IO-Nets on disk: safetensors with the form of the network beside the weights.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import torch

from kp2d_ros.core.errors import BackendError, ConfigError, DataError
from kp2d_ros.core.settings import build
from kp2d_ros.networks.inlier_net import InlierConfig, InlierNet
from kp2d_ros.networks.tensor_file import TensorFile, read_tensor_file, write_tensor_file

_KIND = 'inlier_net'
OUTPUTS = ('sign', 'negative_sign', 'logit', 'log_weight')


class InlierCheckpoint(NamedTuple):
    """
    An IO-Net and how it is to be used.

    :ivar network: in evaluation mode.
    :ivar model_id: the keypoint network that it was trained with; its descriptor distances mean nothing to another.
    :ivar output: what an output says of a pair: ``sign``: regressed to +1 for inliers and -1 for outliers;
        ``negative_sign``: the other way round; ``logit``: of the probability; ``log_weight``: logarithm of a weight.
    """

    network: InlierNet
    model_id: str
    output: str


def save_inlier_net(path: Path, network: InlierNet, model_id: str, output: str = 'sign') -> None:
    """
    Write an IO-Net, in one piece or not at all; the arguments are those of :class:`InlierCheckpoint`.

    :raises DataError: if the folder cannot be written to.
    """
    document = {
        'kind': _KIND,
        'config': dataclasses.asdict(network.config),
        'model_id': model_id,
        'output': output,
    }
    write_tensor_file(path, TensorFile(dict(network.state_dict()), document))


def load_inlier_net(path: Path, device: torch.device | str = 'cpu') -> InlierCheckpoint:
    """
    The IO-Net of a file, on a device.

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
    # Files of the first version do not name the output.
    output = file.document.get('output', 'log_weight' if network.config.log_weights else 'sign')
    if output not in OUTPUTS:
        raise DataError(f'{path}: found an output of kind {output!r}, expected one of {", ".join(OUTPUTS)}')
    return InlierCheckpoint(network.to(device).eval(), str(file.document.get('model_id', '')), output)
