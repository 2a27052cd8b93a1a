# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kp2d_ros.core.errors import DataError
from kp2d_ros.training.run_folder import COLUMNS, RunLog, read_metrics


class Board:
    """
    A TensorBoard that remembers what it was told.
    """

    made: list[Board]

    def __init__(self, folder: Path, purge_step: Any = None) -> None:
        self.folder, self.purge_step = folder, purge_step
        self.scalars, self.images, self.closed = [], [], False
        Board.made.append(self)

    def add_scalar(self, *values: Any) -> None:
        self.scalars.append(values)

    def add_image(self, name: str, image: Any, step: Any, dataformats: Any) -> None:
        self.images.append((name, image.shape, step, dataformats))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Any:
    """
    TensorBoard as if it was installed.
    """
    module = types.ModuleType('torch.utils.tensorboard')
    monkeypatch.setattr(module, 'SummaryWriter', Board, raising=False)
    Board.made = []
    monkeypatch.setitem(sys.modules, 'torch.utils.tensorboard', module)
    return Board


@pytest.fixture
def no_board(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    No TensorBoard, whatever is installed.
    """
    monkeypatch.setitem(sys.modules, 'torch.utils.tensorboard', None)


def test_rows_hold_what_was_given_and_nothing_else(tmp_path: Path, no_board: Any) -> None:
    log = RunLog(tmp_path, 0)
    assert not log.has_tensorboard
    log.add(10, {'total': 1.23456789, 'val_recall': 0.5})
    log.add_image(10, 'nothing happens', np.zeros((2, 2, 3), np.uint8))
    log.close()
    (row,) = read_metrics(tmp_path / 'metrics.csv')
    assert {k: v for k, v in row.items() if v} == {'step': '10', 'total': '1.23457', 'val_recall': '0.5'}
    with pytest.raises(ValueError, match='unheard_of'):
        log.add(11, {'unheard_of': 1.0})


def test_going_on_drops_what_will_be_repeated_and_what_was_cut_off(tmp_path: Path, no_board: Any) -> None:
    log = RunLog(tmp_path, 0)
    for step in (0, 10, 20, 30):
        log.add(step, {'total': float(step)})
    with (tmp_path / 'metrics.csv').open('a') as stream:
        stream.write('40,0.001,3.')
    RunLog(tmp_path, 20)
    assert [row['step'] for row in read_metrics(tmp_path / 'metrics.csv')] == ['0', '10', '20']
    RunLog(tmp_path, 0)
    assert read_metrics(tmp_path / 'metrics.csv') == []
    assert [path.name for path in tmp_path.iterdir()] == ['metrics.csv']


def test_another_table_is_refused_and_none_is_empty(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / 'nowhere.csv') == []
    (tmp_path / 'other.csv').write_text('a,b\n1,2\n')
    with pytest.raises(DataError, match=r"other.csv: found the columns \['a', 'b'\], expected a column step"):
        read_metrics(tmp_path / 'other.csv')


def test_tensorboard_gets_the_same_numbers_and_the_pictures(tmp_path: Path, board: Any) -> None:
    log = RunLog(tmp_path, 20)
    assert log.has_tensorboard
    log.add(30, {'total': 2.0, 'val_matching_score': 0.25})
    log.add_image(30, 'validation', np.zeros((4, 6, 3), np.uint8))
    log.close()
    (made,) = board.made
    assert made.folder == str(tmp_path / 'tensorboard') and made.purge_step == 20 and made.closed
    assert made.scalars == [('total', 2.0, 30), ('val/matching_score', 0.25, 30)]
    assert made.images == [('validation', (4, 6, 3), 30, 'HWC')]


def test_columns_have_names_of_their_own() -> None:
    assert len(set(COLUMNS)) == len(COLUMNS) and COLUMNS[0] == 'step'
