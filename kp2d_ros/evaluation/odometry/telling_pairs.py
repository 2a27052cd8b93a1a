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

from kp2d_ros.core.files import write_bytes
from kp2d_ros.core.records import Frame, FrontendResult, RelativePose
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.drawing.frame import DrawingConfig, draw_result
from kp2d_ros.metrics.frame_record import FrameRecord
from kp2d_ros.metrics.pose_error import PairError, pair_errors
from kp2d_ros.metrics.spread import finite_or_none

_PICTURES = {'worst': 2, 'best': 1}  # of a run, by kind
_APART = 5  # frames between two pictures: neighbours look alike
_CANDIDATES = 24
_DRAWING = DrawingConfig(keypoints=False, max_side=860)
_JPEG_QUALITY = 85


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """
    A pair that may be shown, the sooner the lower its rank; drawn already: pictures are small, images may not be.
    """

    rank: float
    seq: int
    picture: bytes
    figures: dict[str, Any]


class TellingPairs:
    """
    Keeps the worst and the best pairs while the frames go by, by the error of the pose (the larger one of rotation and
    direction); without ground truth by the share of matches that disagree.
    """

    def __init__(self, truth: Trajectory | None) -> None:
        self._truth = truth
        self._kept: dict[str, list[_Candidate]] = {kind: [] for kind in _PICTURES}

    def add(self, frame: Frame, result: FrontendResult) -> None:
        """
        Look at one frame.
        """
        record = FrameRecord.from_result(result, {})
        if record.pose is None:
            return
        error = pair_errors([record], self._truth)[0]
        badness = _badness(record, record.pose, error, self._truth is not None)
        moves = record.has_estimate and record.pose.reference_from_current[:3, 3].any()
        ranks = {'worst': -badness, 'best': badness if moves else np.nan}
        entering = [kind for kind, rank in ranks.items() if _enters(rank, self._kept[kind])]
        if not entering:
            return
        picture, figures = _draw(frame, result), _figures(record, record.pose, error)
        for kind in entering:
            candidates = [*self._kept[kind], _Candidate(ranks[kind], frame.seq, picture, figures)]
            self._kept[kind] = sorted(candidates, key=lambda candidate: candidate.rank)[:_CANDIDATES]

    def write(self, folder: Path) -> list[dict[str, Any]]:
        """
        Write the chosen pairs into a folder and say what they are, as JSON values: ``file``, ``kind`` and figures.

        :raises DataError: if the folder cannot be written.
        """
        chosen = [(kind, c) for kind, count in _PICTURES.items() for c in _apart(self._kept[kind], count)]
        entries = []
        for number, (kind, candidate) in enumerate(chosen):
            name = f'pair_{number}_{kind}.jpg'
            write_bytes(folder / name, candidate.picture)
            entries.append({'file': name, 'kind': kind, **candidate.figures})
        return entries


def _badness(record: FrameRecord, pose: RelativePose, error: PairError, has_truth: bool) -> float:
    if not record.has_estimate and not (has_truth and np.isnan(error.pose_deg)):
        return float('inf')
    if not has_truth:
        return 1.0 - pose.inlier_count / max(pose.match_count, 1)
    # Without a translation it claims no direction; those that claim a wrong one are more telling.
    return error.rotation_deg if np.isinf(error.pose_deg) else error.pose_deg


def _enters(rank: float, kept: list[_Candidate]) -> bool:
    """
    Whether a rank is low enough for a list of candidates that may be full; never for NaN.
    """
    return not np.isnan(rank) and (len(kept) < _CANDIDATES or rank < kept[-1].rank)


def _apart(candidates: list[_Candidate], count: int) -> list[_Candidate]:
    chosen: list[_Candidate] = []
    for candidate in candidates:
        if len(chosen) < count and all(abs(candidate.seq - other.seq) >= _APART for other in chosen):
            chosen.append(candidate)
    return chosen


def _draw(frame: Frame, result: FrontendResult) -> bytes:
    drawn = cv2.cvtColor(draw_result(frame.image, result, _DRAWING), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode('.jpg', drawn, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return bytes(data)


def _figures(record: FrameRecord, pose: RelativePose, error: PairError) -> dict[str, Any]:
    return {
        'seq': record.seq,
        'reference_seq': pose.reference_seq,
        'state': record.state.name,
        'matches': pose.match_count,
        'inliers': pose.inlier_count,
        'rotation_deg': finite_or_none(error.rotation_deg, 6),
        'direction_deg': finite_or_none(error.direction_deg, 6),
    }
