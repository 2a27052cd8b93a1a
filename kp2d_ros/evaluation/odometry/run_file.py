# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Runs as files and as text: ``trajectory.txt`` and ``run.json`` of an offline run, ``recording.json`` of what a node
published. What they hold of a frame is written and read here, and is all that scores need.
"""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.files import write_json, write_text
from kp2d_ros.core.records import PoseModel, RelativePose, ScaleKind, Sensor, TrackingState
from kp2d_ros.core.se3 import quaternion_from_rotation, rotation_from_quaternion, transform_from
from kp2d_ros.core.trajectories import Trajectory, format_tum
from kp2d_ros.metrics.frame_record import FrameRecord, count_states
from kp2d_ros.metrics.run_score import RunScore, frame_counts
from kp2d_ros.metrics.trajectory import TrajectoryScore

_UNKNOWN_COVARIANCE = np.full((6, 6), np.nan)
_DIGITS = 6  # after the point; more is noise, and makes files long
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, DataError)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """
    What ran on what: the name of the sequence, the model with its runtime and device, and all settings by name.
    """

    source: str
    model_id: str
    backend: str
    device: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredRun:
    """
    The frames of a run without their covariances, which the file does not hold, and all of its values.
    """

    frames: list[FrameRecord]
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Recording:
    """
    The messages of one run of the node, joined by frame.

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


def write_run(folder: Path, info: RunInfo, score: RunScore, more: Mapping[str, Any] | None = None) -> None:
    """
    Write ``trajectory.txt`` (TUM format, world_from_camera) and, last, ``run.json``: where that is, the run is whole.

    :param more: JSON values that are added to those of the run.
    :raises DataError: if the folder, which is made if needed, cannot be written.
    """
    write_text(folder / 'trajectory.txt', format_tum(score.path))
    write_json(folder / 'run.json', {**(more or {}), **run_values(info, score)})


def read_run(path: Path) -> StoredRun:
    """
    The run in a ``run.json``.

    :raises DataError: if the file cannot be read or is none.
    """
    try:
        values = json.loads(path.read_text(encoding='utf-8'))
        return StoredRun([_frame(row) for row in values['per_frame']], values)
    except _UNREADABLE as error:
        raise DataError(f'{path}: cannot be read as a run: {error!r}') from error


def write_recording(recording: Recording, path: Path) -> None:
    """
    Write a recording as JSON.

    :raises DataError: if the file cannot be written.
    """
    odometry = recording.odometry
    values = {name: getattr(recording, name) for name in Recording.__dataclass_fields__}
    values['topics'] = dict(recording.topics)
    values['odometry'] = {
        'stamps_ns': odometry.stamps_ns.tolist(),
        'poses': [_seven(pose) for pose in odometry.world_from_camera],
    }
    values['frames'] = [_row(frame) for frame in recording.frames]
    write_json(path, values)


def read_recording(path: Path) -> Recording:
    """
    Read what :func:`write_recording` wrote.

    :raises DataError: if the file cannot be read or is not a recording.
    """
    try:
        values = json.loads(path.read_text(encoding='utf-8'))
        stamps = np.array(values['odometry']['stamps_ns'], np.int64)
        poses = np.array([_transform(seven) for seven in values['odometry']['poses']], np.float64)
        frames = [_frame(row) for row in values['frames']]
        return Recording(**{**values, 'frames': frames, 'odometry': Trajectory(stamps, poses.reshape(-1, 4, 4))})
    except _UNREADABLE as error:
        raise DataError(f'{path}: cannot be read as a recording: {error!r}') from error


def run_values(info: RunInfo, score: RunScore) -> dict[str, Any]:
    """
    A run as the JSON values of ``run.json``; what could not be measured is None.
    """
    values = {
        'source': info.source,
        'model_id': info.model_id,
        'backend': info.backend,
        'device': info.device,
        'frames': len(score.frames),
        'states': count_states(score.frames),
        'counts': {name: spread and asdict(spread) for name, spread in frame_counts(score.frames).items()},
        'stage_ms': {stage: asdict(spread) for stage, spread in score.stages.items()},
        'scale_segments': [asdict(segment) for segment in score.segments],
        'scores': {
            'pairs': asdict(score.pairs),
            'trajectory': trajectory_values(score.whole),
            'longest_segment': trajectory_values(score.longest),
            'note': score.note,
        },
    }
    return {
        **_rounded(values),
        'settings': dict(info.settings),
        'versions': {'python': platform.python_version(), 'numpy': np.__version__, 'opencv': cv2.__version__},
        'per_frame': [_row(frame) for frame in score.frames],
    }


