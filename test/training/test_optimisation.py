# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the loop does with gradients: precision, accumulation, clipping, averaging, learning rate, best network.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.settings import build
from kp2d_ros.networks.build import build_network
from kp2d_ros.networks.config import NetworkConfig
from kp2d_ros.pairs.pair_maker import PairBatch
from kp2d_ros.training.config import OptimiserConfig, TrainConfig
from kp2d_ros.training.loop import Desk, Hooks, TrainingError, learning_rate, train
from kp2d_ros.training.process import Process
from kp2d_ros.training.run_state import AveragedNetwork, build_state

ALONE = Process(0, 1, torch.device('cpu'))


def make_config(network: Any, *, loss: Any = None, optimiser: Any = None, **training: Any) -> TrainConfig:
    narrow = {key: getattr(network, key) for key in ('channels', 'head_channels', 'tail_channels', 'descriptor_dim')}
    return build(
        TrainConfig,
        {
            'network': {**narrow, 'upsample_channels': 4, 'with_drop': False, 'input_scale': 2.0},
            'loss': loss or {'inlier': {'pair_count': 60, 'minimum_inliers': 0}},
            'optimiser': {'learning_rate': 0.003, 'decay': 'constant', **(optimiser or {})},
            'training': {'steps': 1, 'log_every': 1, 'validate_every': 0, **training},
        },
    )


def run(state: Any, config: Any, batches: Any, out: Any, figures: tuple[Any, ...] = ()) -> tuple[Any, Any]:
    """
    The rows that the loop logged, and at which steps it saved the best network.
    """
    rows, best, left = [], [], list(figures)

    def validate(network: Any) -> dict[str, Any]:
        assert not network.training
        return {'val_matching_score': left.pop(0) if left else 0.0}

    def save(is_best: Any) -> None:
        if is_best:
            best.append(state.step)

    source = iter(batches)
    desk = Desk(validate, lambda step, row: rows.append({'step': step, **row}), save)
    train(state, config.training, config.optimiser, ALONE, out, Hooks(lambda first: source, lambda: False, desk))
    return rows, best


def parameters(state: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in state.objective.parameters()])


def test_accumulated_batches_are_one_larger_batch(
    tiny_network: NetworkConfig, pair_maker: Callable[..., PairBatch], tmp_path: Path
) -> None:
    # The same pair twice: batch statistics and all means are those of one.
    single = pair_maker(batch=1)
    double = PairBatch(*(torch.cat([part, part]) for part in single))
    results = []
    for batch, accumulate in ((double, 1), (single, 2)):
        config = make_config(tiny_network, optimiser={'accumulate': accumulate}, channels_last=False)
        state = build_state(config, ALONE.device)
        state.optimiser = torch.optim.SGD(state.objective.parameters())  # Adam would hide the scale
        before = parameters(state)
        run(state, config, [batch] * 2, tmp_path)
        results.append(parameters(state) - before)
    assert results[0].norm() > 0
    assert torch.allclose(results[0], results[1], rtol=1e-3, atol=1e-6 * results[0].abs().max().item() + 1e-7)


def test_gradient_is_clipped_to_its_norm(tiny_network: NetworkConfig, pairs: PairBatch, tmp_path: Path) -> None:
    for clip in (0.0, 0.01):
        config = make_config(tiny_network, optimiser={'clip_norm': clip, 'learning_rate': 1.0})
        state = build_state(config, ALONE.device)
        state.optimiser = torch.optim.SGD(state.objective.parameters())
        before = parameters(state)
        rows, _ = run(state, config, [pairs], tmp_path)
        moved = (parameters(state) - before).norm().item()
        assert moved == pytest.approx(clip or rows[0]['gradient_norm'], rel=1e-3)
        assert rows[0]['gradient_norm'] > 0.01  # as it was before


@pytest.mark.parametrize('precision', ['bf16', 'fp16'])
def test_mixed_precision_trains_on_a_cpu(
    tiny_network: NetworkConfig, pairs: PairBatch, tmp_path: Path, precision: str
) -> None:
    config = make_config(tiny_network, steps=12, precision=precision)
    state = build_state(config, ALONE.device)
    rows, _ = run(state, config, [pairs] * 12, tmp_path)
    assert rows[-1]['total'] < rows[0]['total']
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in state.objective.parameters())
    full = build_state(make_config(tiny_network), ALONE.device)
    (exact,), _ = run(full, make_config(tiny_network), [pairs], tmp_path)
    assert rows[0]['total'] == pytest.approx(exact['total'], rel=0.05)


def test_scale_of_fp16_is_part_of_the_state(tiny_network: NetworkConfig, pairs: PairBatch, tmp_path: Path) -> None:
    config = make_config(tiny_network, precision='fp16')
    state = build_state(config, ALONE.device)
    run(state, config, [pairs], tmp_path)
    state.scaler.update(new_scale=1234.0)
    state.save(tmp_path / 'state.safetensors')
    other = build_state(config, ALONE.device)
    other.load(tmp_path / 'state.safetensors')
    assert other.scaler.get_scale() == 1234.0
    # A run may go on in another precision, both ways.
    plain = build_state(make_config(tiny_network), ALONE.device)
    plain.load(tmp_path / 'state.safetensors')
    plain.save(tmp_path / 'plain.safetensors')
    other.load(tmp_path / 'plain.safetensors')


