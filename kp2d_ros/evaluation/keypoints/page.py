# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A keypoint evaluation as one HTML page: what ``report.html.jinja``, which has the words, is filled with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from kp2d_ros.core.records import Matches
from kp2d_ros.drawing.caption import LegendEntry, add_caption
from kp2d_ros.drawing.figure import DENSITY, Axes, Bar, bar_chart, line_chart, time_chart
from kp2d_ros.drawing.matches import INLIER, OUTLIER, MatchedPair, draw_matches
from kp2d_ros.evaluation.html_page import Picture, make_picture, render_page
from kp2d_ros.evaluation.keypoints.methods import Method
from kp2d_ros.evaluation.keypoints.run import EvaluationDesk, MethodResult, PairResult
from kp2d_ros.evaluation.keypoints.summary import (
    ALL,
    FIGURES,
    HEADLINES,
    KeypointEvaluation,
    by_sequence,
    mean_interval,
    mean_of,
    settings_as_dict,
    splits,
    unknown_notes,
    verdict,
)
from kp2d_ros.evaluation.table import Better, Cell, Table, make_table, tabulate_figures
from kp2d_ros.metrics.keypoint_pair import mutual_matches
from kp2d_ros.metrics.keypoint_protocol import ACCURACY_PX, CORNER_PX, LARGE_SEQUENCES
from kp2d_ros.metrics.spread import Spread
from kp2d_ros.pairs.homography_sets import HomographyPair

_TEMPLATE = Path(__file__).with_name('report.html.jinja')
MOST_LINES = 120
_PICTURE_WIDTH = 480  # of one image of a pair, in pixels
_PICTURE_DENSITY = 1.62  # two pairs stand side by side on a wide screen
_FOLD_FROM = 12  # sequences
_LOST_PX = 1e4  # farther than this is nowhere
_CHARTED = (  # what is shown first: figure, factor, title, and what it means
    (
        'correct_3',
        100.0,
        'homographies right to 3 px (%)',
        'The matches of a pair give a homography: it is right if it puts the corners of the image within 3 px of where '
        'they belong.',
    ),
    ('accuracy_3', 100.0, 'matches right to 3 px (%)', 'Of the mutual nearest neighbours of a pair.'),
    ('localisation_px', 1.0, 'localisation error (px)', 'How far points found again are from where they belong.'),
)
_SEQUENCE_COLUMNS = ('repeatability', 'localisation_px', 'correct_1', 'correct_3', 'matching_score', 'accuracy_3')
_RISING_COLUMNS = tuple(f'correct_{threshold}{end}' for end in ('_rising', '') for threshold in CORNER_PX)

# Some leading cells of a row, and the pairs that its figures are the means of.
_Row = tuple[Sequence[Cell], Sequence[PairResult]]


def make_page(evaluation: KeypointEvaluation, desk: EvaluationDesk, methods: Sequence[Method]) -> str:
    """
    The page, its pictures drawn.

    :param desk: gives the images and keypoints of the pairs that are drawn.
    :param methods: those of the evaluation, in the same order.
    :raises BackendError: if Jinja2 or matplotlib is not installed.
    """
    results = evaluation.methods
    everything: list[_Row] = [([method.name], method.pairs) for method in results]
    kinds = [_without_all(splits(method.pairs)) for method in results]
    sequences = [by_sequence(method.pairs) for method in results]
    return render_page(
        _TEMPLATE,
        f'Keypoints on {evaluation.data.name}',
        data=evaluation.data,
        protocol=evaluation.protocol,
        results=results,
        kinds=kinds[0],
        verdict=list(verdict(results)),
        charts=list(_charts(results)),
        has_intervals=mean_interval(results[0].pairs, 'correct_3') is not None,
        everything=_table(['method'], everything, HEADLINES),
        meanings=[(FIGURES[name].header, f'{FIGURES[name].meaning}.') for name in HEADLINES],
        by_kind=_table(['changes of', 'method'], _rows_by_part(kinds, results), HEADLINES),
        accuracy=_accuracy_chart(results),
        rising=_table(['method'], everything, _RISING_COLUMNS),
        sequences=len(sequences[0]),
        fold_from=_FOLD_FROM,
        by_sequence=_table(['sequence', 'method'], _rows_by_part(sequences, results), _SEQUENCE_COLUMNS),
        pairs={method.name: _pictures(desk, method, result) for method, result in zip(methods, results, strict=True)},
        most_lines=MOST_LINES,
        time_chart=make_picture(
            time_chart({'': {method.name: method.milliseconds for method in results}}),
            'Time to find and describe the keypoints of one image, on this machine, everything else left out.',
            density=DENSITY,
        ),
        times=_time_table(results),
        large_sequences=LARGE_SEQUENCES,
        notes=unknown_notes(results),
        facts=_facts(evaluation),
    )


def _without_all(parts: Mapping[str, list[PairResult]]) -> dict[str, list[PairResult]]:
    return {name: part for name, part in parts.items() if name != ALL}


def _charts(results: Sequence[MethodResult]) -> Iterator[Picture]:
    """
    Bars of the figures that tell most, one chart for each, so that they stand below each other on narrow screens.
    """
    for figure, factor, title, meaning in _CHARTED:
        bars = {}
        for method in results:
            mean, ends = mean_of(method.pairs, figure).value, mean_interval(method.pairs, figure)
            if np.isfinite(mean):
                interval = None if ends is None else (factor * ends[0], factor * ends[1])
                bars[method.name] = Bar(factor * mean, interval)
        if bars:
            yield make_picture(bar_chart({title: bars}), meaning, density=DENSITY)


