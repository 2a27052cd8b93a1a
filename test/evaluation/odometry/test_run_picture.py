# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from kp2d_ros.core.errors import BackendError
from kp2d_ros.core.records import TrackingState
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.evaluation.odometry.report import RunInfo, make_report
from kp2d_ros.evaluation.odometry.run_picture import draw_run
from kp2d_ros.metrics.frame_record import FrameRecord

INFO = RunInfo('made up', 'sift', 'opencv', 'cpu', {})


@pytest.mark.parametrize('with_truth', [True, False])
def test_a_run_becomes_a_picture(
    truth: Trajectory, make_frames: Callable[..., list[FrameRecord]], tmp_path: Path, with_truth: bool
) -> None:
    pytest.importorskip('matplotlib', reason='matplotlib is not installed (extra: evaluation)')
    frames = make_frames(truth, states={3: TrackingState.LOST})
    draw_run(make_report(INFO, frames, truth if with_truth else None), tmp_path / 'run.png')
    picture = cv2.imread(str(tmp_path / 'run.png'))
    assert picture is not None and picture.shape[0] > 500
    blue = (picture[..., 0] > 150) & (picture[..., 2] < 60)  # the estimate's colour, in BGR
    assert blue.sum() > 500


def test_an_empty_run_becomes_a_picture_too(tmp_path: Path) -> None:
    pytest.importorskip('matplotlib', reason='matplotlib is not installed (extra: evaluation)')
    draw_run(make_report(INFO, [], None), tmp_path / 'run.png')
    assert (tmp_path / 'run.png').stat().st_size > 1000


def test_without_matplotlib_one_sentence_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('matplotlib', 'matplotlib.figure', 'matplotlib.backends.backend_agg'):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BackendError, match=r"pip install 'kp2d_ros\[evaluation\]'"):
        draw_run(make_report(INFO, [], None), tmp_path / 'run.png')
