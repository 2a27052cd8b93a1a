# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.files import write_json
from kp2d_ros.evaluation.keypoints.run import DataFacts, MethodResult, PairResult
from kp2d_ros.evaluation.keypoints.summary import (
    FIGURES,
    KeypointEvaluation,
    by_sequence,
    difference,
    evaluation_as_dict,
    format_headlines,
    mean_interval,
    mean_of,
    splits,
    unknown_notes,
    verdict,
)
from kp2d_ros.metrics.keypoint_protocol import KeypointProtocol
from kp2d_ros.pairs.homography_sets import HomographyPair

SEQUENCES = ('i_a', 'i_b', 'v_a', 'v_b')


def make_result(name: str, values: NDArray[Any], sequences: Any = SEQUENCES) -> MethodResult:
    """
    A method with the same value in all figures of a pair; localisation is 1 minus that.
    """
    pairs = []
    for sequence, value in zip(sequences, values, strict=True):
        pair = HomographyPair(sequence, f'{sequence}/1.png', f'{sequence}/2.png', np.eye(3))
        figures = dict.fromkeys(FIGURES, value) | {'localisation_px': 1 - value}
        pairs.append(PairResult(pair, figures))
    return MethodResult(name, {'kind': name}, 'f' * 16, pairs, [1.0, 3.0], [10, 20], 0)


def make_evaluation(*results: Any) -> KeypointEvaluation:
    return KeypointEvaluation(DataFacts('made up', 'abc', 4, 8, 4, {'opencv': '5'}), KeypointProtocol(), results)


def test_means_leave_out_and_count_what_is_not_known() -> None:
    pairs = make_result('a', [0.2, math.nan, 0.4, -math.inf]).pairs
    mean = mean_of(pairs, 'recall')
    assert mean.value == pytest.approx(0.3) and mean.unknown == 2
    nothing = mean_of(pairs[1:2], 'recall')
    assert math.isnan(nothing.value) and nothing.unknown == 1


def test_splits_follow_the_names_of_the_sequences() -> None:
    parts = splits(make_result('a', [0, 0, 1, 1]).pairs)
    assert {name: len(part) for name, part in parts.items()} == {'all': 4, 'light': 2, 'viewpoint': 2}
    assert mean_of(parts['viewpoint'], 'recall').value == 1
    assert list(splits(make_result('a', [0, 1], ['v_a', 'v_b']).pairs)) == ['all']
    assert list(splits(make_result('a', [0, 1], ['one.png', 'two.png']).pairs)) == ['all']
    assert {k: len(v) for k, v in by_sequence(make_result('a', [0, 1, 1], ['x', 'x', 'y']).pairs).items()} == {
        'x': 2,
        'y': 1,
    }


def test_a_difference_is_positive_where_the_first_is_better() -> None:
    good, poor = make_result('good', [0.8, 0.9, 0.8, 0.9]), make_result('poor', [0.5, 0.6, 0.5, 0.6])
    for figure in ('recall', 'localisation_px'):  # high is good in one, low in the other
        gain = difference(good.pairs, poor.pairs, figure)
        assert gain.value == pytest.approx(0.3) and gain.is_clear
        assert gain.interval == pytest.approx((0.3, 0.3))
        assert not difference(poor.pairs, good.pairs, figure).is_clear


def test_a_difference_that_one_sequence_makes_is_not_clear() -> None:
    one, other = make_result('one', [0.5, 0.5, 0.5, 0.9]), make_result('other', [0.5, 0.5, 0.5, 0.5])
    gain = difference(one.pairs, other.pairs, 'recall')
    assert gain.value == pytest.approx(0.1) and gain.interval[0] == 0 and not gain.is_clear


def test_two_sequences_are_too_few_for_an_interval() -> None:
    one, other = (make_result(name, values, ['a', 'b']) for name, values in (('o', [1, 1]), ('p', [0, math.nan])))
    gain = difference(one.pairs, other.pairs, 'recall')
    assert gain.value == 1 and gain.interval is None and not gain.is_clear
    unknown = make_result('u', [math.nan] * 2, ['a', 'b'])
    assert math.isnan(difference(one.pairs, unknown.pairs, 'recall').value)


