# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The single figures of a run over a sequence, which the tables of an evaluation are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from kp2d_ros.evaluation.table import Better, Figure
from kp2d_ros.metrics.frame_record import Failure
from kp2d_ros.metrics.run_score import RunScore, frame_counts
from kp2d_ros.metrics.spread import finite_or_none


@dataclass(frozen=True, slots=True)
class RunFigure(Figure):
    """
    One number of a run.

    ``source`` is where the number stands in a :class:`RunScore`, steps joined by points, or a function that takes it.
    ``averages`` tells whether a mean over sequences makes sense: metres of different paths do not add up.
    """

    source: str | Callable[[RunScore], float | None]
    averages: bool = True

    def take(self, score: RunScore) -> float | None:
        """
        The number of a run; None where it could not be measured.
        """
        value = _read(score, self.source) if isinstance(self.source, str) else self.source(score)
        return None if value is None else finite_or_none(float(value))


def _read(score: RunScore, path: str) -> float | None:
    value: object = score
    for step in path.split('.'):
        value = value.get(step) if isinstance(value, Mapping) else getattr(value, step, None)
    return value if isinstance(value, float | int) else None


def _percent(path: str) -> Callable[[RunScore], float | None]:
    return lambda score: None if (value := _read(score, path)) is None else 100.0 * value


def _area(limit_deg: float) -> Callable[[RunScore], float]:
    return lambda score: 100.0 * score.curve.area(limit_deg)


def _count(name: str) -> Callable[[RunScore], float | None]:
    return lambda score: None if (spread := frame_counts(score.frames)[name]) is None else spread.median


def _recovery(take: Callable[[Failure], float | None]) -> Callable[[RunScore], float | None]:
    def mean(score: RunScore) -> float | None:
        values = [float(take(failure) or 0.0) for failure in score.failures if failure.seconds is not None]
        return float(np.mean(values)) if values else None

    return mean


def _ate_percent(score: RunScore) -> float | None:
    whole = score.whole
    return 100.0 * whole.ate.rms / whole.path_length if whole is not None and whole.path_length > 0 else None


_LOW, _HIGH = Better.LOW, Better.HIGH
# fmt: off
PAIR_FIGURES: Mapping[str, RunFigure] = {
    'rotation_deg': RunFigure('rotation (°)', _LOW, 3,
        'median angle between the estimated and the true rotation of a pair', 'pairs.rotation_deg.median'),
    'rotation_p90_deg': RunFigure('rotation p90 (°)', _LOW, 3,
        'the same angle, which nine of ten pairs do not exceed', 'pairs.rotation_deg.p90'),
    'direction_deg': RunFigure('direction (°)', _LOW, 2,
        'median angle between the estimated and the true direction of motion of a pair, where both moved',
        'pairs.direction_deg.median'),
    'direction_p90_deg': RunFigure('direction p90 (°)', _LOW, 2,
        'the same angle, which nine of ten pairs do not exceed', 'pairs.direction_deg.p90'),
    'auc_5': RunFigure('AUC@5° (%)', _HIGH, 1, 'area under the pose curve up to 5°', _area(5.0)),
    'auc_10': RunFigure('AUC@10° (%)', _HIGH, 1, 'area under the pose curve up to 10°', _area(10.0)),
    'auc_20': RunFigure('AUC@20° (%)', _HIGH, 1, 'area under the pose curve up to 20°', _area(20.0)),
}

