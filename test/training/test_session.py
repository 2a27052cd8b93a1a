# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The batches of a run: which photographs, in which order, for which process; and what it starts from.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.settings import build
from kp2d_ros.networks.build import build_network
from kp2d_ros.training.config import TrainConfig
from kp2d_ros.training.process import Process
from kp2d_ros.training.run_state import build_state
from kp2d_ros.training.session import open_data, training_batches, validation_batches


def process(rank: int = 0, world: int = 1) -> Process:
    return Process(rank, world, torch.device('cpu'))


@pytest.fixture
def photos(tmp_path: Path, rng: np.random.Generator) -> Path:
    """
    Thirteen small pictures.
    """
    folder = tmp_path / 'photos'
    folder.mkdir()
    for i in range(13):
        cv2.imwrite(str(folder / f'{i:02}.png'), rng.integers(0, 256, (64, 64, 3), np.uint8))
    return folder


def make_config(**more: Any) -> TrainConfig:
    pairs = {'height': 16, 'width': 16, 'photometric': {'brightness': 0.5, 'noise_probability': 0.0}}
    loader = {'batch_size': 3, 'workers': 0}
    return build(TrainConfig, {'pairs': pairs, 'loader': loader, 'training': {'validation_pairs': 5}, **more})


def take(data: Any, config: Any, count: int, rank: int = 0, world: int = 1, first: int = 0) -> Any:
    return list(itertools.islice(training_batches(data, config, process(rank, world), first), count))


def test_batches_go_on_where_they_stopped_across_epochs(photos: Any) -> None:
    config = make_config()
    data = open_data([photos], config, process())
    whole = take(data, config, 10)  # twelve photographs, four batches in an epoch
    for first in (1, 4, 7):
        for expected, found in zip(whole[first:], take(data, config, 10 - first, first=first), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    epochs = [torch.cat([batch.indices for batch in whole[i : i + 4]]) for i in (0, 4)]
    assert sorted(epochs[0].tolist()) == sorted(epochs[1].tolist()) == list(range(12))
    assert not torch.equal(epochs[0], epochs[1])


def test_a_photograph_looks_different_in_every_epoch(photos: Any) -> None:
    config = make_config()
    data = open_data([photos], config, process())
    looks = [(batch, row) for batch in take(data, config, 12) for row in range(3) if batch.indices[row] == 5]
    assert len(looks) == 3
    for (a, i), (b, j) in itertools.combinations(looks, 2):
        assert not torch.equal(a.target_from_source[i], b.target_from_source[j])
        assert not torch.equal(a.target[i], b.target[j])


def test_processes_get_disjoint_parts_of_an_epoch(photos: Any) -> None:
    config = make_config()
    data = open_data([photos], config, process(0, 2))
    parts = [torch.cat([batch.indices for batch in take(data, config, 2, rank, 2)]).tolist() for rank in range(2)]
    assert not set(parts[0]) & set(parts[1]) and len(parts[0] + parts[1]) == 12


def test_colour_jitter_is_really_applied(photos: Any) -> None:
    plain = make_config(pairs={'height': 16, 'width': 16, 'photometric': {'noise_probability': 0.0}})
    jittered = make_config()
    data = open_data([photos], plain, process())
    for without, with_jitter in zip(take(data, plain, 4), take(data, jittered, 4), strict=True):
        assert torch.equal(without.target_from_source, with_jitter.target_from_source)
        assert not torch.equal(without.source, with_jitter.source)


def test_held_out_photographs_are_never_trained_on(photos: Any) -> None:
    config = make_config()
    data = open_data([photos], config, process())
    assert (len(data.training), len(data.validation)) == (12, 1)
    assert not set(data.training.names) & set(data.validation.names)
    batches = validation_batches(data, config, torch.device('cpu'))
    assert [len(batch.source) for batch in batches] == [3, 2]
    again = validation_batches(data, config, torch.device('cpu'))
    assert all(torch.equal(a.source, b.source) for a, b in zip(batches, again, strict=True))
    homographies = torch.cat([batch.target_from_source for batch in batches])
    assert len(torch.unique(homographies, dim=0)) == 5  # five looks at one photograph


def test_few_photographs_fill_a_batch_with_different_looks(photos: Any) -> None:
    config = make_config(loader={'batch_size': 30, 'workers': 0})
    data = open_data([photos], config, process())
    (batch,) = take(data, config, 1)
    assert len(torch.unique(batch.indices)) == 30
    assert sorted(set((batch.indices % 12).tolist())) == list(range(12))
    weighted = make_config(
        loader={'batch_size': 30, 'workers': 0},
        pairs={'height': 16, 'width': 16, 'photos': {'weights': [1.0, 0.0]}},
    )
    data = open_data([photos, photos], weighted, process())
    (batch,) = take(data, weighted, 1)
    assert len(torch.unique(batch.indices)) == 30


def test_too_few_photographs_are_refused(photos: Any) -> None:
    for path in sorted(photos.iterdir())[1:]:
        path.unlink()
    with pytest.raises(DataError, match=r'found 1 usable .* expected at least 2'):
        open_data([photos], make_config(), process())


def test_fewer_photographs_than_processes_are_refused(photos: Any) -> None:
    with pytest.raises(DataError, match='found 12 to train on, expected one for each of the 20 processes'):
        open_data([photos], make_config(), process(3, 20))


def test_imagenet_weights_fill_the_encoder_of_a_resnet(tmp_path: Path) -> None:
    network = {'architecture': 'resnet18', 'channels': [4, 4, 6, 8], 'head_channels': 6, 'descriptor_dim': 8}
    config = make_config(network=network, pairs={'height': 32, 'width': 32})
    torch.manual_seed(7)
    encoder = build_network(config.network).encoderK.rn.state_dict()
    torch.save({**encoder, 'fc.weight': torch.zeros(10, 8), 'fc.bias': torch.zeros(10)}, tmp_path / 'resnet18.pth')
    started = make_config(network=network, pairs={'height': 32, 'width': 32}, pretrained=str(tmp_path / 'resnet18.pth'))
    found = build_state(started, torch.device('cpu')).objective.keypoint_net.encoderK.rn.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in encoder.items())
