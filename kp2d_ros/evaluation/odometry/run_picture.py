# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A run as a picture: the estimate over the ground truth from above and from the side, and how the tracking went.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.records import TrackingState
from kp2d_ros.drawing.figure import new_figure, save_figure
from kp2d_ros.evaluation.odometry.report import RunReport
from kp2d_ros.metrics.frame_record import FrameRecord

_TRUTH, _ESTIMATE = '#9a9a9a', '#0b6fb8'
_STATE_COLOURS = {
    TrackingState.INITIALISING: '#b9b9b9',
    TrackingState.OK: '#2f9e44',
    TrackingState.DEGRADED: '#f0a30a',
    TrackingState.LOST: '#d62828',
    TrackingState.STATIONARY: '#5f7fbf',
}


def draw_run(report: RunReport, path: Path) -> None:
    """
    Write the picture of a run as PNG; without a score the estimate stands alone, in its own unit.

    :raises BackendError: if matplotlib is not installed.
    :raises DataError: if the file cannot be written.
    """
    figure = new_figure(10.0, 7.5, dpi=110)
    grid = figure.add_gridspec(2, 2, height_ratios=(3.0, 1.4))
    _draw_views(figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1]), report)
    _draw_tracking(figure.add_subplot(grid[1, :]), report.frames)
    figure.suptitle(_title(report), fontsize=11)
    save_figure(figure, path)


def _title(report: RunReport) -> str:
    title = f'{report.info.source}: {report.info.model_id}, {len(report.frames)} frames'
    if report.whole is None:
        return title
    return (
        f'{title}\nATE {report.whole.ate.rms:.3f} m rms over {report.whole.path_length:.1f} m '
        f'after {report.whole.alignment.value} alignment'
    )


def _draw_views(top: Any, side: Any, report: RunReport) -> None:
    """
    Two views along axes of the world; up is the axis that the camera's image columns follow most.
    """
    score = report.whole
    shown = report.trajectory if score is None else score.aligned
    estimate = shown.world_from_camera[:, :3, 3]
    truth = estimate if score is None else score.truth.world_from_camera[:, :3, 3]
    down = shown.world_from_camera[:, :3, 1].sum(axis=0)
    up = int(np.argmax(np.abs(down)))
    level = [axis for axis in range(3) if axis != up]
    along, across = sorted(level, key=lambda axis: -np.ptp(truth[:, axis])) if len(truth) else level
    unit = 'unit of the first step' if score is None else 'm'
    for axes, name, (first, second) in ((top, 'seen from above', (along, across)), (side, 'side view', (along, up))):
        if score is not None:
            axes.plot(truth[:, first], truth[:, second], color=_TRUTH, linewidth=4, label='ground truth')
        axes.plot(estimate[:, first], estimate[:, second], color=_ESTIMATE, linewidth=1.4, label='estimate')
        _mark_ends(axes, estimate[:, [first, second]])
        axes.set_title(name, fontsize=10)
        axes.set_xlabel(f'{"xyz"[first]} ({unit})')
        axes.set_ylabel(f'{"xyz"[second]} ({unit})')
        axes.set_aspect('equal', adjustable='datalim')
        axes.grid(color='#e6e6e6')
        axes.set_axisbelow(True)
    if down[up] > 0:  # the axis points down, as y does in a camera
        side.invert_yaxis()
    top.legend(loc='best', fontsize=9, framealpha=0.9)


def _mark_ends(axes: Any, xy: npt.NDArray[np.float64]) -> None:
    if len(xy):
        axes.plot(*xy[0], 'o', color=_ESTIMATE, markersize=7, markerfacecolor='white', label='start')
        axes.plot(*xy[-1], 's', color=_ESTIMATE, markersize=6, label='end')


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
    axes.plot(seconds, inliers, color=_ESTIMATE, linewidth=1.4, label='inliers')
    band = -0.06 * max(*matches, 1)
    for state, colour in _STATE_COLOURS.items():
        rows = np.array([frame.state is state for frame in frames])
        if rows.any():
            label = f'{state.name} ({rows.sum()})'
            axes.scatter(seconds[rows], np.full(rows.sum(), band), s=14, marker='s', color=colour, label=label)
    axes.set_xlabel('time (s)')
    axes.set_ylabel('pairs of keypoints')
    axes.margins(x=0.01)
    axes.grid(color='#e6e6e6')
    axes.legend(loc='center left', bbox_to_anchor=(1.0, 0.5), fontsize=9, frameon=False)
