# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The single figures of a run over a sequence, which the tables of an evaluation are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from kp2d_ros.evaluation.html_table import Better
from kp2d_ros.evaluation.odometry.score import RunScore
from kp2d_ros.metrics.spread import Spread
from kp2d_ros.metrics.tracking import Failure


@dataclass(frozen=True, slots=True)
class Figure:
    """
    One number of a run: the head of its column, which values are good (None: neither), its decimals, what it says.

    ``averages`` tells whether a mean over sequences makes sense: metres of different paths do not add up.
    """

    header: str
    better: Better | None
    digits: int
    meaning: str
    take: Callable[[RunScore], float | None]
    averages: bool = True


def _percent_lost(score: RunScore) -> float:
    return 100.0 * score.pairs.lost / max(len(score.frames), 1)


def _recovery(take: Callable[[Failure], float | None]) -> Callable[[RunScore], float | None]:
    def mean(score: RunScore) -> float | None:
        ended = [failure for failure in score.failures if failure.seconds is not None]
        values = [float(value) for failure in ended if (value := take(failure)) is not None]
        return float(np.mean(values)) if values else None

    return mean


def _of(spread: Spread | None, name: str) -> float | None:
    return None if spread is None else float(getattr(spread, name))


def _area(limit_deg: float) -> Callable[[RunScore], float | None]:
    return lambda score: 100.0 * score.curve.area(limit_deg) if len(score.curve) else None


def _ate_percent(score: RunScore) -> float | None:
    if score.whole is None or score.whole.path_length <= 0:
        return None
    return 100.0 * score.whole.ate.rms / score.whole.path_length


def _part(name: str, path: str) -> Callable[[RunScore], float | None]:
    """
    Reads a number inside a part of the score; None where something on the way is None.
    """

    def read(score: RunScore) -> float | None:
        value = getattr(score, name)
        for step in path.split('.'):
            value = None if value is None else getattr(value, step)
        return None if value is None else float(value)

    return read


def _stage(stage: str, name: str) -> Callable[[RunScore], float | None]:
    return lambda score: _of(score.stages.get(stage), name)


_LOW, _HIGH = Better.LOW, Better.HIGH

PAIR_FIGURES: Mapping[str, Figure] = {
    'rotation_deg': Figure(
        'rotation (°)', _LOW, 3, 'median angle between the estimated and the true rotation of a pair of images',
        _part('pairs', 'rotation_deg.median'),
    ),
    'rotation_p90_deg': Figure(
        'rotation p90 (°)', _LOW, 3, 'the same angle, which nine of ten pairs do not exceed',
        _part('pairs', 'rotation_deg.p90'),
    ),
    'direction_deg': Figure(
        'direction (°)', _LOW, 2,
        'median angle between the estimated and the true direction of motion of a pair, where both moved',
        _part('pairs', 'direction_deg.median'),
    ),
    'direction_p90_deg': Figure(
        'direction p90 (°)', _LOW, 2, 'the same angle, which nine of ten pairs do not exceed',
        _part('pairs', 'direction_deg.p90'),
    ),
    'auc_5': Figure('AUC@5° (%)', _HIGH, 1, 'area under the pose curve up to 5°, see below', _area(5.0)),
    'auc_10': Figure('AUC@10° (%)', _HIGH, 1, 'area under the pose curve up to 10°', _area(10.0)),
    'auc_20': Figure('AUC@20° (%)', _HIGH, 1, 'area under the pose curve up to 20°', _area(20.0)),
}  # fmt: skip

