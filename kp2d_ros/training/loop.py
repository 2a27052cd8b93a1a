# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The training loop, from top to bottom.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from kp2d_ros.core.errors import Kp2dError
from kp2d_ros.networks.network import KeypointNetwork
from kp2d_ros.networks.tensor_file import TensorFile, write_tensor_file
from kp2d_ros.pairs.pair_maker import PairBatch
from kp2d_ros.training.config import LoopConfig, OptimiserConfig
from kp2d_ros.training.objective import Losses
from kp2d_ros.training.process import Process, any_process
from kp2d_ros.training.run_state import RunState

_PRECISIONS = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}


class TrainingError(Kp2dError):
    """
    The loss or the gradient is no longer a number; the message says where the batch lies.
    """


@dataclass(frozen=True, slots=True)
class Desk:
    """
    What one of the processes does for all of them.

    ``validate`` gives figures of a network in evaluation mode, ``val_matching_score`` among them. ``log`` takes a step
    and its figures. ``save`` writes the run as it is now; its argument says whether it is the best network so far.
    """

    validate: Callable[[KeypointNetwork], Mapping[str, float]]
    log: Callable[[int, Mapping[str, float]], None]
    save: Callable[[bool], None]


@dataclass(frozen=True, slots=True)
class Hooks:
    """
    What the loop calls.

    ``batches(n)`` yields the batches of this process from number n on. ``stop`` asks whether the run should end early.
    ``desk`` is None in all processes but the first.
    """

    batches: Callable[[int], Iterator[PairBatch]]
    stop: Callable[[], bool]
    desk: Desk | None


def train(  # noqa: C901, PLR0915 - the loop reads from top to bottom
    state: RunState, loop: LoopConfig, optimiser_config: OptimiserConfig, process: Process, out: Path, hooks: Hooks
) -> bool:
    """
    Train until the last step; False if it was stopped before.

    Everything random in step n is a function of (seed, n, rank), so a run that was resumed, even after it was killed,
    gives the same weights as one that was not (bit for bit on a CPU).

    :raises TrainingError: if the loss or its gradient is not finite; the batch is saved beside the run.
    """
    accumulate = optimiser_config.accumulate
    module = _parallel(state.objective, process, loop)
    parameters = [p for p in state.objective.parameters() if p.requires_grad]
    desk = hooks.desk
    if desk is not None and state.step == 0 and loop.validate_every > 0:
        desk.log(0, desk.validate(state.network_to_keep.eval()))  # what an untrained network can do
    batches = hooks.batches(state.step * accumulate)
    meter = _Meter(process.world_size)
    while state.step < loop.steps:
        step_seed = (loop.seed * 1_000_003 + state.step) * 4099 + process.rank
        torch.manual_seed(step_seed % 2**63)  # dropout
        rate = learning_rate(state.step, loop.steps, optimiser_config)
        for group in state.optimiser.param_groups:
            group['lr'] = rate
        state.objective.train()
        for micro in range(accumulate):
            meter.start_data()
            batch = next(batches)
            meter.stop_data(len(batch.source))
            last = micro == accumulate - 1
            losses = _backward(module, state, batch, loop, 1.0 / accumulate, synchronise=last)
            if not bool(torch.isfinite(losses.total)):
                raise TrainingError(_keep_bad_batch(out, state.step, batch, process, 'loss', losses))
            meter.add(losses)
        state.scaler.unscale_(state.optimiser)
        norm = nn.utils.clip_grad_norm_(parameters, optimiser_config.clip_norm or math.inf)
        if loop.precision != 'fp16' and not bool(torch.isfinite(norm)):  # fp16: the scaler skips the step
            raise TrainingError(_keep_bad_batch(out, state.step, batch, process, 'gradient', losses))
        state.scaler.step(state.optimiser)
        state.scaler.update()
        state.optimiser.zero_grad(set_to_none=True)
        if state.average is not None:
            state.average.update(state.objective.keypoint_net, state.step)
        state.step += 1

        done = state.step == loop.steps
        stopped = any_process(hooks.stop(), process)
        due = done or (loop.validate_every > 0 and state.step % loop.validate_every == 0)
        if desk is not None:
            figures = _validated(state, desk) if due else {}
            if state.step % loop.log_every == 0 or figures:
                desk.log(state.step, {**meter.read(), 'learning_rate': rate, 'gradient_norm': float(norm), **figures})
            if done or stopped or state.step % loop.save_every == 0:
                desk.save(False)
        if stopped and not done:
            return False
    return True


