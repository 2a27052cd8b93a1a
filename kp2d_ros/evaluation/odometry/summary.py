# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
All runs of an evaluation side by side: means over seeds and over sequences, in sentences, and as ``report.json``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kp2d_ros.core.records import Sensor
from kp2d_ros.evaluation.fingerprint import describe_machine
from kp2d_ros.evaluation.odometry.figures import FIGURES, take_figures
from kp2d_ros.evaluation.odometry.run import Contender
from kp2d_ros.evaluation.odometry.run_file import StoredRun, trajectory_values
from kp2d_ros.evaluation.odometry.subject import Subject
from kp2d_ros.metrics.frame_record import count_states
from kp2d_ros.metrics.run_score import RunScore, ScoreRules
from kp2d_ros.metrics.spread import Interval, confidence_interval, finite_or_none
from kp2d_ros.metrics.trajectory import SegmentScore

_EQUAL = 1.05  # methods whose figures differ by a smaller factor are called equal
# What decides, in this order: the first of them that was measured.
_DECIDING = {
    't_rel_percent': 'drift along the path (t_rel, %)',
    'ate_percent': 'distance to the true path (ATE, % of its length)',
    'direction_deg': 'direction of motion (median error, °)',
    'inlier_percent': 'matches that agree with the estimate (%)',
}


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One run and its score; ``folder`` is where it lies, below that of the report.
    """

    subject: Subject
    contender: Contender
    folder: str
    run: StoredRun
    score: RunScore


@dataclass(frozen=True, slots=True)
class Results:
    """
    The runs of an evaluation, for every sequence all methods, for every method all seeds; and how they were scored.

    ``settings`` are those of the pipeline that all methods share; ``sensor`` is one of them.
    """

    entries: Sequence[Entry]
    rules: ScoreRules
    settings: Mapping[str, Any]
    versions: Mapping[str, str]

    @property
    def sensor(self) -> str:
        """
        What the frames had: mono, stereo or rgbd.
        """
        return str(self.settings.get('sensor', Sensor.MONO.value))

    @property
    def subjects(self) -> list[Subject]:
        """
        The sequences in their order.
        """
        return list({entry.subject.name: entry.subject for entry in self.entries}.values())

    @property
    def methods(self) -> list[str]:
        """
        The names of the methods in their order.
        """
        return list(dict.fromkeys(entry.contender.name for entry in self.entries))

    @property
    def seeds(self) -> list[int]:
        """
        The seeds that every method ran with.
        """
        return list(dict.fromkeys(entry.contender.seed for entry in self.entries))

    def of(self, subject: str) -> list[Entry]:
        """
        The runs over a sequence with the first seed, one for each method: what pictures show.
        """
        first = self.seeds[0]
        return [e for e in self.entries if e.subject.name == subject and e.contender.seed == first]


@dataclass(frozen=True, slots=True)
class Summary:
    """
    Figures by name: ``by_sequence[sequence][method][figure]`` over the seeds, ``mean[method][figure]`` over sequences.

    A mean takes the ``common[figure]`` sequences, where every method has the figure that has it at all, so that they
    are held to the same; it is None where there is none, or where the figure does not average.
    """

    by_sequence: Mapping[str, Mapping[str, Mapping[str, Interval]]]
    common: Mapping[str, Sequence[str]]
    mean: Mapping[str, Mapping[str, float | None]]


def summarise(results: Results) -> Summary:
    """
    Bring the figures of all runs together.
    """
    taken: dict[tuple[str, str], list[dict[str, float | None]]] = {}
    for entry in results.entries:
        taken.setdefault((entry.subject.name, entry.contender.name), []).append(take_figures(entry.score))
    by_sequence: dict[str, dict[str, dict[str, Interval]]] = {}
    for (sequence, method), runs in taken.items():
        by_sequence.setdefault(sequence, {})[method] = {
            name: confidence_interval([value for run in runs if (value := run[name]) is not None]) for name in FIGURES
        }
    common: dict[str, list[str]] = {}
    mean: dict[str, dict[str, float | None]] = {method: {} for method in results.methods}
    for name, figure in FIGURES.items():
        able = [m for m in results.methods if any(values[m][name].count for values in by_sequence.values())]
        common[name] = [s for s, values in by_sequence.items() if able and all(values[m][name].count for m in able)]
        for method in results.methods:
            numbers = [by_sequence[s][method][name].mean for s in common[name]] if method in able else []
            mean[method][name] = float(np.mean(numbers)) if numbers and figure.averages else None
    return Summary(by_sequence, common, mean)


def describe(results: Results, summary: Summary) -> list[str]:
    """
    What a reader wants to know first, in a few sentences: who is best, who is fast, who was lost; and what is missing.
    """
    decided = next((name for name in _DECIDING if summary.common[name]), '')
    sentences = [
        _compare(decided, _DECIDING.get(decided, ''), summary),
        _compare('total_ms', 'median time of an image (ms)', summary),
        _describe_lost(summary),
        _describe_scale(results, summary),
        *_cautions(results),
    ]
    return [sentence for sentence in sentences if sentence]


def _compare(name: str, noun: str, summary: Summary) -> str:
    values = {method: value for method, means in summary.mean.items() if (value := means.get(name)) is not None}
    if not values:
        return ''
    order = sorted(values, key=lambda method: FIGURES[name].rank(values[method]))
    listed = ', '.join(f'{method} {values[method]:.{FIGURES[name].digits}f}' for method in order)
    common = summary.common[name]
    where = f'on {common[0]}' if len(common) == 1 else f'in the mean of {len(common)} sequences'
    if len(order) == 1:
        return f'{noun[0].upper()}{noun[1:]}: {listed} {where}.'
    low, large = sorted(values[method] for method in order[:2])
    lead = f'{order[0]} and {order[1]} are about equal' if large <= low * _EQUAL else f'{order[0]} is best'
    return f'{lead} by {noun}: {listed} {where}.'


def _describe_lost(summary: Summary) -> str:
    lost = {method: float(means['lost_percent'] or 0.0) for method, means in summary.mean.items()}
    found = [f'{method} on {share:.1f} % of the images' for method, share in lost.items() if share > 0]
    clean = [method for method, share in lost.items() if share <= 0]
    if not found:
        return f'{" and ".join(clean)} never lost the camera.'
    return f'Lost the camera: {", ".join(found)}' + (f'; {" and ".join(clean)} never did.' if clean else '.')


def _describe_scale(results: Results, summary: Summary) -> str:
    """
    How well a sensor that knows metres knows them.
    """
    if results.sensor == Sensor.MONO.value:
        return ''
    errors = [
        f'{method} {interval.mean:+.2f} % on {sequence}'
        for sequence, methods in summary.by_sequence.items()
        for method, figures in methods.items()
        if (interval := figures['scale_error_percent']).count
    ]
    return f'The sensor is {results.sensor}, paths are in metres' + (
        f'; error of their scale: {", ".join(errors)}.' if errors else '.'
    )


def _cautions(results: Results) -> Iterator[str]:
    """
    What limits the weight of the figures.
    """
    for subject in results.subjects:
        if subject.truth is None:
            yield f'{subject.name}: scored by what needs no ground truth: {subject.truth_note}.'
            continue
        for entry in results.of(subject.name):
            if entry.score.note:
                yield f'{subject.name}, {entry.contender.name}: no score of the path: {entry.score.note}.'


def results_as_dict(results: Results, summary: Summary, words: Sequence[str]) -> dict[str, Any]:
    """
    The evaluation as JSON values, numbers in full; what could not be measured is None.
    """
    return {
        'kind': 'odometry',
        'versions': dict(results.versions),
        'machine': describe_machine(),
        'sensor': results.sensor,
        'alignment': results.rules.alignment.value,
        'segment_lengths': list(results.rules.segment_lengths),
        'seeds': results.seeds,
        'settings': dict(results.settings),
        'figures': {name: {'header': f.header, 'meaning': f.meaning} for name, f in FIGURES.items()},
        'sequences': {s.name: {**s.facts, 'source': s.source, 'truth_note': s.truth_note} for s in results.subjects},
        'methods': {e.contender.name: dict(e.contender.facts) for e in results.entries},
        'words': list(words),
        'mean': summary.mean,
        'by_sequence': {
            sequence: {
                method: {name: _interval(interval) for name, interval in figures.items()}
                for method, figures in methods.items()
            }
            for sequence, methods in summary.by_sequence.items()
        },
        'runs': [_entry(entry) for entry in results.entries],
    }


def _entry(entry: Entry) -> dict[str, Any]:
    score = entry.score
    pairs = {name: value for name, value in asdict(score.pairs).items() if name in _SPREADS}
    return {
        'sequence': entry.subject.name,
        'method': entry.contender.name,
        'seed': entry.contender.seed,
        'folder': entry.folder,
        'fingerprint': entry.run.values['fingerprint'],
        'model_id': entry.contender.info.model_id,
        'frames': len(score.frames),
        'frames_with_truth': score.with_truth,
        'states': count_states(score.frames),
        'figures': take_figures(score),
        'pairs': {**pairs, 'in_pose_curve': len(score.curve)},
        'failures': [asdict(failure) for failure in score.failures],
        'trajectory': trajectory_values(score.whole),
        'longest_segment': trajectory_values(score.longest),
        'drift': None if score.drift is None else _drift(score.drift),
        'stage_ms': {stage: asdict(spread) for stage, spread in score.stages.items()},
        'note': score.note,
    }


_SPREADS = ('rotation_deg', 'direction_deg', 'inlier_ratio')


def _interval(interval: Interval) -> dict[str, Any]:
    return {
        'mean': finite_or_none(interval.mean),
        'half_width_95': finite_or_none(interval.half_width),
        'runs': interval.count,
    }


def _drift(score: SegmentScore) -> dict[str, Any]:
    values = {
        'parts': score.count,
        'translation_percent': score.translation_percent,
        'rotation_deg_per_m': score.rotation_deg_per_m,
    }
    by_length = {f'{length:g}': _drift(part) for length, part in score.by_length.items()}
    return {**values, 'by_length': by_length} if by_length else values
