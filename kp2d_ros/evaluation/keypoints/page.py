# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A keypoint evaluation as one HTML page for somebody who has never seen this project.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kp2d_ros.evaluation.html_page import Page
from kp2d_ros.evaluation.html_table import Better, Cell
from kp2d_ros.evaluation.keypoints.figures import (
    DENSITY,
    MOST_LINES,
    PICTURE_DENSITY,
    draw_accuracy,
    draw_latencies,
    draw_pair_matches,
)
from kp2d_ros.evaluation.keypoints.methods import Method
from kp2d_ros.evaluation.keypoints.report import HEADLINES, KeypointEvaluation, settings_as_dict, unknown_notes
from kp2d_ros.evaluation.keypoints.run import EvaluationDesk, MethodResult, PairResult
from kp2d_ros.evaluation.keypoints.summary import (
    ALL,
    FIGURE_BY_NAME,
    by_sequence,
    mean_of,
    splits,
    verdict,
)
from kp2d_ros.metrics.keypoint_protocol import CORNER_PX, LARGE_SEQUENCES, KeypointProtocol
from kp2d_ros.metrics.spread import Spread

_FOLD_FROM = 12  # sequences
_SEQUENCE_COLUMNS = ('repeatability', 'localisation_px', 'correct_1', 'correct_3', 'matching_score', 'accuracy_3')
_RISING_COLUMNS = tuple(f'correct_{threshold}{end}' for end in ('_rising', '') for threshold in CORNER_PX)
_LOST_PX = 1e4  # farther than this is nowhere
_PIXEL_DIGITS = {'Loc px': 2}


def make_page(evaluation: KeypointEvaluation, desk: EvaluationDesk, methods: Sequence[Method]) -> Page:
    """
    The page, its pictures drawn.

    :param desk: gives the images and keypoints of the pairs that are drawn.
    :param methods: those of the evaluation, in the same order.
    :raises BackendError: if matplotlib is not installed.
    """
    results = evaluation.methods
    page = Page(f'Keypoints on {evaluation.dataset}')
    page.paragraph(_what(evaluation))
    page.heading('Which is better, on what, and by how much')
    page.bullets(verdict(results))
    _add_tables(page, results)
    page.heading('Accuracy of matches')
    page.figure(
        draw_accuracy(results),
        'Mean matching accuracy: share of the mutual nearest neighbours among the best points that are right up to a '
        'threshold, mean over the pairs.',
        density=DENSITY,
    )
    _add_sequences(page, results)
    _add_pictures(page, results, desk, methods)
    _add_times(page, results)
    page.heading('What the columns mean')
    page.bullets(f'{FIGURE_BY_NAME[name].header}: {FIGURE_BY_NAME[name].meaning}.' for name in HEADLINES)
    page.heading('Rules of this evaluation')
    page.bullets(_rules(evaluation))
    page.heading('Versions and hashes')
    page.preformatted(_facts(evaluation))
    return page


def _what(evaluation: KeypointEvaluation) -> str:
    protocol, pairs = evaluation.protocol, evaluation.methods[0].pairs
    parts = {name: part for name, part in splits(pairs).items() if name != ALL}
    by_kind = f' ({", ".join(f"{len(part)} with changes of {name}" for name, part in parts.items())})' if parts else ''
    return (
        f'{len(evaluation.methods)} methods on {len(pairs)} pairs of images{by_kind} from {len(by_sequence(pairs))} '
        f'sequences ({evaluation.dataset}). The true homography of every pair is known. Each method looks for '
        f'keypoints in images of {protocol.width}x{protocol.height} pixels; its best {protocol.keypoints} of up to '
        f'{protocol.candidates} candidates take part. The best figure of a column is marked.'
    )


