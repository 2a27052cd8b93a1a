# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Charts by matplotlib, which is imported when the first one is drawn and needs no screen; and the colours of methods.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kp2d_ros.core.files import atomic_path
from kp2d_ros.core.packages import missing_package

# Told apart also by those who do not see red and green (Okabe and Ito).
COLOURS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000')

DENSITY = 2.0  # pixels of a chart per unit of the page

# The colour of a method is that of its name, whoever stands beside it.
_METHODS = {
    'kp2d': ('#0072b2', 'o'),
    'kp2d-compact-m': ('#56b4e9', 'o'),
    'kp2d-v4': ('#332288', 'D'),
    'sift': ('#d55e00', 's'),
    'opencv-sift': ('#e69f00', 's'),
    'orb': ('#009e73', '^'),
    'opencv-orb': ('#8fb339', '^'),
    'opencv-akaze': ('#cc79a7', 'v'),
}
_OTHERS = ('#000000', '#882255', '#44aa99', '#8b5a2b', '#aa4499', '#999933', '#6c757d')
_OTHER_MARKERS = 'P*X<>ph'
_LINE_STYLES = ('-', '--', ':', '-.')
_BINS = 40
_LEAST_MS = 1e-3
_POWERS, _WIDE = range(-3, 6), 50  # of the ticks of a logarithmic axis; beyond the latter factor there are fewer
_LETTERS_PER_INCH, _LETTERS_OF_A_SWATCH = 13, 7  # of a legend


@dataclass(frozen=True, slots=True)
class Look:
    """
    How a method is drawn in every chart: its colour, the style of its lines, and the marker of its points.
    """

    color: str
    linestyle: str
    marker: str

    @property
    def line(self) -> dict[str, str]:
        """
        The keywords of a line for matplotlib.
        """
        return {'color': self.color, 'linestyle': self.linestyle}


@dataclass(frozen=True, slots=True)
class Bar:
    """
    A number, and the ends of its interval, where one is known.
    """

    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Axes:
    """
    What stands at the axes of a line chart; ``ticks`` are the places of its points, ``log`` spreads the small ones.
    """

    x_label: str
    y_label: str
    ticks: Sequence[float]
    log: bool = False


def method_looks(names: Iterable[str]) -> dict[str, Look]:
    """
    How each method is drawn. What ships and what OpenCV has looks the same in every report; others have the look that
    their name gives, unless one before them has it.
    """
    looks: dict[str, Look] = {}
    for name in names:
        if name in _METHODS:
            color, marker = _METHODS[name]
            looks[name] = Look(color, '-', marker)
            continue
        start = zlib.crc32(name.encode('utf-8', 'surrogateescape'))
        free = [look for look in _other_looks(start % len(_OTHERS)) if look not in looks.values()]
        looks[name] = free[0] if free else next(_other_looks(start % len(_OTHERS)))
    return looks


def _other_looks(start: int) -> Iterator[Look]:
    for style in _LINE_STYLES:
        for step in range(len(_OTHERS)):
            place = (start + step) % len(_OTHERS)
            yield Look(_OTHERS[place], style, _OTHER_MARKERS[place])


