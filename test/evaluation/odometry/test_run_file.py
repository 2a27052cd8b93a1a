# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import ScaleKind, TrackingState
from kp2d_ros.core.trajectories import Trajectory, format_tum, read_tum
from kp2d_ros.evaluation.odometry.run_file import (
    Recording,
    RunInfo,
    format_summary,
    read_recording,
    read_run,
    run_values,
    write_recording,
    write_run,
)
from kp2d_ros.metrics.frame_record import FrameRecord, chain_poses
from kp2d_ros.metrics.run_score import score_run

MakeFrames = Callable[..., list[FrameRecord]]
INFO = RunInfo('made up', 'sift', 'opencv', 'cpu', {'matching.ratio': 0.8})


def test_a_run_comes_back_as_it_was(truth: Trajectory, make_frames: MakeFrames, tmp_path: Path) -> None:
    states = {4: TrackingState.LOST, 7: TrackingState.DEGRADED}
    frames = make_frames(truth, unit=0.3, states=states, segments={6: 1})
    write_run(tmp_path / 'deep' / 'run', INFO, score_run(frames, truth), {'fingerprint': 'abc', 'frames': 0})
    stored = read_run(tmp_path / 'deep' / 'run' / 'run.json')
    assert (stored.values['fingerprint'], stored.values['frames']) == ('abc', 12)  # the run's own values win
    assert [f.state for f in stored.frames] == [f.state for f in frames]
    assert [f.stage_ms for f in stored.frames] == [f.stage_ms for f in frames]
    for old, new in zip(frames[1:], stored.frames[1:], strict=True):
        assert old.pose is not None and new.pose is not None
        assert new.pose.reference_stamp_ns == old.pose.reference_stamp_ns
        assert (new.pose.match_count, new.pose.inlier_count) == (200, 150)
        np.testing.assert_allclose(new.pose.reference_from_current, old.pose.reference_from_current, atol=1e-14)
    before, after = chain_poses(frames), chain_poses(stored.frames)
    np.testing.assert_array_equal(after.stamps_ns, before.stamps_ns)
    np.testing.assert_allclose(after.world_from_camera, before.world_from_camera, atol=1e-12)
    assert stored.frames[0].pose is None


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    for text in ('{', '{"per_frame": [{"seq": 1}]}', '[]'):
        (tmp_path / 'run.json').write_text(text)
        with pytest.raises(DataError, match='cannot be read as a run'):
            read_run(tmp_path / 'run.json')


def test_run_json_says_what_happened(truth: Trajectory, make_frames: MakeFrames, tmp_path: Path) -> None:
    frames = make_frames(truth, states={4: TrackingState.LOST}, segments={5: 1})
    write_run(tmp_path / 'out', INFO, score_run(frames, None))
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
    score = score_run(make_frames(truth), None)
    write_run(tmp_path, INFO, score)
    assert (tmp_path / 'trajectory.txt').read_text() == format_tum(score.path)
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
    scores = run_values(INFO, score_run(frames, truth))['scores']
    assert scores['longest_segment']['ate']['maximum'] == pytest.approx(0, abs=1e-6)
    assert scores['longest_segment']['scale'] == pytest.approx(2.0)
    assert scores['trajectory']['ate']['rms'] > 0.1
    assert scores['pairs']['direction_deg']['maximum'] == pytest.approx(0, abs=1e-4)


def test_a_run_in_metres_is_scored_without_a_fit_of_its_scale(truth: Trajectory, make_frames: MakeFrames) -> None:
    pytest.importorskip('evo', reason='evo is not installed (extra: evaluation)')
    frames = [
        replace(frame, pose=frame.pose and replace(frame.pose, scale=ScaleKind.METRIC))
        for frame in make_frames(truth, unit=0.98)
    ]
    info = replace(INFO, settings={'sensor': 'stereo'})
    score = score_run(frames, truth)
    values = run_values(info, score)['scores']['trajectory']
    assert values['alignment'] == 'se3'
    assert values['scale_error_percent'] == pytest.approx(-2.0, abs=1e-4)
    text = format_summary(info, score)
    assert '12 poses in metres (stereo)' in text
    assert 'scale       -2.00 %: the path is too short' in text
    assert 'scale  ' not in format_summary(INFO, score_run(make_frames(truth), truth))


