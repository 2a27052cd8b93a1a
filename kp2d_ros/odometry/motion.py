# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The motion between the reference and the current frame: standstill, two views, or known depths, whichever can be seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kp2d_ros.core.records import BoolArray, Float64Array, PoseModel, ScaleKind, TrackingState
from kp2d_ros.core.settings import setting, validate
from kp2d_ros.odometry.depths import InverseDepths, is_known, scale_ratio, unknown_depths
from kp2d_ros.odometry.epipolar import parallax_angles, triangulate
from kp2d_ros.odometry.pnp import Adjustment, adjust
from kp2d_ros.odometry.rays import Rays
from kp2d_ros.odometry.two_view import RansacConfig, TwoViewMotion, estimate_two_view

_UNKNOWN_VARIANCE = 1e6  # of a pose of which nothing is known
_WIDE_PRIOR = 2.0  # sigma of an unknown inverse depth, in medians of the known ones


@dataclass(frozen=True, slots=True)
class MotionConfig:
    """
    When a motion can be seen, and when the current frame becomes the reference.
    """

    stationary_px: float = setting(
        0.5,
        'median displacement of the matches below which the camera stands still; it moves again at three times that',
        minimum=0.0, maximum=20.0, runtime=True,
    )
    min_parallax_deg: float = setting(
        1.0, 'median parallax from which on a translation is taken from two views alone', minimum=0.0, maximum=30.0, runtime=True
    )
    min_shared_points: int = setting(
        15, 'fewer points of known depth do not hold the scale', minimum=4, maximum=10000, runtime=True
    )
    min_overlap: float = setting(
        0.5, 'share of the matches that the reference had at best below which it is replaced', minimum=0.0, maximum=1.0, runtime=True
    )
    max_reference_age: int = setting(
        30, 'frames after which a reference is replaced unless the camera stands still', minimum=1, maximum=100000, runtime=True
    )
    degraded_inliers: int = setting(
        25, 'a pose with fewer matches that agree is DEGRADED', minimum=0, maximum=10000, runtime=True
    )
    max_lost_frames: int = setting(
        5, 'frames without a pose after which the reference is given up', minimum=0, maximum=100000, runtime=True
    )

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, slots=True)
class MatchedRays:
    """
    M pairs of rays, row by row, the inverse depths (M,) of the first ones and the displacements (M,) in pixels.
    """

    reference: Rays
    current: Rays
    depths: InverseDepths
    displacement_px: Float64Array

    def __len__(self) -> int:
        return len(self.reference)


@dataclass(frozen=True, slots=True)
class Motion:
    """
    ``reference_from_current`` with its 6x6 covariance and what it is worth; fields as in :class:`RelativePose`.

    ``depths`` (M,) are the inverse depths of the pairs in the reference after this observation. ``begins_segment``:
    the translation has no relation to the unit of the depths before; its length is the new unit.
    """

    state: TrackingState
    reference_from_current: Float64Array
    covariance: Float64Array
    inlier: BoolArray
    depths: InverseDepths
    model: PoseModel = PoseModel.NONE
    scale: ScaleKind = ScaleKind.UNIT_NORM
    parallax_deg: float = 0.0
    rms_px: float = 0.0
    begins_segment: bool = False
    reason: str = ''


def estimate_motion(pairs: MatchedRays, was_stationary: bool, ransac: RansacConfig, config: MotionConfig) -> Motion:
    """
    The motion behind the pairs, in the unit of their depths where enough of them are known.
    """
    if is_stationary(pairs, was_stationary, ransac, config):
        return _standstill(pairs, config)
    seen = estimate_two_view(pairs.reference, pairs.current, ransac)
    if seen.model is PoseModel.NONE:
        return no_pose(len(pairs), TrackingState.LOST, seen.reason)
    chained = _adjust_to_depths(pairs, seen, ransac, config)
    if chained is not None:
        return chained
    if seen.model is PoseModel.ROTATION or seen.parallax_deg < config.min_parallax_deg:
        return _rotation_only(pairs, seen)
    return _first_step(pairs, seen)


def is_stationary(pairs: MatchedRays, was_stationary: bool, ransac: RansacConfig, config: MotionConfig) -> bool:
    """
    Whether the image did not move: half the matches by less than a limit, nearly all by little more.
    """
    limit = config.stationary_px * (3.0 if was_stationary else 1.0)
    if len(pairs) < ransac.min_matches:
        return False
    share = np.mean(pairs.displacement_px < 2.0 * limit + ransac.threshold_px)
    return bool(np.median(pairs.displacement_px) < limit and share > 0.7)


def no_pose(count: int, state: TrackingState, reason: str) -> Motion:
    """
    No motion behind ``count`` pairs: the identity, of which nothing is known.
    """
    nothing = np.zeros(count, np.bool_)
    return Motion(state, np.eye(4), np.eye(6) * _UNKNOWN_VARIANCE, nothing, unknown_depths(count), reason=reason)


