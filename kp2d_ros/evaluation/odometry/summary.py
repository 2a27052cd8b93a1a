# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
All runs of an evaluation side by side: figures by sequence and method, their means over seeds and over sequences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kp2d_ros.evaluation.odometry.figures import FIGURES, take_figures
from kp2d_ros.evaluation.odometry.run import Contender
from kp2d_ros.evaluation.odometry.run_file import StoredRun
from kp2d_ros.evaluation.odometry.score import RunScore, ScoreRules
from kp2d_ros.evaluation.odometry.subject import Subject
from kp2d_ros.metrics.confidence import Interval, confidence_interval

BySequence = Mapping[str, Mapping[str, Mapping[str, Interval]]]


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

    ``settings`` are those of the pipeline that all methods share.
    """

    entries: Sequence[Entry]
    rules: ScoreRules
    settings: Mapping[str, Any]
    versions: Mapping[str, str]

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

    A mean takes the sequences where every method has the figure that has it at all, so that they are held to the same;
    it is None where there is none, or where the figure does not average.
    """

    by_sequence: BySequence
    mean: Mapping[str, Mapping[str, float | None]]


def summarise(results: Results) -> Summary:
    """
    Bring the figures of all runs together.
    """
    taken = {id(entry): take_figures(entry.score) for entry in results.entries}
    by_sequence: dict[str, dict[str, dict[str, Interval]]] = {}
    for subject in results.subjects:
        for method in results.methods:
            runs = [e for e in results.entries if (e.subject.name, e.contender.name) == (subject.name, method)]
            by_sequence.setdefault(subject.name, {})[method] = {
                name: confidence_interval([_number(taken[id(entry)][name]) for entry in runs]) for name in FIGURES
            }
    mean = {method: {name: _mean(by_sequence, method, name) for name in FIGURES} for method in results.methods}
    return Summary(by_sequence, mean)


def _number(value: float | None) -> float:
    return float('nan') if value is None else value


def able_methods(by_sequence: BySequence, name: str) -> list[str]:
    """
    The methods that have a figure on one of the sequences at least.
    """
    methods = dict.fromkeys(method for methods in by_sequence.values() for method in methods)
    return [m for m in methods if any(values[m][name].count for values in by_sequence.values())]


def common_sequences(by_sequence: BySequence, name: str) -> list[str]:
    """
    The sequences where all these methods have the figure.
    """
    able = able_methods(by_sequence, name)
    return [s for s, values in by_sequence.items() if able and all(values[method][name].count for method in able)]


def _mean(by_sequence: BySequence, method: str, name: str) -> float | None:
    common = common_sequences(by_sequence, name)
    if not common or not FIGURES[name].averages or method not in able_methods(by_sequence, name):
        return None
    return float(np.mean([by_sequence[sequence][method][name].mean for sequence in common]))