def new_figure(width: float, height: float, dpi: float) -> Any:
    """
    A figure of a size in inches.

    :raises BackendError: if matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise missing_package('drawing', error.name) from error
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


@contextmanager
def chart(width: float, height: float) -> Iterator[tuple[Any, io.BytesIO]]:
    """
    A figure of a size in units of 100 on the page; its PNG is in the buffer when the ``with`` block ends.

    :raises BackendError: if matplotlib is not installed.
    """
    figure = new_figure(width, height, 100 * DENSITY)
    data = io.BytesIO()
    yield figure, data
    tidy(figure)
    figure.savefig(data, format='png')


def tidy(figure: Any) -> None:
    """
    Give all axes of a figure a light grid and no more frame than needed.
    """
    for axes in figure.axes:
        axes.grid(color='#e6e6e6', linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[['top', 'right']].set_visible(False)
        axes.tick_params(labelsize=8.5)


def share_legend(figure: Any, axes: Any) -> None:
    """
    Put the legend of one of the axes above all of them, in as many columns as there is room for.
    """
    handles, labels = axes.get_legend_handles_labels()
    room = int(figure.get_figwidth() * _LETTERS_PER_INCH / (max(map(len, labels), default=0) + _LETTERS_OF_A_SWATCH))
    columns = min(max(room, 1), 5)
    figure.legend(handles, labels, loc='outside upper center', ncols=columns, fontsize=9, frameon=False)


def bar_chart(fields: Mapping[str, Mapping[str, Bar]]) -> bytes:
    """
    PNG of bars side by side: one field for each figure, in it a bar for each method that has it.

    :param fields: by title, then by method.
    :raises BackendError: if matplotlib is not installed.
    """
    methods = list(dict.fromkeys(method for bars in fields.values() for method in bars))
    looks = method_looks(methods)
    with chart(1.2 + 2.4 * max(len(fields), 1), 0.9 + 0.3 * len(methods)) as (figure, data):
        row = figure.subplots(1, max(len(fields), 1), squeeze=False, sharey=True)[0]
        for axes, (title, bars) in zip(row, fields.items(), strict=False):
            axes.set_title(title, fontsize=9.5)
            for method, bar in bars.items():
                place, ends = methods.index(method), bar.interval or (bar.value, bar.value)
                axes.barh(place, bar.value, height=0.62, color=looks[method].color, alpha=0.85)
                if bar.interval:
                    axes.plot(ends, (place, place), color='#333333', linewidth=1.2, marker='|', markersize=5)
                axes.annotate(f' {bar.value:.3g}', (max(bar.value, ends[1]), place), va='center', fontsize=9)
            low, high = min(0.0, axes.dataLim.xmin), 1.3 * max(axes.dataLim.xmax, 1e-9)
            axes.set_xlim(low, high)
            if '%' in title:
                axes.set_xticks([tick for tick in axes.get_xticks() if low <= tick <= min(high, 100)])
            axes.set_ylim(len(methods) - 0.5, -0.5)
        row[0].set_yticks(range(len(methods)), methods)
    return data.getvalue()


def line_chart(panels: Mapping[str, Mapping[str, Sequence[float]]], axes_of: Axes) -> bytes:
    """
    PNG of lines with a point at each tick: one panel beside the other, in each the methods.

    :param panels: by title, then by method, a share in [0, 1] for each tick.
    :raises BackendError: if matplotlib is not installed.
    """
    looks = method_looks(dict.fromkeys(method for lines in panels.values() for method in lines))
    with chart(max(3.4 * len(panels), 5.0), 3.5) as (figure, data):
        row = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axes, (title, lines) in zip(row, panels.items(), strict=True):
            for method, values in lines.items():
                look = looks[method]
                axes.plot(axes_of.ticks, values, **look.line, marker=look.marker, markersize=4, label=method)
            axes.set_title(title, fontsize=10)
            axes.set_xlabel(axes_of.x_label)
            axes.set_ylim(0, 1)
            if axes_of.log:
                axes.set_xscale('log')
                axes.minorticks_off()
            axes.set_xticks(axes_of.ticks, [f'{tick:g}' for tick in axes_of.ticks])
        row[0].set_ylabel(axes_of.y_label)
        share_legend(figure, row[0])
    return data.getvalue()


def time_chart(fields: Mapping[str, Mapping[str, Sequence[float]]]) -> bytes:
    """
    PNG of histograms of milliseconds on logarithmic axes: one field beside the other, in each the methods.

    :param fields: by title, then by method, the milliseconds of all images.
    :raises BackendError: if matplotlib is not installed.
    """
    looks = method_looks(dict.fromkeys(method for times in fields.values() for method in times))
    with chart(max(2.6 * len(fields), 7.2), 3.0) as (figure, data):
        row = figure.subplots(1, max(len(fields), 1), squeeze=False)[0]
        for axes, (title, times) in zip(row, fields.items(), strict=False):
            # The tails would squeeze the rest into a few bars: the outer ones hold them.
            low, high = np.maximum(np.percentile(np.concatenate([*times.values()]), [2, 98]), _LEAST_MS) * (0.8, 1.25)
            bins = np.geomspace(low, high, _BINS)
            for method, milliseconds in times.items():
                look, values = looks[method], np.clip(milliseconds, low, high)
                axes.hist(values, bins, color=look.color, alpha=0.3)
                axes.hist(values, bins, histtype='step', linewidth=1.5, label=method, **look.line)
            axes.set_title(title, fontsize=10)
            axes.set_xscale('log')
            axes.minorticks_off()
            digits = (1, 2, 5) if high < _WIDE * low else (1,)
            ticks = [t for power in _POWERS for d in digits if low <= (t := d * 10.0**power) <= high]
            axes.set_xticks(ticks, [f'{tick:g}' for tick in ticks])
            axes.set_xlabel('ms')
        row[0].set_ylabel('images')
        share_legend(figure, row[0])
    return data.getvalue()
