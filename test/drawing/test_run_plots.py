# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kp2d_ros.core.errors import BackendError
from kp2d_ros.core.records import ScaleKind, TrackingState
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.drawing import figure, run_plots
from kp2d_ros.drawing.run_plots import draw_run
from kp2d_ros.metrics.frame_record import FrameRecord
from kp2d_ros.metrics.run_score import score_run


@pytest.mark.parametrize('with_truth', [True, False])
def test_a_run_becomes_a_picture(
    truth: Trajectory, make_frames: Callable[..., list[FrameRecord]], tmp_path: Path, with_truth: bool
) -> None:
    pytest.importorskip('matplotlib', reason='matplotlib is not installed (extra: evaluation)')
    frames = make_frames(truth, states={3: TrackingState.LOST})
    draw_run(score_run(frames, truth if with_truth else None), 'made up', tmp_path / 'run.png')
    picture = cv2.imread(str(tmp_path / 'run.png'))
    assert picture is not None and picture.shape[0] > 500
    blue = (picture[..., 0] > 150) & (picture[..., 2] < 60)  # the estimate's colour, in BGR
    assert blue.sum() > 500


@pytest.mark.parametrize(
    ('scale', 'unit'), [(ScaleKind.METRIC, '(m)'), (ScaleKind.CHAINED, '(unit of the first step)')]
)
def test_without_truth_the_axes_have_the_unit_of_the_run(
    truth: Trajectory,
    make_frames: Callable[..., list[FrameRecord]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scale: ScaleKind,
    unit: str,
) -> None:
    axes = pytest.importorskip('matplotlib.axes', reason='matplotlib is not installed (extra: evaluation)')
    labels: list[str] = []
    monkeypatch.setattr(axes.Axes, 'set_ylabel', lambda self, label, **how: labels.append(label))
    frames = [replace(frame, pose=frame.pose and replace(frame.pose, scale=scale)) for frame in make_frames(truth)]
    draw_run(score_run(frames, None), 'made up', tmp_path / 'run.png')
    assert len([label for label in labels if unit in label]) == 2


def test_an_empty_run_becomes_a_picture_too(tmp_path: Path) -> None:
    pytest.importorskip('matplotlib', reason='matplotlib is not installed (extra: evaluation)')
    draw_run(score_run([], None), 'made up', tmp_path / 'run.png')
    assert (tmp_path / 'run.png').stat().st_size > 1000


def test_without_matplotlib_one_sentence_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('matplotlib', 'matplotlib.figure', 'matplotlib.backends.backend_agg'):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BackendError, match=r'pip install .*matplotlib'):
        draw_run(score_run([], None), 'made up', tmp_path / 'run.png')


# The way right and the way up of a camera that looks level along the first axis, by the world's axis that points up.
WORLDS = {
    '-y': ([1, 0, 0], [0, -1, 0]),  # a camera: x right, y down, z forward
    'z': ([0, -1, 0], [0, 0, 1]),  # a robot: x forward, y left, z up
    'y': ([1, 0, 0], [0, 1, 0]),
    '-z': ([0, 1, 0], [0, 0, -1]),  # north, east, down
    'x': ([0, 1, 0], [1, 0, 0]),
    '-x': ([0, 0, 1], [-1, 0, 0]),
}


def right_turn(up_axis: str, extent: float = 10.0) -> Trajectory:
    """
    A camera that drives forward, then turns right and drives on, a little uphill.
    """
    right, up = (np.array(direction, np.float64) for direction in WORLDS[up_axis])
    ahead = np.cross(up, right)
    ways = [(0.0, k) for k in range(6)] + [(k, 5.0 + 0.1 * k) for k in range(1, 6)]
    poses = np.tile(np.eye(4), (len(ways), 1, 1))
    for row, (sideways, forward) in enumerate(ways):
        poses[row, :3, :3] = np.stack([right, -up, ahead], axis=1)
        poses[row, :3, 3] = extent * sideways * right + forward * ahead + 0.05 * forward * up
    return Trajectory(np.arange(len(ways), dtype=np.int64), poses)


def drawn_path(axes: Any) -> np.ndarray:
    """
    The path on the page (T, 2), x to the right and y up.
    """
    return np.asarray(axes.transData.transform(axes.lines[0].get_xydata()))


@pytest.mark.parametrize('extent', [0.2, 1.0, 10.0])
@pytest.mark.parametrize('up_axis', WORLDS)
def test_a_right_turn_turns_right_seen_from_above_whatever_the_extent(
    up_axis: str, extent: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip('matplotlib', reason='matplotlib is not installed (extra: evaluation)')
    drawn: list[Any] = []
    monkeypatch.setattr(figure, 'tidy', drawn.append)
    run_plots.trajectory_picture(None, {'a': right_turn(up_axis, extent)})
    top, side = drawn[0].axes
    path = drawn_path(top)
    first, last = path[5] - path[0], path[-1] - path[5]
    assert first[0] * last[1] - first[1] * last[0] < 0  # clockwise
    assert drawn_path(side)[5, 1] > drawn_path(side)[0, 1]  # uphill is up
    assert (top.get_title(), side.get_title()) == ('seen from above', 'seen from the side')


def test_a_camera_is_seen_from_above_with_forward_up_and_right_to_the_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip('matplotlib', reason='matplotlib is not installed (extra: evaluation)')
    drawn: list[Any] = []
    monkeypatch.setattr(figure, 'tidy', drawn.append)
    run_plots.trajectory_picture(right_turn('-y', 0.1), {'a': right_turn('-y', 3.0)})
    top, side = drawn[0].axes
    assert (top.get_xlabel(), top.get_ylabel()) == ('x (m)', 'z (m)')
    assert (side.get_xlabel(), side.get_ylabel()) == ('z (m)', 'y (m)')
    path = drawn_path(top)
    assert path[5, 1] > path[0, 1] and path[-1, 0] > path[5, 0]
