# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Trajectories against ground truth, computed with evo: absolute and relative errors after alignment.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt
from evo import EvoException
from evo.core.metrics import APE, RPE, PoseRelation, Unit
from evo.core.trajectory import PosePath3D

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.metrics.association import MAX_GAP_NS, interpolate_poses
from kp2d_ros.metrics.spread import Spread

_MIN_POSES = 3  # three points fix a rotation


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
    one in metres. ``truth`` and ``aligned`` have the same stamps.
    """

    alignment: Alignment
    scale: float
    path_length: float
    ate: Spread
    rpe_translation: Spread
    rpe_rotation_deg: Spread
    truth: Trajectory
    aligned: Trajectory


def score_trajectory(
    estimate: Trajectory,
    truth: Trajectory,
    alignment: Alignment = Alignment.SIM3,
    max_gap_ns: int = MAX_GAP_NS,
) -> TrajectoryScore:
    """
    Align the estimate with the truth at its own stamps and measure what is left.

    The truth is interpolated in time, over holes of at most ``max_gap_ns``; estimates without truth are left out.

    :raises DataError: if fewer than three poses have truth, or one of the trajectories never moves.
    """
    true_poses = interpolate_poses(truth, estimate.stamps_ns, max_gap_ns)
    common = np.isfinite(true_poses).all(axis=(1, 2))
    if common.sum() < _MIN_POSES:
        raise DataError(
            f'trajectory: found {common.sum()} of {len(estimate)} poses with ground truth at their time, '
            f'expected at least {_MIN_POSES}'
        )
    stamps = estimate.stamps_ns[common]
    true_path = _path(true_poses[common])
    path = _path(estimate.world_from_camera[common])
    scale = _align(path, true_path, alignment)
    ate, translation, rotation = (
        _errors(metric, true_path, path)
        for metric in (
            APE(PoseRelation.translation_part),
            RPE(PoseRelation.translation_part, delta=1.0, delta_unit=Unit.frames, all_pairs=True),
            RPE(PoseRelation.rotation_angle_deg, delta=1.0, delta_unit=Unit.frames, all_pairs=True),
        )
    )
    return TrajectoryScore(
        alignment=alignment,
        scale=scale,
        path_length=float(true_path.path_length),
        ate=ate,
        rpe_translation=translation,
        rpe_rotation_deg=rotation,
        truth=Trajectory(stamps, np.array(true_path.poses_se3)),
        aligned=Trajectory(stamps, np.array(path.poses_se3)),
    )


def _path(poses: npt.NDArray[np.float64]) -> PosePath3D:
    return PosePath3D(poses_se3=list(poses.copy()))


def _align(path: PosePath3D, true_path: PosePath3D, alignment: Alignment) -> float:
    """
    Move ``path`` onto ``true_path`` and return the factor that it was scaled by.
    """
    if alignment is Alignment.NONE:
        return 1.0
    try:
        _, _, scale = path.align(true_path, correct_scale=alignment is Alignment.SIM3)
    except EvoException as error:
        raise DataError(f'trajectory: cannot be aligned by {alignment.value}: {error}') from error
    return float(scale)


def _errors(metric: APE | RPE, true_path: PosePath3D, path: PosePath3D) -> Spread:
    metric.process_data((true_path, path))
    spread = Spread.of(metric.error)
    if spread is None:
        raise DataError(f'trajectory: evo found no error that is a finite number ({metric})')
    return spread
