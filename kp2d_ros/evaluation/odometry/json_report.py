# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
An evaluation for machines: ``report.json``.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from kp2d_ros.evaluation.fingerprint import describe_machine
from kp2d_ros.evaluation.odometry.figures import FIGURES, take_figures
from kp2d_ros.evaluation.odometry.report import count_states
from kp2d_ros.evaluation.odometry.summary import Entry, Results, Summary
from kp2d_ros.evaluation.odometry.words import Points
from kp2d_ros.metrics.confidence import Interval
from kp2d_ros.metrics.drift import SegmentScore
from kp2d_ros.metrics.spread import Spread
from kp2d_ros.metrics.trajectory import TrajectoryScore


def results_as_dict(results: Results, summary: Summary, words: Points) -> dict[str, Any]:
    """
    The evaluation as JSON values, numbers in full; what could not be measured is None.
    """
    return {
        'kind': 'odometry',
        'versions': dict(results.versions),
        'machine': describe_machine(),
        'alignment': results.rules.alignment.value,
        'segment_lengths': list(results.rules.segment_lengths),
        'seeds': results.seeds,
        'settings': dict(results.settings),
        'figures': {name: {'header': f.header, 'meaning': f.meaning} for name, f in FIGURES.items()},
        'sequences': {s.name: {**s.facts, 'source': s.source, 'truth_note': s.truth_note} for s in results.subjects},
        'methods': {e.contender.name: dict(e.contender.facts) for e in results.entries},
        'words': [f'{lead} {text}' for lead, text in words],
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
        'pairs': {
            'rotation_deg': _spread(score.pairs.rotation_deg),
            'direction_deg': _spread(score.pairs.direction_deg),
            'inlier_ratio': _spread(score.pairs.inlier_ratio),
            'in_pose_curve': len(score.curve),
        },
        'failures': [asdict(failure) for failure in score.failures],
        'trajectory': _trajectory(score.whole),
        'longest_segment': _trajectory(score.longest),
        'drift': None if score.drift is None else _drift(score.drift),
        'stage_ms': {stage: _spread(spread) for stage, spread in score.stages.items()},
        'note': score.note,
    }


def _interval(interval: Interval) -> dict[str, Any]:
    return {'mean': _finite(interval.mean), 'half_width_95': _finite(interval.half_width), 'runs': interval.count}


def _spread(spread: Spread | None) -> dict[str, Any] | None:
    return None if spread is None else asdict(spread)


def _trajectory(score: TrajectoryScore | None) -> dict[str, Any] | None:
    if score is None:
        return None
    return {
        'alignment': score.alignment.value,
        'poses': len(score.truth),
        'path_length': score.path_length,
        'scale': score.scale,
        'ate': asdict(score.ate),
        'rpe_translation': asdict(score.rpe_translation),
        'rpe_rotation_deg': asdict(score.rpe_rotation_deg),
    }


def _drift(score: SegmentScore) -> dict[str, Any]:
    values = {
        'parts': score.count,
        'translation_percent': score.translation_percent,
        'rotation_deg_per_m': score.rotation_deg_per_m,
    }
    by_length = {f'{length:g}': _drift(part) for length, part in score.by_length.items()}
    return {**values, 'by_length': by_length} if by_length else values


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
