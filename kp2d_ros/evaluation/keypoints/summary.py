# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What many pairs say together: means by split and sequence, differences between methods, both in words, as JSON values
and as a table for the terminal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from kp2d_ros.core.records import Float64Array
from kp2d_ros.core.settings import flatten
from kp2d_ros.evaluation.keypoints.run import DataFacts, MethodResult, PairResult
from kp2d_ros.evaluation.table import Better, Figure, format_table, make_table
from kp2d_ros.metrics.keypoint_protocol import ACCURACY_PX, CORNER_PX, KeypointProtocol
from kp2d_ros.metrics.spread import Spread, finite_or_none
from kp2d_ros.pairs.homography_sets import ILLUMINATION, VIEWPOINT

FORMAT_VERSION = 1

ALL = 'all'
_RESAMPLES = 2000
_FEWEST_SEQUENCES = 3  # to say how much chance there is in a difference
_FEW_SEQUENCES = 20
_INTERVAL = (2.5, 97.5)  # percent
_rounded = partial(finite_or_none, digits=6)
_TOLD = 2  # rivals of the best method whose intervals a sentence gives


_HIGH, _LOW = Better.HIGH, Better.LOW

FIGURES: Mapping[str, Figure] = {
    'repeatability': Figure(
        'Rep', _HIGH, 3, 'share of the points in common view with a point of the other image within reach'
    ),
    'one_to_one': Figure('Rep 1:1', _HIGH, 3, 'the same with every point counted once, so that clusters gain nothing'),
    'localisation_px': Figure('Loc px', _LOW, 2, 'mean distance of repeated points, in pixels'),
    **{
        f'correct_{t}': Figure(
            f'C{t}',
            _HIGH,
            3,
            f'share of the homographies whose corners are off by up to {t} px, mean over random orders of the matches',
        )
        for t in CORNER_PX
    },
    **{
        f'auc_{t}': Figure(f'AUC{t}', _HIGH, 3, f'area under the curve of the share of right homographies up to {t} px')
        for t in CORNER_PX
    },
    'matching_score': Figure('MS', _HIGH, 3, 'share of right nearest neighbours among those in common view, both ways'),
    'recall': Figure('Recall', _HIGH, 3, 'share of the source points in common view that are matched rightly'),
    **{
        f'accuracy_{t}': Figure(
            f'MMA{t}', _HIGH, 3, f'share of the mutual nearest neighbours that are right up to {t} px'
        )
        for t in ACCURACY_PX
    },
    'matches': Figure('matches', None, 3, 'mutual nearest neighbours of a pair'),
    'in_view': Figure('in view', None, 3, 'points in common view that take part, mean of both images'),
    'corner_error_px': Figure('corner px', _LOW, 3, 'error of the corners, median over the orders'),
    **{
        f'correct_{t}_rising': Figure(
            f'C{t} rising', _HIGH, 3, f'C{t} for the matches in the order of rising scores alone'
        )
        for t in CORNER_PX
    },
}

# The columns of the tables that a person reads first.
HEADLINES = (
    'repeatability',
    'one_to_one',
    'localisation_px',
    'correct_1',
    'correct_3',
    'correct_5',
    'auc_5',
    'matching_score',
    'recall',
    'accuracy_3',
)

# What a sentence of the verdict is about: its lead, the figure, and what the figure counts.
_ASPECTS = (
    ('Homographies, the task itself', 'correct_3', 'of the homographies are right to 3 px'),
    ('Fine homographies', 'correct_1', 'of the homographies are right to 1 px'),
    ('Descriptors', 'accuracy_3', 'of the mutual matches are right to 3 px'),
    ('Detector and descriptor together', 'recall', 'of the points in common view are matched rightly'),
    ('Detector', 'one_to_one', 'of the points are found again, each counted once'),
    ('Precision', 'localisation_px', 'between points found again'),
)


@dataclass(frozen=True, slots=True)
class KeypointEvaluation:
    """
    A whole evaluation: what it ran on, by which rules, and what came out for each method.
    """

    data: DataFacts
    protocol: KeypointProtocol
    methods: Sequence[MethodResult]


@dataclass(frozen=True, slots=True)
class Mean:
    """
    The mean of a figure over the pairs that say something (NaN if none does), and how many say nothing.
    """

    value: float
    unknown: int


@dataclass(frozen=True, slots=True)
class Difference:
    """
    How much one method is better than another in a figure (positive: better), with the interval that holds 95 % of the
    differences when the sequences are drawn anew; None with too few of them.
    """

    value: float
    interval: tuple[float, float] | None

    @property
    def is_clear(self) -> bool:
        """
        Whether chance in the choice of sequences hardly explains it.
        """
        return self.interval is not None and self.interval[0] > 0


