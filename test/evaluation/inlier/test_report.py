# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the report says of made-up figures of an IO-Net.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kp2d_ros.core.files import write_json
from kp2d_ros.evaluation.inlier.report import (
    InlierEvaluation,
    evaluation_as_dict,
    format_report,
    make_page,
    verdict,
)
from kp2d_ros.evaluation.inlier.run import ClassifierScore, InlierProtocol, InlierReport, SamplingScore
from kp2d_ros.evaluation.keypoints.run import DataFacts

CLASSIFIER = ClassifierScore(1000, 0.4, 0.8, 0.5, 0.75, 0.6, 0.3, 0.7)
METHODS = (
    'uniform',
    'guided',
    'filtered',
    'opencv uniform',
    'opencv prosac by distance',
    'opencv prosac by io-net',
)


def report_of(**at_3_px: Any) -> InlierReport:
    """
    A report in which the methods reach these shares in two runs each, and others half.
    """
    scores = []
    for method in METHODS:
        shares = at_3_px.get(method.replace(' ', '_').replace('-', '_'), (0.5, 0.5))
        scores.append(SamplingScore(method, 10, tuple((0.1, share, 0.9) for share in shares)))
    return InlierReport(20, CLASSIFIER, tuple(scores))


def evaluation_of(report: Any) -> InlierEvaluation:
    data = DataFacts('a <set>', 'abc', 20, 24, 4, {'python': '3'})
    return InlierEvaluation(data, {'model': 'tiny:1'}, 'best_inlier.safetensors', InlierProtocol(), report)


def test_differences_that_may_be_chance_are_called_so() -> None:
    sentence = verdict(report_of(guided=(0.7, 0.7), filtered=(0.2, 0.9)))[2]
    assert 'with 10 samples: guided is better by 0.200 +- 0.000 than uniform' in sentence
    assert 'filtered is no different (+0.050 +- 4.4' in sentence
    assert 'worse by 0.300' in verdict(report_of(opencv_prosac_by_io_net=(0.2, 0.2)))[2]


def test_no_difference_is_neither_better_nor_worse() -> None:
    assert 'guided is as good as uniform' in verdict(report_of(uniform=(0.5,), guided=(0.5,), filtered=(0.5,)))[2]


def test_the_classifier_is_put_in_words() -> None:
    first, second = verdict(report_of())[:2]
    assert first.startswith('40.0 % of 1000 matches in 20 pairs are right. Of those that IO-Net takes for right 80.0 %')
    assert 'a threshold of 0.30 would tell them apart best (F1 0.700)' in first
    assert 'average precision of 0.750, by the descriptor distance alone 0.600' in second
    unknown = replace(report_of(), classifier=replace(CLASSIFIER, precision=math.nan))
    assert 'takes for right an unknown share are' in verdict(unknown)[0]


def test_the_table_lists_every_method_with_its_means() -> None:
    lines = format_report(report_of(guided=(0.6, 0.8))).splitlines()
    assert len(lines) == 1 + len(METHODS)
    assert lines[2].split() == ['10', 'guided', '0.100', '0.700*', '0.900']


def test_the_json_holds_all_runs_and_null_for_what_is_unknown(tmp_path: Path) -> None:
    nothing = replace(report_of(), classifier=replace(CLASSIFIER, recall=math.nan))
    write_json(tmp_path / 'report.json', evaluation_as_dict(evaluation_of(nothing)))
    document = json.loads((tmp_path / 'report.json').read_text())
    assert document['classifier']['recall'] is None and repr(document['classifier']['match_count']) == '1000'
    assert document['sampling'][0]['runs'] == [[0.1, 0.5, 0.9]] * 2
    assert document['settings']['iterations'] == [10, 30, 100, 300]


@pytest.mark.parametrize('words', ['a &lt;set&gt;', 'tiny:1', 'opencv prosac by io-net', 'best_inlier.safetensors'])
def test_the_page_says_what_was_measured(words: str) -> None:
    assert words in make_page(evaluation_of(report_of()))


def test_the_page_answers_first_and_explains_its_terms_where_they_are_used() -> None:
    page = make_page(evaluation_of(report_of(guided=(0.7, 0.7))))
    answer, chart, terms, table = (page.index(words) for words in ('guided is better', '<img ', '<dt>', '<table>'))
    assert answer < chart < terms < table
    assert page.index('<dt>average precision</dt>') > page.rindex('</table>')
