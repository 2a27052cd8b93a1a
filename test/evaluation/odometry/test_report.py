# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import TrackingState
from kp2d_ros.core.trajectories import Trajectory, format_tum, read_tum
from kp2d_ros.evaluation.odometry.report import RunInfo, format_summary, make_report, report_as_dict, write_report
from kp2d_ros.metrics.frame_record import FrameRecord

MakeFrames = Callable[..., list[FrameRecord]]
INFO = RunInfo('made up', 'sift', 'opencv', 'cpu', {'matching.ratio': 0.8})


def test_run_json_says_what_happened(truth: Trajectory, make_frames: MakeFrames, tmp_path: Path) -> None:
    frames = make_frames(truth, states={4: TrackingState.LOST}, segments={5: 1})
    write_report(make_report(INFO, frames, None), tmp_path / 'out')
    run = json.loads((tmp_path / 'out' / 'run.json').read_text())
    assert run['frames'] == 12
    assert run['states'] == {'INITIALISING': 1, 'OK': 10, 'LOST': 1}
    assert run['counts']['matches']['median'] == 200
    assert run['stage_ms']['inference']['median'] == 15.5
    assert {'median', 'p90', 'p99'} <= set(run['stage_ms']['total'])
    assert run['scale_segments'][1] == {'number': 1, 'first_seq': 5, 'last_seq': 11, 'frames': 7}
    assert run['settings'] == {'matching.ratio': 0.8}
    assert len(run['per_frame']) == 12
    assert run['per_frame'][0]['matches'] == 0
    assert (run['per_frame'][4]['state'], run['per_frame'][4]['inliers']) == ('LOST', 150)
    assert run['scores']['note'] == 'the source has no ground truth'


def test_the_written_trajectory_is_the_chained_one(truth: Trajectory, make_frames: MakeFrames, tmp_path: Path) -> None:
    report = make_report(INFO, make_frames(truth), None)
    write_report(report, tmp_path)
    assert (tmp_path / 'trajectory.txt').read_text() == format_tum(report.trajectory)
    assert read_tum(tmp_path / 'trajectory.txt').stamps_ns.tolist() == truth.stamps_ns.tolist()


def test_ground_truth_gives_scores_of_the_whole_and_of_the_longest_segment(
    truth: Trajectory, make_frames: MakeFrames
) -> None:
    pytest.importorskip('evo', reason='evo is not installed (extra: evaluation)')
    frames = make_frames(truth, unit=0.5)
    for row in range(8, 12):  # a new scale segment in another unit
        pose = frames[row].pose
        assert pose is not None
        motion = pose.reference_from_current.copy()
        motion[:3, 3] *= 6
        frames[row] = replace(frames[row], scale_segment=1, pose=replace(pose, reference_from_current=motion))
    scores = report_as_dict(make_report(INFO, frames, truth))['scores']
    assert scores['longest_segment']['ate']['maximum'] == pytest.approx(0, abs=1e-6)
    assert scores['longest_segment']['scale'] == pytest.approx(2.0)
    assert scores['trajectory']['ate']['rms'] > 0.1
    assert scores['pairs']['direction_deg']['maximum'] == pytest.approx(0, abs=1e-4)


def test_a_run_that_never_moves_says_why_it_has_no_score(truth: Trajectory, make_frames: MakeFrames) -> None:
    pytest.importorskip('evo', reason='evo is not installed (extra: evaluation)')
    still = dict.fromkeys(range(1, 12), TrackingState.STATIONARY)
    report = make_report(INFO, make_frames(truth, states=still), truth)
    assert report.whole is None
    assert 'cannot be aligned' in report.note
    assert 'cannot be aligned' in format_summary(report)


def test_without_evo_the_report_names_the_extra(
    truth: Trajectory, make_frames: MakeFrames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, 'kp2d_ros.metrics.trajectory', raising=False)
    monkeypatch.setitem(sys.modules, 'evo', None)  # as if it were not installed
    report = make_report(INFO, make_frames(truth), truth)
    assert report.whole is None and report.pairs.rotation_deg is not None
    assert "pip install 'kp2d_ros[evaluation]'" in report.note


def test_a_run_without_frames_is_written_and_told(tmp_path: Path) -> None:
    report = make_report(INFO, [], None)
    write_report(report, tmp_path)
    assert json.loads((tmp_path / 'run.json').read_text())['frames'] == 0
    assert (tmp_path / 'trajectory.txt').read_text().startswith('#')
    assert 'no frame has a pose' in format_summary(report)


def test_the_summary_names_states_times_and_segments(truth: Trajectory, make_frames: MakeFrames) -> None:
    text = format_summary(make_report(INFO, make_frames(truth, segments={6: 1}), None))
    for expected in ('12 frames with sift (cpu)', '11 OK', 'inference 15.5', '2 scale segments', 'no ground truth'):
        assert expected in text


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    with pytest.raises(DataError, match='cannot be written'):
        write_report(make_report(INFO, [], None), tmp_path / 'file' / 'out')
