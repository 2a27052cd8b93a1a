# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What surrounds the loop: the networks of a run, where they are saved, and its batches.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.networks.build import build_network
from kp2d_ros.networks.checkpoint import checkpoint_from_network, load_encoder, load_network, save_checkpoint
from kp2d_ros.networks.config import NetworkConfig
from kp2d_ros.networks.inlier_net import InlierConfig, InlierNet, save_inlier_net
from kp2d_ros.networks.network import KeypointNetwork
from kp2d_ros.networks.widening import can_widen, widen
from kp2d_ros.pairs.loading import Rank, count_batches, epoch_order, pair_batches
from kp2d_ros.pairs.pair_maker import PairBatch, PairMaker
from kp2d_ros.pairs.photos import IndexArray, Photos, open_photos
from kp2d_ros.training.averaging import AveragedNetwork
from kp2d_ros.training.distributed import Process
from kp2d_ros.training.losses.inlier import output_kind
from kp2d_ros.training.objective import Objective
from kp2d_ros.training.run_config import TrainConfig
from kp2d_ros.training.run_state import RunState

_WIDENING_NOISE = 0.1  # over the weights of the last descriptor layer


@dataclass(frozen=True, slots=True)
class TrainingData:
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


def save_networks(out: Path, state: RunState, config: TrainConfig, which: str, facts: Mapping[str, object]) -> None:
    """
    Write ``WHICH.safetensors`` and ``WHICH_inlier.safetensors`` (IO-Net), each in one piece or not at all.

    :param which: ``last`` or ``best``.
    :param facts: what else the checkpoint should know of the run.
    """
    metadata = {'step': state.step, **facts}
    checkpoint = checkpoint_from_network(state.network_to_keep, config.name, is_trained=True, metadata=metadata)
    save_checkpoint(out / f'{which}.safetensors', checkpoint)
    if state.objective.inlier_net is not None:
        path, output = out / f'{which}_inlier.safetensors', output_kind(config.loss.inlier)
        save_inlier_net(path, state.objective.inlier_net, checkpoint.info.model_id, output)


def limit_threads(process: Process) -> None:
    """
    Share the cores of a machine among its processes; torchrun's own default is one thread each.
    """
    if process.device.type == 'cpu' and process.world_size > 1:
        count = os.cpu_count() or 1
        torch.set_num_threads(max(count // process.world_size, 1))
