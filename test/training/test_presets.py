# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Every preset that ships, and every variant of a loss, trains: with narrow networks on tiny pictures the loss falls.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.settings import build, format_yaml, load_yaml, merge
from kp2d_ros.metrics.keypoint_scores import score_keypoints
from kp2d_ros.networks.inlier_net import load_inlier_net
from kp2d_ros.pairs.pair_maker import PairBatch
from kp2d_ros.training.config import PRESETS, TrainConfig, load_train_config
from kp2d_ros.training.loop import Desk, Hooks, train
from kp2d_ros.training.process import Process
from kp2d_ros.training.run_folder import save_networks
from kp2d_ros.training.run_state import build_state
from kp2d_ros.training.validation import pixel_homography, predict

ROOT = Path(__file__).parents[2]
ALONE = Process(0, 1, torch.device('cpu'))
NARROW = {
    'channels': [4, 6, 8, 8],
    'head_channels': 8,
    'upsample_channels': 4,
    'tail_channels': 8,
    'descriptor_dim': 8,
    'input_scale': 2.0,
    'with_drop': False,
}


def narrow_config(preset: Any, *, steps: int = 9, rate: float = 0.006, **more: Any) -> Any:
    overrides = {
        'network': NARROW,
        'pairs': {'height': 64, 'width': 96},
        'loss': {'inlier': {'pair_count': 40, 'minimum_inliers': 0}},
        'optimiser': {'learning_rate': rate, 'decay': 'constant', 'warmup_steps': 0},
        'training': {'steps': steps, 'log_every': 1, 'validate_every': 0, 'save_every': 10**6},
    }
    return load_train_config(preset, merge(overrides, more))


def run_on(config: Any, batch: Any, out: Any) -> tuple[Any, list[Any]]:
    """
    The state after training on one batch, and the losses of every step.
    """
    rows = []
    state = build_state(config, ALONE.device)
    desk = Desk(lambda network: {'val_matching_score': 0.0}, lambda step, row: rows.append(row), lambda is_best: None)
    hooks = Hooks(lambda first: iter(lambda: batch, None), lambda: False, desk)
    assert train(state, config.training, config.optimiser, ALONE, out, hooks)
    return state, rows


def test_presets_are_the_files_that_ship() -> None:
    assert sorted(PRESETS) == sorted(path.stem for path in (ROOT / 'config' / 'training').glob('*.yaml'))


@pytest.mark.parametrize(
    ('preset', 'weights'),
    [
        ('v0', (2.0, 0.0)),
        ('v1', (2.0, 0.0)),
        ('v2', (2.0, 0.0)),
        ('v3', (None, 1.0)),
        ('v4', (2.0, 1.0)),
        ('resnet18', (2.0, 0.0)),
    ],
)
def test_presets_have_the_descriptor_and_inlier_losses_of_the_public_recipes(
    preset: str, weights: tuple[float | None, float]
) -> None:
    loss = load_train_config(preset, {}).loss
    assert (None if loss.descriptor.type == 'none' else loss.descriptor.weight, loss.inlier.weight) == weights


@pytest.mark.parametrize('preset', PRESETS)
def test_preset_trains_every_parameter_to_a_falling_loss(
    preset: Any, pair_maker: Callable[..., PairBatch], tmp_path: Path
) -> None:
    config = narrow_config(preset)
    state, rows = run_on(config, pair_maker(batch=1, width=96), tmp_path)
    totals = [row['total'] for row in rows]
    assert np.mean(totals[-3:]) < np.mean(totals[:3])
    state.objective.train()(pair_maker(batch=1, width=96)).total.backward()
    # One without a gradient would stop DistributedDataParallel.
    assert not [name for name, p in state.objective.named_parameters() if p.grad is None]


@pytest.mark.parametrize(
    'descriptor',
    [
        {'mining': 'hardest'},
        {'mining': 'semi_hard'},
        {'type': 'contrastive'},
        {'type': 'contrastive', 'mining': 'semi_hard'},
        {'type': 'infonce'},
        {'type': 'hinge', 'weight': 0.01},
    ],
    ids=str,
)
def test_descriptor_losses_fall(
    descriptor: dict[str, Any], pair_maker: Callable[..., PairBatch], tmp_path: Path
) -> None:
    alone = {'location': {'weight': 0.0}, 'score': {'weight': 0.0}, 'inlier': {'weight': 0.0}}
    config = narrow_config('v0', steps=12, rate=0.01, loss={**alone, 'descriptor': descriptor})
    _, rows = run_on(config, pair_maker(batch=1, width=96), tmp_path)
    assert np.mean([r['descriptor'] for r in rows[-3:]]) < 0.9 * np.mean([r['descriptor'] for r in rows[:3]])


