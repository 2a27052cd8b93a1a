# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What was run once is not run again, unless something that it was made from has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Frame, FrontendResult, Keypoints, Matches, TrackingState
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.evaluation.odometry.run import Contender, replay_offline, run_or_read, run_sequence
from kp2d_ros.evaluation.odometry.run_file import RunInfo, read_run
from kp2d_ros.evaluation.odometry.subject import Subject
from kp2d_ros.metrics.frame_record import FrameRecord


class Images:
    """
    Gray images at the times of a trajectory; one of them may be broken.
    """

    name = 'walk'
    camera = None

    def __init__(self, truth: Trajectory, broken: int = -1) -> None:
        self.ground_truth = truth
        self._broken = broken

    def __len__(self) -> int:
        return len(self.ground_truth)

    def __iter__(self) -> Iterator[Frame]:
        for seq, stamp_ns in enumerate(self.ground_truth.stamps_ns.tolist()):
            if seq == self._broken:
                raise DataError(f'image {seq} is broken')
            yield Frame(seq, stamp_ns, np.full((48, 64), 90, np.uint8))


class Player:
    """
    A frontend that gives the poses of some records.
    """

    def __init__(self, records: list[FrameRecord]) -> None:
        self._records = records

    def process(self, frame: Frame) -> FrontendResult:
        record = self._records[frame.seq]
        xy = np.array([[10.0, 10.0], [20.0, 30.0]], np.float32)
        return FrontendResult(
            seq=frame.seq,
            stamp_ns=frame.stamp_ns,
            keypoints=Keypoints(xy, np.ones(2, np.float32), np.zeros((2, 4), np.float32)),
            bearing_xy=None,
            track_ids=np.array([0, 1], np.uint32),
            track_ages=np.full(2, frame.seq, np.uint16),
            matches=Matches(np.arange(2), np.arange(2), np.ones(2, np.float32)),
            reference_xy=xy,
            current_xy=xy + 1,
            inlier=np.array([True, False]),
            inlier_probability=None,
            pose=record.pose,
            state=record.state,
            world_from_camera=np.eye(4),
            scale_segment=record.scale_segment,
            stage_ms=record.stage_ms,
        )


@pytest.fixture
def subject(truth: Trajectory) -> Subject:
    return Subject('walk', 'walk.bag', Images(truth), 12, truth, '', {'files': 'abc'})


@pytest.fixture
def contender(truth: Trajectory, make_frames: Callable[..., list[FrameRecord]]) -> Contender:
    records = make_frames(truth, states={5: TrackingState.LOST})
    info = RunInfo('', 'player', 'none', 'cpu', {'matching.ratio': 0.8})
    return Contender('player', 1, 'player', info, {'code': 'x'}, lambda: Player(records))


def run(subject: Subject, contender: Contender, folder: Path) -> tuple[int, bool]:
    """
    How many images were processed, and whether the run was there already.
    """
    seen: list[int] = []
    stored, was_there = run_or_read(subject, contender, folder, lambda frame, result: seen.append(frame.seq))
    assert len(stored.frames) == subject.count
    return len(seen), was_there


def test_every_frame_is_recorded_in_order(subject: Subject, contender: Contender) -> None:
    records = list(run_sequence(subject.sequence, contender.start()))
    assert [(r.seq, r.stamp_ns, r.keypoint_count) for r in records] == [
        (k, stamp, 2) for k, stamp in enumerate(subject.sequence.ground_truth.stamps_ns.tolist())
    ]


def test_reading_and_processing_are_timed_beside_the_stages_of_the_result(
    subject: Subject, contender: Contender
) -> None:
    record = next(run_sequence(subject.sequence, contender.start()))
    assert set(record.stage_ms) == {'inference', 'read', 'total'}
    assert record.stage_ms['inference'] == 10.0
    assert record.stage_ms['total'] >= 0 and record.stage_ms['read'] >= 0


def test_the_observer_sees_each_frame_with_its_result(subject: Subject, contender: Contender) -> None:
    seen: list[tuple[int, int]] = []
    frames = islice(subject.sequence, 3)
    list(run_sequence(frames, contender.start(), lambda frame, result: seen.append((frame.seq, result.seq))))
    assert seen == [(0, 0), (1, 1), (2, 2)]


def test_an_empty_sequence_gives_no_records(contender: Contender) -> None:
    assert list(run_sequence([], contender.start())) == []