def test_the_interval_of_a_mean_holds_the_means_of_other_draws_of_sequences() -> None:
    low, high = mean_interval(make_result('one', [0.5, 0.5, 0.5, 0.9]).pairs, 'recall') or (math.nan, math.nan)
    assert low == pytest.approx(0.5) and 0.7 <= high <= 0.9
    assert mean_interval(make_result('two', [0.5, 0.9], ['a', 'b']).pairs, 'recall') is None
    assert mean_interval(make_result('none', [math.nan] * 4).pairs, 'recall') is None


def test_the_verdict_names_the_better_one_and_by_how_much() -> None:
    sentences = list(verdict([make_result('poor', [0.5] * 4), make_result('good', [0.8] * 4)]))
    assert sentences[0] == (
        'Homographies, the task itself: good is best. 80.0 % of the homographies are right to 3 px; '
        'poor 50.0 %, 30.0 points worse (95 % interval: 30.0 to 30.0).'
    )
    assert 'Changes of light alone, homographies right to 3 px: good 80.0 %, poor 50.0 %.' in sentences
    assert sentences[-1].startswith('All of this rests on 4 sequences with 4 pairs: too few')
    assert any(
        s.startswith('Precision: good is best. 0.20 px') and 'poor 0.50 px, 0.30 px worse' in s for s in sentences
    )


def test_the_verdict_says_where_chance_may_have_decided() -> None:
    sentences = list(verdict([make_result('one', [0.5, 0.5, 0.5, 0.9]), make_result('other', [0.5] * 4)]))
    assert sentences[0].startswith('Homographies, the task itself: one leads, but other may be as good.')
    alone = list(verdict([make_result('only', [0.5] * 4)]))
    assert alone[0] == 'Homographies, the task itself: only alone. 50.0 % of the homographies are right to 3 px.'


def test_the_table_marks_the_best(capsys: pytest.CaptureFixture[str]) -> None:
    lines = format_headlines(
        [make_result('one', [0.5] * 4), make_result('other', [0.7, 0.7, 0.7, math.nan])]
    ).splitlines()
    assert lines[0].split()[:3] == ['Rep', 'Rep', '1:1'] and len(lines) == 3
    assert lines[1].split()[1:4] == ['0.500', '0.500', '0.500']
    assert lines[2].split()[1:4] == ['0.700*', '0.700*', '0.300*']
    assert '*' not in format_headlines([make_result('one', [0.5] * 4)])


def test_what_was_left_out_is_said() -> None:
    result = make_result('one', [0.5, -1.0, 0.5, math.nan])
    notes = unknown_notes([result])
    assert 'one: Rep is not known for 1 of 4 pairs' in notes
    assert 'one: 1 pairs without a point in common view count as -1 in Rep and Loc' in notes
    assert unknown_notes([make_result('one', [0.5] * 4)]) == []


def test_the_report_is_json_without_nan(tmp_path: Path) -> None:
    evaluation = make_evaluation(make_result('one', [0.5, math.nan, math.inf, 0.5]), make_result('two', [0.1] * 4))
    path = tmp_path / 'new' / 'report.json'
    write_json(path, evaluation_as_dict(evaluation))

    def refuse(constant: Any) -> None:
        raise AssertionError(constant)

    read = json.loads(path.read_text(), parse_constant=refuse)
    assert read == json.loads(json.dumps(evaluation_as_dict(evaluation)))
    one = read['methods'][0]
    assert one['means']['all']['recall'] == 0.5 and one['unknown']['recall'] == 2
    assert [pair['recall'] for pair in one['pairs']] == [0.5, None, None, 0.5]
    assert read['settings']['top_k'] == 300 and read['settings']['pool'] == 1064
    assert read['dataset'] == {'name': 'made up', 'fingerprint': 'abc', 'pairs': 4, 'images': 8, 'sequences': 4}
    first = read['differences'][0]
    assert (first['method'], first['than'], first['figure']) == ('one', 'two', 'repeatability')
    assert first['by'] == pytest.approx(0.4)


def test_the_verdict_gives_intervals_for_the_nearest_rivals_alone() -> None:
    methods = [make_result(f'm{level}', [level / 10] * 4) for level in (2, 4, 6, 8)]
    first = next(iter(verdict(methods)))
    assert first.count('interval') == 2 and first.endswith('; m2 20.0 %.')
