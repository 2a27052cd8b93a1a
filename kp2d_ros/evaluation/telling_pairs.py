# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The images of a run that are worth a look: where the estimate was worst, and where it was best.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Frame, FrontendResult
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.evaluation.pairs import PairError, pair_errors
from kp2d_ros.evaluation.records import FrameRecord
from kp2d_ros.odometry.drawing import DrawingConfig, draw_result

WORST, BEST = 2, 1  # pictures of a run
_APART = 5  # frames between two pictures: neighbours look alike
_CANDIDATES = 24
_DRAWING = DrawingConfig(keypoints=False, max_side=860)
_JPEG_QUALITY = 85


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    badness: float
    frame: Frame
    result: FrontendResult
    error: PairError


class TellingPairs:
    """
    Keeps the worst and the best pairs while the frames go by, by the error of the pose (the larger one of rotation and
    direction); without ground truth by the share of matches that disagree.
    """

    def __init__(self, truth: Trajectory | None) -> None:
        self._truth = truth
        self._worst: list[_Candidate] = []
        self._best: list[_Candidate] = []

    def add(self, frame: Frame, result: FrontendResult) -> None:
        """
        Look at one frame.
        """
        record = FrameRecord.from_result(result, {})
        if record.pose is None:
            return
        error = pair_errors([record], self._truth)[0]
        badness = error.pose_deg
        if record.has_estimate and np.isinf(badness):
            badness = error.rotation_deg  # it claims no direction; those that claim a wrong one are more telling
        if self._truth is None:
            matches = max(record.pose.match_count, 1)
            badness = 1.0 - record.pose.inlier_count / matches if record.has_estimate else float('inf')
        if np.isnan(badness):
            return
        candidate = _Candidate(badness, frame, result, error)
        self._worst = sorted([*self._worst, candidate], key=lambda c: -c.badness)[:_CANDIDATES]
        if record.has_estimate and record.pose.reference_from_current[:3, 3].any():
            self._best = sorted([*self._best, candidate], key=lambda c: c.badness)[:_CANDIDATES]

    def write(self, folder: Path) -> list[dict[str, Any]]:
        """
        Draw the chosen pairs into a folder and say what they are, as JSON values: ``file``, ``kind`` and figures.

        :raises DataError: if the folder cannot be written.
        """
        chosen = [('worst', c) for c in _apart(self._worst, WORST)] + [('best', c) for c in _apart(self._best, BEST)]
        entries = []
        for number, (kind, candidate) in enumerate(chosen):
            name = f'pair_{number}_{kind}.jpg'
            _write_picture(folder / name, candidate)
            entries.append({'file': name, 'kind': kind, **_figures(candidate)})
        return entries


def _apart(candidates: list[_Candidate], count: int) -> list[_Candidate]:
    chosen: list[_Candidate] = []
    for candidate in candidates:
        if len(chosen) < count and all(abs(candidate.frame.seq - other.frame.seq) >= _APART for other in chosen):
            chosen.append(candidate)
    return chosen


def _write_picture(path: Path, candidate: _Candidate) -> None:
    drawn = draw_result(candidate.frame.image, candidate.result, _DRAWING)
    picture = cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise DataError(f'{path}: cannot be written: {error}') from error


def _figures(candidate: _Candidate) -> dict[str, Any]:
    pose, error = candidate.result.pose, candidate.error
    return {
        'seq': candidate.frame.seq,
        'reference_seq': pose.reference_seq if pose else None,
        'state': candidate.result.state.name,
        'matches': pose.match_count if pose else 0,
        'inliers': pose.inlier_count if pose else 0,
        'rotation_deg': _known(error.rotation_deg),
        'direction_deg': _known(error.direction_deg),
    }


def _known(value: float) -> float | None:
    return round(value, 6) if np.isfinite(value) else None