def test_a_run_that_never_moves_says_why_it_has_no_score(truth: Trajectory, make_frames: MakeFrames) -> None:
    pytest.importorskip('evo', reason='evo is not installed (extra: evaluation)')
    still = dict.fromkeys(range(1, 12), TrackingState.STATIONARY)
    score = score_run(make_frames(truth, states=still), truth)
    assert score.whole is None
    assert 'cannot be aligned' in score.note
    assert 'cannot be aligned' in format_summary(INFO, score)


def test_without_evo_the_report_names_what_to_install(
    truth: Trajectory, make_frames: MakeFrames, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition('.')[0] == 'evo']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'evo', None)  # as if it were not installed
    score = score_run(make_frames(truth), truth)
    assert score.whole is None and score.pairs.rotation_deg is not None
    assert score.note.startswith('scores of a path: needs the Python package evo, which is not installed; try: pip')


def test_a_run_without_frames_is_written_and_told(tmp_path: Path) -> None:
    score = score_run([], None)
    write_run(tmp_path, INFO, score)
    assert json.loads((tmp_path / 'run.json').read_text())['frames'] == 0
    assert (tmp_path / 'trajectory.txt').read_text().startswith('#')
    assert 'no frame has a pose' in format_summary(INFO, score)


def test_the_summary_names_states_times_and_segments(truth: Trajectory, make_frames: MakeFrames) -> None:
    text = format_summary(INFO, score_run(make_frames(truth, segments={6: 1}), None))
    for expected in ('12 frames with sift (cpu)', '11 OK', 'inference 15.5', '2 scale segments', 'no ground truth'):
        assert expected in text


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    with pytest.raises(DataError, match='cannot be written'):
        write_run(tmp_path / 'file' / 'out', INFO, score_run([], None))


def recording_of(frames: list[FrameRecord], odometry: Trajectory) -> Recording:
    return Recording('sift', 'opencv', 'cpu', 13, 12, 1, {'keypoints': 12, 'status': 11}, frames, odometry)


def test_a_recording_comes_back_as_it_was(truth: Trajectory, make_frames: MakeFrames, tmp_path: Path) -> None:
    frames = make_frames(truth, states={3: TrackingState.LOST}, segments={3: 1})
    written = recording_of(frames, truth)
    write_recording(written, tmp_path / 'recording.json')
    found = read_recording(tmp_path / 'recording.json')
    assert replace(found, frames=[], odometry=truth) == replace(written, frames=[], odometry=truth)
    np.testing.assert_allclose(found.odometry.world_from_camera, truth.world_from_camera, atol=1e-14)
    np.testing.assert_array_equal(found.odometry.stamps_ns, truth.stamps_ns)
    assert len(found.frames) == len(frames)
    for one, other in zip(found.frames, frames, strict=True):
        assert replace(one, pose=None) == replace(other, pose=None)
        assert (one.pose is None) == (other.pose is None)
        if one.pose is not None and other.pose is not None:
            motion = other.pose.reference_from_current
            np.testing.assert_allclose(one.pose.reference_from_current, motion, atol=1e-14)
            for name in ('reference_seq', 'reference_stamp_ns', 'state', 'scale', 'model', 'inlier_count', 'reason'):
                assert getattr(one.pose, name) == getattr(other.pose, name)


def test_an_empty_recording_comes_back_empty(tmp_path: Path) -> None:
    nothing = Trajectory(np.empty(0, np.int64), np.empty((0, 4, 4)))
    write_recording(recording_of([], nothing), tmp_path / 'recording.json')
    found = read_recording(tmp_path / 'recording.json')
    assert len(found.frames) == 0 and len(found.odometry) == 0


@pytest.mark.parametrize('text', ['', '[]', '{"odometry": {}}', '{"model_id": "sift"'])
def test_what_is_no_recording_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / 'recording.json').write_text(text)
    with pytest.raises(DataError, match='cannot be read as a recording'):
        read_recording(tmp_path / 'recording.json')
