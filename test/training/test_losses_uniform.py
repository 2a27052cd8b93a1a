# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
UnsuperPoint's uniform positions against a loop, and through the objective.
"""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from kp2d_ros.core.settings import build
from kp2d_ros.networks.config import NetworkConfig
from kp2d_ros.training.config import UNSUPERPOINT_LOSSES, LossConfig
from kp2d_ros.training.losses.points import uniform_position_loss


def oracle(relative: Any) -> float:
    """
    The sum over cells and both axes of (x_(i) - (i - 1) / (M - 1))^2 for one image (N, 2).
    """
    total = 0.0
    for axis in range(2):
        for rank, value in enumerate(sorted(relative[:, axis])):
            total += (value - rank / (len(relative) - 1)) ** 2
    return total


def test_equals_the_loop_and_its_gradient_is_right(rng: np.random.Generator) -> None:
    relative = rng.random((3, 20, 2))
    leaf = torch.from_numpy(relative).requires_grad_()
    assert uniform_position_loss(leaf).item() == pytest.approx(np.mean([oracle(image) for image in relative]))
    assert torch.autograd.gradcheck(uniform_position_loss, leaf)


def test_evenly_spread_positions_cost_nothing_and_one_cell_is_finite() -> None:
    ramp = torch.linspace(0, 1, 11)
    assert uniform_position_loss(torch.stack([ramp, ramp.flip(0)], dim=1)[None]).item() == pytest.approx(0.0, abs=1e-9)
    assert uniform_position_loss(torch.tensor([[[0.5, 0.0]]])).item() == pytest.approx(0.25)


def test_objective_measures_positions_within_the_cells_of_both_views(
    slow: SimpleNamespace, tiny_network: NetworkConfig
) -> None:
    views = slow.views(0)
    inside = dataclasses.replace(tiny_network, do_cross=False)
    spoken = slow.evaluate(views, build(LossConfig, UNSUPERPOINT_LOSSES), inside)
    expected = 0.0
    for xy in (views.source_xy, views.target_xy):
        corner = np.stack(np.meshgrid(8 * np.arange(9), 8 * np.arange(7))) - 0.5  # pixel 0 is a centre, not an edge
        relative = (xy - corner) / 8
        expected += np.mean([oracle(image.reshape(2, -1).T) for image in relative])
    assert spoken.losses.parts['uniform'].item() == pytest.approx(expected)
    assert set(spoken.losses.parts) == {'location', 'usp', 'consistency', 'descriptor', 'decorrelation', 'uniform'}
    spoken.losses.total.backward()
    assert all(leaf.grad.isfinite().all() for leaf in spoken.leaves[:6])
