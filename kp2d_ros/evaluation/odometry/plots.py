# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Pictures of an evaluation, several methods in each: trajectories, errors over time, pose curves, times.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.records import TrackingState
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.drawing.figure import COLOURS, new_figure
from kp2d_ros.evaluation.odometry.score import RunScore

DENSITY = 2.0  # pixels per unit of the page
_DPI = 100 * DENSITY
_TRUTH = '#8a8f98'
_STYLES = ('-', '--', ':')  # for more methods than colours
_LEAST_DEG = 1e-3  # smaller errors are drawn there on a logarithmic axis

Array = npt.NDArray[np.float64]
Scores = Mapping[str, RunScore]


def trajectory_picture(truth: Trajectory | None, estimates: Mapping[str, Trajectory]) -> bytes:
    """
    PNG of the paths from above and from the side, along axes of the world of the truth.

    :param truth: None: the estimates stand alone, in the unit of the first one, which they are aligned to.
    :raises BackendError: if matplotlib is not installed.
    """
    shown = truth if truth is not None else next(iter(estimates.values()))
    views = _Views(shown)
    with _figure(9.6, 4.6) as (figure, data):
        top, side = figure.subplots(1, 2)
        for axes, name, rows in ((top, 'seen from above', views.above), (side, 'side view', views.beside)):
            if truth is not None:
                axes.plot(*views.path(truth, rows), color=_TRUTH, linewidth=4, alpha=0.7, label='ground truth')
            for (method, estimate), look in zip(estimates.items(), _looks(), strict=False):
                axes.plot(*views.path(estimate, rows), linewidth=1.5, label=method, **look)
            axes.plot(*views.path(shown, rows)[:, :1], 'o', color='black', markersize=6, label='start')
            axes.set_title(name, fontsize=10)
            unit = 'm' if truth is not None else 'unit of the first step'
            axes.set_xlabel(f'{"xyz"[rows[0]]} ({unit})')
            axes.set_ylabel(f'{"xyz"[rows[1]]} ({unit})')
            axes.set_aspect('equal', adjustable='datalim')
        if views.is_up_negative:
            side.invert_yaxis()
        _share_legend(figure, top)
    return data.getvalue()


def error_picture(scores: Scores) -> bytes:
    """
    PNG of the errors over time: distance to the true place, rotation and direction of each pair; below which images
    were LOST, if any were.

    :raises BackendError: if matplotlib is not installed.
    """
    start = min(score.frames[0].stamp_ns for score in scores.values())
    lost = {method: _lost_seconds(score, start) for method, score in scores.items()}
    heights = [2.0, 2.0, 2.0] + [0.15 * len(scores) + 0.1] * any(map(len, lost.values()))
    with _figure(9.6, 1.05 * sum(heights)) as (figure, data):
        fields = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
        place, rotation, direction = fields[:3]
        for (method, score), look in zip(scores.items(), _looks(), strict=False):
            if score.whole is not None:
                seconds = (score.whole.aligned.stamps_ns - start) * 1e-9
                apart = score.whole.aligned.world_from_camera[:, :3, 3] - score.whole.truth.world_from_camera[:, :3, 3]
                place.plot(seconds, np.linalg.norm(apart, axis=1), linewidth=1.4, label=method, **look)
            seconds = np.array([error.stamp_ns - start for error in score.errors]) * 1e-9
            for axes, name in ((rotation, 'rotation_deg'), (direction, 'direction_deg')):
                degrees = np.array([getattr(error, name) for error in score.errors], np.float64)
                axes.plot(seconds, np.maximum(degrees, _LEAST_DEG), linewidth=1.1, label=method, **look)
        for axes, label in ((place, 'place (m)'), (rotation, 'rotation (°)'), (direction, 'direction (°)')):
            axes.set_ylabel(label)
            axes.margins(x=0.01)
        place.set_ylim(bottom=0)
        for axes in (rotation, direction):
            if np.isfinite(np.concatenate([line.get_ydata() for line in axes.lines])).any():
                axes.set_yscale('log')  # which an axis without any number does not survive
                axes.yaxis.set_major_formatter('{x:g}')
                axes.yaxis.set_minor_formatter('')
        if len(fields) > 3:
            _draw_lost(fields[3], lost)
        fields[-1].set_xlabel('time (s)')
        _share_legend(figure, rotation)
    return data.getvalue()


