# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What surrounds the loop: the networks of a run, the files in its folder, and its batches.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.resources import read_version
from kp2d_ros.core.settings import build, format_yaml, load_yaml
from kp2d_ros.datasets.pair_loading import Rank, count_batches, epoch_order, pair_batches
from kp2d_ros.datasets.pairs import PairBatch, PairMaker
from kp2d_ros.datasets.photos import Photos, open_photos
from kp2d_ros.networks.build import build_network
from kp2d_ros.networks.checkpoint import checkpoint_from_network, load_network, save_checkpoint
from kp2d_ros.networks.inlier_checkpoint import save_inlier_net
from kp2d_ros.networks.inlier_net import InlierConfig, InlierNet
from kp2d_ros.networks.network import KeypointNetwork
from kp2d_ros.training.averaging import AveragedNetwork
from kp2d_ros.training.distributed import Process
from kp2d_ros.training.objective import Objective
from kp2d_ros.training.run_config import TrainConfig
from kp2d_ros.training.run_state import RunState

STATE_FILE = 'state.safetensors'
CONFIG_FILE = 'config.yaml'
RECORD_FILE = 'run.json'


@dataclass(frozen=True, slots=True)
class TrainingData:
    """
    The photographs of a run, and those held out for its validation.
    """

    training: Photos
    validation: Photos


def open_data(paths: Sequence[Path], config: TrainConfig) -> TrainingData:
    """
    Open the photographs; at most a tenth of them is held out.

    :raises DataError: if there are not at least two usable photographs.
    """
    pairs = config.pairs
    photos = open_photos(paths, pairs.photos, pairs.height, pairs.width)
    if len(photos) < 2:
        raise DataError(f'photographs: found {len(photos)} usable ({photos.skipped}), expected at least 2')
    held_out = min(config.training.validation_pairs, max(len(photos) // 10, 1))
    return TrainingData(*photos.hold_out(held_out, config.training.seed))


def training_batches(data: TrainingData, config: TrainConfig, process: Process, first: int) -> Iterator[PairBatch]:
    """
    The batches of one process without end, from batch number ``first`` of the whole run on.

    :raises DataError: if a process has less than one batch per epoch.
    """
    maker = PairMaker(data.training, config.pairs, config.training.seed, process.device)
    rank = Rank(process.rank, process.world_size)
    per_epoch = count_batches(len(data.training) // process.world_size, config.loader)
    if per_epoch == 0:
        raise DataError(
            f'photographs: found {len(data.training)} for {process.world_size} processes, '
            f'expected at least one batch of {config.loader.batch_size} for each'
        )
    epoch, start = divmod(first, per_epoch)
    while True:
        order = epoch_order(data.training, config.training.seed, epoch, rank)
        yield from pair_batches(maker, order, epoch, config.loader, start)
        epoch, start = epoch + 1, 0


def validation_batches(data: TrainingData, config: TrainConfig, device: torch.device) -> list[PairBatch]:
    """
    Pairs from the photographs held out, the same in every validation: seed and epoch never meet those of training.
    """
    maker = PairMaker(data.validation, config.pairs, config.training.seed + 1, device)
    indices = np.arange(config.training.validation_pairs)
    size = config.loader.batch_size
    return [maker.make(indices[i : i + size], 0) for i in range(0, len(indices), size)]


def build_state(config: TrainConfig, device: torch.device) -> RunState:
    """
    Networks, optimiser and average of a run at its beginning; weights are a function of the seed.

    :raises ConfigError: if the initial checkpoint is of another network.
    """
    torch.manual_seed(config.training.seed)
    network = _first_network(config)
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
    if not config.initial:
        return build_network(config.network)
    network, info = load_network(Path(config.initial))
    if info.config != config.network:
        raise ConfigError(f'initial: found a network of another form in {config.initial}: {info.config}')
    return network.train()


def save_networks(out: Path, state: RunState, config: TrainConfig, which: str, facts: dict[str, object]) -> None:
    """
    Write ``WHICH.safetensors`` and ``WHICH_inlier.safetensors`` (IO-Net), each in one piece or not at all.

    :param which: ``last`` or ``best``.
    :param facts: what else the checkpoint should know of the run.
    """
    metadata = {'step': state.step, **facts}
    checkpoint = checkpoint_from_network(state.network_to_keep, config.name, is_trained=True, metadata=metadata)
    save_checkpoint(out / f'{which}.safetensors', checkpoint)
    if state.objective.inlier_net is not None:
        save_inlier_net(out / f'{which}_inlier.safetensors', state.objective.inlier_net, checkpoint.info.model_id)


def start_folder(
    out: Path, config: TrainConfig, paths: Sequence[Path], data: TrainingData, *, resume: bool
) -> dict[str, object]:
    """
    Make the folder of a run with its settings, versions and data, and return the record of them.

    :raises ConfigError: if the folder already holds a run that is not to go on.
    :raises DataError: if it cannot be written to.
    """
    if not resume and (out / CONFIG_FILE).exists():
        raise ConfigError(f'{out}: already holds a training run; continue it with --resume, or name another folder')
    record: dict[str, object] = {
        'data': [str(path.absolute()) for path in paths],
        'data_fingerprint': data.training.fingerprint,
        'photographs': len(data.training),
        'held_out': len(data.validation),
        'skipped': str(data.training.skipped),
        'versions': {'kp2d_ros': read_version(), 'torch': torch.__version__, 'python': platform.python_version()},
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / CONFIG_FILE).write_text(format_yaml(config), encoding='utf-8')
        (out / RECORD_FILE).write_text(json.dumps(record, indent=2) + '\n', encoding='utf-8')
    except OSError as error:
        raise DataError(f'{out}: cannot be written: {error}') from error
    return record


def reopen_folder(out: Path) -> tuple[TrainConfig, dict[str, object]]:
    """
    The settings and the record of a run that is to go on.

    :raises ConfigError: if the folder holds no run.
    """
    if not (out / CONFIG_FILE).is_file() or not (out / RECORD_FILE).is_file():
        raise ConfigError(f'{out}: found no {CONFIG_FILE} and {RECORD_FILE}, expected the folder of a training run')
    try:
        record = json.loads((out / RECORD_FILE).read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise ConfigError(f'{out / RECORD_FILE}: cannot be read: {error}') from error
    return build(TrainConfig, load_yaml(out / CONFIG_FILE)), record


def recorded_data(record: dict[str, object]) -> list[Path]:
    """
    The data paths in the record of a run.

    :raises ConfigError: if there are none.
    """
    paths = record.get('data')
    if not isinstance(paths, list) or not paths:
        raise ConfigError(f'{RECORD_FILE}: found data {paths!r}, expected a list of paths')
    return [Path(str(path)) for path in paths]


def limit_threads(process: Process) -> None:
    """
    Share the cores of a machine among its processes; torchrun's own default is one thread each.
    """
    if process.device.type == 'cpu' and process.world_size > 1:
        count = os.cpu_count() or 1
        torch.set_num_threads(max(count // process.world_size, 1))