def mean_of(pairs: Sequence[PairResult], figure: str) -> Mean:
    """
    The mean of a figure over some pairs; what is infinite or NaN is left out and counted.
    """
    values = _values(pairs, figure)
    known = values[np.isfinite(values)]
    return Mean(float(known.mean()) if len(known) else math.nan, len(values) - len(known))


def splits(pairs: Sequence[PairResult]) -> dict[str, list[PairResult]]:
    """
    All pairs, and where the names of the sequences tell them apart, those with changes of light and of viewpoint.
    """
    parts = {
        'light': [p for p in pairs if p.pair.sequence.startswith(ILLUMINATION)],
        'viewpoint': [p for p in pairs if p.pair.sequence.startswith(VIEWPOINT)],
    }
    return {ALL: list(pairs)} | {name: part for name, part in parts.items() if 0 < len(part) < len(pairs)}


def by_sequence(pairs: Sequence[PairResult]) -> dict[str, list[PairResult]]:
    """
    The pairs of each sequence, in their order.
    """
    parts: dict[str, list[PairResult]] = {}
    for pair in pairs:
        parts.setdefault(pair.pair.sequence, []).append(pair)
    return parts


def difference(first: Sequence[PairResult], second: Sequence[PairResult], figure: str) -> Difference:
    """
    How much better the first method is than the second one, over the same pairs, those that both know.
    """
    sign = -1.0 if FIGURES[figure].better is Better.LOW else 1.0
    gain = sign * (_values(first, figure) - _values(second, figure))
    known = gain[np.isfinite(gain)]
    return Difference(float(known.mean()) if len(known) else math.nan, _interval(first, gain))


def mean_interval(pairs: Sequence[PairResult], figure: str) -> tuple[float, float] | None:
    """
    The interval that holds 95 % of the means of a figure when the sequences are drawn anew; None with too few of them.
    """
    return _interval(pairs, _values(pairs, figure))


def _interval(pairs: Sequence[PairResult], values: Float64Array) -> tuple[float, float] | None:
    known = np.isfinite(values)
    _, member = np.unique(np.array([pair.pair.sequence for pair in pairs])[known], return_inverse=True)
    sums, counts = np.bincount(member, values[known]), np.bincount(member)
    if len(counts) < _FEWEST_SEQUENCES:
        return None
    drawn = np.random.default_rng(0).integers(0, len(counts), (_RESAMPLES, len(counts)))
    low, high = np.percentile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), _INTERVAL)
    return float(low), float(high)


def _values(pairs: Sequence[PairResult], figure: str) -> Float64Array:
    return np.array([pair.figures[figure] for pair in pairs], np.float64)


def ranked(methods: Sequence[MethodResult], figure: str, split: str = ALL) -> list[MethodResult]:
    """
    The methods for which a figure is known in a split, the best first.
    """
    means = {method.name: mean_of(splits(method.pairs)[split], figure).value for method in methods}
    known = [method for method in methods if math.isfinite(means[method.name])]
    return sorted(known, key=lambda method: FIGURES[figure].rank(means[method.name]))


def verdict(methods: Sequence[MethodResult]) -> Iterator[str]:
    """
    Sentences that say which method is better, on what, and by how much: the task itself first.
    """
    yield from filter(None, (_compare(methods, *aspect) for aspect in _ASPECTS))
    parts = [split for split in splits(methods[0].pairs) if split != ALL]
    for split in parts if len(methods) > 1 else ():
        shares = [
            f'{method.name} {_show("correct_3", mean_of(splits(method.pairs)[split], "correct_3").value)}'
            for method in ranked(methods, 'correct_3', split)
        ]
        yield f'Changes of {split} alone, homographies right to 3 px: {", ".join(shares)}.'
    count = len(by_sequence(methods[0].pairs))
    if count < _FEW_SEQUENCES:
        yield (
            f'All of this rests on {count} sequences with {len(methods[0].pairs)} pairs: too few to rank methods that '
            'lie close together; the full HPatches has 116 sequences.'
        )


def _compare(methods: Sequence[MethodResult], title: str, figure: str, words: str) -> str:
    order = ranked(methods, figure)
    if not order:
        return ''
    best, rivals = order[0], order[1:]
    gains = [difference(best.pairs, other.pairs, figure) for other in rivals]
    unclear = [other.name for other, gain in zip(rivals, gains, strict=True) if not gain.is_clear]
    lead = 'is best' if not unclear else f'leads, but {" and ".join(unclear)} may be as good'
    values = [_show(figure, mean_of(method.pairs, figure).value) for method in order]
    told = [f'{values[0]} {words}']
    for place, (other, gain) in enumerate(zip(rivals, gains, strict=True)):
        more = f', {_rival(figure, gain)}' if place < _TOLD else ''
        told.append(f'{other.name} {values[place + 1]}{more}')
    return f'{title}: {best.name} {lead if rivals else "alone"}. {"; ".join(told)}.'


