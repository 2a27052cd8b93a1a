# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Keypoints
from kp2d_ros.evaluation.keypoints.run import Prediction, PredictionCache


def make_prediction(kind: Any = np.float32, count: int = 3) -> Prediction:
    xy = np.arange(2 * count, dtype=np.float32).reshape(-1, 2)
    return Prediction(Keypoints(xy, np.ones(count, np.float32), np.ones((count, 4), kind)), 12.5)


@pytest.mark.parametrize('kind', [np.float32, np.uint8])
@pytest.mark.parametrize('count', [0, 3])
def test_what_was_kept_comes_back(tmp_path: Path, kind: Any, count: int) -> None:
    cache, kept = PredictionCache(tmp_path / 'new' / 'cache'), make_prediction(kind, count)
    assert cache.load('m', 'i') is None
    cache.store('m', 'i', kept)
    found = cache.load('m', 'i')
    assert found is not None and found.milliseconds == 12.5
    assert np.array_equal(found.keypoints.xy, kept.keypoints.xy)
    assert found.keypoints.descriptors.dtype == kind
    assert cache.load('m', 'other') is None and cache.load('other', 'i') is None


@pytest.mark.parametrize('content', [b'', b'nothing', b'PK\x03\x04 cut short'])
def test_what_is_damaged_counts_as_not_there(tmp_path: Path, content: bytes) -> None:
    cache = PredictionCache(tmp_path)
    cache.store('m', 'i', make_prediction())
    (tmp_path / 'm' / 'i.npz').write_bytes(content)
    assert cache.load('m', 'i') is None
    cache.store('m', 'i', make_prediction())
    assert cache.load('m', 'i') is not None


def test_a_file_that_is_cut_anywhere_counts_as_not_there(tmp_path: Path) -> None:
    cache = PredictionCache(tmp_path)
    cache.store('m', 'i', make_prediction())
    path = tmp_path / 'm' / 'i.npz'
    content = path.read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        assert cache.load('m', 'i') is None


def test_pickles_are_never_read(tmp_path: Path) -> None:
    (tmp_path / 'm').mkdir()
    np.savez(tmp_path / 'm' / 'i.npz', xy=np.array([{}], object), scores=0, descriptors=0, milliseconds=0)
    assert PredictionCache(tmp_path).load('m', 'i') is None


def test_arrays_of_other_shapes_are_no_prediction(tmp_path: Path) -> None:
    (tmp_path / 'm').mkdir()
    wrong = {'xy': np.zeros((3, 3)), 'scores': np.zeros(3), 'descriptors': np.zeros((3, 4)), 'milliseconds': 0}
    np.savez(tmp_path / 'm' / 'i.npz', **wrong)
    assert PredictionCache(tmp_path).load('m', 'i') is None


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    with pytest.raises(DataError, match='cannot be written'):
        PredictionCache(tmp_path / 'file').store('m', 'i', make_prediction())


def test_without_a_folder_nothing_is_kept() -> None:
    cache = PredictionCache(None)
    cache.store('m', 'i', make_prediction())
    assert cache.load('m', 'i') is None
