# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Small networks, pairs and outputs of networks that every training test may use, and slow arithmetic to compare with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from kp2d_ros.networks.config import NetworkConfig
from kp2d_ros.networks.network import KeypointMaps
from kp2d_ros.pairs.pair_maker import PairBatch
from kp2d_ros.training.config import LossConfig
from kp2d_ros.training.objective import Losses, Objective

TINY = NetworkConfig(
    channels=(4, 6, 8, 8),
    head_channels=8,
    upsample_channels=4,
    tail_channels=8,
    descriptor_dim=16,
    with_drop=False,
    input_scale=2.0,
)


@pytest.fixture(autouse=True, scope='package')
def one_thread() -> Iterator[None]:
    """
    The networks of these tests are too small to share between threads.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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


@pytest.fixture
def pair_maker() -> Callable[..., PairBatch]:
    """
    ``make_pairs`` itself.
    """
    return make_pairs


class Views(NamedTuple):
    """
    What a network may say of a batch of pairs, in float64: maps of score (B, R, C), location (B, 2, R, C) in pixels
    and descriptor (B, D, r, c) of source and target, and the homographies (B, 3, 3).
    """

    source_score: np.ndarray
    target_score: np.ndarray
    source_xy: np.ndarray
    target_xy: np.ndarray
    source_map: np.ndarray
    target_map: np.ndarray
    homography: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        rows, columns = self.source_score.shape[1:]
        return 8 * columns, 8 * rows

    def image(self, number: int) -> Views:
        """
        The same for one pair of the batch.
        """
        return Views(*(part[number : number + 1] for part in self))


def make_views(seed: int = 0, batch: int = 2, rows: int = 7, columns: int = 9, *, shift: float = 0.0) -> Views:
    """
    Random outputs of a network with locations up to 7 pixels from the centres of their cells.

    :param shift: normalised; 3 moves everything out of the target.
    """
    stream = np.random.default_rng(seed)
    width, height = 8 * columns, 8 * rows
    x, y = np.meshgrid(8 * np.arange(columns) + 3.5, 8 * np.arange(rows) + 3.5)
    moved = np.stack([x, y]) + stream.uniform(-7, 7, (2, batch, 2, rows, columns))
    xy = np.clip(moved, 0, np.array([width - 1, height - 1])[:, None, None])
    ring = np.zeros((rows, columns))
    ring[1:-1, 1:-1] = 1
    score = stream.uniform(0, 1, (2, batch, rows, columns)) * ring
    dense = stream.normal(size=(2, batch, 6, 2 * rows, 2 * columns))
    homography = np.eye(3) + stream.uniform(-0.08, 0.08, (batch, 3, 3))
    homography[:, 0, 2] += shift
    return Views(score[0], score[1], xy[0], xy[1], dense[0], dense[1], homography)


class _SpokenNetwork(nn.Module):
    """
    Gives prepared maps: those of the source first, then those of the target, and so on.
    """

    def __init__(self, source: KeypointMaps, target: KeypointMaps, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self._maps = [source, target]
        self._calls = 0

    def forward(self, image: torch.Tensor) -> KeypointMaps:
        self._calls += 1
        return self._maps[(self._calls - 1) % 2]


class _LinearInlierNet(nn.Module):
    """
    An IO-Net that anybody can compute, and that remembers its input.
    """

    weights = (0.3, -0.7, 0.2, 0.9, -1.1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        self.features = features
        return features @ features.new_tensor(self.weights) + 0.1


class Spoken(NamedTuple):
    """
    The losses of prepared maps, the leaves that they depend on (in the order of Views), and what IO-Net saw.
    """

    losses: Losses
    leaves: tuple[torch.Tensor, ...]
    features: torch.Tensor | None


def evaluate_views(
    views: Views, config: LossConfig, network: NetworkConfig = TINY, valid: np.ndarray | None = None
) -> Spoken:
    """
    The whole objective on prepared maps.

    :param valid: (B, H, W) where both views show the photograph.
    """
    leaves = tuple(torch.from_numpy(part.copy()).requires_grad_() for part in views)
    s_score, t_score, s_xy, t_xy, s_map, t_map, homography = leaves
    source, target = KeypointMaps(s_score[:, None], s_xy, s_map), KeypointMaps(t_score[:, None], t_xy, t_map)
    inlier_net = _LinearInlierNet() if config.inlier.weight > 0 else None
    objective = Objective(_SpokenNetwork(source, target, network), inlier_net, config)
    width, height = views.size
    images = torch.zeros(len(views.homography), 3, height, width)
    shown = torch.ones(len(images), 1, height, width, dtype=torch.bool)
    if valid is not None:
        shown = torch.from_numpy(valid)[:, None]
    batch = PairBatch(images, images, homography, shown, shown, torch.arange(len(images)))
    losses = objective(batch)
    return Spoken(losses, leaves, inlier_net.features if inlier_net else None)


def slow_points(xy: np.ndarray) -> list[tuple[float, float]]:
    """
    The (x, y) of a location map (2, R, C), cell by cell in raster order.
    """
    return [(xy[0, r, c], xy[1, r, c]) for r in range(xy.shape[1]) for c in range(xy.shape[2])]


def slow_warp(point: tuple[float, float], homography: np.ndarray, size: tuple[int, int]) -> tuple[float, float, bool]:
    """
    A source pixel in target pixels, and whether it is strictly inside.
    """
    width, height = size
    x, y, w = homography @ (point[0] / ((width - 1) / 2) - 1, point[1] / ((height - 1) / 2) - 1, 1.0)
    inside = w > 0 and abs(x / w) < 1 and abs(y / w) < 1
    return (x / w + 1) * (width - 1) / 2, (y / w + 1) * (height - 1) / 2, inside


def slow_bilinear(values: np.ndarray, point: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    """
    The value (D,) of a map (D, r, c) that spans an image of this size at a pixel of it; zeros outside.
    """
    width, height = size
    x = point[0] / (width - 1) * (values.shape[2] - 1)
    y = point[1] / (height - 1) * (values.shape[1] - 1)
    result = np.zeros(values.shape[0])
    for row in (int(np.floor(y)), int(np.floor(y)) + 1):
        for column in (int(np.floor(x)), int(np.floor(x)) + 1):
            if 0 <= row < values.shape[1] and 0 <= column < values.shape[2]:
                result += values[:, row, column] * (1 - abs(x - column)) * (1 - abs(y - row))
    return result


def slow_descriptor(values: np.ndarray, point: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    """
    The same, of unit length.
    """
    sampled = slow_bilinear(values, point, size)
    length = np.sqrt(np.sum(sampled**2))
    return sampled / length if length > 0 else sampled


@pytest.fixture
def slow() -> SimpleNamespace:
    """
    The outputs of a network, the objective on them, and the arithmetic of the oracles in plain NumPy.
    """
    return SimpleNamespace(
        views=make_views,
        evaluate=evaluate_views,
        points=slow_points,
        warp=slow_warp,
        bilinear=slow_bilinear,
        descriptor=slow_descriptor,
    )
