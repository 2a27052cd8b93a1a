# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Everything that a training run needs to go on as if nothing had happened, in one file.

There is no random state in it: every random number is a function of the seed and of the step.
"""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.networks.build import build_network
from kp2d_ros.networks.checkpoint import load_encoder, load_network
from kp2d_ros.networks.config import NetworkConfig
from kp2d_ros.networks.inlier_net import InlierConfig, InlierNet
from kp2d_ros.networks.network import KeypointNetwork
from kp2d_ros.networks.tensor_file import TensorFile, read_tensor_file, write_tensor_file
from kp2d_ros.networks.widening import can_widen, widen
from kp2d_ros.training.config import TrainConfig
from kp2d_ros.training.objective import Objective

_VERSION = 1
_WIDENING_NOISE = 0.1  # over the weights of the last descriptor layer


class AveragedNetwork:
    """
    The exponential moving average of a network: smoother than the last step, and what is validated and saved.

    Its parameters follow those of the network slowly; its buffers (batch statistics) follow at once.
    """

    def __init__(self, network: KeypointNetwork, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: KeypointNetwork, step: int) -> None:
        """
        Move towards the network after a step, counted from 0; early steps move faster: min(decay, (1 + n) / (10 + n)).
        """
        decay = min(self._decay, (1 + step) / (10 + step))
        averaged = [p.detach() for p in self.network.parameters()]
        torch._foreach_lerp_(averaged, [p.detach() for p in network.parameters()], 1.0 - decay)
        for mine, theirs in zip(self.network.buffers(), network.buffers(), strict=True):
            mine.copy_(theirs)


class RunState:
    """
    What changes during a run.

    :ivar step: steps of the optimiser that are done.
    :ivar best: the highest validation figure so far, minus infinity before the first validation.
    """

    def __init__(
        self,
        objective: Objective,
        optimiser: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        average: AveragedNetwork | None,
    ) -> None:
        self.objective = objective
        self.optimiser = optimiser
        self.scaler = scaler
        self.average = average
        self.step = 0
        self.best = -float('inf')

    @property
    def network_to_keep(self) -> KeypointNetwork:
        """
        The keypoint network that is validated and saved: the averaged one if there is one.
        """
        return self.objective.keypoint_net if self.average is None else self.average.network

    def save(self, path: Path) -> None:
        """
        Write the state, in one piece or not at all.
        """
        tensors = _prefixed('objective', self.objective.state_dict())
        if self.average is not None:
            tensors |= _prefixed('average', self.average.network.state_dict())
        for number, values in self.optimiser.state_dict()['state'].items():
            tensors |= _prefixed(f'optimiser.{number}', {k: torch.as_tensor(v) for k, v in values.items()})
        document = {
            'kind': 'training_state',
            'version': _VERSION,
            'step': self.step,
            'best': self.best if self.best > -float('inf') else None,
            'scaler': self.scaler.state_dict(),
        }
        write_tensor_file(path, TensorFile(tensors, document))

    def load(self, path: Path) -> None:
        """
        Go on from a saved state.

        :raises DataError: if the file is no such state, or is that of other networks.
        """
        file = read_tensor_file(path)
        if file.document.get('kind') != 'training_state' or file.document.get('version') != _VERSION:
            raise DataError(f'{path}: found {file.document.get("kind")!r}, expected the state of a training run')
        try:
            self.objective.load_state_dict(_without_prefix('objective', file.tensors))
            if self.average is not None:  # a run that begins to average does so from its weights
                averaged = _without_prefix('average', file.tensors)
                self.average.network.load_state_dict(averaged or self.objective.keypoint_net.state_dict())
            self.optimiser.load_state_dict(self._optimiser_state(file.tensors))
            if file.document['scaler']:  # empty for a run that did not scale
                self.scaler.load_state_dict(file.document['scaler'])
            self.step = int(file.document['step'])
            best = file.document['best']
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            raise DataError(f'{path}: is not a state of this run: {error}') from error
        self.best = -float('inf') if best is None else float(best)

    def _optimiser_state(self, tensors: dict[str, Tensor]) -> dict[str, Any]:
        states: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _without_prefix('optimiser', tensors).items():
            number, _, key = name.partition('.')
            states.setdefault(int(number), {})[key] = tensor
        return {'state': states, 'param_groups': self.optimiser.state_dict()['param_groups']}


def build_state(config: TrainConfig, device: torch.device) -> RunState:
    """
    Networks, optimiser and average of a run at its beginning; weights are a function of the seed.

    :raises ConfigError: if the initial checkpoint is of another network, or something does not fit together.
    """
    torch.manual_seed(config.training.seed)
    network = _first_network(config)
    _check_fit(config, network, device)
    inlier = config.loss.inlier
    log_weights = inlier.type == 'sampling'
    inlier_net = InlierNet(InlierConfig(blocks=inlier.blocks, log_weights=log_weights)) if inlier.weight > 0 else None
    layout = torch.channels_last if config.training.channels_last else torch.contiguous_format
    objective = Objective(network, inlier_net, config.loss).to(device)
    network.to(memory_format=layout)  # type: ignore[call-overload]
    rate, decay = config.optimiser.learning_rate, config.optimiser.weight_decay
    optimiser = torch.optim.AdamW(objective.parameters(), lr=rate, weight_decay=decay)
    scaler = torch.amp.GradScaler(device.type, enabled=config.training.precision == 'fp16')
    average = AveragedNetwork(network, config.optimiser.ema_decay) if config.optimiser.ema_decay > 0 else None
    if config.training.compile:
        network.compile()
    return RunState(objective, optimiser, scaler, average)


def _first_network(config: TrainConfig) -> KeypointNetwork:
    network: KeypointNetwork = build_network(config.network)
    if config.initial:
        loaded, info = load_network(Path(config.initial))
        found = dataclasses.replace(info.config, with_drop=config.network.with_drop)  # dropout has no weights
        if found == config.network:
            network.load_state_dict(loaded.state_dict())
        elif can_widen(found, config.network):
            network = widen(loaded, config.network, seed=config.training.seed, noise=_WIDENING_NOISE)
        else:
            raise ConfigError(f'initial: {config.initial} holds another network: {_difference(found, config)}')
    if config.pretrained:
        load_encoder(network, Path(config.pretrained))
    return network


def _difference(found: NetworkConfig, config: TrainConfig) -> str:
    wanted = dataclasses.asdict(config.network)
    different = {k: v for k, v in dataclasses.asdict(found).items() if v != wanted[k]}
    return ', '.join(f'network.{k} found {v!r}, expected {wanted[k]!r}' for k, v in different.items())


def _check_fit(config: TrainConfig, network: KeypointNetwork, device: torch.device) -> None:
    multiple = network.size_multiple
    for side in ('height', 'width'):
        found = getattr(config.pairs, side)
        if found % multiple:
            raise ConfigError(f'pairs.{side}: found {found}, expected a multiple of {multiple} for this network')
    if config.training.sync_batch_norm and device.type != 'cuda':
        raise ConfigError(f'training.sync_batch_norm: found true on {device.type}, expected it on CUDA devices only')


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f'{prefix}.{name}': tensor for name, tensor in tensors.items()}


def _without_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = prefix + '.'
    return {name[len(start) :]: tensor for name, tensor in tensors.items() if name.startswith(start)}
