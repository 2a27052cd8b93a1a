# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
An evaluation in sentences: which method is better, on what, and by how much.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kp2d_ros.evaluation.html_table import Better
from kp2d_ros.evaluation.odometry.figures import FIGURES
from kp2d_ros.evaluation.odometry.summary import Results, Summary, able_methods, common_sequences

_EQUAL = 1.05  # methods whose figures differ by a smaller factor are called equal
_LISTED = 4  # sequences whose figures are named one by one


@dataclass(frozen=True, slots=True)
class _Topic:
    figure: str
    name: str
    noun: str
    unit: str


_TOPICS = (
    _Topic('rotation_deg', 'Rotation', 'median error', '°'),
    _Topic('direction_deg', 'Direction of motion', 'median error', '°'),
    _Topic('auc_5', 'Poses within 5°', 'AUC', ' %'),
    _Topic('ate_percent', 'Whole path', 'ATE', ' % of the path'),
    _Topic('t_rel_percent', 'Drift', 't_rel', ' %'),
    _Topic('inlier_percent', 'Matches that agree', 'median share', ' %'),
    _Topic('total_ms', 'Speed', 'median time of an image', ' ms'),
)


Points = list[tuple[str, str]]


def describe(results: Results, summary: Summary) -> Points:
    """
    What a reader wants to know first: topics, and a sentence or two for each.
    """
    points = [(f'{topic.name}:', text) for topic in _TOPICS if (text := _compare(topic, summary))]
    return [*points, ('Failures:', _describe_failures(results, summary)), *_cautions(results)]


def _compare(topic: _Topic, summary: Summary) -> str:
    sequences = common_sequences(summary.by_sequence, topic.figure)
    values = {
        method: np.array([summary.by_sequence[s][method][topic.figure].mean for s in sequences])
        for method in able_methods(summary.by_sequence, topic.figure)
    }
    if not sequences:
        return ''
    digits = FIGURES[topic.figure].digits
    listed = _listed(topic, sequences, values)
    if len(values) == 1:
        return f'{topic.noun} {listed}.'
    high = FIGURES[topic.figure].better is Better.HIGH
    typical = {method: _typical(numbers, high) for method, numbers in values.items()}
    order = sorted(typical, key=lambda method: -typical[method] if high else typical[method])
    best, second = order[:2]
    wins = int(sum(_is_best(values, best, place, high) for place in range(len(sequences))))
    text = f'{best} is best' + (f' on {wins} of {len(sequences)} sequences' if len(sequences) > 1 else '')
    if _is_equal(typical[best], typical[second], high):
        text = f'{best} and {second} are about equal'
    others = [f'{other} has {_difference(typical[best], typical[other], high, digits)}' for other in order[1:]]
    return f'{text}; {", ".join(others)} ({topic.noun} {listed}).'


def _typical(numbers: np.ndarray, high: bool) -> float:
    """
    One number for several sequences: errors and times by their geometric mean, in which each sequence has equal weight
    whether it is easy or hard; shares by their mean.
    """
    if high or (numbers <= 0).any():
        return float(numbers.mean())
    return float(np.exp(np.log(numbers).mean()))


def _is_best(values: dict[str, np.ndarray], method: str, place: int, high: bool) -> bool:
    numbers = [numbers[place] for numbers in values.values()]
    return bool(values[method][place] == (max(numbers) if high else min(numbers)))


def _is_equal(best: float, other: float, high: bool) -> bool:
    if high:
        return best - other < 1.0
    return other < best * _EQUAL


def _difference(best: float, other: float, high: bool, digits: int) -> str:
    if high:
        return f'{best - other:.{digits}f} points less'
    if best <= 0:
        return f'{other - best:.{digits}f} more'
    ratio = other / best
    return f'{ratio:.1f} times as much' if ratio >= 2 else f'{100 * (ratio - 1):.0f} % more'


def _listed(topic: _Topic, sequences: list[str], values: dict[str, np.ndarray]) -> str:
    """
    The figures themselves: by sequence where they are few, else the means.
    """
    digits = FIGURES[topic.figure].digits
    if len(sequences) > _LISTED:
        parts = [f'{method} {numbers.mean():.{digits}f}{topic.unit}' for method, numbers in values.items()]
        return f'in the mean: {", ".join(parts)}'
    lines = []
    for place, sequence in enumerate(sequences):
        parts = [f'{method} {numbers[place]:.{digits}f}{topic.unit}' for method, numbers in values.items()]
        lines.append(f'{sequence}: {", ".join(parts)}')
    return '; '.join(lines)


def _describe_failures(results: Results, summary: Summary) -> str:
    parts, clean = [], []
    for method in results.methods:
        lost = [
            (sequence, methods[method]['lost_percent'].mean, methods[method]['failures'].mean)
            for sequence, methods in summary.by_sequence.items()
        ]
        found = [
            f'{share:.1f} % of the images of {sequence} ({_plural(times, "failure")})'
            for sequence, share, times in lost
            if share > 0
        ]
        if found:
            parts.append(f'{method} lost the camera on {", ".join(found)}')
        else:
            clean.append(method)
    if not parts:
        return f'none; {" and ".join(clean)} never lost the camera.'
    return '; '.join(parts) + (f'; {" and ".join(clean)} never did.' if clean else '.')


def _plural(count: float, noun: str) -> str:
    return f'{count:g} {noun}' if count == 1 else f'{count:g} {noun}s'


def _cautions(results: Results) -> Iterator[tuple[str, str]]:
    """
    What limits the weight of the figures.
    """
    for subject in results.subjects:
        if subject.truth is None:
            yield f'{subject.name}:', f'scored by what needs no ground truth: {subject.truth_note}.'
        for entry in results.of(subject.name):
            if entry.score.note:
                yield f'{subject.name}, {entry.contender.name}:', f'no score of the path: {entry.score.note}.'
    images = sum(len(results.of(subject.name)[0].score.frames) for subject in results.subjects)
    yield (
        'Weight:',
        f'this is the evidence of {images} images in {_plural(len(results.subjects), "sequence")}. Differences of a '
        'few per cent, or ones that turn round from sequence to sequence, say little.',
    )