@pytest.mark.parametrize(
    'inlier',
    [{}, {'blocks': 12, 'type': 'balanced_bce'}, {'blocks': 12}, {'type': 'sampling'}, {'selection': 'pairs'}],
    ids=str,
)
def test_inlier_losses_fall_and_the_net_is_kept(
    inlier: dict[str, Any], pair_maker: Callable[..., PairBatch], tmp_path: Path
) -> None:
    alone = {'location': {'weight': 0.0}, 'score': {'weight': 0.0}, 'descriptor': {'type': 'none'}}
    # Errors below 20 pixels are inliers here: there are some of both kinds from the beginning.
    config = narrow_config('v3', steps=9, rate=0.003, loss={**alone, 'inlier': {'threshold_px': 20.0, **inlier}})
    state, rows = run_on(config, pair_maker(batch=1, width=96), tmp_path)
    assert np.mean([r['inlier'] for r in rows[-3:]]) < 0.9 * np.mean([r['inlier'] for r in rows[:2]])
    save_networks(tmp_path, state, config, 'last', {})
    loaded, model_id, output = load_inlier_net(tmp_path / 'last_inlier.safetensors')
    features = torch.randn(2, 30, 5)
    assert torch.equal(loaded(features), state.objective.inlier_net.eval()(features))
    assert loaded.config.blocks == inlier.get('blocks', 4)
    assert loaded.config.log_weights == (inlier.get('type') == 'sampling')
    assert model_id.startswith('kp2d-v3:')
    kinds = {'balanced_bce': 'logit', 'sampling': 'log_weight'}
    assert output == kinds.get(inlier.get('type'), 'sign')


def test_v4_overfits_one_pair(pair_maker: Callable[..., PairBatch], tmp_path: Path) -> None:
    pair = pair_maker(batch=1, width=96, seed=3)
    config = narrow_config('v4', steps=100, rate=0.006, network={**NARROW, 'channels': [6, 8, 12, 16]})

    def score(state: Any) -> Any:
        network = state.objective.keypoint_net.eval()
        (source,), (target,) = predict(network, pair.source), predict(network, pair.target)
        homography = pixel_homography(pair.target_from_source[0], 96, 64)
        return score_keypoints(source.keypoints, target.keypoints, homography, (96, 64))

    before = score(build_state(config, ALONE.device))
    state, rows = run_on(config, pair, tmp_path)
    after = score(state)
    assert rows[-1]['total'] < 0.4 * rows[0]['total']
    assert rows[-1]['location'] < 0.4 * rows[0]['location']
    assert after.localisation_px < 0.5 * before.localisation_px
    assert after.matching_score > before.matching_score + 0.2
    assert after.recall > before.recall + 0.15


def test_a_preset_says_what_it_builds_on(tmp_path: Path) -> None:
    config = load_train_config('v4-paper', {})
    assert config.loss.descriptor.relax_px == 8.0 and config.pairs.homography.distribution == 'uniform'
    assert load_train_config('unsuperpoint', {}).network.location == 'sigmoid'
    assert load_train_config('unsuperpoint', {}).loss.uniform_weight == 100.0
    assert load_train_config('compact-s', {'network_preset': 'v0'}).network.channels == (32, 64, 128, 256)
    (tmp_path / 'mine.yaml').write_text('loss_preset: paper\nloss: {descriptor: {margin: 0.3}}\n')
    mine = load_train_config(str(tmp_path / 'mine.yaml'), {'training': {'steps': 7}})
    assert (mine.loss.descriptor.margin, mine.loss.descriptor.relax_px, mine.training.steps) == (0.3, 8.0, 7)


@pytest.mark.parametrize(
    ('preset', 'overrides', 'message'),
    [
        ('compact-x', {}, "preset: found 'compact-x', did you mean compact-"),
        ('superpoint9', {}, 'did you mean unsuperpoint'),
        ('qqq', {}, 'expected one of compact-n, .* or a .yaml file'),
        ('nowhere.yaml', {}, 'nowhere.yaml: cannot be read'),
        ('v4', {'loss_preset': 'papr'}, "loss_preset: found 'papr', did you mean paper"),
        ('v4', {'pairs_preset': 7}, 'pairs_preset: found 7, expected one of official_code'),
        ('v4', {'network_preset': 'v5'}, "network: found 'v5', expected one of v0"),
        ('v4', {'loss': {'marginn': 1}}, 'unknown setting loss.marginn, expected one of'),
        ('v4', {'training': {'stpes': 1}}, r'unknown setting training.stpes, did you mean training.steps\?'),
        ('v0', {'loss': {'descriptor': {'type': 'none'}}}, 'found neither a descriptor nor an inlier loss'),
        ('resnet18', {'initial': 'a', 'pretrained': 'b'}, 'found it beside initial'),
    ],
)
def test_wrong_names_are_refused(preset: str, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_train_config(preset, overrides)


@pytest.mark.parametrize('preset', PRESETS)
def test_settings_survive_the_file_of_a_run(preset: Any, tmp_path: Path) -> None:
    config = load_train_config(preset, {})
    (tmp_path / 'config.yaml').write_text(format_yaml(config))
    assert build(TrainConfig, load_yaml(tmp_path / 'config.yaml')) == config
