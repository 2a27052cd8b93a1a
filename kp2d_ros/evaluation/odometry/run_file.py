# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
``run.json`` read back: what a run left is all that its scores need.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.files import write_json, write_text
from kp2d_ros.core.records import PoseModel, RelativePose, ScaleKind, TrackingState
from kp2d_ros.core.se3 import rotation_from_quaternion, transform_from
from kp2d_ros.core.trajectories import format_tum
from kp2d_ros.evaluation.odometry.report import RunReport, report_as_dict
from kp2d_ros.metrics.frame_record import FrameRecord

_UNKNOWN_COVARIANCE = np.full((6, 6), np.nan)


@dataclass(frozen=True, slots=True)
class StoredRun:
    """
    The frames of a run without their covariances, which the file does not hold, and all of its values.
    """

    frames: list[FrameRecord]
    values: Mapping[str, Any]


def write_run(report: RunReport, folder: Path, more: Mapping[str, Any]) -> None:
    """
    Write ``trajectory.txt`` and, last, ``run.json``: a folder with a ``run.json`` holds a whole run.

    :param more: JSON values that are added to those of the report.
    :raises DataError: if the folder cannot be written.
    """
    write_text(folder / 'trajectory.txt', format_tum(report.trajectory))
    write_json(folder / 'run.json', {**more, **report_as_dict(report)})


def read_run(path: Path) -> StoredRun:
    """
    The run in a ``run.json``.

    :raises DataError: if the file cannot be read or is none.
    """
    try:
        values = json.loads(path.read_text(encoding='utf-8'))
        rows = values['per_frame']
        stamps_ns = {int(row['seq']): int(row['stamp_ns']) for row in rows}
        return StoredRun([_frame(row, stamps_ns) for row in rows], values)
    except (OSError, ValueError, KeyError, TypeError, DataError) as error:
        raise DataError(f'{path}: cannot be read as a run: {error!r}') from error


def _frame(row: Mapping[str, Any], stamps_ns: Mapping[int, int]) -> FrameRecord:
    return FrameRecord(
        seq=int(row['seq']),
        stamp_ns=int(row['stamp_ns']),
        state=TrackingState[row['state']],
        keypoint_count=int(row['keypoints']),
        scale_segment=int(row['scale_segment']),
        pose=_pose(row, stamps_ns) if 'reference_seq' in row else None,
        stage_ms={stage: float(ms) for stage, ms in row['stage_ms'].items()},
    )


def _pose(row: Mapping[str, Any], stamps_ns: Mapping[int, int]) -> RelativePose:
    seven = np.array(row['reference_from_current'], np.float64)
    return RelativePose(
        reference_seq=int(row['reference_seq']),
        # A frame without a reference says 0 and has no estimate; its own time stands in where 0 is not in the file.
        reference_stamp_ns=stamps_ns.get(int(row['reference_seq']), int(row['stamp_ns'])),
        state=TrackingState[row['state']],
        reference_from_current=transform_from(rotation_from_quaternion(seven[3:]), seven[:3]),
        covariance=_UNKNOWN_COVARIANCE,
        scale=ScaleKind[row['scale']],
        scale_segment=int(row['scale_segment']),
        model=PoseModel[row['model']],
        match_count=int(row['matches']),
        inlier_count=int(row['inliers']),
        parallax_deg=float(row['parallax_deg']),
        rms_px=float(row['rms_px']),
        reason=str(row['reason']),
    )
