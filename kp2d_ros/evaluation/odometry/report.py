# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A run as files and as text: ``trajectory.txt``, ``run.json``, and what a person wants to read first.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.files import write_json, write_text
from kp2d_ros.core.se3 import quaternion_from_rotation
from kp2d_ros.core.trajectories import Trajectory, format_tum
from kp2d_ros.metrics.frame_record import FrameRecord, ScaleSegment, chain_poses, scale_segments
from kp2d_ros.metrics.pose_error import PairScore, score_pairs
from kp2d_ros.metrics.spread import Spread

if TYPE_CHECKING:
    from kp2d_ros.metrics.trajectory import TrajectoryScore


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
class RunReport:
    """
    A run and what it is worth.

    ``whole`` scores the chained trajectory, ``longest`` the part of it in the longest scale segment (None where that is
    the whole one); both are None without ground truth or where it cannot be scored, and ``note`` says why.
    """

    info: RunInfo
    frames: Sequence[FrameRecord]
    trajectory: Trajectory
    segments: Sequence[ScaleSegment]
    pairs: PairScore
    whole: TrajectoryScore | None
    longest: TrajectoryScore | None
    note: str


def make_report(info: RunInfo, frames: Sequence[FrameRecord], truth: Trajectory | None) -> RunReport:
    """
    Chain the poses of a run and score them against the ground truth, if there is one.
    """
    trajectory = chain_poses(frames)
    segments = scale_segments(frames)
    whole, longest, note = None, None, ''
    if truth is None:
        note = 'the source has no ground truth'
    else:
        try:
            from kp2d_ros.metrics.trajectory import score_trajectory

            whole = score_trajectory(trajectory, truth)
            if len(segments) > 1:
                longest = score_trajectory(_longest_part(frames, segments), truth)
        except DataError as error:
            note = str(error)
        except ModuleNotFoundError as error:
            note = f"{error.name} is not installed: pip install 'kp2d_ros[evaluation]'"
    return RunReport(info, frames, trajectory, segments, score_pairs(frames, truth), whole, longest, note)


def _longest_part(frames: Sequence[FrameRecord], segments: Sequence[ScaleSegment]) -> Trajectory:
    number = max(segments, key=lambda segment: segment.frames).number
    return chain_poses([frame for frame in frames if frame.scale_segment == number])


def write_report(report: RunReport, folder: Path) -> None:
    """
    Write ``trajectory.txt`` (TUM format, world_from_camera) and ``run.json`` into a folder that is made if needed.

    :raises DataError: if the folder cannot be written.
    """
    write_text(folder / 'trajectory.txt', format_tum(report.trajectory))
    write_json(folder / 'run.json', report_as_dict(report))


def report_as_dict(report: RunReport) -> dict[str, Any]:
    """
    The report as JSON values; what could not be measured is None.
    """
    return {
        'source': report.info.source,
        'model_id': report.info.model_id,
        'backend': report.info.backend,
        'device': report.info.device,
        'frames': len(report.frames),
        'states': count_states(report.frames),
        'counts': _counts(report.frames),
        'stage_ms': {stage: _rounded(spread) for stage, spread in stage_spreads(report.frames).items()},
        'scale_segments': [asdict(segment) for segment in report.segments],
        'scores': {
            'pairs': {name: _rounded(value) for name, value in asdict(report.pairs).items()},
            'trajectory': _score_as_dict(report.whole),
            'longest_segment': _score_as_dict(report.longest),
            'note': report.note,
        },
        'settings': dict(report.info.settings),
        'versions': {'python': platform.python_version(), 'numpy': np.__version__, 'opencv': cv2.__version__},
        'per_frame': [_frame_as_dict(frame) for frame in report.frames],
    }


def count_states(frames: Sequence[FrameRecord]) -> dict[str, int]:
    """
    How many frames were in each state that occurred.
    """
    counts = Counter(frame.state for frame in frames)
    return {state.name: counts[state] for state in sorted(counts)}


def stage_spreads(frames: Sequence[FrameRecord]) -> dict[str, Spread]:
    """
    Milliseconds by stage, in the order in which the stages first occur.
    """
    stages = dict.fromkeys(stage for frame in frames for stage in frame.stage_ms)
    spreads = {stage: Spread.of(f.stage_ms[stage] for f in frames if stage in f.stage_ms) for stage in stages}
    return {stage: spread for stage, spread in spreads.items() if spread is not None}


