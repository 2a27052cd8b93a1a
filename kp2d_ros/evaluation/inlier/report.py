# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What an IO-Net is worth, in words, as JSON and as a page.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kp2d_ros.core.files import write_text
from kp2d_ros.core.settings import flatten
from kp2d_ros.evaluation.html_page import Page
from kp2d_ros.evaluation.html_table import Better
from kp2d_ros.evaluation.inlier.run import THRESHOLDS_PX, InlierReport, SamplingScore
from kp2d_ros.metrics.spread import confidence_interval

FORMAT_VERSION = 1
_HEADLINE = THRESHOLDS_PX.index(3.0)
_COMPARED = (('guided', 'uniform'), ('filtered', 'uniform'), ('opencv prosac by io-net', 'opencv prosac by distance'))
_MEANING = {
    'uniform': 'every match has the same chance to be drawn',
    'guided': 'matches are drawn in proportion to their probability',
    'filtered': 'only matches above the threshold are drawn and counted, all of the same chance',
    'opencv uniform': "OpenCV's USAC, which refines good samples",
    'opencv prosac by distance': 'the same, matches of near descriptors first',
    'opencv prosac by io-net': 'the same, matches of high probability first',
}


@dataclass(frozen=True, slots=True)
class InlierEvaluation:
    """
    A report, and what it depends on: data, models, settings (a dataclass of settings) and versions.
    """

    dataset: str
    dataset_fingerprint: str
    model: Mapping[str, Any]
    inlier_model: str
    settings: Any
    versions: Mapping[str, str]
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
    The ways of sampling as a table of plain text: correctness at 1, 3 and 5 px.
    """
    width = max(len(score.method) for score in report.sampling)
    lines = [f'{"samples":>7}  {"method":<{width}}  ' + '  '.join(f'{f"{limit:g} px":>6}' for limit in THRESHOLDS_PX)]
    for score in report.sampling:
        shares = '  '.join(f'{share:6.3f}' for share in score.correctness)
        lines.append(f'{score.iterations:>7}  {score.method:<{width}}  {shares}')
    return '\n'.join(lines)


def write_json(evaluation: InlierEvaluation, path: Path) -> None:
    """
    Write everything as JSON; what is not known is null.

    :raises DataError: if it cannot be written.
    """
    report = evaluation.report
    document = {
        'kind': 'inlier',
        'version': FORMAT_VERSION,
        'dataset': {
            'name': evaluation.dataset,
            'fingerprint': evaluation.dataset_fingerprint,
            'pairs': report.pair_count,
        },
        'model': dict(evaluation.model),
        'inlier_model': evaluation.inlier_model,
        'settings': {name: value for name, value, _ in flatten(evaluation.settings)},
        'versions': dict(evaluation.versions),
        'verdict': verdict(report),
        'classifier': {name: _known(value) for name, value in asdict(report.classifier).items()},
        'thresholds_px': THRESHOLDS_PX,
        'sampling': [
            {
                'method': score.method,
                'iterations': score.iterations,
                'correctness': [_known(share) for share in score.correctness],
                'runs': [[_known(share) for share in run] for run in score.runs],
            }
            for score in report.sampling
        ],
    }
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + '\n')


def make_page(evaluation: InlierEvaluation) -> Page:
    """
    The page for somebody who has never seen this project.
    """
    report, score = evaluation.report, evaluation.report.classifier
    page = Page(f'IO-Net on {evaluation.dataset}')
    page.paragraph(
        'IO-Net sees where the two keypoints of every match are and how far their descriptors are apart, and says '
        f'which matches are right. Here it judges the matches of {evaluation.model.get("model", "a network")} in '
        f'{report.pair_count} pairs of images whose true homography is known.'
    )
    page.heading('Does it help, on what, and by how much')
    page.bullets(verdict(report))
    page.paragraph('+- is the 95 % interval over runs with other samples; other images would differ by more.')
    page.heading('As a classifier of matches')
    page.table(
        ['ordered by', 'average precision'],
        [['IO-Net', score.average_precision], ['descriptor distance', score.distance_average_precision]],
        best={'average precision': Better.HIGH},
        caption=f'All {score.match_count} matches together; taking all of them gives {_percent(score.right_share)}.',
    )
    page.heading('As a filter and as the guide of RANSAC')
    headers = [f'within {limit:g} px' for limit in THRESHOLDS_PX]
    page.table(
        ['samples', 'method', *headers],
        [[str(s.iterations), s.method, *s.correctness] for s in report.sampling],
        best=dict.fromkeys(headers, Better.HIGH),
        within='samples',
        caption=f'Share of homographies whose corners are right, mean over {len(report.sampling[0].runs)} runs with '
        'other samples. The first three try exactly so many samples; OpenCV may stop before, and refines.',
    )
    page.bullets(f'{name}: {meaning}.' for name, meaning in _MEANING.items())
    page.heading('Settings, versions and hashes')
    facts = {
        'dataset': evaluation.dataset_fingerprint,
        'inlier_model': evaluation.inlier_model,
        **evaluation.model,
        **{name: value for name, value, _ in flatten(evaluation.settings)},
        **evaluation.versions,
    }
    page.preformatted('\n'.join(f'{name}: {value}' for name, value in facts.items()))
    return page


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
    spread = f' +- {found.half_width:.3f}' if found.count > 1 else ''
    return f'is {"better" if found.mean > 0 else "worse"} by {abs(found.mean):.3f}{spread} than'


def _percent(share: float) -> str:
    return f'{100 * share:.1f} %' if math.isfinite(share) else 'an unknown share'


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