def _standstill(pairs: MatchedRays, config: MotionConfig) -> Motion:
    limit = 2.0 * config.stationary_px
    inlier = pairs.displacement_px < 6.0 * config.stationary_px
    rms = float(np.sqrt(np.mean(pairs.displacement_px[inlier] ** 2)))
    angle = max(rms, limit) / float(np.median(pairs.reference.px_per_unit))
    known = is_known(pairs.depths)
    depth = 1.0 / float(np.median(pairs.depths.value[known])) if known.any() else 1.0
    variances = np.repeat([(angle * depth) ** 2, angle**2], 3)
    return Motion(
        TrackingState.STATIONARY,
        np.eye(4),
        np.diag(variances),
        inlier,
        pairs.depths,
        scale=ScaleKind.CHAINED if known.any() else ScaleKind.UNIT_NORM,
        rms_px=rms,
        reason='the image does not move',
    )


def _first_step(pairs: MatchedRays, seen: TwoViewMotion) -> Motion:
    """
    A step of length 1 that begins a chain; the depths come from it alone.
    """
    depths = triangulate(pairs.reference, pairs.current, seen.reference_from_current, seen.sigma_px)
    return Motion(
        TrackingState.OK,
        seen.reference_from_current,
        seen.covariance,
        seen.inlier,
        _where(seen.inlier, depths, unknown_depths(len(pairs))),
        seen.model,
        ScaleKind.CHAINED,
        seen.parallax_deg,
        seen.rms_px,
        begins_segment=True,
    )


def _rotation_only(pairs: MatchedRays, seen: TwoViewMotion) -> Motion:
    motion = seen.reference_from_current.copy()
    motion[:3, 3] = 0.0
    covariance = np.eye(6)  # the translation may have any direction and a length of up to 1
    covariance[3:, 3:] = seen.covariance[3:, 3:]
    return Motion(
        TrackingState.DEGRADED,
        motion,
        covariance,
        seen.inlier,
        pairs.depths,
        PoseModel.ROTATION,
        parallax_deg=seen.parallax_deg,
        rms_px=seen.rms_px,
        reason=f'the parallax of {seen.parallax_deg:.2f} degrees is too small to see a translation',
    )


def _adjust_to_depths(
    pairs: MatchedRays, seen: TwoViewMotion, ransac: RansacConfig, config: MotionConfig
) -> Motion | None:
    """
    The motion in the unit of the known depths; None if too few of them agree.
    """
    known = is_known(pairs.depths) & seen.inlier
    if known.sum() < config.min_shared_points:
        return None
    for start in _starts(pairs, seen, known, config):
        inlier = seen.inlier
        chosen = pairs.reference.take(inlier), pairs.current.take(inlier)
        prior = _proper_prior(pairs.depths, known)
        found = adjust(
            *chosen, InverseDepths(prior.value[inlier], prior.sigma[inlier]), start, seen.sigma_px, 1.5 * ransac.threshold_px
        )
        holding = int((found.inlier & known[inlier]).sum())
        if holding >= max(config.min_shared_points, 0.5 * known.sum()):
            return _chained(pairs, seen, found, config)
    return None


def _starts(
    pairs: MatchedRays, seen: TwoViewMotion, known: BoolArray, config: MotionConfig
) -> list[Float64Array]:
    """
    Where to begin the adjustment: the two-view motion at its scale, the rotation alone, a RANSAC over the depths.
    """
    starts = []
    if seen.model is PoseModel.ROTATION or seen.parallax_deg < config.min_parallax_deg:
        start = seen.reference_from_current.copy()
        start[:3, 3] = 0.0
        starts.append(start)
    else:
        new = triangulate(pairs.reference, pairs.current, seen.reference_from_current, seen.sigma_px)
        ratio = scale_ratio(_where(known, pairs.depths, unknown_depths(len(pairs))), new)
        if ratio.count >= config.min_shared_points:
            start = seen.reference_from_current.copy()
            start[:3, 3] *= ratio.scale
            starts.append(start)
    return starts


def _proper_prior(depths: InverseDepths, known: BoolArray) -> InverseDepths:
    """
    The inverse depths with a wide prior where nothing is known: anything between the camera and far away.
    """
    median = float(np.median(depths.value[known]))
    is_wide = ~(depths.sigma < _WIDE_PRIOR * median)
    return InverseDepths(
        np.where(is_wide, median, depths.value), np.where(is_wide, _WIDE_PRIOR * median, depths.sigma)
    )


def _chained(pairs: MatchedRays, seen: TwoViewMotion, found: Adjustment, config: MotionConfig) -> Motion:
    inlier = seen.inlier.copy()
    inlier[seen.inlier] = found.inlier
    agreed = unknown_depths(len(pairs))
    agreed.value[seen.inlier], agreed.sigma[seen.inlier] = found.depths.value, found.depths.sigma
    angles = parallax_angles(pairs.reference.take(inlier), pairs.current.take(inlier), found.motion[:3, :3])
    parallax_deg = float(np.degrees(np.median(angles)))
    is_far = parallax_deg >= config.min_parallax_deg and seen.model is not PoseModel.ROTATION
    return Motion(
        TrackingState.OK,
        found.motion,
        found.covariance,
        inlier,
        _where(inlier, agreed, unknown_depths(len(pairs))),
        seen.model if is_far else PoseModel.PNP,
        ScaleKind.CHAINED,
        parallax_deg,
        float(np.sqrt(np.mean(found.residuals[found.inlier] ** 2))),
    )


def _where(mask: BoolArray, yes: InverseDepths, no: InverseDepths) -> InverseDepths:
    return InverseDepths(np.where(mask, yes.value, no.value), np.where(mask, yes.sigma, no.sigma))
