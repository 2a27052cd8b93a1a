# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The order of an epoch, and batches that do not depend on who makes them.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.pairs.loading import LoaderConfig, Rank, count_batches, epoch_order, pair_batches
from kp2d_ros.pairs.pair_maker import PairConfig, PairMaker
from kp2d_ros.pairs.photos import PhotosConfig, open_photos


@pytest.fixture
def folders(tmp_path: Path, rng: np.random.Generator) -> list[Path]:
    """
    Two folders, with nine and with three photographs.
    """
    for name, count in (('many', 9), ('few', 3)):
        (tmp_path / name).mkdir()
        for i in range(count):
            cv2.imwrite(str(tmp_path / name / f'{i}.png'), rng.integers(0, 256, (16, 20, 3), np.uint8))
    return [tmp_path / 'many', tmp_path / 'few']


def photos_of(folders: Any, weights: tuple[Any, ...] = ()) -> Any:
    return open_photos(folders, PhotosConfig(min_side_px=8, weights=weights), 16, 24)


def maker_of(folders: Any) -> PairMaker:
    config = PairConfig(height=16, width=24, photos=PhotosConfig(min_side_px=8))
    return PairMaker(photos_of(folders), config, seed=3)


def test_every_photograph_is_seen_once_in_another_order_each_epoch(folders: Any) -> None:
    photos = photos_of(folders)
    first, second = epoch_order(photos, 0, 0), epoch_order(photos, 0, 1)
    assert sorted(first) == sorted(second) == list(range(12))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, epoch_order(photos, 0, 0))
    assert not np.array_equal(first, epoch_order(photos, 1, 0))


def test_ranks_share_an_epoch_without_overlap(folders: Any) -> None:
    photos = photos_of(folders)
    parts = [epoch_order(photos, 0, 2, Rank(i, 5)) for i in range(5)]
    assert {len(p) for p in parts} == {2}
    assert len(set(np.concatenate(parts))) == 10
    np.testing.assert_array_equal(np.stack(parts, axis=1).ravel(), epoch_order(photos, 0, 2)[:10])


def test_weights_give_each_path_its_share_and_no_pair_twice(folders: Any) -> None:
    photos = photos_of(folders, weights=(1.0, 3.0))
    order = epoch_order(photos, 0, 0)
    assert len(set(order)) == len(order) == 12
    seen = order % 12
    assert np.bincount(photos.source[seen]).tolist() == [3, 9]
    assert np.bincount(seen)[9:].tolist() == [3, 3, 3]  # the few ones equally often


def test_a_path_of_weight_zero_is_left_out(folders: Any) -> None:
    photos = photos_of(folders, weights=(0.0, 1.0))
    assert set(photos.source[epoch_order(photos, 0, 0) % 12]) == {1}
    with pytest.raises(DataError, match='expected more than 0 for a path with photographs left'):
        epoch_order(photos.take(np.arange(9)), 0, 0)


@pytest.mark.parametrize('workers', [1, 3])
def test_any_number_of_workers_makes_the_same_batches(folders: Any, workers: int) -> None:
    maker = maker_of(folders)
    order = epoch_order(maker.photos, 0, 0)
    alone = list(pair_batches(maker, order, 0, LoaderConfig(batch_size=2, workers=0)))
    ahead = list(pair_batches(maker, order, 0, LoaderConfig(batch_size=2, workers=workers)))
    assert len(alone) == len(ahead) == 6
    for one, other in zip(alone, ahead, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_an_epoch_continues_in_the_middle(folders: Any) -> None:
    maker = maker_of(folders)
    order, config = epoch_order(maker.photos, 0, 0), LoaderConfig(batch_size=4)
    whole, rest = (list(pair_batches(maker, order, 0, config, start)) for start in (0, 2))
    assert len(rest) == 1
    assert torch.equal(whole[2].source, rest[0].source) and torch.equal(whole[2].indices, rest[0].indices)
    assert list(pair_batches(maker, order, 0, config, 3)) == []


def test_last_batch_is_dropped_or_kept(folders: Any) -> None:
    maker = maker_of(folders)
    order = epoch_order(maker.photos, 0, 0)
    for drop, sizes in ((True, [5, 5]), (False, [5, 5, 2])):
        config = LoaderConfig(batch_size=5, workers=0, drop_last=drop)
        assert [len(b.indices) for b in pair_batches(maker, order, 0, config)] == sizes
        assert count_batches(len(order), config) == len(sizes)


def test_closing_the_iterator_ends_its_threads(folders: Any) -> None:
    maker = maker_of(folders)
    batches = pair_batches(maker, np.arange(1000), 0, LoaderConfig(batch_size=2, workers=2))
    next(batches)
    assert any(t.name.startswith('pairs') for t in threading.enumerate())
    batches.close()  # type: ignore[attr-defined]
    assert not any(t.name.startswith('pairs') for t in threading.enumerate())


def test_an_error_in_a_worker_reaches_the_loop(tmp_path: Path, rng: np.random.Generator) -> None:
    for i in range(4):
        cv2.imwrite(str(tmp_path / f'{i}.png'), rng.integers(0, 256, (16, 20, 3), np.uint8))
    config = PairConfig(480, 640, photos=PhotosConfig(min_side_px=8, memory_limit_mb=1))
    maker = PairMaker(open_photos([tmp_path], config.photos, 480, 640), config, 0)
    (tmp_path / '2.png').unlink()
    with pytest.raises(DataError, match=r'2\.png: could be read before'):
        list(pair_batches(maker, np.arange(3), 0, LoaderConfig(batch_size=1, workers=1)))


def test_refuses_a_rank_outside_its_world() -> None:
    with pytest.raises(ConfigError, match='rank: found 2 of 2, expected 0 to 1'):
        Rank(2, 2)
