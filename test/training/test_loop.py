# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The loop: the loss falls, a resumed run ends in the same bits, processes share a batch, NaN stops it.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from kp2d_ros.core.settings import build, format_yaml
from kp2d_ros.networks.checkpoint import load_network
from kp2d_ros.networks.config import NetworkConfig
from kp2d_ros.pairs.pair_maker import PairBatch
from kp2d_ros.training.config import TrainConfig
from kp2d_ros.training.loop import Hooks, TrainingError, train
from kp2d_ros.training.process import Process
from kp2d_ros.training.run_folder import read_metrics
from kp2d_ros.training.run_state import RunState, build_state

ALONE = Process(0, 1, torch.device('cpu'))
STEPS = 5


def make_config(network: NetworkConfig, **training: object) -> TrainConfig:
    return build(
        TrainConfig,
        {
            'network': dataclasses.asdict(dataclasses.replace(network, with_drop=True)),
            'optimiser': {'ema_decay': 0.9, 'accumulate': 2, 'clip_norm': 1.0, 'warmup_steps': 3},
            'loss': {'inlier': {'pair_count': 60, 'minimum_inliers': 0}},
            'training': {'steps': STEPS, 'log_every': 1, 'validate_every': 0, 'save_every': 1000, **training},
        },
    )


def endless(pairs: PairBatch, first: int) -> Iterator[PairBatch]:
    number = first
    while True:
        yield pairs._replace(source=pairs.source.roll(number, dims=0), target=pairs.target.roll(number, dims=0))
        number += 1


def run(
    state: RunState, config: TrainConfig, pairs: PairBatch, out: Path, *, stop_at: Any = None, desk: Any = None
) -> bool:
    hooks = Hooks(
        batches=functools.partial(endless, pairs),
        stop=lambda: stop_at is not None and state.step >= stop_at,
        desk=desk,
    )
    return train(state, config.training, config.optimiser, ALONE, out, hooks)


def weights(state: RunState) -> dict[str, torch.Tensor]:
    average = {} if state.average is None else state.average.network.state_dict()
    return {**state.objective.state_dict(), **{f'average.{k}': v for k, v in average.items()}}


def test_resumed_run_ends_in_the_same_bits(tiny_network: NetworkConfig, pairs: PairBatch, tmp_path: Path) -> None:
    config = make_config(tiny_network)
    whole = build_state(config, ALONE.device)
    assert run(whole, config, pairs, tmp_path)

    first = build_state(config, ALONE.device)
    assert not run(first, config, pairs, tmp_path, stop_at=3)
    first.save(tmp_path / 'state.safetensors')
    second = build_state(config, ALONE.device)
    second.load(tmp_path / 'state.safetensors')
    assert second.step == 3
    assert run(second, config, pairs, tmp_path)
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(second)[name]), name


def test_nan_stops_the_run_and_keeps_the_batch(tiny_network: NetworkConfig, pairs: PairBatch, tmp_path: Path) -> None:
    config = make_config(tiny_network)
    broken = pairs._replace(source=torch.full_like(pairs.source, float('nan')))
    with pytest.raises(TrainingError, match=r'step 0: the loss is not finite.*bad_batch_rank0'):
        run(build_state(config, ALONE.device), config, broken, tmp_path)
    assert (tmp_path / 'bad_batch_rank0.safetensors').is_file()


def gradient_of(state: RunState, pairs: PairBatch) -> dict[str, torch.Tensor]:
    # In float64, where no near tie among the negatives falls the other way; batch statistics are those of a process
    # unless sync_batch_norm (CUDA) is on.
    state.objective.double().eval()
    state.objective(pairs).total.backward()
    return {name: p.grad for name, p in state.objective.named_parameters() if p.grad is not None}


# The real command, which first gives away the gradient of another network while the two processes are joined.
WORKER = """
import pathlib, sys
import torch
from kp2d_ros.cli.train import main
from kp2d_ros.core.settings import build, load_yaml
from kp2d_ros.pairs.pair_maker import PairBatch
from kp2d_ros.training.config import TrainConfig
from kp2d_ros.training import session
from kp2d_ros.training.run_state import build_state

folder, loop = pathlib.Path(sys.argv[1]), session.train
torch.set_num_threads(1)

def train(state, loop_config, optimiser_config, process, out, hooks):
    other = build_state(build(TrainConfig, load_yaml(folder / 'config.yaml')), process.device).objective.double().eval()
    pairs = torch.load(folder / 'pairs.pt', weights_only=True)
    mine = PairBatch(*(part[process.rank :: process.world_size] for part in pairs))
    module = torch.nn.parallel.DistributedDataParallel(other)  # must live until the gradients are shared
    module(mine).total.backward()
    if process.is_first:
        torch.save({n: p.grad for n, p in other.named_parameters() if p.grad is not None}, folder / 'found.pt')
    return loop(state, loop_config, optimiser_config, process, out, hooks)

session.train = train
raise SystemExit(main(sys.argv[2:]))
"""


def test_two_processes_give_the_gradient_of_one_and_share_a_run(
    tiny_network: NetworkConfig, pairs: PairBatch, tmp_path: Path
) -> None:
    config = make_config(tiny_network)
    pairs = PairBatch(*(part.double() if part.is_floating_point() else part for part in pairs))
    expected = gradient_of(build_state(config, ALONE.device), pairs)
    (tmp_path / 'config.yaml').write_text(format_yaml(config))
    (tmp_path / 'worker.py').write_text(WORKER)
    torch.save(tuple(pairs), tmp_path / 'pairs.pt')
    (tmp_path / 'photos').mkdir()
    for i in range(7):
        cv2.imwrite(str(tmp_path / 'photos' / f'{i}.png'), np.full((64, 64, 3), 30 * i, np.uint8))
    settings = ['training.steps=3', 'training.validate_every=2', 'training.log_every=1', 'training.validation_pairs=2']
    sizes = ['pairs.height=32', 'pairs.width=32', 'loader.batch_size=2', 'network.channels=[4,4,4,4]']
    arguments = ['compact-n', '--data', str(tmp_path / 'photos'), '--out', str(tmp_path / 'run'), *settings, *sizes]
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [*command, str(tmp_path / 'worker.py'), str(tmp_path), *arguments],
        env=os.environ | {'PYTHONPATH': root, 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = torch.load(tmp_path / 'found.pt', weights_only=True)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert torch.allclose(found[name], gradient, rtol=1e-6, atol=1e-9), name
    assert done.stdout.count('finished') == 1  # one process speaks and writes for both
    assert [row['step'] for row in read_metrics(tmp_path / 'run' / 'metrics.csv')] == ['0', '1', '2', '3']
    assert load_network(tmp_path / 'run' / 'last.safetensors')[1].metadata['step'] == 3
