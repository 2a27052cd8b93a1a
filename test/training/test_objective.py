# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The total loss: its presets, its inputs, and what reaches the parameters.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kp2d_ros.core.settings import build, flatten, nest
from kp2d_ros.networks.build import build_network
from kp2d_ros.networks.config import NetworkConfig
from kp2d_ros.networks.inlier_net import InlierConfig, InlierNet
from kp2d_ros.pairs.pair_maker import PairBatch
from kp2d_ros.training.config import PAPER_LOSSES, UNSUPERPOINT_LOSSES, LossConfig
from kp2d_ros.training.objective import Objective
from kp2d_ros.training.validation import predict

# Setting: what the public code does, what the paper says.
DISCREPANCIES = {
    'location.reduction': ('mean', 'sum'),
    'score.usp_factor': (1.0, 0.5),
    'score.consistency_weight': (2.0, 1.0),
    'score.consistency_partner': ('warped', 'nearest'),
    'score.consistency_domain': ('visible', 'matched'),
    'score.reduction': ('mean', 'sum'),
    'descriptor.relax_px': (4.0, 8.0),
    'descriptor.reduction': ('mean', 'sum'),
    'inlier.selection': ('separate', 'pairs'),
    'inlier.inlier_target_positive': (True, False),
    'inlier.factor': (1.0, 0.5),
    'inlier.reduction': ('mean', 'sum'),
}


def make_objective(network: Any, settings: Any = None) -> Objective:
    torch.manual_seed(0)
    config = build(LossConfig, settings or {})
    inlier_net = InlierNet(InlierConfig(channels=8)) if config.inlier.weight > 0 else None
    return Objective(build_network(network), inlier_net, config)


def test_presets_differ_where_the_public_code_and_the_paper_do() -> None:
    official = {path: value for path, value, _ in flatten(LossConfig())}
    paper = {path: value for path, value, _ in flatten(build(LossConfig, PAPER_LOSSES))}
    assert {k: (official[k], paper[k]) for k in official if official[k] != paper[k]} == DISCREPANCIES
    weights = [official[f'{part}.weight'] for part in ('location', 'score', 'descriptor', 'inlier')]
    assert weights == [1.0, 1.0, 2.0, 1.0]


@pytest.mark.parametrize('key', DISCREPANCIES)
def test_each_discrepancy_alone_changes_the_total(slow: SimpleNamespace, key: Any) -> None:
    views = slow.views(0)
    fixed = {'inlier.pair_count': 40, 'inlier.minimum_inliers': 0, 'inlier.threshold_px': 25.0}
    if key == 'descriptor.relax_px':
        views.target_map[:] = views.source_map  # near points look alike, so that they are the hardest
    totals = []
    for value in DISCREPANCIES[key]:
        totals.append(slow.evaluate(views, build(LossConfig, nest({**fixed, key: value}))).losses.total.item())
    assert slow.evaluate(views, build(LossConfig, nest(fixed))).losses.total.item() == totals[0]
    assert totals[0] != pytest.approx(totals[1], rel=1e-6)


@pytest.mark.parametrize('settings', [{}, PAPER_LOSSES, UNSUPERPOINT_LOSSES], ids=['official', 'paper', 'unsuperpoint'])
def test_one_pair_in_a_batch_is_enough(
    tiny_network: NetworkConfig, pair_maker: Callable[..., PairBatch], settings: Any
) -> None:
    objective = make_objective(tiny_network, settings)
    losses = objective(pair_maker(batch=1))
    losses.total.backward()
    assert losses.total.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in objective.parameters())


def test_an_image_without_any_inner_cell_is_no_error(
    tiny_network: NetworkConfig, pair_maker: Callable[..., PairBatch]
) -> None:
    losses = make_objective(tiny_network)(pair_maker(height=16, width=16))
    losses.total.backward()
    assert losses.total == 0


def test_a_gray_network_gets_gray_images_and_learns(tiny_network: NetworkConfig, pairs: PairBatch) -> None:
    network = dataclasses.replace(tiny_network, use_color=False)
    objective = make_objective(network)
    optimiser = torch.optim.Adam(objective.parameters(), 3e-3)
    totals = []
    for _ in range(12):
        losses = objective(pairs)
        optimiser.zero_grad()
        losses.total.backward()
        optimiser.step()
        totals.append(losses.total.item())
    assert totals[-1] < 0.95 * totals[0]
    gray = pairs.source.sum(dim=1, keepdim=True) / 3
    objective.keypoint_net.eval()
    (first, _), maps = predict(objective.keypoint_net, pairs.source), objective.keypoint_net(gray)
    inner = maps.xy[0][:, maps.score[0, 0] > 0].T.detach()
    assert torch.allclose(torch.from_numpy(first.keypoints.xy).sort(dim=0).values, inner.sort(dim=0).values, atol=1e-4)
    assert torch.allclose(torch.from_numpy(first.score_map), maps.score[0, 0].detach())


def test_maps_mean_the_same_in_training_and_evaluation(tiny_network: NetworkConfig, pairs: PairBatch) -> None:
    network = build_network(tiny_network)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # the statistics of this batch, up to the unbiased variance
    trained = network.train()(pairs.source)
    evaluated = network.eval()(pairs.source)
    for one, other in zip(trained, evaluated, strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype
        assert torch.allclose(one, other, atol=0.05 * one.abs().max().item())


def test_parts_are_reported_without_gradient_and_named_by_their_losses(
    tiny_network: NetworkConfig, pairs: PairBatch
) -> None:
    losses = make_objective(tiny_network)(pairs)
    assert set(losses.parts) == {'location', 'usp', 'consistency', 'descriptor', 'recall', 'inlier'}
    assert not any(part.requires_grad for part in losses.parts.values())
    without = make_objective(tiny_network, {'descriptor': {'type': 'none'}})(pairs)
    assert set(without.parts) == {'location', 'usp', 'consistency', 'inlier'}