def _rival(figure: str, gain: Difference) -> str:
    text = f'{_show(figure, gain.value, "points")} worse'
    if gain.interval is None:
        return text
    low, high = (_show(figure, end).split()[0] for end in gain.interval)
    return f'{text} (95 % interval: {low} to {high})'


def _show(figure: str, value: float, unit: str = '%') -> str:
    return f'{value:.2f} px' if figure.endswith('_px') else f'{100 * value:.1f} {unit}'


def unknown_notes(methods: Sequence[MethodResult]) -> list[str]:
    """
    Which figures left pairs out of their means, and how many; and how often the protocol's -1 was averaged in.
    """
    notes = []
    for method in methods:
        for name, figure in FIGURES.items():
            unknown = mean_of(method.pairs, name).unknown
            if unknown:
                notes.append(f'{method.name}: {figure.header} is not known for {unknown} of {len(method.pairs)} pairs')
        empty = sum(pair.figures['repeatability'] < 0 for pair in method.pairs)
        if empty:
            notes.append(f'{method.name}: {empty} pairs without a point in common view count as -1 in Rep and Loc')
    return notes


def format_headlines(methods: Sequence[MethodResult]) -> str:
    """
    The headline figures over all pairs as text, the best of each column with a star.
    """
    figures = {FIGURES[name].header: FIGURES[name].better for name in HEADLINES}
    rows = []
    for method in methods:
        time = Spread.of(method.milliseconds)
        means = (mean_of(method.pairs, name).value for name in HEADLINES)
        rows.append([method.name, *means, None if time is None else time.median])
    best = {header: better for header, better in figures.items() if better is not None}
    return format_table(make_table(['', *figures, 'ms'], rows, best=best, digits={'ms': 1}))


def evaluation_as_dict(evaluation: KeypointEvaluation) -> dict[str, Any]:
    """
    The evaluation with all figures of all pairs as JSON values; what is not known is null.
    """
    head = evaluation.data.report_head('keypoints', FORMAT_VERSION, settings_as_dict(evaluation.protocol))
    return {
        **head,
        'verdict': list(verdict(evaluation.methods)),
        'figures': {name: figure.meaning for name, figure in FIGURES.items()},
        'methods': [_method_as_dict(method) for method in evaluation.methods],
        'differences': _differences(evaluation.methods),
    }


def settings_as_dict(protocol: KeypointProtocol) -> dict[str, Any]:
    """
    The rules by name, the numbers that follow from the size filled in.
    """
    values = {name: list(v) if isinstance(v, tuple) else v for name, v, _ in flatten(protocol)}
    return values | {'top_k': protocol.keypoints, 'pool': protocol.candidates}


def _method_as_dict(method: MethodResult) -> dict[str, Any]:
    time = Spread.of(method.milliseconds)
    return {
        'name': method.name,
        'facts': dict(method.facts),
        'fingerprint': method.fingerprint,
        'means': {split: _means(pairs) for split, pairs in splits(method.pairs).items()},
        'unknown': {name: unknown for name in FIGURES if (unknown := mean_of(method.pairs, name).unknown)},
        'sequences': {name: _means(pairs) for name, pairs in by_sequence(method.pairs).items()},
        'milliseconds': None if time is None else {name: round(value, 3) for name, value in asdict(time).items()},
        'keypoints': None if (counts := Spread.of(method.keypoint_counts)) is None else asdict(counts),
        'images_from_cache': method.reused_count,
        'pairs': [_pair_as_dict(pair) for pair in method.pairs],
    }


def _means(pairs: Sequence[PairResult]) -> dict[str, float | None]:
    return {name: _rounded(mean_of(pairs, name).value) for name in FIGURES}


def _pair_as_dict(result: PairResult) -> dict[str, Any]:
    figures = {name: _rounded(result.figures[name]) for name in FIGURES}
    pair = result.pair
    return {'sequence': pair.sequence, 'source': pair.source, 'target': pair.target} | figures


def _differences(methods: Sequence[MethodResult]) -> list[dict[str, Any]]:
    """
    How much each method is better than each that is named after it.
    """
    found = []
    for number, first in enumerate(methods):
        for second in methods[number + 1 :]:
            for name in HEADLINES:
                gain = difference(first.pairs, second.pairs, name)
                found.append(
                    {
                        'method': first.name,
                        'than': second.name,
                        'split': ALL,
                        'figure': name,
                        'by': _rounded(gain.value),
                        'interval_95': None if gain.interval is None else [_rounded(end) for end in gain.interval],
                    }
                )
    return found
