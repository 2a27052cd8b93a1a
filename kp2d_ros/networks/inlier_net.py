# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
IO-Net: which of a set of point pairs are inliers (KP2D, section 3.3); and its files, safetensors with its form.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kp2d_ros.core.errors import BackendError, ConfigError, DataError, ShapeError
from kp2d_ros.core.settings import Settings, build, setting
from kp2d_ros.networks.tensor_file import TensorFile, read_tensor_file, write_tensor_file

OUTPUTS = ('sign', 'negative_sign', 'logit', 'log_weight')
_KIND = 'inlier_net'
_EPS = 1e-5


@dataclass(frozen=True, slots=True)
class InlierConfig(Settings):
    """
    The form of an IO-Net; the defaults are KP2D's.

    Learning to Find Good Correspondences (Yi et al., 2018) has 12 blocks and no input norm; NG-RANSAC (Brachmann and
    Rother, 2019) has that too, and gives the pairs logarithmic sampling weights.
    """

    inputs: int = setting(5, 'Numbers per pair: x, y, x, y and the descriptor distance', minimum=1, maximum=64)
    channels: int = setting(128, 'Channels inside', minimum=1, maximum=1024)
    blocks: int = setting(4, 'Residual blocks', minimum=1, maximum=64)
    input_norm: bool = setting(True, 'Batch norm after the first layer')
    log_weights: bool = setting(False, 'Logarithms of weights that sum to 1 over the pairs, instead of plain numbers')


def context_norm(values: Tensor) -> Tensor:
    """
    (B, C, N) values with mean 0 and variance 1 over the N points of each channel; 0 for a single point.
    """
    mean = values.mean(dim=-1, keepdim=True)
    variance = values.var(dim=-1, correction=0, keepdim=True)
    return (values - mean) * (variance + _EPS).rsqrt()


class _Block(nn.Module):
    """
    Two layers that see the other pairs through the context norm, and a shortcut.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(channels, channels, 1)
        self.first_norm = nn.BatchNorm1d(channels)
        self.second = nn.Conv1d(channels, channels, 1)
        self.second_norm = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first_norm(context_norm(self.first(x))))
        y = F.relu(self.second_norm(context_norm(self.second(y))))
        return x + y


class InlierNet(nn.Module):
    """
    A network over sets of pairs; the order of the pairs does not matter.
    """

    def __init__(self, config: InlierConfig) -> None:
        super().__init__()
        self.config = config
        self.first = nn.Conv1d(config.inputs, config.channels, 1, bias=not config.input_norm)
        # The public code gives this norm, and only this one, a momentum of 0.9.
        self.first_norm = nn.BatchNorm1d(config.channels, momentum=0.9) if config.input_norm else nn.Identity()
        self.blocks = nn.Sequential(*(_Block(config.channels) for _ in range(config.blocks)))
        self.last = nn.Conv1d(config.channels, 1, 1)

    def forward(self, pairs: Tensor) -> Tensor:
        """
        (B, N) one number per pair of (B, N, inputs): near +1 for inliers, near -1 for outliers, or a log weight.

        :raises ShapeError: if the pairs have another number of inputs.
        """
        if pairs.dim() != 3 or pairs.shape[-1] != self.config.inputs:
            raise ShapeError(f'pairs: found shape {tuple(pairs.shape)}, expected (B, N, {self.config.inputs})')
        x = F.relu(self.first_norm(self.first(pairs.transpose(1, 2))))
        result: Tensor = self.last(self.blocks(x))[:, 0]
        return F.logsigmoid(result).log_softmax(dim=-1) if self.config.log_weights else result


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