def _table(
    page: Page,
    lead: Mapping[str, Callable[[MethodResult, str], Cell]],
    rows: Sequence[tuple[MethodResult, str, Sequence[PairResult]]],
    columns: Sequence[str],
    caption: str,
    within: str | None = None,
) -> None:
    """
    A table of means: some leading columns, then figures, a row for each method and part of the pairs.
    """
    figures = [FIGURE_BY_NAME[name] for name in columns]
    page.table(
        [*lead, *(figure.header for figure in figures)],
        [
            [*(make(method, part) for make in lead.values()), *(mean_of(pairs, f.name).value for f in figures)]
            for method, part, pairs in rows
        ],
        best={figure.header: figure.better for figure in figures if figure.better is not None},
        digits={header: digits for header, digits in _PIXEL_DIGITS.items() if header in {f.header for f in figures}},
        within=within,
        caption=caption,
    )


def _name(method: MethodResult, part: str) -> Cell:
    return method.name


def _part(method: MethodResult, part: str) -> Cell:
    return part


def _count(method: MethodResult, part: str) -> Cell:
    return len(splits(method.pairs)[part])


def _add_tables(page: Page, results: Sequence[MethodResult]) -> None:
    page.heading('All pairs')
    everything = [(method, ALL, method.pairs) for method in results]
    _table(page, {'method': _name}, everything, HEADLINES, 'Means over all pairs. Loc is better when low.')
    parts = [name for name in splits(results[0].pairs) if name != ALL]
    if parts:
        page.heading('Light and viewpoint')
        rows = [(method, part, splits(method.pairs)[part]) for part in parts for method in results]
        lead = {'changes of': _part, 'pairs': _count, 'method': _name}
        _table(page, lead, rows, HEADLINES, 'Means over the pairs of each kind.', within='changes of')
    page.heading('Homographies and the order of the matches')
    _table(
        page,
        {'method': _name},
        everything,
        _RISING_COLUMNS,
        'OpenCV draws with a fixed seed, so that the order of the matches decides. "rising": in the order of rising '
        'scores alone, as the public code and its published figures have it; the others: means over random orders. '
        'Compare methods by the means.',
    )


def _add_sequences(page: Page, results: Sequence[MethodResult]) -> None:
    parts = [by_sequence(method.pairs) for method in results]
    rows = [(method, name, own[name]) for name in parts[0] for method, own in zip(results, parts, strict=True)]
    page.heading('Sequence by sequence')
    with page.details(f'{len(parts[0])} sequences', opened=len(parts[0]) <= _FOLD_FROM):
        lead = {'sequence': _part, 'method': _name}
        _table(page, lead, rows, _SEQUENCE_COLUMNS, 'Means over the pairs of each sequence.', within='sequence')


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
            figures = chosen.figures
            page.figure(
                draw_pair_matches(desk, method, chosen.pair),
                f'{word}: {chosen.pair.sequence}, {_short(chosen.pair.source)} and {_short(chosen.pair.target)}. '
                f'{100 * figures["accuracy_3"]:.0f} % of {figures["matches"]:.0f} matches right; '
                f'{_corners(figures["corner_error_px"])}.',
                density=PICTURE_DENSITY,
            )


def _right_matches(result: PairResult) -> tuple[float, float]:
    """
    How many matches are right; of pairs with as many, that with more wrong ones comes first.
    """
    matches = result.figures['matches']
    return round(result.figures['accuracy_3'] * matches), -matches


def _short(image: str) -> str:
    return Path(image).stem


def _corners(error_px: float) -> str:
    return f'corners off by {error_px:.1f} px' if error_px < _LOST_PX else 'no usable homography'


def _add_times(page: Page, results: Sequence[MethodResult]) -> None:
    page.heading('Time')
    page.figure(
        draw_latencies(results),
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
        caption='Images that came from the cache count with the time that they took when they were first seen.',
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
    lines = [f'{name:<24}{version}' for name, version in evaluation.versions.items()]
    lines.append(f'{"dataset":<24}{evaluation.dataset_fingerprint}')
    for method in evaluation.methods:
        lines += ['', f'{method.name}  (cache {method.fingerprint})']
        lines += [f'  {name:<22}{value}' for name, value in method.facts.items() if value != '']
    lines += ['', *(f'{name:<24}{value}' for name, value in settings_as_dict(evaluation.protocol).items())]
    return '\n'.join(lines)