def trajectory_values(score: TrajectoryScore | None) -> dict[str, Any] | None:
    """
    A score without its paths as JSON values.
    """
    if score is None:
        return None
    return {
        'alignment': score.alignment.value,
        'poses': len(score.truth),
        'path_length': score.path_length,
        'scale': score.scale,
        'scale_error_percent': score.scale_error_percent,
        'ate': asdict(score.ate),
        'rpe_translation': asdict(score.rpe_translation),
        'rpe_rotation_deg': asdict(score.rpe_rotation_deg),
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return round(value, _DIGITS) if isinstance(value, float) else value


def _row(frame: FrameRecord) -> dict[str, Any]:
    """
    A frame as JSON values; those of a pose are there only where the frame has one.
    """
    pose = frame.pose
    values: dict[str, Any] = {
        'seq': frame.seq,
        'stamp_ns': frame.stamp_ns,
        'state': frame.state.name,
        'keypoints': frame.keypoint_count,
        'matches': 0 if pose is None else pose.match_count,
        'inliers': 0 if pose is None else pose.inlier_count,
        'reason': '' if pose is None else pose.reason,
        'scale_segment': frame.scale_segment,
        'stage_ms': {stage: round(float(ms), 3) for stage, ms in frame.stage_ms.items()},
    }
    if pose is not None:
        values |= {
            'model': pose.model.name,
            'scale': pose.scale.name,
            'parallax_deg': round(pose.parallax_deg, _DIGITS),
            'rms_px': round(pose.rms_px, _DIGITS),
            'reference_seq': pose.reference_seq,
            'reference_stamp_ns': pose.reference_stamp_ns,
            'reference_from_current': _seven(pose.reference_from_current),
        }
    return values


def _frame(row: Mapping[str, Any]) -> FrameRecord:
    state, segment = TrackingState[row['state']], int(row['scale_segment'])
    pose = None
    if 'reference_seq' in row:
        pose = RelativePose(
            reference_seq=int(row['reference_seq']),
            reference_stamp_ns=int(row['reference_stamp_ns']),
            state=state,
            reference_from_current=_transform(row['reference_from_current']),
            covariance=_UNKNOWN_COVARIANCE,
            scale=ScaleKind[row['scale']],
            scale_segment=segment,
            model=PoseModel[row['model']],
            match_count=int(row['matches']),
            inlier_count=int(row['inliers']),
            parallax_deg=float(row['parallax_deg']),
            rms_px=float(row['rms_px']),
            reason=str(row['reason']),
        )
    return FrameRecord(
        seq=int(row['seq']),
        stamp_ns=int(row['stamp_ns']),
        state=state,
        keypoint_count=int(row['keypoints']),
        scale_segment=segment,
        pose=pose,
        stage_ms={stage: float(ms) for stage, ms in row['stage_ms'].items()},
    )


def _seven(pose: np.ndarray) -> list[float]:
    """
    x y z and a quaternion x y z w, as in a line of a TUM file.
    """
    return [*pose[:3, 3].tolist(), *quaternion_from_rotation(pose[:3, :3]).tolist()]


def _transform(seven: Sequence[float]) -> np.ndarray:
    numbers = np.array(seven, np.float64)
    return transform_from(rotation_from_quaternion(numbers[3:]), numbers[:3])


def format_summary(info: RunInfo, score: RunScore) -> str:
    """
    A run for a person, without a newline at the end.
    """
    return '\n'.join(_summary_lines(info, score))


def _summary_lines(info: RunInfo, score: RunScore) -> Iterator[str]:
    states = ', '.join(f'{count} {name}' for name, count in count_states(score.frames).items())
    yield f'{info.source}: {len(score.frames)} frames with {info.model_id} ({info.device})'
    yield f'  states      {states or "none"}'
    for name, spread in frame_counts(score.frames).items():
        if spread is not None:
            yield f'  {name:<11} {spread.median:.0f} median'
    if score.stages:
        yield '  ms (median) ' + ', '.join(f'{stage} {spread.median:.1f}' for stage, spread in score.stages.items())
    if not len(score.path):
        reasons = Counter(frame.pose.reason for frame in score.frames if frame.pose is not None and frame.pose.reason)
        first, count = reasons.most_common(1)[0] if reasons else ('none is known', 0)
        yield f'  trajectory  empty: no frame has a pose; {first} ({count} of {len(score.frames)} frames, see run.json)'
        return
    count = len(score.segments)
    unit = f'{count} scale segment{"" if count == 1 else "s"}'
    sensor = info.settings.get('sensor', Sensor.MONO.value)
    yield f'  trajectory  {len(score.path)} poses in {unit if sensor == Sensor.MONO.value else f"metres ({sensor})"}'
    yield from _score_lines(score)


def _score_lines(score: RunScore) -> Iterator[str]:
    if score.pairs.rotation_deg is not None:
        yield f'  rotation    {score.pairs.rotation_deg.median:.3f} deg median error per pair of images'
    if score.pairs.direction_deg is not None:
        yield f'  direction   {score.pairs.direction_deg.median:.2f} deg median error per pair of images'
    for name, part in (('ATE', score.whole), ('ATE longest', score.longest)):
        if part is not None:
            share = 100 * part.ate.rms / part.path_length if part.path_length > 0 else float('nan')
            yield (
                f'  {name:<11} {part.ate.rms:.3f} m rms over {part.path_length:.1f} m ({share:.2f} %), '
                f'{len(part.truth)} poses, after {part.alignment.value} alignment'
            )
    if score.whole is not None and score.whole.scale_error_percent is not None:
        error = score.whole.scale_error_percent
        yield f'  scale       {error:+.2f} %: the path is too {"long" if error > 0 else "short"}, by a fit with scale'
    if score.whole is not None:
        rotation, translation = score.whole.rpe_rotation_deg.median, score.whole.rpe_translation.median
        yield f'  RPE         {rotation:.3f} deg, {translation:.4f} m median from image to image'
    if score.note:
        yield f'  not scored: {score.note}'