def test_state_of_other_networks_is_refused(tiny_network: NetworkConfig, tmp_path: Path) -> None:
    build_state(make_config(tiny_network), ALONE.device).save(tmp_path / 'state.safetensors')
    twelve = make_config(tiny_network, loss={'inlier': {'blocks': 12}})
    with pytest.raises(DataError, match=r'state.safetensors: is not a state of this run'):
        build_state(twelve, ALONE.device).load(tmp_path / 'state.safetensors')


def test_average_follows_the_weights_slowly_and_the_statistics_at_once(tiny_network: NetworkConfig) -> None:
    torch.manual_seed(0)
    network = build_network(tiny_network)
    average = AveragedNetwork(network, 0.9)
    assert not average.network.training and not any(p.requires_grad for p in average.network.parameters())
    start = copy.deepcopy(network)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(1.0)
    network.train()(torch.rand(1, 3, 32, 32))
    average.update(network, step=0)  # decay min(0.9, 1 / 10)
    for mine, old in zip(average.network.parameters(), start.parameters(), strict=True):
        assert torch.allclose(mine, old + 0.9, atol=1e-5)
    average.update(network, step=1000)  # decay 0.9
    for mine, old in zip(average.network.parameters(), start.parameters(), strict=True):
        assert torch.allclose(mine, old + 0.91, atol=1e-5)
    for kept, theirs in zip(average.network.buffers(), network.buffers(), strict=True):
        assert torch.equal(kept, theirs)


def test_averaged_network_is_validated_and_kept(tiny_network: NetworkConfig, pairs: PairBatch, tmp_path: Path) -> None:
    config = make_config(tiny_network, steps=3, optimiser={'ema_decay': 0.5})
    state = build_state(config, ALONE.device)
    run(state, config, [pairs] * 3, tmp_path)
    assert state.network_to_keep is state.average.network
    mine, theirs = next(state.average.network.parameters()), next(state.objective.keypoint_net.parameters())
    assert not torch.equal(mine, theirs)


def test_best_network_is_kept_only_when_it_is_better(
    tiny_network: NetworkConfig, pairs: PairBatch, tmp_path: Path
) -> None:
    config = make_config(tiny_network, steps=4, validate_every=1)
    state = build_state(config, ALONE.device)
    rows, best = run(state, config, [pairs] * 4, tmp_path, figures=[0.9, 0.3, 0.2, 0.4, 0.4])
    assert [row['step'] for row in rows] == [0, 1, 2, 3, 4]
    assert 'total' not in rows[0] and rows[0]['val_matching_score'] == 0.9  # untrained: reported, never kept
    assert best == [1, 3] and state.best == 0.4


def test_a_gradient_that_is_no_number_stops_the_run(
    tiny_network: NetworkConfig, pairs: PairBatch, tmp_path: Path
) -> None:
    config = make_config(tiny_network)
    state = build_state(config, ALONE.device)
    next(state.objective.parameters()).register_hook(lambda gradient: gradient * float('nan'))
    with pytest.raises(TrainingError, match=r'step 0: the gradient is not finite \(location'):
        run(state, config, [pairs], tmp_path)


def test_learning_rate_by_hand() -> None:
    steps = 100

    def rates(at: Any, **settings: Any) -> list[Any]:
        config = OptimiserConfig(learning_rate=1.0, **settings)
        return [round(learning_rate(step, steps, config), 4) for step in at]

    assert rates((0, 79, 80, 99), decay='halve') == [1, 1, 0.5, 0.5]
    assert rates((0, 99), decay='constant') == [1, 1]
    assert rates((0, 50, 100), decay='cosine', final_ratio=0.1) == [1, 0.55, 0.1]
    assert rates((0, 3, 4, 5), decay='constant', warmup_steps=5) == [0.2, 0.8, 1, 1]
    assert rates((0, 9, 10), decay='constant', warmup_steps=5000) == [0.1, 1, 1]  # at most a tenth of the steps
    assert learning_rate(0, 3, OptimiserConfig(warmup_steps=200)) == 1e-3


def test_networks_are_channels_last_if_asked_for(tiny_network: NetworkConfig) -> None:
    for wanted in (True, False):
        state = build_state(make_config(tiny_network, channels_last=wanted), ALONE.device)
        weight = state.objective.keypoint_net.conv3b[0].weight
        assert weight.is_contiguous(memory_format=torch.channels_last) == wanted


def test_weights_are_a_function_of_the_seed(tiny_network: NetworkConfig) -> None:
    first, same, other = (
        parameters(build_state(make_config(tiny_network, seed=seed), ALONE.device)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_synchronised_batch_norm_is_for_cuda(tiny_network: NetworkConfig) -> None:
    with pytest.raises(ConfigError, match='sync_batch_norm: found true on cpu'):
        build_state(make_config(tiny_network, sync_batch_norm=True), ALONE.device)