def _counts(frames: Sequence[FrameRecord]) -> dict[str, Any]:
    poses = [frame.pose for frame in frames if frame.pose is not None]
    return {
        'keypoints': _rounded(Spread.of(frame.keypoint_count for frame in frames)),
        'matches': _rounded(Spread.of(pose.match_count for pose in poses)),
        'inliers': _rounded(Spread.of(pose.inlier_count for pose in poses)),
    }


def _rounded(value: Any) -> Any:
    """
    Numbers to six digits after the point, in a spread or mapping as well: more is noise, and makes files long.
    """
    if isinstance(value, Spread):
        value = asdict(value)
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return round(value, 6) if isinstance(value, float) else value


def _score_as_dict(score: TrajectoryScore | None) -> dict[str, Any] | None:
    if score is None:
        return None
    return {
        'alignment': score.alignment.value,
        'poses': len(score.truth),
        'path_length': round(score.path_length, 6),
        'scale': round(score.scale, 6),
        'ate': _rounded(score.ate),
        'rpe_translation': _rounded(score.rpe_translation),
        'rpe_rotation_deg': _rounded(score.rpe_rotation_deg),
    }


def _frame_as_dict(frame: FrameRecord) -> dict[str, Any]:
    values: dict[str, Any] = {
        'seq': frame.seq,
        'stamp_ns': frame.stamp_ns,
        'state': frame.state.name,
        'keypoints': frame.keypoint_count,
        'matches': 0,
        'inliers': 0,
        'reason': '',
        'scale_segment': frame.scale_segment,
        'stage_ms': {stage: round(float(ms), 3) for stage, ms in frame.stage_ms.items()},
    }
    if (pose := frame.pose) is not None:
        motion = pose.reference_from_current
        values |= {
            'matches': pose.match_count,
            'inliers': pose.inlier_count,
            'reason': pose.reason,
            'model': pose.model.name,
            'scale': pose.scale.name,
            'parallax_deg': round(pose.parallax_deg, 6),
            'rms_px': round(pose.rms_px, 6),
            'reference_seq': pose.reference_seq,
            # x y z and a quaternion x y z w, as in a line of a TUM file
            'reference_from_current': [*motion[:3, 3].tolist(), *quaternion_from_rotation(motion[:3, :3]).tolist()],
        }
    return values


def format_summary(report: RunReport) -> str:
    """
    The report for a person, without a newline at the end.
    """
    return '\n'.join(_summary_lines(report))


def _summary_lines(report: RunReport) -> Iterator[str]:
    states = ', '.join(f'{count} {name}' for name, count in count_states(report.frames).items())
    yield f'{report.info.source}: {len(report.frames)} frames with {report.info.model_id} ({report.info.device})'
    yield f'  states      {states or "none"}'
    for name, spread in _counts(report.frames).items():
        if spread is not None:
            yield f'  {name:<11} {spread["median"]:.0f} median'
    stages = stage_spreads(report.frames)
    if stages:
        yield '  ms (median) ' + ', '.join(f'{stage} {spread.median:.1f}' for stage, spread in stages.items())
    if not len(report.trajectory):
        yield '  trajectory  empty: no frame has a pose; the reasons are in run.json'
        return
    yield f'  trajectory  {len(report.trajectory)} poses in {_plural(len(report.segments), "scale segment")}'
    yield from _score_lines(report)


def _score_lines(report: RunReport) -> Iterator[str]:
    if report.pairs.rotation_deg is not None:
        yield f'  rotation    {report.pairs.rotation_deg.median:.3f} deg median error per pair of images'
    if report.pairs.direction_deg is not None:
        yield f'  direction   {report.pairs.direction_deg.median:.2f} deg median error per pair of images'
    for name, score in (('ATE', report.whole), ('ATE longest', report.longest)):
        if score is not None:
            share = 100 * score.ate.rms / score.path_length if score.path_length > 0 else float('nan')
            yield (
                f'  {name:<11} {score.ate.rms:.3f} m rms over {score.path_length:.1f} m ({share:.2f} %), '
                f'{len(score.truth)} poses, after {score.alignment.value} alignment'
            )
    if report.whole is not None:
        rotation, translation = report.whole.rpe_rotation_deg.median, report.whole.rpe_translation.median
        yield f'  RPE         {rotation:.3f} deg, {translation:.4f} m median from image to image'
    if report.note:
        yield f'  not scored: {report.note}'


def _plural(count: int, noun: str) -> str:
    return f'{count} {noun}' if count == 1 else f'{count} {noun}s'
