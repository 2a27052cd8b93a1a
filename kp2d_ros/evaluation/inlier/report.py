# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What an IO-Net is worth, in words, as JSON and as a page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kp2d_ros.core.settings import flatten
from kp2d_ros.drawing.figure import DENSITY, Axes, line_chart
from kp2d_ros.evaluation.html_page import make_picture, render_page
from kp2d_ros.evaluation.inlier.run import THRESHOLDS_PX, InlierReport, SamplingScore
from kp2d_ros.evaluation.keypoints.run import DataFacts
from kp2d_ros.evaluation.table import Better, Cell, Table, format_table, make_table
from kp2d_ros.metrics.spread import confidence_interval, finite_or_none

FORMAT_VERSION = 1
_TEMPLATE = Path(__file__).with_name('report.html.jinja')
_HEADLINE = THRESHOLDS_PX.index(3.0)
_COMPARED = (('guided', 'uniform'), ('filtered', 'uniform'), ('opencv prosac by io-net', 'opencv prosac by distance'))


@dataclass(frozen=True, slots=True)
class InlierEvaluation:
    """
    What came out, and what it depends on: data, the facts of the network, the name of the IO-Net's file, and settings
    (a dataclass of settings).
    """

    data: DataFacts
    model: Mapping[str, Any]
    inlier_model: str
    settings: Any
    report: InlierReport


def verdict(report: InlierReport) -> list[str]:
    """
    Sentences that say whether IO-Net helps, on what and by how much.
    """
    score = report.classifier
    sentences = [
        f'{_percent(score.right_share)} of {score.match_count} matches in {report.pair_count} pairs are right. Of '
        f'those that IO-Net takes for right {_percent(score.precision)} are; it finds {_percent(score.recall)} of all '
        f'right ones. On these matches a threshold of {score.best_threshold:.2f} would tell them apart best '
        f'(F1 {score.best_f1:.3f}).',
        f'Ordered by IO-Net the matches have an average precision of {score.average_precision:.3f}, by the descriptor '
        f'distance alone {score.distance_average_precision:.3f}.',
    ]
    by_key = {(s.method, s.iterations): s for s in report.sampling}
    for iterations in dict.fromkeys(s.iterations for s in report.sampling):
        parts = [
            f'{first} {_difference(by_key[first, iterations], by_key[second, iterations])} {second}'
            for first, second in _COMPARED
        ]
        sentences.append(f'Homographies right to 3 px with {iterations} samples: {"; ".join(parts)}.')
    return sentences


def format_report(report: InlierReport) -> str:
    """
    The ways of sampling as a table of plain text: correctness at 1, 3 and 5 px, the best of each number of samples with
    a star.
    """
    return format_table(_sampling_table(report))


def evaluation_as_dict(evaluation: InlierEvaluation) -> dict[str, Any]:
    """
    Everything as JSON values; what is not known is null.
    """
    report = evaluation.report
    settings = {name: value for name, value, _ in flatten(evaluation.settings)}
    return {
        **evaluation.data.report_head('inlier', FORMAT_VERSION, settings),
        'model': dict(evaluation.model),
        'inlier_model': evaluation.inlier_model,
        'verdict': verdict(report),
        'classifier': {name: finite_or_none(value) for name, value in asdict(report.classifier).items()},
        'thresholds_px': THRESHOLDS_PX,
        'sampling': [
            {
                'method': score.method,
                'iterations': score.iterations,
                'correctness': [finite_or_none(share) for share in score.correctness],
                'runs': [[finite_or_none(share) for share in run] for run in score.runs],
            }
            for score in report.sampling
        ],
    }


def make_page(evaluation: InlierEvaluation) -> str:
    """
    The page for somebody who has never seen this project.

    :raises BackendError: if Jinja2 or matplotlib is not installed.
    """
    report, score = evaluation.report, evaluation.report.classifier
    facts = {
        'dataset': evaluation.data.fingerprint,
        'inlier_model': evaluation.inlier_model,
        **evaluation.model,
        **{name: value for name, value, _ in flatten(evaluation.settings)},
        **evaluation.data.versions,
    }
    return render_page(
        _TEMPLATE,
        f'IO-Net on {evaluation.data.name}',
        model=evaluation.model.get('model', 'a network'),
        report=report,
        verdict=verdict(report),
        chart=make_picture(
            _sampling_chart(report),
            'RANSAC tries samples of four matches and keeps the homography that most matches agree with; it is right '
            'if it puts the corners of the image within 3 px of where they belong. Better ways to sample need fewer '
            'samples.',
            density=DENSITY,
        ),
        sampling=_sampling_table(report),
        ordered=make_table(
            ['ordered by', 'average precision'],
            [['IO-Net', score.average_precision], ['descriptor distance', score.distance_average_precision]],
            best={'average precision': Better.HIGH},
        ),
        right_share=_percent(score.right_share),
        facts='\n'.join(f'{name}: {value}' for name, value in facts.items()),
    )


def _sampling_table(report: InlierReport) -> Table:
    headers = [f'within {limit:g} px' for limit in THRESHOLDS_PX]
    rows: list[list[Cell]] = [[str(s.iterations), s.method, *s.correctness] for s in report.sampling]
    best = dict.fromkeys(headers, Better.HIGH)
    return make_table(['samples', 'method', *headers], rows, best=best, within='samples')


def _sampling_chart(report: InlierReport) -> bytes:
    lines: dict[str, list[float]] = {}
    for score in report.sampling:
        lines.setdefault(score.method, []).append(score.correctness[_HEADLINE])
    ticks = list(dict.fromkeys(score.iterations for score in report.sampling))
    return line_chart({'': lines}, Axes('samples', 'homographies right to 3 px', ticks, log=True))


def _difference(first: SamplingScore, second: SamplingScore) -> str:
    """
    The difference at 3 px, with its interval where it is more than chance; the same run of both draws by one seed.
    """
    pairs = zip(first.runs, second.runs, strict=True)
    found = confidence_interval([a[_HEADLINE] - b[_HEADLINE] for a, b in pairs])
    if not math.isfinite(found.mean):
        return 'is not comparable with'
    if found.count > 1 and abs(found.mean) <= found.half_width:
        return f'is no different ({found.mean:+.3f} +- {found.half_width:.3f}) from'
    if round(found.mean, 3) == 0:
        return 'is as good as'
    spread = f' +- {found.half_width:.3f}' if found.count > 1 else ''
    return f'is {"better" if found.mean > 0 else "worse"} by {abs(found.mean):.3f}{spread} than'


def _percent(share: float) -> str:
    return f'{100 * share:.1f} %' if math.isfinite(share) else 'an unknown share'