def learning_rate(step: int, steps: int, config: OptimiserConfig) -> float:
    """
    Learning rate of one step, counted from 0, of a run of ``steps``; at most a tenth of them is warm-up.

    A function of the step alone, so that a resumed run cannot disagree with itself.
    """
    warmup_steps = min(config.warmup_steps, steps // 10)
    if step < warmup_steps:
        return config.learning_rate * (step + 1) / warmup_steps
    if config.decay == 'halve':
        return config.learning_rate * (0.5 if step >= 0.8 * steps else 1.0)
    if config.decay == 'cosine':
        progress = (step - warmup_steps) / max(steps - warmup_steps, 1)
        share = 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
        return config.learning_rate * (config.final_ratio + (1.0 - config.final_ratio) * share)
    return config.learning_rate


def _parallel(objective: nn.Module, process: Process, loop: LoopConfig) -> nn.Module:
    if process.world_size == 1:
        return objective
    if loop.sync_batch_norm:
        objective = nn.SyncBatchNorm.convert_sync_batchnorm(objective)  # type: ignore[no-untyped-call]
    return nn.parallel.DistributedDataParallel(objective)


def _backward(
    module: nn.Module, state: RunState, batch: PairBatch, loop: LoopConfig, share: float, *, synchronise: bool
) -> Losses:
    """
    Add the gradient of one batch; between processes only once per step of the optimiser.
    """
    if isinstance(module, nn.parallel.DistributedDataParallel):
        module.require_backward_grad_sync = synchronise
    precision = _PRECISIONS[loop.precision]
    with torch.autocast(batch.source.device.type, dtype=precision, enabled=precision is not torch.float32):
        losses: Losses = module(batch)
    state.scaler.scale(losses.total * share).backward()  # type: ignore[no-untyped-call]
    return losses


def _validated(state: RunState, desk: Desk) -> Mapping[str, float]:
    """
    The figures of the network as it is now; it is kept if it is the best so far.
    """
    figures = desk.validate(state.network_to_keep.eval())
    if figures['val_matching_score'] > state.best:
        state.best = figures['val_matching_score']
        desk.save(True)
    return figures


def _keep_bad_batch(out: Path, step: int, batch: PairBatch, process: Process, what: str, losses: Losses) -> str:
    path = out / f'bad_batch_rank{process.rank}.safetensors'
    tensors = {name: value.clone() for name, value in batch._asdict().items()}  # views may share memory
    write_tensor_file(path, TensorFile(tensors, {'kind': 'bad_batch', 'step': step}))
    parts = ', '.join(f'{name} {float(value):.4g}' for name, value in losses.parts.items())
    return f'step {step}: the {what} is not finite ({parts}); the batch is in {path}'


class _Meter:
    """
    Means of the losses and the speed since the last reading; the losses stay on the device until then.
    """

    def __init__(self, world_size: int) -> None:
        self._world_size = world_size
        self._reset()

    def _reset(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._batches = self._pairs = 0
        self._data_seconds = 0.0
        self._began = self._data_began = time.perf_counter()

    def start_data(self) -> None:
        self._data_began = time.perf_counter()

    def stop_data(self, pairs: int) -> None:
        self._data_seconds += time.perf_counter() - self._data_began
        self._pairs += pairs

    def add(self, losses: Losses) -> None:
        for name, value in [('total', losses.total.detach()), *losses.parts.items()]:
            self._sums[name] = self._sums.get(name, 0) + value
        self._batches += 1

    def read(self) -> dict[str, float]:
        seconds = time.perf_counter() - self._began
        figures = {name: float(value) / max(self._batches, 1) for name, value in self._sums.items()}
        figures['pairs_per_second'] = self._pairs * self._world_size / max(seconds, 1e-9)
        figures['data_share'] = self._data_seconds / max(seconds, 1e-9)
        self._reset()
        return figures
