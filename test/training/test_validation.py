# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a validation measures and draws.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kp2d_ros.networks.build import build_network
from kp2d_ros.networks.config import NetworkConfig
from kp2d_ros.networks.network import KeypointNetwork
from kp2d_ros.pairs.pair_maker import PairBatch
from kp2d_ros.training.validation import validate_network


@pytest.fixture
def network() -> KeypointNetwork:
    torch.manual_seed(0)
    narrow = NetworkConfig(
        channels=(4, 4, 6, 8), head_channels=6, upsample_channels=4, tail_channels=5, descriptor_dim=7
    )
    return build_network(narrow).eval()


def make_batch(valid: torch.Tensor | None = None) -> PairBatch:
    torch.manual_seed(1)
    images = torch.rand(2, 3, 48, 64)
    everywhere = torch.ones(2, 1, 48, 64, dtype=torch.bool)
    shown = everywhere if valid is None else valid
    return PairBatch(images, images, torch.eye(3).expand(2, 3, 3), shown, shown, torch.arange(2))


def test_a_view_and_itself_are_perfect(network: KeypointNetwork) -> None:
    figures, picture = validate_network(network, [make_batch()])
    assert figures['val_repeatability'] == figures['val_matching_score'] == figures['val_recall'] == 1.0
    assert figures['val_localisation_px'] == pytest.approx(0.0, abs=1e-4)
    assert picture is None


def test_points_on_fill_do_not_count(network: KeypointNetwork) -> None:
    valid = torch.zeros(2, 1, 48, 64, dtype=torch.bool)
    figures = validate_network(network, [make_batch(valid)]).figures
    assert figures['val_repeatability'] == 0.0 and np.isnan(figures['val_localisation_px'])


def test_the_first_pairs_are_drawn_if_that_is_asked_for(network: KeypointNetwork) -> None:
    picture = validate_network(network, [make_batch(), make_batch()], draw=True).picture
    assert picture is not None and (picture.shape, picture.dtype) == ((3 * 48, 4 * 64, 3), np.uint8)