def test_what_was_done_before_a_broken_image_is_kept(truth: Trajectory, contender: Contender, tmp_path: Path) -> None:
    with pytest.raises(DataError, match='image 6 is broken'):
        replay_offline(Images(truth, broken=6), contender.start(), contender.info, tmp_path)
    stored = read_run(tmp_path / 'run.json')
    assert (len(stored.frames), stored.values['ended_early']) == (6, 'image 6 is broken')
    assert len((tmp_path / 'trajectory.txt').read_text().splitlines()) == 7


def test_what_was_done_before_an_interruption_is_kept_and_told(
    truth: Trajectory, contender: Contender, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupt(frame: Frame, result: FrontendResult) -> None:
        if frame.seq == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay_offline(Images(truth), contender.start(), contender.info, tmp_path, observe=interrupt)
    assert 'written as far as it came: 4 images (interrupted)' in caplog.text
    stored = read_run(tmp_path / 'run.json')
    assert (len(stored.frames), stored.values['ended_early']) == (4, 'interrupted')
    assert stored.values['scores']['trajectory']['poses'] == 4


def test_a_run_that_is_interrupted_before_it_has_a_frame_writes_nothing(
    truth: Trajectory, contender: Contender, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match='image 0 is broken'):
        replay_offline(Images(truth, broken=0), contender.start(), contender.info, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_a_run_leaves_files_that_the_next_one_reads(subject: Subject, contender: Contender, tmp_path: Path) -> None:
    assert run(subject, contender, tmp_path / 'run') == (12, False)
    before = (tmp_path / 'run' / 'run.json').read_bytes()
    assert run(subject, contender, tmp_path / 'run') == (0, True)
    assert (tmp_path / 'run' / 'run.json').read_bytes() == before
    assert len((tmp_path / 'run' / 'trajectory.txt').read_text().splitlines()) == 13


def test_it_keeps_tracks_and_the_telling_pairs(subject: Subject, contender: Contender, tmp_path: Path) -> None:
    stored, _ = run_or_read(subject, contender, tmp_path, lambda frame, result: None)
    assert stored.values['source'] == 'walk'
    assert stored.values['track_frames']['maximum'] == 12.0
    worst, other, best = stored.values['pictures']
    assert (worst['kind'], worst['seq'], worst['state']) == ('worst', 5, 'LOST')
    assert (other['kind'], best['kind']) == ('worst', 'best')
    assert abs(other['seq'] - 5) >= 5  # neighbours look alike
    assert all((tmp_path / picture['file']).stat().st_size > 500 for picture in (worst, other, best))


@pytest.mark.parametrize('what', ['data', 'method', 'images'])
def test_what_changed_is_run_again(what: str, subject: Subject, contender: Contender, tmp_path: Path) -> None:
    run(subject, contender, tmp_path)
    if what == 'data':
        subject = replace(subject, facts={'files': 'abd'})
    elif what == 'images':
        subject = replace(subject, count=7)
    else:
        contender = replace(contender, facts={'code': 'y'})
    assert run(subject, contender, tmp_path) == (subject.count, False)
    assert run(subject, contender, tmp_path) == (0, True)


def test_a_run_that_was_cut_off_is_made_again(
    subject: Subject, contender: Contender, truth: Trajectory, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match='image 6 is broken'):
        run(replace(subject, sequence=Images(truth, broken=6)), contender, tmp_path)
    assert not (tmp_path / 'run.json').exists()
    assert run(subject, contender, tmp_path) == (12, False)


def test_a_damaged_file_is_made_again(subject: Subject, contender: Contender, tmp_path: Path) -> None:
    run(subject, contender, tmp_path)
    (tmp_path / 'run.json').write_text('{"fingerprint": "')
    assert run(subject, contender, tmp_path) == (12, False)


def test_without_truth_the_pairs_with_the_most_outliers_are_the_worst(
    subject: Subject, truth: Trajectory, make_frames: Callable[..., list[FrameRecord]], tmp_path: Path
) -> None:
    records = make_frames(truth)
    for row, inliers in ((3, 20), (9, 199)):
        pose = records[row].pose
        assert pose is not None
        records[row] = replace(records[row], pose=replace(pose, inlier_count=inliers))
    contender = Contender('player', 1, 'player', RunInfo('', 'p', 'none', 'cpu', {}), {}, lambda: Player(records))
    stored, _ = run_or_read(replace(subject, truth=None), contender, tmp_path, lambda frame, result: None)
    pictures = {(picture['kind'], picture['seq']) for picture in stored.values['pictures']}
    assert {('worst', 3), ('best', 9)} <= pictures
    assert stored.values['pictures'][0]['rotation_deg'] is None