TRACKING_FIGURES: Mapping[str, RunFigure] = {
    'keypoints': RunFigure('keypoints', None, 0, 'median number of keypoints of an image', _count('keypoints')),
    'matches': RunFigure('matches', None, 0, 'median number of matches of a pair', _count('matches')),
    'inlier_percent': RunFigure('inliers (%)', _HIGH, 1,
        'median share of the matches of a pair that agree with its estimate', _percent('pairs.inlier_ratio.median')),
    'track_frames': RunFigure('track (images)', _HIGH, 1,
        'mean number of images that saw a keypoint, of those that were found again', 'track_frames'),
    'lost_percent': RunFigure('lost (%)', _LOW, 1,
        'share of the images without a pose (state LOST)', lambda s: 100.0 * s.pairs.lost / max(len(s.frames), 1)),
    'failures': RunFigure('failures', _LOW, 0,
        'how often tracking was lost: runs of LOST images', lambda score: len(score.failures)),
    'recovery_frames': RunFigure('recovery (images)', _LOW, 1,
        'mean length of a failure that ended, in images', _recovery(lambda failure: failure.frames)),
    'recovery_s': RunFigure('recovery (s)', _LOW, 2,
        'mean time from the first LOST image to the one that has a pose again', _recovery(lambda f: f.seconds)),
    'scale_segments': RunFigure('scale segments', _LOW, 0,
        'pieces with a scale of their own: 1 means that the chain never broke', lambda score: len(score.segments)),
}

TRAJECTORY_FIGURES: Mapping[str, RunFigure] = {
    'path_m': RunFigure('path (m)', None, 1, 'length of the true path', 'whole.path_length', False),
    'ate_m': RunFigure('ATE (m)', _LOW, 3,
        'absolute trajectory error: root mean square of the distances to the true places, after alignment',
        'whole.ate.rms', False),
    'ate_percent': RunFigure('ATE (% of path)', _LOW, 2, 'the same, in percent of the true path', _ate_percent),
    'scale_error_percent': RunFigure('scale error (%)', None, 2,
        'of a sensor that knows metres: by how much the path is too long (negative: too short), by a fit with scale',
        'whole.scale_error_percent', False),
    'ate_longest_m': RunFigure('ATE, longest part (m)', _LOW, 3,
        'the same over the longest scale segment alone, where there are several', 'longest.ate.rms', False),
    'rpe_translation_m': RunFigure('RPE (m)', _LOW, 4,
        'relative pose error: root mean square of the error of the motion from image to image, after alignment',
        'whole.rpe_translation.rms', False),
    'rpe_rotation_deg': RunFigure('RPE (°)', _LOW, 3,
        'root mean square of the error of the rotation from image to image', 'whole.rpe_rotation_deg.rms'),
    't_rel_percent': RunFigure('t_rel (%)', _LOW, 2,
        'KITTI: error of the translation over parts of fixed lengths, in percent of the length',
        'drift.translation_percent'),
    'r_rel_deg_per_m': RunFigure('r_rel (°/m)', _LOW, 5,
        'KITTI: error of the rotation over the same parts, in degrees per metre', 'drift.rotation_deg_per_m'),
}

TIME_FIGURES: Mapping[str, RunFigure] = {
    'inference_ms': RunFigure('extract (ms)', _LOW, 1, 'median time to extract keypoints', 'stages.inference.median'),
    'match_ms': RunFigure('match (ms)', _LOW, 1, 'median time to match them', 'stages.match.median'),
    'depth_ms': RunFigure('depth (ms)', _LOW, 1,
        'median time to measure depths, the keypoints of a right image included', 'stages.depth.median'),
    'pose_ms': RunFigure('pose (ms)', _LOW, 1, 'median time to estimate the motion', 'stages.pose.median'),
    'total_ms': RunFigure('total (ms)', _LOW, 1, 'median time of an image, without reading it', 'stages.total.median'),
    'total_p99_ms': RunFigure('total p99 (ms)', _LOW, 1, 'what 99 of 100 images do not exceed', 'stages.total.p99'),
}
# fmt: on

FIGURES: Mapping[str, RunFigure] = {**PAIR_FIGURES, **TRACKING_FIGURES, **TRAJECTORY_FIGURES, **TIME_FIGURES}


def take_figures(score: RunScore) -> dict[str, float | None]:
    """
    All figures of a run by name; None where one could not be measured.
    """
    return {name: figure.take(score) for name, figure in FIGURES.items()}