def _table(lead: Sequence[str], rows: Iterable[_Row], columns: Sequence[str]) -> Table:
    """
    A table of means; where two columns lead, the best is sought among the methods of each part.
    """
    return tabulate_figures(
        lead,
        [(cells, {name: mean_of(pairs, name).value for name in columns}) for cells, pairs in rows],
        {name: FIGURES[name] for name in columns},
        within=lead[0] if len(lead) > 1 else None,
    )


def _rows_by_part(parts: Sequence[Mapping[str, Sequence[PairResult]]], results: Sequence[MethodResult]) -> list[_Row]:
    """
    A row for each part of the pairs and each method, the methods of a part together.
    """
    return [([name, method.name], own[name]) for name in parts[0] for method, own in zip(results, parts, strict=True)]


def _accuracy_chart(results: Sequence[MethodResult]) -> Picture:
    parts = [splits(method.pairs) for method in results]
    panels = {
        f'{split} ({len(pairs)} pairs)': {
            method.name: [mean_of(own[split], f'accuracy_{threshold}').value for threshold in ACCURACY_PX]
            for method, own in zip(results, parts, strict=True)
        }
        for split, pairs in parts[0].items()
    }
    return make_picture(
        line_chart(panels, Axes('threshold (px)', 'share of right matches', ACCURACY_PX)),
        'Mean matching accuracy (MMA): share of the mutual nearest neighbours among the best points that are right up '
        'to a threshold, mean over the pairs.',
        density=DENSITY,
    )


def _pictures(desk: EvaluationDesk, method: Method, result: MethodResult) -> list[Picture]:
    """
    The pair with the most right matches of a method, and the one with the fewest.
    """
    order = sorted(result.pairs, key=_right_matches)
    pictures = []
    for word, chosen in (('Best', order[-1]), ('Worst', order[0])):
        figures, pair = chosen.figures, chosen.pair
        corner_px = figures['corner_error_px']
        caption = (
            f'{word}: {pair.sequence}, {Path(pair.source).stem} and {Path(pair.target).stem}. '
            f'{100 * figures["accuracy_3"]:.0f} % of {figures["matches"]:.0f} matches right; '
            f'{f"corners off by {corner_px:.1f} px" if corner_px < _LOST_PX else "no usable homography"}.'
        )
        pictures.append(make_picture(_pair_picture(desk, method, pair), caption, density=_PICTURE_DENSITY))
    return pictures


def _right_matches(result: PairResult) -> tuple[float, float]:
    """
    How many matches are right; of pairs with as many, that with more wrong ones comes first.
    """
    matches = result.figures['matches']
    return round(result.figures['accuracy_3'] * matches), -matches


def _pair_picture(desk: EvaluationDesk, method: Method, pair: HomographyPair) -> bytes:
    """
    PNG of the mutual matches of a pair among the points that take part: green where they are right, red where not.

    Of more than ``MOST_LINES`` matches as many are drawn, evenly taken; the counts in the legend are those of all.
    """
    best = desk.keypoint_pair(method, pair).best()
    rows = mutual_matches(best.source, best.target)
    right = best.errors_px(rows) <= best.threshold_px
    shown = np.unique(np.linspace(0, max(len(rows) - 1, 0), min(len(rows), MOST_LINES)).astype(np.int64))
    ends = (best.source.take(rows[shown, 0]), best.target.take(rows[shown, 1]))
    one_to_one = Matches(np.arange(len(shown)), np.arange(len(shown)), np.ones(len(shown), np.float32))
    images = (desk.prepare(pair.source).image, desk.prepare(pair.target).image)
    drawn = MatchedPair(images, ends, one_to_one, np.asarray(right[shown]))
    count = int(np.count_nonzero(right))
    legend = [LegendEntry(f'{count} right', (INLIER,)), LegendEntry(f'{len(right) - count} wrong', (OUTLIER,))]
    picture = add_caption(draw_matches(drawn, _PICTURE_WIDTH / images[0].shape[1]), '', legend)
    return bytes(cv2.imencode('.png', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes())


def _time_table(results: Sequence[MethodResult]) -> Table:
    rows: list[list[Cell]] = []
    for method in results:
        time, counts = Spread.of(method.milliseconds), Spread.of(method.keypoint_counts)
        figures = [None] * 4 if time is None else [time.median, time.p90, time.p99, time.maximum]
        rows.append([method.name, len(method.milliseconds), *figures, None if counts is None else counts.mean])
    headers = ['method', 'images', 'median ms', 'p90 ms', 'p99 ms', 'largest ms', 'candidates']
    return make_table(headers, rows, best={'median ms': Better.LOW}, digits=1)


def _facts(evaluation: KeypointEvaluation) -> str:
    lines = [f'{name:<24}{version}' for name, version in evaluation.data.versions.items()]
    lines.append(f'{"dataset":<24}{evaluation.data.fingerprint}')
    for method in evaluation.methods:
        lines += ['', f'{method.name}  (cache {method.fingerprint})']
        lines += [f'  {name:<22}{value}' for name, value in method.facts.items() if value != '']
    lines += ['', *(f'{name:<24}{value}' for name, value in settings_as_dict(evaluation.protocol).items())]
    return '\n'.join(lines)
