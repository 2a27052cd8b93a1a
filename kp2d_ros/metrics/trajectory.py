# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Trajectories against ground truth: absolute and relative errors after alignment (evo), and drift as KITTI measures it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.errors import DataError, ShapeError
from kp2d_ros.core.packages import missing_package
from kp2d_ros.core.se3 import invert_transform, rotation_angle
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.metrics.pose_error import interpolate_poses
from kp2d_ros.metrics.spread import Spread

if TYPE_CHECKING:
    from evo.core.metrics import APE, RPE
    from evo.core.trajectory import PosePath3D

_MIN_POSES = 3  # three points fix a rotation
KITTI_LENGTHS = (100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0)  # metres
STEP = 10  # a part begins at every tenth pose

Poses = npt.NDArray[np.float64]


class Alignment(Enum):
    """
    What may be fitted before the errors are taken.
    """

    SIM3 = 'sim3'  # rotation, translation and scale: monocular
    SE3 = 'se3'  # rotation and translation: metric scale
    NONE = 'none'  # nothing: the trajectories share the world already


@dataclass(frozen=True, slots=True)
class TrajectoryScore:
    """
    Errors over the poses that both trajectories have.

    ``ate`` are distances in metres after alignment; ``rpe_translation`` (metres) and ``rpe_rotation_deg`` compare the
    motion from each pose to the next. ``scale`` is the fitted factor from estimate to truth, ``path_length`` the true
    one in metres. ``scale_error_percent`` is by how much the estimate is too long (negative: too short), by a second
    fit with scale; None where the first fit has the scale already, or the second one fails. ``truth`` and ``aligned``
    have the same stamps.
    """

    alignment: Alignment
    scale: float
    path_length: float
    scale_error_percent: float | None
    ate: Spread
    rpe_translation: Spread
    rpe_rotation_deg: Spread
    truth: Trajectory
    aligned: Trajectory


@dataclass(frozen=True, slots=True)
class SegmentScore:
    """
    Mean errors over ``count`` parts of the path, divided by the length of each.

    ``translation_percent`` is the distance between the ends in percent of the length, ``rotation_deg_per_m`` the angle
    between the orientations at the end. ``by_length`` holds the same for each length in metres that fits.
    """

    count: int
    translation_percent: float
    rotation_deg_per_m: float
    by_length: dict[float, SegmentScore]


def score_trajectory(estimate: Trajectory, truth: Trajectory, alignment: Alignment = Alignment.SIM3) -> TrajectoryScore:
    """
    Align the estimate with the truth at its own stamps and measure what is left.

    The truth is interpolated in time (:func:`kp2d_ros.metrics.pose_error.interpolate_poses`); estimates without truth
    are left out.

    :raises BackendError: if evo is not installed.
    :raises DataError: if fewer than three poses have truth, or one of the trajectories never moves.
    """
    try:
        from evo.core.metrics import APE, RPE, PoseRelation, Unit
    except ModuleNotFoundError as error:
        raise missing_package('scores of a path', error.name) from error
    true_poses = interpolate_poses(truth, estimate.stamps_ns)
    common = np.isfinite(true_poses).all(axis=(1, 2))
    if common.sum() < _MIN_POSES:
        raise DataError(
            f'trajectory: found {common.sum()} of {len(estimate)} poses with ground truth at their time, '
            f'expected at least {_MIN_POSES}'
        )
    stamps = estimate.stamps_ns[common]
    true_path = _path(true_poses[common])
    path = _path(estimate.world_from_camera[common])
    scale_error = None if alignment is Alignment.SIM3 else _scale_error(path, true_path)
    scale = _align(path, true_path, alignment)
    to_next = {'delta': 1.0, 'delta_unit': Unit.frames, 'all_pairs': True}
    return TrajectoryScore(
        alignment=alignment,
        scale=scale,
        path_length=float(true_path.path_length),
        scale_error_percent=scale_error,
        ate=_errors(APE(PoseRelation.translation_part), true_path, path),
        rpe_translation=_errors(RPE(PoseRelation.translation_part, **to_next), true_path, path),
        rpe_rotation_deg=_errors(RPE(PoseRelation.rotation_angle_deg, **to_next), true_path, path),
        truth=Trajectory(stamps, np.array(true_path.poses_se3)),
        aligned=Trajectory(stamps, np.array(path.poses_se3)),
    )


def _path(poses: Poses) -> PosePath3D:
    from evo.core.trajectory import PosePath3D

    return PosePath3D(poses_se3=list(poses.copy()))


def _align(path: PosePath3D, true_path: PosePath3D, alignment: Alignment) -> float:
    """
    Move ``path`` onto ``true_path`` and return the factor that it was scaled by.
    """
    from evo import EvoException

    if alignment is Alignment.NONE:
        return 1.0
    try:
        _, _, scale = path.align(true_path, correct_scale=alignment is Alignment.SIM3)
    except EvoException as error:
        raise DataError(f'trajectory: cannot be aligned by {alignment.value}: {error}') from error
    return float(scale)


def _scale_error(path: PosePath3D, true_path: PosePath3D) -> float | None:
    """
    Per cent by which a path is longer than the true one, after Sim(3); the path itself stays as it is.
    """
    try:
        scale = _align(_path(np.array(path.poses_se3)), true_path, Alignment.SIM3)
    except DataError:
        return None
    return 100.0 * (1.0 / scale - 1.0) if scale > 0 else None


def _errors(metric: APE | RPE, true_path: PosePath3D, path: PosePath3D) -> Spread:
    metric.process_data((true_path, path))
    spread = Spread.of(metric.error)
    if spread is None:
        raise DataError(f'trajectory: evo found no error that is a finite number ({metric})')
    return spread


def score_segments(truth: Poses, estimate: Poses, lengths: Sequence[float] = KITTI_LENGTHS) -> SegmentScore | None:
    """
    Compare the motion over every part of the true path; None where the path is shorter than the shortest length.

    A part begins at every ``STEP``-th pose and ends at the first pose more than the length along the true path, as in
    the KITTI odometry benchmark (Geiger, Lenz, Urtasun: Are we ready for autonomous driving? CVPR 2012).

    :param truth: (T, 4, 4) world_from_camera; ``estimate`` the same at the same times, in the same unit of length.
    :raises ShapeError: if there are not as many poses of both.
    """
    if truth.shape != estimate.shape:
        raise ShapeError(f'segments: found {len(truth)} true and {len(estimate)} estimated poses, expected pairs')
    steps = np.linalg.norm(np.diff(truth[:, :3, 3], axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    errors: dict[float, list[tuple[float, float]]] = {}
    for length in lengths:
        for first in range(0, len(truth), STEP):
            last = int(np.searchsorted(along, along[first] + length, side='right'))
            if last < len(truth):
                true_motion = invert_transform(truth[first]) @ truth[last]
                motion = invert_transform(estimate[first]) @ estimate[last]
                left = invert_transform(motion) @ true_motion
                error = (float(np.linalg.norm(left[:3, 3])), float(np.degrees(rotation_angle(left[:3, :3]))))
                errors.setdefault(length, []).append((error[0] / length, error[1] / length))
    by_length = {length: _mean(parts, {}) for length, parts in errors.items()}
    every = [part for parts in errors.values() for part in parts]
    return _mean(every, by_length) if every else None


def _mean(parts: list[tuple[float, float]], by_length: dict[float, SegmentScore]) -> SegmentScore:
    shift, turn = np.mean(parts, axis=0)
    return SegmentScore(len(parts), 100.0 * float(shift), float(turn), by_length)
