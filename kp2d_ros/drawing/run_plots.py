# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Pictures of runs of the frontend, one or several in each: paths, errors over time, pose curves, times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.records import TrackingState
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.drawing.figure import COLOURS, Look, chart, method_looks, new_figure, save_figure, share_legend, tidy
from kp2d_ros.metrics.frame_record import FrameRecord
from kp2d_ros.metrics.run_score import RunScore

_TRUTH = '#8a8f98'
_ESTIMATE = Look(COLOURS[0], '-', 'o')
_LEAST_DEG = 1e-3  # smaller errors are drawn there on a logarithmic axis
_STATE_COLOURS = {
    TrackingState.INITIALISING: '#b9b9b9',
    TrackingState.OK: '#2f9e44',
    TrackingState.DEGRADED: '#f0a30a',
    TrackingState.LOST: '#d62828',
    TrackingState.STATIONARY: '#5f7fbf',
}

Array = npt.NDArray[np.float64]
Scores = Mapping[str, RunScore]


@dataclass(frozen=True, slots=True)
class View:
    """
    A look at the world along one of its axes: which axis, with its sign, points right on the page, and which one up.

    Right, up, and the axis that points at the viewer are right-handed, or the picture would be a mirror image.
    """

    name: str
    right: str
    up: str

    def points(self, trajectory: Trajectory) -> Array:
        """
        The places (2, T) along the two axes, in the world's own numbers: a negative axis is turned round on the page.
        """
        return np.asarray(
            trajectory.world_from_camera[:, ['xyz'.index(axis[-1]) for axis in (self.right, self.up)], 3].T
        )


# By the axis that points up: a camera's y points down, that of a robot's world up (REP-103). From the side means from
# the right of who looks along the first level axis, or along z where a camera looks.
_VIEWS = {
    '-y': (('x', 'z'), ('z', '-y')),
    'z': (('x', 'y'), ('x', 'z')),
    'y': (('x', '-z'), ('-z', 'y')),
    '-z': (('y', 'x'), ('x', '-z')),
    'x': (('y', 'z'), ('y', 'x')),
    '-x': (('z', 'y'), ('z', '-x')),
}


def views_of(shown: Trajectory) -> tuple[View, View]:
    """
    The views from above and from the side of a world whose up is where the columns of the images start from.
    """
    down = shown.world_from_camera[:, :3, 1].sum(axis=0)
    axis = int(np.argmax(np.abs(down)))
    above, beside = _VIEWS[('-' if down[axis] >= 0 else '') + 'xyz'[axis]]
    return View('seen from above', *above), View('seen from the side', *beside)


def draw_run(score: RunScore, title: str, path: Path) -> None:
    """
    Write the picture of a run as PNG: the estimate over the ground truth, and how the tracking went. Without a score
    the estimate stands alone, in its own unit.

    :raises BackendError: if matplotlib is not installed.
    :raises DataError: if the file cannot be written.
    """
    figure = new_figure(10.0, 7.5, dpi=110)
    grid = figure.add_gridspec(2, 2, height_ratios=(3.0, 1.4))
    top, side = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    truth, estimate = (None, score.path) if score.whole is None else (score.whole.truth, score.whole.aligned)
    unit = _unit(truth is not None or score.is_metric)
    _draw_views((top, side), truth, {'estimate': (estimate, _ESTIMATE)}, unit)
    top.legend(loc='best', fontsize=9, framealpha=0.9)
    _draw_tracking(figure.add_subplot(grid[1, :]), score.frames)
    if score.whole is not None:
        title += (
            f'\nATE {score.whole.ate.rms:.3f} m rms over {score.whole.path_length:.1f} m '
            f'after {score.whole.alignment.value} alignment'
        )
    figure.suptitle(title, fontsize=11)
    tidy(figure)
    save_figure(figure, path)


def trajectory_picture(truth: Trajectory | None, estimates: Mapping[str, Trajectory], is_metric: bool = False) -> bytes:
    """
    PNG of the paths from above and from the side, along axes of the world of the truth.

    :param truth: None: the estimates stand alone, in the unit of the first one, which they are aligned to.
    :param is_metric: whether that unit is the metre.
    :raises BackendError: if matplotlib is not installed.
    """
    with chart(9.6, 4.6) as (figure, data):
        top, side = figure.subplots(1, 2)
        looks = method_looks(estimates)
        paths = {method: (estimate, looks[method]) for method, estimate in estimates.items()}
        _draw_views((top, side), truth, paths, _unit(truth is not None or is_metric))
        share_legend(figure, top)
    return data.getvalue()


def _unit(is_metric: bool) -> str:
    return 'm' if is_metric else 'unit of the first step'


