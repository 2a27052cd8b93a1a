# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The course of a training run as a picture: losses, and what the validations found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kp2d_ros.drawing.figure import new_figure, save_figure, tidy

_PANELS = (
    ('losses before weighing', ('location', 'descriptor', 'inlier', 'consistency', 'usp', 'decorrelation', 'uniform')),
    (
        'held-out pairs: shares',
        ('val_matching_score', 'val_recall', 'val_repeatability', 'val_one_to_one'),
    ),
    ('held-out pairs: localisation, pixels', ('val_localisation_px',)),
    ('learning rate', ('learning_rate',)),
)


def draw_curves(rows: Sequence[Mapping[str, str]], path: Path, title: str = '') -> None:
    """
    Write the columns of a ``metrics.csv`` over the steps as PNG; columns without a number are left out.

    :param rows: the rows as text, as :func:`kp2d_ros.training.run_folder.read_metrics` gives them.
    :raises BackendError: if matplotlib is not installed.
    :raises DataError: if the file cannot be written.
    """
    figure = new_figure(10.0, 6.5, dpi=100)
    for axes, (heading, names) in zip(figure.subplots(2, 2).flat, _PANELS, strict=True):
        for name in names:
            points = [(int(row['step']), float(row[name])) for row in rows if row[name]]
            if points:
                axes.plot(*zip(*points, strict=True), label=name.removeprefix('val_').replace('_', ' '), linewidth=1.3)
        axes.set_title(heading, fontsize=10)
        axes.set_xlabel('step', fontsize=9)
        if len(axes.lines) > 1:
            axes.legend(fontsize=8)
    figure.suptitle(title, fontsize=11)
    tidy(figure)
    save_figure(figure, path)
