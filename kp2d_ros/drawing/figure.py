# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Empty figures of matplotlib, which is imported when the first one is drawn and needs no screen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kp2d_ros.core.errors import BackendError
from kp2d_ros.core.files import atomic_path

# Told apart also by those who do not see red and green (Okabe and Ito).
COLOURS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000')


def new_figure(width: float, height: float, dpi: float) -> Any:
    """
    A figure of a size in inches.

    :raises BackendError: if matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise BackendError(
            f"drawing: found no module {error.name}, expected matplotlib: pip install 'kp2d_ros[evaluation]'"
        ) from error
    figure = Figure(figsize=(width, height), dpi=dpi, layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, path: Path) -> None:
    """
    Write a figure as PNG.

    :raises DataError: if the file cannot be written.
    """
    with atomic_path(path) as part:
        figure.savefig(part)
