# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Small networks and pairs that every training test may use.
"""

from __future__ import annotations


import numpy as np
import pytest
import torch

from kp2d_ros.datasets.pairs import PairBatch
from kp2d_ros.networks.config import NetworkConfig

TINY = NetworkConfig(
    channels=(4, 6, 8, 8),
    head_channels=8,
    upsample_channels=4,
    tail_channels=8,
    descriptor_dim=16,
    with_drop=False,
    input_scale=2.0,
)


@pytest.fixture
def tiny_network() -> NetworkConfig:
    """
    A network that trains in milliseconds.
    """
    return TINY


def make_pairs(batch: int = 2, height: int = 64, width: int = 80, seed: int = 0) -> PairBatch:
    """
    Pairs of smooth random pictures, the source shifted and turned a little.
    """
    stream = np.random.default_rng(seed)
    coarse = torch.from_numpy(stream.random((batch, 3, height // 4, width // 4), np.float32))
    target = torch.nn.functional.interpolate(coarse, size=(height, width), mode='bicubic').clamp(0, 1)
    angles = stream.uniform(-0.1, 0.1, batch)
    matrices = np.tile(np.eye(3, dtype=np.float32), (batch, 1, 1))
    matrices[:, 0, 0] = matrices[:, 1, 1] = np.cos(angles)
    matrices[:, 0, 1], matrices[:, 1, 0] = -np.sin(angles), np.sin(angles)
    matrices[:, :2, 2] = stream.uniform(-0.1, 0.1, (batch, 2))
    target_from_source = torch.from_numpy(matrices)
    grid = torch.nn.functional.affine_grid(target_from_source[:, :2], list(target.shape), align_corners=True)
    source = torch.nn.functional.grid_sample(target, grid, align_corners=True)
    everywhere = torch.ones(batch, 1, height, width, dtype=torch.bool)
    return PairBatch(source, target, target_from_source, everywhere, everywhere, torch.arange(batch))


@pytest.fixture
def pairs() -> PairBatch:
    """
    Two small pairs.
    """
    return make_pairs()


