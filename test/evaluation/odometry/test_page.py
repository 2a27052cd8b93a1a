# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
From runs to words, tables and pictures.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kp2d_ros.core.records import TrackingState
from kp2d_ros.core.se3 import rotation_from_vector
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.evaluation.odometry.page import make_page
from kp2d_ros.evaluation.odometry.run import Contender
from kp2d_ros.evaluation.odometry.run_file import RunInfo, StoredRun
from kp2d_ros.evaluation.odometry.subject import Subject
from kp2d_ros.evaluation.odometry.summary import Entry, Results, describe, results_as_dict, summarise
from kp2d_ros.metrics.frame_record import FrameRecord
from kp2d_ros.metrics.run_score import ScoreRules, score_run

MakeFrames = Callable[..., list[FrameRecord]]


def bend(frames: list[FrameRecord], degrees: float) -> list[FrameRecord]:
    """
    The same frames with every direction of motion off by an angle.
    """
    for frame in frames[1:]:
        assert frame.pose is not None
        motion = frame.pose.reference_from_current
        if not motion[:3, 3].any():
            continue
        across = np.cross(motion[:3, 3], [1.0, 0.0, 0.0])
        motion[:3, 3] = rotation_from_vector(np.radians(degrees) * across / np.linalg.norm(across)) @ motion[:3, 3]
    return frames


class Table:
    """
    Collects runs of made-up methods over made-up sequences.
    """

    def __init__(self, truth: Trajectory, make_frames: MakeFrames) -> None:
        self._truth = truth
        self._make = make_frames
        self.entries: list[Entry] = []

    def add(self, sequence: str, method: str, degrees: float, seed: int = 1, **how: Any) -> None:
        truth = None if how.get('blind') else self._truth
        note = 'nobody saw it' if how.get('blind') else ''
        states = dict.fromkeys(how.get('lost', ()), TrackingState.LOST)
        frames = bend(self._make(self._truth, states=states), degrees)
        values = {'fingerprint': 'f00', 'track_frames': {'mean': 3.0}, 'pictures': how.get('pictures', [])}
        run = StoredRun(frames, values)
        subject = Subject(sequence, f'{sequence}.bag', None, 12, truth, note, {'images': 12})
        info = RunInfo('', f'{method}-id', 'opencv', 'cpu', {})
        contender = Contender(method, seed, method, info, {}, lambda: None)  # type: ignore[return-value]
        score = score_run(frames, truth, ScoreRules(segment_lengths=(2.0, 5.0)), track_frames=3.0)
        self.entries.append(Entry(subject, contender, f'{sequence}/{method}', run, score))

    def results(self) -> Results:
        return Results(self.entries, ScoreRules(segment_lengths=(2.0, 5.0)), {'matching.ratio': 0.8}, {'numpy': '2'})

    def words(self) -> list[str]:
        results = self.results()
        return describe(results, summarise(results))

    def page(self, folder: Path) -> str:
        results = self.results()
        summary = summarise(results)
        return make_page(results, summary, describe(results, summary), folder)


@pytest.fixture
def table(truth: Trajectory, make_frames: MakeFrames) -> Table:
    return Table(truth, make_frames)


def test_words_say_who_is_best_by_what_decides_and_how_fast(table: Table) -> None:
    for sequence, good, bad in (('one', 1.0, 2.0), ('two', 2.0, 8.0), ('three', 3.0, 1.5)):
        table.add(sequence, 'bad', bad)
        table.add(sequence, 'good', good)
    drift, speed, lost = table.words()
    assert drift.startswith('good is best by drift along the path (t_rel, %): good ')
    assert drift.endswith(' in the mean of 3 sequences.')
    assert (
        speed == 'bad and good are about equal by median time of an image (ms): bad 25.5, good 25.5 in the mean of 3 '
        'sequences.'
    )
    assert lost == 'bad and good never lost the camera.'


def test_words_tell_of_failures_and_of_what_is_missing(table: Table) -> None:
    table.add('one', 'sure', 1.0)
    table.add('one', 'weak', 1.0, lost=(3, 4, 9))
    table.add('dark', 'sure', 1.0, blind=True)
    table.add('dark', 'weak', 1.0, blind=True)
    words = table.words()
    assert words[0].endswith(' on one.')
    assert words[2] == 'Lost the camera: weak on 12.5 % of the images; sure never did.'
    assert words[3:] == ['dark: scored by what needs no ground truth: nobody saw it.']


def test_words_without_truth_compare_the_matches(table: Table) -> None:
    table.add('one', 'only', 2.0, blind=True)
    assert table.words()[0] == 'Matches that agree with the estimate (%): only 75.0 on one.'