def curve_picture(scores: Scores, limit_deg: float = 10.0) -> bytes:
    """
    PNG of the pose curves: the share of pairs whose error is not larger than a limit.

    :raises BackendError: if matplotlib is not installed.
    """
    limits = np.linspace(0.0, limit_deg, 400)
    with _figure(4.6, 3.6) as (figure, data):
        axes = figure.subplots()
        for (method, score), look in zip(scores.items(), _looks(), strict=False):
            axes.plot(limits, 100 * score.curve.recall(limits), linewidth=1.6, label=method, **look)
        axes.axvline(5.0, color=_TRUTH, linewidth=0.8)
        axes.set_xlim(0, limit_deg)
        axes.set_ylim(0, 101)
        axes.set_xlabel('error of the pose up to (°)')
        axes.set_ylabel('pairs (%)')
        axes.legend(loc='best', fontsize=9)
    return data.getvalue()


def time_picture(stages: Mapping[str, Mapping[str, Sequence[float]]]) -> bytes:
    """
    PNG of histograms of milliseconds: one field for each stage, the methods in it.

    :param stages: by stage, then by method, the milliseconds of all images.
    :raises BackendError: if matplotlib is not installed.
    """
    columns = min(len(stages), 4)
    with _figure(2.4 * columns, 2.6) as (figure, data):
        row = figure.subplots(1, columns, squeeze=False)[0]
        for axes, (stage, by_method) in zip(row, stages.items(), strict=False):
            every = np.concatenate([np.asarray(values, np.float64) for values in by_method.values()])
            # The tail would squeeze the rest into one bar: the last bar holds it.
            edge = max(1.3 * float(np.percentile(every, 99)), 1e-3)
            bins = np.linspace(0.0, edge, 36)
            for (method, values), look in zip(by_method.items(), _looks(), strict=False):
                axes.hist(np.minimum(values, edge), bins, histtype='step', linewidth=1.4, label=method, **look)
            axes.set_title(stage, fontsize=10)
            axes.set_xlabel('ms')
            axes.set_xlim(0, edge)
        row[0].set_ylabel('images')
        _share_legend(figure, row[0])
    return data.getvalue()


class _Views:
    """
    Which axes of the world lie level and which one stands up: the one that the columns of the images follow most.
    """

    def __init__(self, shown: Trajectory) -> None:
        down = shown.world_from_camera[:, :3, 1].sum(axis=0)
        up = int(np.argmax(np.abs(down)))
        level = sorted({0, 1, 2} - {up}, key=lambda axis: -float(np.ptp(shown.world_from_camera[:, axis, 3])))
        self.above = (level[0], level[1])
        self.beside = (level[0], up)
        self.is_up_negative = bool(down[up] > 0)  # as the y axis of a camera

    @staticmethod
    def path(trajectory: Trajectory, rows: tuple[int, int]) -> Array:
        return np.asarray(trajectory.world_from_camera[:, list(rows), 3].T)


@contextmanager
def _figure(width: float, height: float) -> Iterator[tuple[Any, io.BytesIO]]:
    """
    A figure of a size in units of 100 on the page; its PNG is in the buffer afterwards.
    """
    figure = new_figure(width, height, _DPI)
    data = io.BytesIO()
    yield figure, data
    for axes in figure.axes:
        axes.grid(color='#e6e6e6', linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[['top', 'right']].set_visible(False)
        axes.tick_params(labelsize=8.5)
    figure.savefig(data, format='png')


def _looks() -> Iterator[dict[str, str]]:
    while True:
        for style in _STYLES:
            for colour in COLOURS:
                yield {'color': colour, 'linestyle': style}


def _share_legend(figure: Any, axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside upper center', ncols=min(len(labels), 5), fontsize=9, frameon=False)


def _lost_seconds(score: RunScore, start: int) -> Array:
    return np.array([(f.stamp_ns - start) * 1e-9 for f in score.frames if f.state is TrackingState.LOST], np.float64)


def _draw_lost(axes: Any, lost: Mapping[str, Array]) -> None:
    """
    A mark for each LOST image, each method in a row of its own.
    """
    for row, (seconds, look) in enumerate(zip(lost.values(), _looks(), strict=False)):
        axes.plot(seconds, np.full(len(seconds), row), '|', color=look['color'], markersize=8)
    axes.set_ylim(len(lost) - 0.5, -0.5)
    axes.set_yticks([])
    axes.set_ylabel('lost')
