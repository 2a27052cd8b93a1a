# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a training run shows of its steps and validations.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kp2d_ros.cli.train_reporter import TrainReporter
from kp2d_ros.networks.build import build_network
from kp2d_ros.networks.config import NetworkConfig
from kp2d_ros.pairs.pair_maker import PairBatch


class Log:
    """
    A run log that remembers what it was told.
    """

    def __init__(self, has_tensorboard: bool) -> None:
        self.has_tensorboard = has_tensorboard
        self.rows, self.images, self.closed = [], [], False

    def add(self, step, values):
        self.rows.append((step, dict(values)))

    def add_image(self, step, name, image):
        self.images.append((step, name, image))

    def close(self):
        self.closed = True


@pytest.fixture
def network():
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


def test_a_view_and_itself_are_perfect(network):
    figures = TrainReporter(Log(False), [make_batch()], steps=10, step=0).validate(network)
    assert figures['val_repeatability'] == figures['val_matching_score'] == figures['val_recall'] == 1.0
    assert figures['val_localisation_px'] == pytest.approx(0.0, abs=1e-4)


def test_points_on_fill_do_not_count(network):
    valid = torch.zeros(2, 1, 48, 64, dtype=torch.bool)
    figures = TrainReporter(Log(False), [make_batch(valid)], steps=10, step=0).validate(network)
    assert figures['val_repeatability'] == 0.0 and np.isnan(figures['val_localisation_px'])


def test_pictures_go_to_tensorboard_with_the_step_that_is_logged(network):
    log = Log(True)
    reporter = TrainReporter(log, [make_batch(), make_batch()], steps=10, step=0)
    reporter.log(5, reporter.validate(network))
    reporter.log(6, {'total': 1.0, 'pairs_per_second': 2.0})
    ((step, name, picture),) = log.images
    assert (step, name, picture.shape, picture.dtype) == (5, 'validation', (3 * 48, 4 * 64, 3), np.uint8)


def test_the_bar_shows_loss_recall_speed_and_time_left(network, capsys):
    log = Log(False)
    reporter = TrainReporter(log, [make_batch()], steps=100, step=20)
    reporter.log(30, {'total': 1.2345, 'recall': 0.5, 'pairs_per_second': 17.0, **reporter.validate(network)})
    reporter.close()
    shown = capsys.readouterr().err
    assert 'loss 1.234, recall 0.50, 17.0 pairs/s' in shown and '30/100' in shown and '<' in shown
    assert 'step 30: repeatability 1.000, localisation 0.00 px, matching score 1.000, recall 1.000' in shown
    assert log.closed and log.rows[0][0] == 30 and not log.images
