# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kp2d_ros.core.errors import ShapeError
from kp2d_ros.networks.build import count_parameters
from kp2d_ros.networks.inlier_net import InlierConfig, InlierNet, context_norm


def test_published_sizes() -> None:
    assert count_parameters(InlierNet(InlierConfig())) == 135_169
    twelve = InlierNet(InlierConfig(inputs=4, blocks=12, input_norm=False))
    assert count_parameters(twelve) == 4 * 128 + 128 + 12 * 2 * (128 * 128 + 128 + 256) + 129


def test_context_norm_equals_an_instance_norm_and_takes_a_single_point() -> None:
    values = torch.randn(3, 4, 20, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(context_norm(values), F.instance_norm(values), atol=1e-6)
    assert context_norm(values[..., :1]).abs().max() == 0


def test_result_follows_the_order_of_the_pairs() -> None:
    torch.manual_seed(0)
    network = InlierNet(InlierConfig(channels=8)).eval()
    pairs = torch.randn(2, 30, 5)
    order = torch.randperm(30)
    assert network(pairs).shape == (2, 30)
    assert torch.allclose(network(pairs)[:, order], network(pairs[:, order]), atol=1e-5)


def test_a_pair_sees_the_other_pairs() -> None:
    torch.manual_seed(0)
    network = InlierNet(InlierConfig(channels=8)).eval()
    pairs = torch.randn(1, 30, 5)
    changed = pairs.clone()
    changed[0, 7] += 1
    difference = (network(pairs) - network(changed)).abs()[0]
    assert (difference > 0).all()


def test_the_first_norm_follows_a_batch_by_nine_tenths_and_the_others_by_one() -> None:
    torch.manual_seed(0)
    network = InlierNet(InlierConfig(channels=8, blocks=2)).train()
    pairs = torch.rand(3, 30, 5)
    network(pairs)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d)]
    mean = network.first(pairs.transpose(1, 2)).mean(dim=(0, 2))
    assert torch.allclose(norms[0].running_mean, 0.9 * mean, atol=1e-5)
    assert [norm.momentum for norm in norms] == [0.9, 0.1, 0.1, 0.1, 0.1]


def test_log_weights_sum_to_one() -> None:
    network = InlierNet(InlierConfig(inputs=4, channels=8, blocks=2, input_norm=False, log_weights=True))
    weights = network(torch.randn(2, 30, 4)).exp()
    assert torch.allclose(weights.sum(dim=1), torch.ones(2))


def test_learns_to_tell_a_marked_half() -> None:
    torch.manual_seed(0)
    network = InlierNet(InlierConfig(channels=16, blocks=1))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    pairs = torch.rand(2, 40, 5)
    target = torch.sign(pairs[..., 4] - 0.5)
    losses = []
    for _ in range(20):
        loss = (network(pairs) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_another_number_of_inputs_is_refused() -> None:
    with pytest.raises(ShapeError, match=r'expected \(B, N, 5\)'):
        InlierNet(InlierConfig())(torch.zeros(1, 30, 4))
