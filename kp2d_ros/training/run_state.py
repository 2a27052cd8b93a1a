# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Everything that a training run needs to go on as if nothing had happened, in one file.

There is no random state in it: every random number is a function of the seed and of the step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kp2d_ros.core.errors import DataError
from kp2d_ros.networks.network import KeypointNetwork
from kp2d_ros.networks.tensor_file import TensorFile, read_tensor_file, write_tensor_file
from kp2d_ros.training.averaging import AveragedNetwork
from kp2d_ros.training.objective import Objective

_VERSION = 1


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


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f'{prefix}.{name}': tensor for name, tensor in tensors.items()}


def _without_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = prefix + '.'
    return {name[len(start) :]: tensor for name, tensor in tensors.items() if name.startswith(start)}