def test_means_take_only_sequences_that_all_methods_have(table: Table) -> None:
    table.add('one', 'a', 1.0)
    table.add('one', 'b', 3.0)
    table.add('two', 'a', 9.0)
    table.add('two', 'b', 9.0, lost=tuple(range(1, 12)))  # no direction here, and c has none anywhere
    for sequence in ('one', 'two'):
        table.add(sequence, 'c', 9.0, lost=tuple(range(1, 12)))
    mean = summarise(table.results()).mean
    assert mean['a']['direction_deg'] == pytest.approx(1.0)
    assert mean['b']['direction_deg'] == pytest.approx(3.0)
    assert mean['c']['direction_deg'] is None
    assert mean['a']['ate_m'] is None  # metres of different paths do not add up
    assert mean['b']['lost_percent'] == pytest.approx(50 * 11 / 12)


def test_seeds_give_a_mean_and_its_interval(table: Table) -> None:
    for seed, degrees in ((1, 1.0), (2, 2.0), (3, 3.0)):
        table.add('one', 'chance', degrees, seed)
    interval = summarise(table.results()).by_sequence['one']['chance']['direction_deg']
    assert (interval.count, interval.mean) == (3, pytest.approx(2.0))
    assert interval.half_width == pytest.approx(4.302652729 / np.sqrt(3))


def test_the_report_for_machines_has_every_run(table: Table) -> None:
    table.add('one', 'a', 1.0)
    table.add('one', 'b', 3.0, lost=(4,))
    results = table.results()
    report = json.loads(json.dumps(results_as_dict(results, summarise(results), ['So it is.']), allow_nan=False))
    first, second = report['runs']
    assert first['figures']['direction_deg'] == pytest.approx(1.0)
    assert first['trajectory']['ate']['count'] == 12 and first['drift']['by_length'].keys() == {'2', '5'}
    assert (second['states']['LOST'], len(second['failures'])) == (1, 1)
    assert report['words'] == ['So it is.']
    assert report['by_sequence']['one']['a']['direction_deg']['half_width_95'] is None


def test_the_page_has_tables_and_pictures_of_everything(table: Table, tmp_path: Path) -> None:
    (tmp_path / 'one' / 'a').mkdir(parents=True)
    cv2.imwrite(str(tmp_path / 'one' / 'a' / 'pair.jpg'), np.zeros((20, 30, 3), np.uint8))
    picture = {'file': 'pair.jpg', 'kind': 'worst', 'seq': 7, 'reference_seq': 6, 'state': 'OK', 'matches': 9}
    picture |= {'inliers': 4, 'rotation_deg': 0.5, 'direction_deg': None}
    table.add('one', 'a', 1.0, pictures=[picture])
    table.add('one', '<b>', 3.0, lost=(4,))
    table.add('two', 'a', 1.0, blind=True)
    table.add('two', '<b>', 1.0, blind=True)
    text = table.page(tmp_path)
    assert '&lt;b&gt;' in text and '<b></td>' not in text
    assert 'worst: image 7 against 6, OK, 4 of 9 matches agree; rotation 0.5° off.' in text
    assert text.count('<img src="data:image/png') == 2 + 3 + 1  # bars, times; paths, errors, curve; paths without truth
    assert text.count('<img src="data:image/jpeg') == 1
    assert 'how far they agree' in text and 'mean of all' in text and 'KITTI errors by length' in text
    assert text.index('<dt>rotation (°)</dt>') < text.index('Tracking</h2>')  # terms are told where they are used
    assert text.index('AUC is the area') < text.index('Tracking</h2>') < text.index('KITTI parts begin')


def test_a_method_without_any_pose_still_gives_a_page(table: Table, tmp_path: Path) -> None:
    table.add('one', 'blank', 0.0, lost=tuple(range(1, 12)))
    text = table.page(tmp_path)
    assert 'no score of the path' in text


@pytest.mark.usefixtures('quick_pictures')
def test_without_any_truth_the_page_says_what_is_missing(table: Table, tmp_path: Path) -> None:
    table.add('one', 'a', 1.0, blind=True)
    table.add('one', 'still', 0.0, blind=True, lost=tuple(range(1, 12)))
    text = table.page(tmp_path)
    assert text.count('No figures: they take ground truth') == 2  # of pairs and of paths
    assert text.index('Matches that agree') < text.index('<img')  # the answer comes first
    assert text.count('<img src="data:image/png') == 3  # bars, times, and the path of a