def _draw_views(
    fields: tuple[Any, Any], truth: Trajectory | None, paths: Mapping[str, tuple[Trajectory, Look]], unit: str
) -> None:
    shown = truth if truth is not None else next(iter(paths.values()))[0]
    for axes, view in zip(fields, views_of(shown), strict=True):
        if truth is not None:
            axes.plot(*view.points(truth), color=_TRUTH, linewidth=4, alpha=0.7, label='ground truth')
        for method, (estimate, look) in paths.items():
            axes.plot(*view.points(estimate), linewidth=1.5, label=method, **look.line)
        axes.plot(*view.points(shown)[:, :1], 'o', color='black', markersize=6, label='start')
        axes.set_title(view.name, fontsize=10)
        axes.set_xlabel(f'{view.right[-1]} ({unit})')
        axes.set_ylabel(f'{view.up[-1]} ({unit})')
        axes.set_aspect('equal', adjustable='datalim')
        axes.xaxis.set_inverted(view.right.startswith('-'))
        axes.yaxis.set_inverted(view.up.startswith('-'))


def error_picture(scores: Scores) -> bytes:
    """
    PNG of the errors over time: distance to the true place, rotation and direction of each pair; below which images
    were LOST, if any were.

    :raises BackendError: if matplotlib is not installed.
    """
    start = min(score.frames[0].stamp_ns for score in scores.values())
    lost = {method: _lost_seconds(score, start) for method, score in scores.items()}
    heights = [2.0, 2.0, 2.0] + [0.15 * len(scores) + 0.1] * any(map(len, lost.values()))
    with chart(9.6, 1.05 * sum(heights)) as (figure, data):
        fields = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
        place, rotation, direction = fields[:3]
        for method, look in method_looks(scores).items():
            score = scores[method]
            if score.whole is not None:
                seconds = (score.whole.aligned.stamps_ns - start) * 1e-9
                apart = score.whole.aligned.world_from_camera[:, :3, 3] - score.whole.truth.world_from_camera[:, :3, 3]
                place.plot(seconds, np.linalg.norm(apart, axis=1), linewidth=1.4, label=method, **look.line)
            seconds = np.array([error.stamp_ns - start for error in score.errors]) * 1e-9
            for axes, name in ((rotation, 'rotation_deg'), (direction, 'direction_deg')):
                degrees = np.array([getattr(error, name) for error in score.errors], np.float64)
                axes.plot(seconds, np.maximum(degrees, _LEAST_DEG), linewidth=1.1, label=method, **look.line)
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
        share_legend(figure, rotation)
    return data.getvalue()


def curve_picture(scores: Scores, limit_deg: float = 10.0) -> bytes:
    """
    PNG of the pose curves: the share of pairs whose error is not larger than a limit.

    :raises BackendError: if matplotlib is not installed.
    """
    limits = np.linspace(0.0, limit_deg, 400)
    with chart(4.6, 3.6) as (figure, data):
        axes = figure.subplots()
        for method, look in method_looks(scores).items():
            axes.plot(limits, 100 * scores[method].curve.recall(limits), linewidth=1.6, label=method, **look.line)
        axes.axvline(5.0, color=_TRUTH, linewidth=0.8)
        axes.set_xlim(0, limit_deg)
        axes.set_ylim(0, 101)
        axes.set_xlabel('error of the pose up to (°)')
        axes.set_ylabel('pairs (%)')
        axes.legend(loc='best', fontsize=9)
    return data.getvalue()


def _lost_seconds(score: RunScore, start: int) -> Array:
    return np.array([(f.stamp_ns - start) * 1e-9 for f in score.frames if f.state is TrackingState.LOST], np.float64)


def _draw_lost(axes: Any, lost: Mapping[str, Array]) -> None:
    """
    A mark for each LOST image, each method in a row of its own.
    """
    for row, (method, look) in enumerate(method_looks(lost).items()):
        axes.plot(lost[method], np.full(len(lost[method]), row), '|', color=look.color, markersize=8)
    axes.set_ylim(len(lost) - 0.5, -0.5)
    axes.set_yticks([])
    axes.set_ylabel('lost')


def _draw_tracking(axes: Any, frames: Sequence[FrameRecord]) -> None:
    """
    Matches and inliers over time, with the state of each frame as a band below.
    """
    if not frames:
        return
    seconds = np.array([(frame.stamp_ns - frames[0].stamp_ns) * 1e-9 for frame in frames])
    matches = [0 if frame.pose is None else frame.pose.match_count for frame in frames]
    inliers = [0 if frame.pose is None else frame.pose.inlier_count for frame in frames]
    axes.plot(seconds, matches, color=_TRUTH, linewidth=1.2, label='matches')
    axes.plot(seconds, inliers, color=COLOURS[0], linewidth=1.4, label='inliers')
    band = -0.06 * max(*matches, 1)
    for state, colour in _STATE_COLOURS.items():
        rows = np.array([frame.state is state for frame in frames])
        if rows.any():
            label = f'{state.name} ({rows.sum()})'
            axes.scatter(seconds[rows], np.full(rows.sum(), band), s=14, marker='s', color=colour, label=label)
    axes.set_xlabel('time (s)')
    axes.set_ylabel('pairs of keypoints')
    axes.margins(x=0.01)
    axes.legend(loc='center left', bbox_to_anchor=(1.0, 0.5), fontsize=9, frameon=False)