TRACKING_FIGURES: Mapping[str, Figure] = {
    'keypoints': Figure(
        'keypoints', None, 0, 'median number of keypoints of an image',
        lambda score: _of(Spread.of(frame.keypoint_count for frame in score.frames), 'median'),
    ),
    'matches': Figure(
        'matches', None, 0, 'median number of matches of a pair',
        lambda score: _of(Spread.of(f.pose.match_count for f in score.frames if f.pose is not None), 'median'),
    ),
    'inlier_percent': Figure(
        'inliers (%)', _HIGH, 1, 'median share of the matches of a pair that agree with its estimate',
        lambda score: None if score.pairs.inlier_ratio is None else 100.0 * score.pairs.inlier_ratio.median,
    ),
    'track_frames': Figure(
        'track (images)', _HIGH, 1, 'mean number of images that saw a keypoint, of those that were found again',
        lambda score: score.track_frames,
    ),
    'lost_percent': Figure('lost (%)', _LOW, 1, 'share of the images without a pose (state LOST)', _percent_lost),
    'failures': Figure(
        'failures', _LOW, 0, 'how often tracking was lost: runs of LOST images', lambda score: len(score.failures)
    ),
    'recovery_frames': Figure(
        'recovery (images)', _LOW, 1, 'mean length of a failure that ended, in images',
        _recovery(lambda failure: failure.frames),
    ),
    'recovery_s': Figure(
        'recovery (s)', _LOW, 2, 'mean time from the first LOST image to the one that has a pose again',
        _recovery(lambda failure: failure.seconds),
    ),
    'scale_segments': Figure(
        'scale segments', _LOW, 0, 'pieces with a scale of their own: 1 means that the chain never broke',
        lambda score: len(score.scale_segments),
    ),
}  # fmt: skip

TRAJECTORY_FIGURES: Mapping[str, Figure] = {
    'path_m': Figure(
        'path (m)', None, 1, 'length of the true path', _part('whole', 'path_length'), False
    ),
    'ate_m': Figure(
        'ATE (m)', _LOW, 3, 'root mean square of the distances to the true places, after alignment',
        _part('whole', 'ate.rms'), False,
    ),
    'ate_percent': Figure('ATE (% of path)', _LOW, 2, 'the same, in percent of the true path', _ate_percent),
    'ate_longest_m': Figure(
        'ATE, longest part (m)', _LOW, 3, 'the same over the longest scale segment alone, where there are several',
        _part('longest', 'ate.rms'), False
    ),
    'rpe_translation_m': Figure(
        'RPE (m)', _LOW, 4, 'root mean square of the error of the motion from image to image, after alignment',
        _part('whole', 'rpe_translation.rms'), False,
    ),
    'rpe_rotation_deg': Figure(
        'RPE (°)', _LOW, 3, 'root mean square of the error of the rotation from image to image',
        _part('whole', 'rpe_rotation_deg.rms'),
    ),
    't_rel_percent': Figure(
        't_rel (%)', _LOW, 2, 'KITTI: error of the translation over parts of fixed lengths, in percent of the length',
        _part('drift', 'translation_percent'),
    ),
    'r_rel_deg_per_m': Figure(
        'r_rel (°/m)', _LOW, 5, 'KITTI: error of the rotation over the same parts, in degrees per metre',
        _part('drift', 'rotation_deg_per_m'),
    ),
}  # fmt: skip

TIME_FIGURES: Mapping[str, Figure] = {
    'inference_ms': Figure('extract (ms)', _LOW, 1, 'median time to extract keypoints', _stage('inference', 'median')),
    'match_ms': Figure('match (ms)', _LOW, 1, 'median time to match them', _stage('match', 'median')),
    'pose_ms': Figure('pose (ms)', _LOW, 1, 'median time to estimate the motion', _stage('pose', 'median')),
    'total_ms': Figure('total (ms)', _LOW, 1, 'median time of an image, without reading it', _stage('total', 'median')),
    'total_p99_ms': Figure('total p99 (ms)', _LOW, 1, 'what 99 of 100 images do not exceed', _stage('total', 'p99')),
}

FIGURES: Mapping[str, Figure] = {**PAIR_FIGURES, **TRACKING_FIGURES, **TRAJECTORY_FIGURES, **TIME_FIGURES}


def take_figures(score: RunScore) -> dict[str, float | None]:
    """
    All figures of a run by name; None where one could not be measured.
    """
    values = {name: figure.take(score) for name, figure in FIGURES.items()}
    return {name: float(value) if value is not None and np.isfinite(value) else None for name, value in values.items()}
