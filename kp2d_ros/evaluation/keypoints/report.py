# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A keypoint evaluation as ``report.json`` and as a table for the terminal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kp2d_ros.core.files import write_text
from kp2d_ros.core.settings import flatten
from kp2d_ros.evaluation.html_table import Better
from kp2d_ros.evaluation.keypoints.run import MethodResult, PairResult
from kp2d_ros.evaluation.keypoints.summary import (
    ALL,
    FIGURE_BY_NAME,
    FIGURES,
    by_sequence,
    difference,
    mean_of,
    splits,
    verdict,
)
from kp2d_ros.metrics.keypoint_protocol import KeypointProtocol
from kp2d_ros.metrics.spread import Spread

FORMAT_VERSION = 1

# The columns of the tables that a person reads first, by name.
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


@dataclass(frozen=True, slots=True)
class KeypointEvaluation:
    """
    A whole evaluation: what it ran on, by which rules, with what, and what came out for each method.

    ``dataset_fingerprint`` is a hash over the images as they were seen and over the homographies.
    """

    dataset: str
    dataset_fingerprint: str
    image_count: int
    protocol: KeypointProtocol
    versions: Mapping[str, str]
    methods: Sequence[MethodResult]


def write_json(evaluation: KeypointEvaluation, path: Path) -> None:
    """
    Write the evaluation with all figures of all pairs; what is not known is null.

    :raises DataError: if it cannot be written.
    """
    write_text(path, json.dumps(evaluation_as_dict(evaluation), indent=1, allow_nan=False) + '\n')


def evaluation_as_dict(evaluation: KeypointEvaluation) -> dict[str, Any]:
    """
    The evaluation as JSON values.
    """
    first = evaluation.methods[0]
    return {
        'kind': 'keypoints',
        'version': FORMAT_VERSION,
        'dataset': {
            'name': evaluation.dataset,
            'fingerprint': evaluation.dataset_fingerprint,
            'pairs': len(first.pairs),
            'images': evaluation.image_count,
            'sequences': len(by_sequence(first.pairs)),
        },
        'settings': settings_as_dict(evaluation.protocol),
        'versions': dict(evaluation.versions),
        'verdict': list(verdict(evaluation.methods)),
        'figures': {figure.name: figure.meaning for figure in FIGURES},
        'methods': [_method_as_dict(method) for method in evaluation.methods],
        'differences': _differences(evaluation.methods),
    }


def settings_as_dict(protocol: KeypointProtocol) -> dict[str, Any]:
    """
    The rules by name, the numbers that follow from the size filled in.
    """
    values = {name: list(v) if isinstance(v, tuple) else v for name, v, _ in flatten(protocol)}
    return values | {'top_k': protocol.keypoints, 'pool': protocol.candidates}


def format_table(methods: Sequence[MethodResult]) -> str:
    """
    The headline figures over all pairs as text, the best of each column with a star.
    """
    names = [*HEADLINES]
    headers = ['', *(FIGURE_BY_NAME[name].header for name in names), 'ms']
    means = [[mean_of(method.pairs, name).value for name in names] for method in methods]
    rows = [headers]
    for method, values in zip(methods, means, strict=True):
        cells = [_cell(value, _best([row[i] for row in means], names[i])) for i, value in enumerate(values)]
        time = Spread.of(method.milliseconds)
        rows.append([method.name, *cells, '-' if time is None else f'{time.median:.1f}'])
    widths = [max(len(row[column]) for row in rows) for column in range(len(headers))]
    lines = [[row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))] for row in rows]
    return '\n'.join('  '.join(line).rstrip() for line in lines)


def unknown_notes(methods: Sequence[MethodResult]) -> list[str]:
    """
    Which figures left pairs out of their means, and how many; and how often the protocol's -1 was averaged in.
    """
    notes = []
    for method in methods:
        for figure in FIGURES:
            unknown = mean_of(method.pairs, figure.name).unknown
            if unknown:
                notes.append(f'{method.name}: {figure.header} is not known for {unknown} of {len(method.pairs)} pairs')
        empty = sum(pair.figures['repeatability'] < 0 for pair in method.pairs)
        if empty:
            notes.append(f'{method.name}: {empty} pairs without a point in common view count as -1 in Rep and Loc')
    return notes


def _cell(value: float, best: float) -> str:
    if not math.isfinite(value):
        return '-'
    text = f'{value:.3f}'
    return f'{text}*' if text == f'{best:.3f}' else f'{text} '


def _best(values: Sequence[float], figure: str) -> float:
    known = [value for value in values if math.isfinite(value)]
    if len(known) < 2:
        return math.nan
    return min(known) if FIGURE_BY_NAME[figure].better is Better.LOW else max(known)


def _method_as_dict(method: MethodResult) -> dict[str, Any]:
    time = Spread.of(method.milliseconds)
    return {
        'name': method.name,
        'facts': dict(method.facts),
        'fingerprint': method.fingerprint,
        'means': {split: _means(pairs) for split, pairs in splits(method.pairs).items()},
        'unknown': {
            figure.name: unknown for figure in FIGURES if (unknown := mean_of(method.pairs, figure.name).unknown)
        },
        'sequences': {name: _means(pairs) for name, pairs in by_sequence(method.pairs).items()},
        'milliseconds': None if time is None else {name: round(value, 3) for name, value in asdict(time).items()},
        'keypoints': None if (counts := Spread.of(method.keypoint_counts)) is None else asdict(counts),
        'images_from_cache': method.reused_count,
        'pairs': [_pair_as_dict(pair) for pair in method.pairs],
    }


def _means(pairs: Sequence[PairResult]) -> dict[str, float | None]:
    return {figure.name: _known(mean_of(pairs, figure.name).value) for figure in FIGURES}


def _pair_as_dict(result: PairResult) -> dict[str, Any]:
    figures = {figure.name: _known(result.figures[figure.name]) for figure in FIGURES}
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
                        'by': _known(gain.value),
                        'interval_95': None if gain.interval is None else [_known(end) for end in gain.interval],
                    }
                )
    return found


def _known(value: float) -> float | None:
    """
    A number to six digits after the point; None for NaN and infinity, which JSON does not know.
    """
    return round(value, 6) if math.isfinite(value) else None
