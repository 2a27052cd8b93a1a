# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a running frontend node published, as a file: written by the recorder, read by whoever scores it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.files import write_text
from kp2d_ros.core.records import PoseModel, RelativePose, ScaleKind, TrackingState
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.metrics.frame_record import FrameRecord

_TEXTS = ('model_id', 'backend', 'device')
_COUNTS = ('received', 'processed', 'dropped')
_POSE_VALUES = (
    *('reference_seq', 'reference_stamp_ns', 'scale_segment', 'match_count', 'inlier_count'),
    *('parallax_deg', 'rms_px', 'reason'),
)


@dataclass(frozen=True, slots=True)
class Recording:
    """
    The messages of one run, joined by frame.

    ``topics`` counts the messages by topic; ``received``, ``processed`` and ``dropped`` are the node's own counts in
    its last status. ``odometry`` is the trajectory of that topic, in the frame that the node publishes it in.
    """

    model_id: str
    backend: str
    device: str
    received: int
    processed: int
    dropped: int
    topics: Mapping[str, int]
    frames: Sequence[FrameRecord]
    odometry: Trajectory


def write_recording(recording: Recording, path: Path) -> None:
    """
    Write a recording as JSON.

    :raises DataError: if the file cannot be written.
    """
    values = {
        **{name: getattr(recording, name) for name in _TEXTS + _COUNTS},
        'topics': dict(recording.topics),
        'odometry': {
            'stamps_ns': recording.odometry.stamps_ns.tolist(),
            'poses': recording.odometry.world_from_camera.tolist(),
        },
        'frames': [_frame_values(frame) for frame in recording.frames],
    }
    write_text(path, json.dumps(values) + '\n')


def read_recording(path: Path) -> Recording:
    """
    Read what :func:`write_recording` wrote.

    :raises DataError: if the file cannot be read or is not a recording.
    """
    try:
        values = json.loads(path.read_text(encoding='utf-8'))
        odometry = values['odometry']
        stamps = np.array(odometry['stamps_ns'], np.int64)
        return Recording(
            frames=[_frame_from_values(frame) for frame in values['frames']],
            odometry=Trajectory(stamps, np.array(odometry['poses'], np.float64).reshape(-1, 4, 4)),
            model_id=str(values['model_id']),
            backend=str(values['backend']),
            device=str(values['device']),
            received=int(values['received']),
            processed=int(values['processed']),
            dropped=int(values['dropped']),
            topics=values['topics'],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f'{path}: cannot be read as a recording: {error!r}') from error


def _frame_values(frame: FrameRecord) -> dict[str, Any]:
    pose = frame.pose
    return {
        'seq': frame.seq,
        'stamp_ns': frame.stamp_ns,
        'state': frame.state.name,
        'keypoint_count': frame.keypoint_count,
        'scale_segment': frame.scale_segment,
        'stage_ms': dict(frame.stage_ms),
        'pose': None
        if pose is None
        else {
            **{name: getattr(pose, name) for name in _POSE_VALUES},
            **{name: getattr(pose, name).name for name in ('state', 'scale', 'model')},
            'reference_from_current': pose.reference_from_current.tolist(),
            'covariance': pose.covariance.tolist(),
        },
    }


def _frame_from_values(values: Mapping[str, Any]) -> FrameRecord:
    pose = values['pose']
    return FrameRecord(
        seq=int(values['seq']),
        stamp_ns=int(values['stamp_ns']),
        state=TrackingState[values['state']],
        keypoint_count=int(values['keypoint_count']),
        scale_segment=int(values['scale_segment']),
        stage_ms={stage: float(ms) for stage, ms in values['stage_ms'].items()},
        pose=None if pose is None else _pose_from_values(pose),
    )


def _pose_from_values(values: Mapping[str, Any]) -> RelativePose:
    return RelativePose(
        state=TrackingState[values['state']],
        scale=ScaleKind[values['scale']],
        model=PoseModel[values['model']],
        reference_from_current=np.array(values['reference_from_current'], np.float64),
        covariance=np.array(values['covariance'], np.float64),
        **{name: values[name] for name in _POSE_VALUES},
    )
