# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A whole training run: its data, its beginning or going on, and what surrounds the loop.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from kp2d_ros.core.errors import BackendError, DataError
from kp2d_ros.core.records import ImageArray
from kp2d_ros.networks.network import KeypointNetwork
from kp2d_ros.pairs.loading import Rank, count_batches, epoch_order, pair_batches
from kp2d_ros.pairs.pair_maker import PairBatch, PairMaker
from kp2d_ros.pairs.photos import IndexArray, Photos, open_photos
from kp2d_ros.training.config import TrainConfig
from kp2d_ros.training.loop import Desk, Hooks, train
from kp2d_ros.training.process import (
    Process,
    stop_on_interrupt,
    training_process,
)
from kp2d_ros.training.run_folder import (
    STATE_FILE,
    Record,
    RunLog,
    changed_settings,
    continue_record,
    make_record,
    refuse_used_folder,
    reopen_folder,
    run_folder,
    save_networks,
    write_folder,
)
from kp2d_ros.training.run_state import RunState, build_state
from kp2d_ros.training.validation import validate_network


class TrainingData(NamedTuple):
    """
    The photographs of a run, and those held out for its validation.
    """

    training: Photos
    validation: Photos


def open_data(paths: Sequence[Path], config: TrainConfig, process: Process) -> TrainingData:
    """
    Open the photographs; at most a tenth of them is held out.

    :raises DataError: if there are not at least two usable photographs, or fewer than processes.
    """
    pairs = config.pairs
    photos = open_photos(paths, pairs.photos, pairs.height, pairs.width)
    if len(photos) < 2:
        raise DataError(f'photographs: found {len(photos)} usable ({photos.skipped}), expected at least 2')
    held_out = min(config.training.validation_pairs, max(len(photos) // 10, 1))
    data = TrainingData(*photos.hold_out(held_out, config.training.seed))
    if len(data.training) < process.world_size:
        raise DataError(
            f'photographs: found {len(data.training)} to train on, expected one for each of the '
            f'{process.world_size} processes'
        )
    return data


def training_batches(data: TrainingData, config: TrainConfig, process: Process, first: int) -> Iterator[PairBatch]:
    """
    The batches of one process without end, from batch number ``first`` of the whole run on.
    """
    maker = PairMaker(data.training, config.pairs, config.training.seed, process.device)
    rank = Rank(process.rank, process.world_size)
    in_epoch = max(len(data.training) // process.world_size, config.loader.batch_size)
    epoch, start = divmod(first, count_batches(in_epoch, config.loader))
    while True:
        order = epoch_order(data.training, config.training.seed, epoch, rank)
        order = _fill_a_batch(order, len(data.training), config.loader.batch_size)
        yield from pair_batches(maker, order, epoch, config.loader, start)
        epoch, start = epoch + 1, 0


def _fill_a_batch(order: IndexArray, photographs: int, batch_size: int) -> IndexArray:
    """
    At least one batch: few photographs are looked at more than once, each time in another way.
    """
    if len(order) >= batch_size:
        return order
    looks = (int(order.max()) // photographs + 1) * photographs
    rounds = -(-batch_size // len(order))
    return np.concatenate([order + looks * k for k in range(rounds)])[:batch_size]


def validation_batches(data: TrainingData, config: TrainConfig, device: torch.device) -> list[PairBatch]:
    """
    Pairs from the photographs held out, the same in every validation: seed and epoch never meet those of training.
    """
    maker = PairMaker(data.validation, config.pairs, config.training.seed + 1, device)
    indices = np.arange(config.training.validation_pairs)
    size = config.loader.batch_size
    return [maker.make(indices[i : i + size], 0) for i in range(0, len(indices), size)]


@dataclass(frozen=True, slots=True)
class RunRequest:
    """
    What was asked for: a new run in a folder, or one that goes on. ``data`` empty: that of the record.
    """

    config: TrainConfig
    data: tuple[Path, ...]
    out: Path
    resume: bool


class RunEnd(NamedTuple):
    """
    Whether the last step was reached, the steps that are done, and whether this process is the one that tells of it.
    """

    finished: bool
    step: int
    is_first: bool


@dataclass(frozen=True, slots=True)
class Display:
    """
    What shows a run, in the first process: ``begin`` takes its record and the step that it begins with, ``show`` a step
    and what was measured at it, as in ``metrics.csv``.
    """

    begin: Callable[[Record, int], None]
    show: Callable[[int, Mapping[str, float]], None]


def run_training(request: RunRequest, display: Display) -> RunEnd:
    """
    Train until the last step or Ctrl-C; everything that is wrong is refused before anything starts.

    :raises Kp2dError: if something asked for is not there or does not fit, or the run cannot go on.
    """
    config, out = request.config, request.out
    with training_process(config.training.device) as process, ExitStack() as stack:
        if process.is_first:
            if not request.resume:
                refuse_used_folder(out)
            stack.enter_context(run_folder(out))
        ready = _prepare(request, process)
        state = ready.state
        stop = stack.enter_context(stop_on_interrupt())
        desk = None
        if process.is_first:
            write_folder(out, config, ready.record)
            log = RunLog(out, state.step)
            stack.callback(log.close)
            display.begin(ready.record, state.step)
            desk = _open_desk(request, process, ready, display, log)
        hooks = Hooks(lambda first: training_batches(ready.data, config, process, first), stop, desk)
        try:
            finished = train(state, config.training, config.optimiser, process, out, hooks)
        except torch.OutOfMemoryError as error:
            raise BackendError(
                f'training: {process.device} has too little memory ({str(error)[:200]}), expected a smaller '
                'loader.batch_size, pairs.height or pairs.width'
            ) from error
    return RunEnd(finished, state.step, process.is_first)


class _Prepared(NamedTuple):
    state: RunState
    data: TrainingData
    record: Record


def _prepare(request: RunRequest, process: Process) -> _Prepared:
    """
    Build and open everything without writing anything.
    """
    config, out = request.config, request.out
    paths: Sequence[Path] = request.data
    if request.resume:
        before = reopen_folder(out)
        changed = changed_settings(before.config, config)
        paths = request.data or [Path(str(path)) for path in before.record['data']]
    going_on = request.resume and (out / STATE_FILE).is_file()
    # What a run that goes on began with need not be there any more.
    first = dataclasses.replace(config, initial='', pretrained='') if going_on else config
    state = build_state(first, process.device)
    if going_on:
        state.load(out / STATE_FILE)
    data = open_data(paths, config, process)
    record = make_record(paths, data.training, data.validation)
    if request.resume:
        record = continue_record(before.record, record, state.step, changed, new_data=bool(request.data))
    return _Prepared(state, data, record)


def _open_desk(request: RunRequest, process: Process, ready: _Prepared, display: Display, log: RunLog) -> Desk:
    config, out, state, data = request.config, request.out, ready.state, ready.data
    pairs = validation_batches(data, config, process.device)
    facts = {'data_fingerprint': data.training.fingerprint, 'photographs': len(data.training)}
    picture: ImageArray | None = None  # of the last validation, until it is written down

    def validate(network: KeypointNetwork) -> Mapping[str, float]:
        nonlocal picture
        figures, picture = validate_network(network, pairs, draw=log.has_tensorboard)
        return figures

    def write_down(step: int, figures: Mapping[str, float]) -> None:
        nonlocal picture
        log.add(step, figures)
        if picture is not None:
            log.add_image(step, 'validation', picture)
            picture = None
        display.show(step, figures)

    def save(is_best: bool) -> None:
        save_networks(out, state, config, 'best' if is_best else 'last', facts)
        if not is_best:
            state.save(out / STATE_FILE)

    return Desk(validate, write_down, save)
