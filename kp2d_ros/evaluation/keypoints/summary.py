# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What many pairs say together: means by split and sequence, differences between methods, and both in words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kp2d_ros.core.records import Float64Array
from kp2d_ros.evaluation.html_table import Better
from kp2d_ros.evaluation.keypoints.run import MethodResult, PairResult
from kp2d_ros.metrics.keypoint_protocol import ACCURACY_PX, CORNER_PX
from kp2d_ros.pairs.homography_sets import ILLUMINATION, VIEWPOINT

ALL = 'all'
_RESAMPLES = 2000
_FEWEST_SEQUENCES = 3  # to say how much chance there is in a difference
_FEW_SEQUENCES = 20
_INTERVAL = (2.5, 97.5)  # percent
_TOLD = 2  # rivals of the best method whose intervals a sentence gives


@dataclass(frozen=True, slots=True)
class Figure:
    """
    A measured figure: its name in report.json, the head of its column, which values are good, and what it means.
    """

    name: str
    header: str
    meaning: str
    better: Better | None = Better.HIGH


FIGURES = (
    Figure('repeatability', 'Rep', 'share of the points in common view with a point of the other image within reach'),
    Figure('one_to_one', 'Rep 1:1', 'the same with every point counted once, so that clusters gain nothing'),
    Figure('localisation_px', 'Loc px', 'mean distance of repeated points, in pixels', Better.LOW),
    *(
        Figure(
            f'correct_{t}',
            f'C{t}',
            f'share of the homographies whose corners are off by up to {t} px, mean over random orders of the matches',
        )
        for t in CORNER_PX
    ),
    *(
        Figure(f'auc_{t}', f'AUC{t}', f'area under the curve of the share of right homographies up to {t} px')
        for t in CORNER_PX
    ),
    Figure('matching_score', 'MS', 'share of right nearest neighbours among those in common view, both ways'),
    Figure('recall', 'Recall', 'share of the source points in common view that are matched rightly'),
    *(
        Figure(f'accuracy_{t}', f'MMA{t}', f'share of the mutual nearest neighbours that are right up to {t} px')
        for t in ACCURACY_PX
    ),
    Figure('matches', 'matches', 'mutual nearest neighbours of a pair', None),
    Figure('in_view', 'in view', 'points in common view that take part, mean of both images', None),
    Figure('corner_error_px', 'corner px', 'error of the corners, median over the orders', Better.LOW),
    *(
        Figure(f'correct_{t}_rising', f'C{t} rising', f'C{t} for the matches in the order of rising scores alone')
        for t in CORNER_PX
    ),
)
FIGURE_BY_NAME = {figure.name: figure for figure in FIGURES}


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
    sign = -1.0 if FIGURE_BY_NAME[figure].better is Better.LOW else 1.0
    gain = sign * (_values(first, figure) - _values(second, figure))
    known = np.isfinite(gain)
    sequences = np.array([pair.pair.sequence for pair in first])[known]
    gain = gain[known]
    if not len(gain):
        return Difference(math.nan, None)
    _, member = np.unique(sequences, return_inverse=True)
    sums, counts = np.bincount(member, gain), np.bincount(member)
    if len(counts) < _FEWEST_SEQUENCES:
        return Difference(float(gain.mean()), None)
    drawn = np.random.default_rng(0).integers(0, len(counts), (_RESAMPLES, len(counts)))
    low, high = np.percentile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), _INTERVAL)
    return Difference(float(gain.mean()), (float(low), float(high)))


def _values(pairs: Sequence[PairResult], figure: str) -> Float64Array:
    return np.array([pair.figures[figure] for pair in pairs], np.float64)


def ranked(methods: Sequence[MethodResult], figure: str, split: str = ALL) -> list[MethodResult]:
    """
    The methods for which a figure is known in a split, the best first.
    """
    means = {method.name: mean_of(splits(method.pairs)[split], figure).value for method in methods}
    known = [method for method in methods if math.isfinite(means[method.name])]
    sign = 1.0 if FIGURE_BY_NAME[figure].better is Better.LOW else -1.0
    return sorted(known, key=lambda method: sign * means[method.name])


@dataclass(frozen=True, slots=True)
class _Aspect:
    """
    What a sentence of the verdict is about.
    """

    title: str
    figure: str
    show: Callable[[float], str]
    words: str


def _percent(value: float) -> str:
    return f'{100 * value:.1f} %'


def _points(value: float) -> str:
    return f'{100 * value:.1f} points'


def _pixels(value: float) -> str:
    return f'{value:.2f} px'


_ASPECTS = (
    _Aspect('Homographies, the task itself', 'correct_3', _percent, 'of the homographies are right to 3 px'),
    _Aspect('Fine homographies', 'correct_1', _percent, 'of the homographies are right to 1 px'),
    _Aspect('Descriptors', 'accuracy_3', _percent, 'of the mutual matches are right to 3 px'),
    _Aspect('Detector and descriptor together', 'recall', _percent, 'of the points in common view are matched rightly'),
    _Aspect('Detector', 'one_to_one', _percent, 'of the points are found again, each counted once'),
    _Aspect('Precision', 'localisation_px', _pixels, 'between points found again'),
)


def verdict(methods: Sequence[MethodResult]) -> Iterator[str]:
    """
    Sentences that say which method is better, on what, and by how much.
    """
    for aspect in _ASPECTS:
        sentence = _compare(methods, aspect)
        if sentence:
            yield sentence
    parts = [split for split in splits(methods[0].pairs) if split != ALL]
    for split in parts if len(methods) > 1 else ():
        order = ranked(methods, 'correct_3', split)
        shares = [f'{m.name} {_percent(mean_of(splits(m.pairs)[split], "correct_3").value)}' for m in order]
        yield f'Changes of {split} alone, homographies right to 3 px: {", ".join(shares)}.'
    count = len(by_sequence(methods[0].pairs))
    if count < _FEW_SEQUENCES:
        yield (
            f'All of this rests on {count} sequences with {len(methods[0].pairs)} pairs: too few to rank methods that '
            'lie close together; the full HPatches has 116 sequences.'
        )


def _compare(methods: Sequence[MethodResult], aspect: _Aspect) -> str:
    order = ranked(methods, aspect.figure)
    if not order:
        return ''
    best, rivals = order[0], order[1:]
    gains = [difference(best.pairs, other.pairs, aspect.figure) for other in rivals]
    unclear = [other.name for other, gain in zip(rivals, gains, strict=True) if not gain.is_clear]
    lead = 'is best' if not unclear else f'leads, but {" and ".join(unclear)} may be as good'
    told = [_rival(other, gain, aspect) for other, gain in zip(rivals[:_TOLD], gains, strict=False)]
    told += [f'{other.name} {aspect.show(mean_of(other.pairs, aspect.figure).value)}' for other in rivals[_TOLD:]]
    measured = f'{aspect.show(mean_of(best.pairs, aspect.figure).value)} {aspect.words}'
    return f'{aspect.title}: {best.name} {lead if rivals else "alone"}. {"; ".join([measured, *told])}.'


def _rival(other: MethodResult, gain: Difference, aspect: _Aspect) -> str:
    show = _pixels if aspect.show is _pixels else _points
    text = f'{other.name} {aspect.show(mean_of(other.pairs, aspect.figure).value)}, {show(gain.value)} worse'
    if gain.interval is None:
        return text
    low, high = (show(end).split()[0] for end in gain.interval)
    return f'{text} (95 % interval: {low} to {high})'
