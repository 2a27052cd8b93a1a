# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A keypoint evaluation as one HTML page for somebody who has never seen this project.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from kp2d_ros.core.records import Matches
from kp2d_ros.drawing.caption import LegendEntry, add_caption
from kp2d_ros.drawing.figure import DENSITY, Axes, Bar, bar_chart, line_chart, time_chart
from kp2d_ros.drawing.matches import INLIER, OUTLIER, MatchedPair, draw_matches
from kp2d_ros.evaluation.html_page import Page
from kp2d_ros.evaluation.html_table import Better, Cell
from kp2d_ros.evaluation.keypoints.methods import Method
from kp2d_ros.evaluation.keypoints.run import EvaluationDesk, MethodResult, PairResult
from kp2d_ros.evaluation.keypoints.summary import (
    ALL,
    FIGURE_BY_NAME,
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
from kp2d_ros.metrics.keypoint_pair import mutual_matches
from kp2d_ros.metrics.keypoint_protocol import ACCURACY_PX, CORNER_PX, LARGE_SEQUENCES, KeypointProtocol
from kp2d_ros.metrics.spread import Spread
from kp2d_ros.pairs.homography_sets import HomographyPair

MOST_LINES = 120
_PICTURE_WIDTH = 480  # of one image of a pair, in pixels
_PICTURE_DENSITY = 1.62  # two pairs stand side by side on a wide screen
_FOLD_FROM = 12  # sequences
_LOST_PX = 1e4  # farther than this is nowhere
_PIXEL_DIGITS = {'Loc px': 2}
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


def make_page(evaluation: KeypointEvaluation, desk: EvaluationDesk, methods: Sequence[Method]) -> Page:
    """
    The page, its pictures drawn.

    :param desk: gives the images and keypoints of the pairs that are drawn.
    :param methods: those of the evaluation, in the same order.
    :raises BackendError: if matplotlib is not installed.
    """
    results = evaluation.methods
    sentences = list(verdict(results))
    page = Page(f'Keypoints on {evaluation.data.name}')
    page.paragraph(_what(evaluation))
    page.heading('Which is better')
    page.paragraph(sentences[0])
    _add_headline(page, results)
    page.heading('All pairs')
    everything: list[_Row] = [([method.name], method.pairs) for method in results]
    _table(page, ['method'], everything, HEADLINES, 'Means over all pairs; the best of a column is marked.')
    page.terms((FIGURE_BY_NAME[name].header, f'{FIGURE_BY_NAME[name].meaning}.') for name in HEADLINES)
    page.heading('In words')
    page.bullets(sentences[1:])
    _add_parts(page, results)
    _add_accuracy(page, results)
    _add_rising(page, everything)
    _add_sequences(page, results)
    _add_pictures(page, results, desk, methods)
    _add_times(page, results)
    page.heading('Rules of this evaluation')
    page.bullets(_rules(evaluation))
    page.heading('Versions and hashes')
    page.preformatted(_facts(evaluation))
    return page


def _what(evaluation: KeypointEvaluation) -> str:
    protocol, data = evaluation.protocol, evaluation.data
    parts = {name: part for name, part in splits(evaluation.methods[0].pairs).items() if name != ALL}
    by_kind = f' ({", ".join(f"{len(part)} with changes of {name}" for name, part in parts.items())})' if parts else ''
    return (
        f'{len(evaluation.methods)} methods on {data.pairs} pairs of images{by_kind} from {data.sequences} sequences '
        f'({data.name}). The true homography of every pair is known. Each method looks for keypoints in images of '
        f'{protocol.width}x{protocol.height} pixels; its best {protocol.keypoints} of up to {protocol.candidates} '
        'candidates take part.'
    )


def _add_headline(page: Page, results: Sequence[MethodResult]) -> None:
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
            page.figure(bar_chart({title: bars}), meaning, density=DENSITY)
    if mean_interval(results[0].pairs, 'correct_3') is not None:
        page.paragraph(
            'Thin lines: where 95 % of the means lie when the sequences are drawn anew. Methods differ more surely '
            'than the lines let one think, since all see the same pairs: the intervals of the differences are below.'
        )


def _table(
    page: Page, lead: Sequence[str], rows: Iterable[_Row], columns: Sequence[str], caption: str, within: str = ''
) -> None:
    figures = [FIGURE_BY_NAME[name] for name in columns]
    page.table(
        [*lead, *(figure.header for figure in figures)],
        [[*cells, *(mean_of(pairs, figure.name).value for figure in figures)] for cells, pairs in rows],
        best={figure.header: figure.better for figure in figures if figure.better is not None},
        digits={header: digits for header, digits in _PIXEL_DIGITS.items() if header in {f.header for f in figures}},
        within=within or None,
        caption=caption,
    )


def _rows_by_part(parts: Sequence[Mapping[str, Sequence[PairResult]]], results: Sequence[MethodResult]) -> list[_Row]:
    """
    A row for each part of the pairs and each method, the methods of a part together.
    """
    return [
        ([name, method.name], own[name])
        for name in parts[0]
        for method, own in zip(results, parts, strict=True)
        if name != ALL
    ]


def _add_parts(page: Page, results: Sequence[MethodResult]) -> None:
    rows = _rows_by_part([splits(method.pairs) for method in results], results)
    if rows:
        page.heading('Light and viewpoint')
        _table(page, ['changes of', 'method'], rows, HEADLINES, 'Means over the pairs of each kind.', 'changes of')


def _add_accuracy(page: Page, results: Sequence[MethodResult]) -> None:
    page.heading('Accuracy of matches')
    parts = [splits(method.pairs) for method in results]
    panels = {
        f'{split} ({len(pairs)} pairs)': {
            method.name: [mean_of(own[split], f'accuracy_{threshold}').value for threshold in ACCURACY_PX]
            for method, own in zip(results, parts, strict=True)
        }
        for split, pairs in parts[0].items()
    }
    page.figure(
        line_chart(panels, Axes('threshold (px)', 'share of right matches', ACCURACY_PX)),
        'Mean matching accuracy (MMA): share of the mutual nearest neighbours among the best points that are right up '
        'to a threshold, mean over the pairs.',
        density=DENSITY,
    )


def _add_rising(page: Page, everything: Sequence[_Row]) -> None:
    page.heading('Homographies and the order of the matches')
    _table(
        page,
        ['method'],
        everything,
        _RISING_COLUMNS,
        'OpenCV draws with a fixed seed, so that the order of the matches decides. "rising": in the order of rising '
        'scores alone, as the public code and its published figures have it; the others: means over random orders. '
        'Compare methods by the means.',
    )


def _add_sequences(page: Page, results: Sequence[MethodResult]) -> None:
    parts = [by_sequence(method.pairs) for method in results]
    page.heading('Sequence by sequence')
    with page.details(f'{len(parts[0])} sequences', opened=len(parts[0]) <= _FOLD_FROM):
        rows = _rows_by_part(parts, results)
        caption = 'Means over the pairs of each sequence.'
        _table(page, ['sequence', 'method'], rows, _SEQUENCE_COLUMNS, caption, 'sequence')


def _add_pictures(page: Page, results: Sequence[MethodResult], desk: EvaluationDesk, methods: Sequence[Method]) -> None:
    page.heading('Best and worst pairs')
    page.paragraph(
        'For each method the pair with the most right matches and the one with the fewest: green matches are right to '
        f'{desk.protocol.threshold_px:g} px, red ones are not; at most {MOST_LINES} are drawn.'
    )
    for method, result in zip(methods, results, strict=True):
        page.heading(method.name, level=3)
        order = sorted(result.pairs, key=_right_matches)
        for word, chosen in (('Best', order[-1]), ('Worst', order[0])):
            figures, pair = chosen.figures, chosen.pair
            corner_px = figures['corner_error_px']
            page.figure(
                _pair_picture(desk, method, pair),
                f'{word}: {pair.sequence}, {Path(pair.source).stem} and {Path(pair.target).stem}. '
                f'{100 * figures["accuracy_3"]:.0f} % of {figures["matches"]:.0f} matches right; '
                f'{f"corners off by {corner_px:.1f} px" if corner_px < _LOST_PX else "no usable homography"}.',
                density=_PICTURE_DENSITY,
            )


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


def _add_times(page: Page, results: Sequence[MethodResult]) -> None:
    page.heading('Time')
    page.figure(
        time_chart({method.name: method.milliseconds for method in results}, 'time per image (ms)'),
        'Time to find and describe the keypoints of one image, on this machine, everything else left out.',
        density=DENSITY,
    )
    rows: list[list[Cell]] = []
    for method in results:
        time, counts = Spread.of(method.milliseconds), Spread.of(method.keypoint_counts)
        figures = [None] * 4 if time is None else [time.median, time.p90, time.p99, time.maximum]
        rows.append([method.name, len(method.milliseconds), *figures, None if counts is None else counts.mean])
    page.table(
        ['method', 'images', 'median ms', 'p90 ms', 'p99 ms', 'largest ms', 'candidates'],
        rows,
        best={'median ms': Better.LOW},
        digits=1,
        caption='p90: what nine of ten images do not exceed. Images that came from the cache count with the time that '
        'they took when they were first seen.',
    )


def _rules(evaluation: KeypointEvaluation) -> list[str]:
    """
    What a reader must know to compare these figures with those of others.
    """
    protocol = evaluation.protocol
    rules = [
        'Repeatability alone ranks nothing: points in clusters find each other. "Rep 1:1" counts each point once.',
        f'All methods begin with up to {protocol.candidates} candidates: with fewer a detector looks worse.',
        f'Images are resized to {protocol.width}x{protocol.height} by linear interpolation, their aspect not kept.',
        _scaling_rule(protocol),
        f'Networks are handed the channels in the order {protocol.color_order.upper()}'
        + (', as the public code does, though it trains on RGB.' if protocol.color_order == 'bgr' else '.'),
        'Pairs without a point in common view count as -1 in repeatability and localisation, as in the public code.'
        if protocol.average_empty
        else 'Pairs without a point in common view are left out of repeatability and localisation.',
        'A pair of which no point is repeated has no localisation error and is left out of its mean. The public code '
        'divides by zero there: its mean is unknown as soon as there is one such pair.',
        'Descriptors of a ResNet network are sampled where training sampled them; the public code evaluates it up to '
        'half an element of its map beside.',
        'The matching score looks at the points in common view alone, as the papers say; the public code does not.'
        if protocol.covisible_matching
        else 'The matching score takes the best points of each image, seen by the other or not, as the public code '
        'does (the papers: points in common view).',
        f'Left out: {", ".join(protocol.exclude)} ("{LARGE_SEQUENCES}" is the list of D2-Net, which ALIKE, R2D2 and '
        'XFeat use).'
        if protocol.exclude
        else 'No sequence is left out. Figures of D2-Net, ALIKE, R2D2 and XFeat leave out eight: do not mix them.',
        f'Homographies: RANSAC of OpenCV at {protocol.ransac_px:g} px, up to {protocol.ransac_iterations} samples; '
        f'means over {protocol.orders} orders of the matches.',
    ]
    return [*rules, *(f'{note}.' for note in unknown_notes(evaluation.methods))]


def _scaling_rule(protocol: KeypointProtocol) -> str:
    if protocol.half_pixel:
        return 'Homographies are scaled as the images are, exactly; the public code is off by up to 0.5 px.'
    return (
        'Homographies are scaled about the centre of the first pixel, as in the public code; the images about its '
        'edge. That costs up to 0.5 px; half_pixel=true is exact.'
    )


def _facts(evaluation: KeypointEvaluation) -> str:
    lines = [f'{name:<24}{version}' for name, version in evaluation.data.versions.items()]
    lines.append(f'{"dataset":<24}{evaluation.data.fingerprint}')
    for method in evaluation.methods:
        lines += ['', f'{method.name}  (cache {method.fingerprint})']
        lines += [f'  {name:<22}{value}' for name, value in method.facts.items() if value != '']
    lines += ['', *(f'{name:<24}{value}' for name, value in settings_as_dict(evaluation.protocol).items())]
    return '\n'.join(lines)
