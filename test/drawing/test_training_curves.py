# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The picture of a training run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kp2d_ros.core.errors import DataError
from kp2d_ros.drawing.training_curves import draw_curves
from kp2d_ros.training.run_folder import RunLog, read_metrics

pytest.importorskip('matplotlib')


def rows(folder: Path) -> Any:
    log = RunLog(folder, 0)
    log.add(0, {'val_matching_score': 0.1, 'val_localisation_px': 2.0})
    for step in (10, 20):
        log.add(step, {'total': 3.0, 'location': 2.0 / step, 'descriptor': 0.5, 'learning_rate': 1e-3})
    log.add(20, {'val_matching_score': 0.4, 'val_localisation_px': 1.5})
    log.close()
    return read_metrics(folder / 'metrics.csv')


def test_draws_what_was_measured(tmp_path: Path) -> None:
    draw_curves(rows(tmp_path), tmp_path / 'curves.png', 'run')
    draw_curves([], tmp_path / 'empty.png', 'run')
    drawn, empty = (cv2.imread(str(tmp_path / name)) for name in ('curves.png', 'empty.png'))
    assert drawn.shape == empty.shape == (650, 1000, 3)
    assert np.any(drawn != empty)


def test_says_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    with pytest.raises(DataError, match='cannot be written'):
        draw_curves(rows(tmp_path), tmp_path / 'file' / 'curves.png')
