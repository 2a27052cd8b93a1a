# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a training run writes down: metrics.csv, and TensorBoard where it is installed.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.errors import DataError

COLUMNS = (
    'step',
    'learning_rate',
    'total',
    'location',
    'usp',
    'consistency',
    'descriptor',
    'decorrelation',
    'inlier',
    'uniform',
    'recall',
    'gradient_norm',
    'pairs_per_second',
    'data_share',
    'val_repeatability',
    'val_one_to_one',
    'val_localisation_px',
    'val_matching_score',
    'val_recall',
)


class RunLog:
    """
    Appends rows to ``metrics.csv``; a resumed run first drops the rows of steps that it is going to repeat.

    Cells without a value are empty. With the package tensorboard the same numbers and the images go to
    ``tensorboard/`` as well; ``has_tensorboard`` says whether they do.

    :param first_step: the step that the run starts with; rows of later steps are dropped.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        self._path = folder / 'metrics.csv'
        kept = [row for row in read_metrics(self._path) if int(row['step']) <= first_step] if first_step else []
        part = self._path.with_name(f'.{self._path.name}.part')  # a crash must not cost the rows that were there
        with part.open('w', newline='', encoding='utf-8') as stream:
            writer = csv.DictWriter(stream, COLUMNS, extrasaction='ignore')
            writer.writeheader()
            writer.writerows(kept)
        part.replace(self._path)
        self._board = _open_board(folder / 'tensorboard', first_step)

    @property
    def has_tensorboard(self) -> bool:
        """
        Whether TensorBoard is installed and written to.
        """
        return self._board is not None

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """
        One row of metrics.

        :raises ValueError: if a value has no column.
        """
        with self._path.open('a', newline='', encoding='utf-8') as stream:
            csv.DictWriter(stream, COLUMNS).writerow({'step': step} | {k: f'{v:.6g}' for k, v in values.items()})
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name.replace('val_', 'val/'), value, step)

    def add_image(self, step: int, name: str, image: npt.NDArray[np.uint8]) -> None:
        """
        An RGB picture (H, W, 3) for TensorBoard; without it nothing happens.
        """
        if self._board is not None:
            self._board.add_image(name, image, step, dataformats='HWC')

    def close(self) -> None:
        """
        Write what is still held back.
        """
        if self._board is not None:
            self._board.close()


def read_metrics(path: Path) -> list[dict[str, str]]:
    """
    The rows of a metrics.csv; empty if there is none. A last row cut off by a crash is left out.

    :raises DataError: if the file is no such table.
    """
    if not path.is_file():
        return []
    with path.open(newline='', encoding='utf-8') as stream:
        reader = csv.DictReader(stream)
        if 'step' not in (reader.fieldnames or ()):
            raise DataError(f'{path}: found the columns {reader.fieldnames}, expected a column step')
        return [row for row in reader if row['step'].isdigit() and row[COLUMNS[-1]] is not None]


def _open_board(folder: Path, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=first_step or None)
