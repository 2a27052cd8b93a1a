# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The motion between the reference and the current frame: standstill, known depths, or two views, whichever can be seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kp2d_ros.core.records import (
    UNKNOWN_VARIANCE,
    BoolArray,
    Float64Array,
    PoseModel,
    Rows,
    ScaleKind,
    TrackingState,
)
from kp2d_ros.core.settings import setting, validate
from kp2d_ros.odometry.geometry import parallax_angles, triangulate
from kp2d_ros.odometry.pnp import Adjustment, adjust, solve_pnp
from kp2d_ros.odometry.ransac import RansacConfig
from kp2d_ros.odometry.rays import InverseDepths, Rays, is_known, place_depths, scale_ratio, unknown_depths
from kp2d_ros.odometry.two_view import TwoViewMotion, estimate_two_view

_MOVING_AGAIN = 3.0  # standstill ends at this many times the displacement at which it begins
_STILLNESS_PX = 0.1  # no image is known to stand stiller
_HOLDING_SHARE = 0.5  # of the points of known depth that must agree with a motion in their unit


@dataclass(frozen=True, slots=True)
class MotionConfig:
    """
    When a motion can be seen, and when the current frame becomes the reference.
    """

    stationary_px: float = setting(
        0.5,
        'median displacement of the matches below which the camera stands still; three times that ends it',
        minimum=0.0,
        maximum=20.0,
        runtime=True,
    )
    min_parallax_deg: float = setting(
        0.2,
        'median parallax that no rotation explains, from which on two views alone give a translation',
        minimum=0.0,
        maximum=30.0,
        runtime=True,
    )
    reference_parallax_deg: float = setting(
        1.0, 'median parallax at which the frame becomes the reference', minimum=0.0, maximum=30.0, runtime=True
    )
    min_overlap: float = setting(
        0.65,
        'share of the most matches that the reference had, below which it is replaced',
        minimum=0.0,
        maximum=1.0,
        runtime=True,
    )
    max_reference_age: int = setting(
        30, 'frames after which a reference is replaced if the camera moves', minimum=1, maximum=100000, runtime=True
    )
    max_lost_frames: int = setting(
        5, 'frames without a pose after which the reference is given up', minimum=0, maximum=100000, runtime=True
    )
    min_shared_points: int = setting(
        8, 'fewer points of known depth do not hold the scale', minimum=4, maximum=10000, runtime=True
    )
    covariance_factor: float = setting(
        2.0,
        'factor on the covariance: neighbouring keypoints err together, 1 takes their errors as independent',
        minimum=1.0,
        maximum=1000.0,
        runtime=True,
    )
    systematic_px: float = setting(
        0.2,
        'error that all keypoints of an image share (what a calibration leaves, a rolling shutter), in the covariance',
        minimum=0.0,
        maximum=10.0,
        runtime=True,
    )
    systematic_share: float = setting(
        0.01, 'the same for a translation, as a share of its length', minimum=0.0, maximum=1.0, runtime=True
    )
    degraded_inliers: int = setting(
        30, 'a pose with fewer matches that agree is DEGRADED', minimum=0, maximum=10000, runtime=True
    )

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, slots=True)
class MatchedRays(Rows):
    """
    M pairs of rays, row by row, the inverse depths (M,) of the first ones and the displacements (M,) in pixels.

    ``has_texture`` (M,) tells pairs of points that can be seen from those that a detector found in nothing.
    """

    reference: Rays
    current: Rays
    depths: InverseDepths
    displacement_px: Float64Array
    has_texture: BoolArray

    def __len__(self) -> int:
        return len(self.reference)


@dataclass(frozen=True, slots=True)
class Motion:
    """
    ``reference_from_current`` with its 6x6 covariance and what it is worth; fields as in
    :class:`kp2d_ros.core.records.RelativePose`.

    ``depths`` (M,) are the inverse depths of the pairs in the reference after this observation. ``begins_chain``: the
    translation has no relation to any unit before; its length 1 is the new unit.
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
    begins_chain: bool = False
    reason: str = ''


def estimate_motion(
    pairs: MatchedRays,
    was_stationary: bool,
    expected: Float64Array | None,
    ransac: RansacConfig,
    config: MotionConfig,
) -> Motion:
    """
    The motion behind M pairs, in the unit of their depths where enough of them are known.

    :param expected: where a steady motion would be now (4, 4), None if that is not known.
    """
    valid = pairs.reference.is_finite & pairs.current.is_finite
    usable = pairs.take(valid)
    motion = _unseen(usable, ransac) or _estimate(usable, was_stationary, expected, ransac, config)
    rows = np.flatnonzero(valid)
    inlier = np.zeros(len(pairs), np.bool_)
    inlier[rows] = motion.inlier
    motion = replace(
        motion,
        covariance=motion.covariance
        if motion.model is PoseModel.NONE
        else widened_covariance(motion, usable.current, config),
        inlier=inlier,
        depths=place_depths(len(pairs), rows, motion.depths),
    )
    if motion.state is TrackingState.OK and inlier.sum() < config.degraded_inliers:
        reason = f'only {inlier.sum()} matches agree with the motion, {config.degraded_inliers} make a good one'
        return replace(motion, state=TrackingState.DEGRADED, reason=reason)
    return motion


def no_pose(count: int, state: TrackingState, reason: str) -> Motion:
    """
    No motion behind ``count`` pairs: the identity, of which nothing is known.
    """
    nothing = np.zeros(count, np.bool_)
    return Motion(state, np.eye(4), np.eye(6) * UNKNOWN_VARIANCE, nothing, unknown_depths(count), reason=reason)


def _unseen(pairs: MatchedRays, ransac: RansacConfig) -> Motion | None:
    """
    No motion if pairs enough for one were found in nothing; None if it may be looked for.
    """
    count = int(pairs.has_texture.sum())
    if not count < ransac.min_inliers <= len(pairs):
        return None
    reason = f'only {count} of {len(pairs)} matches have texture around them, {ransac.min_inliers} are needed'
    return no_pose(len(pairs), TrackingState.LOST, reason)


def _estimate(
    pairs: MatchedRays,
    was_stationary: bool,
    expected: Float64Array | None,
    ransac: RansacConfig,
    config: MotionConfig,
) -> Motion:
    limit_px = config.stationary_px * (_MOVING_AGAIN if was_stationary else 1.0)
    if pairs.has_texture.sum() >= ransac.min_matches and _stands_still(pairs, limit_px, ransac):
        return _standstill(pairs, limit_px + ransac.threshold_px)
    chained = _from_depths(pairs, _starts_from_depths(pairs, expected, ransac), ransac, config)
    if chained is not None:
        return chained
    seen = estimate_two_view(pairs.reference, pairs.current, ransac, None if expected is None else expected[:3, :3])
    if seen.model is PoseModel.NONE:
        return no_pose(len(pairs), TrackingState.LOST, seen.reason)
    chained = _from_depths(pairs, _starts_from_two_views(pairs, seen, config), ransac, config)
    if chained is not None:
        return replace(chained, model=seen.model)
    if _shows_translation(seen, config):
        return _first_step(pairs, seen)
    return _rotation_only(pairs, seen)


def widened_covariance(motion: Motion, current: Rays, config: MotionConfig) -> Float64Array:
    """
    The covariance (6, 6) of a motion with what the residuals do not show: errors that neighbouring keypoints have in
    common, by a factor, and those that all have, which are added.

    What is unknown rather than uncertain stays: the length of a first step, the translation beside a rotation.
    """
    factor, translation = config.covariance_factor, motion.reference_from_current[:3, 3]
    angle = config.systematic_px / float(np.nanmedian(current.px_per_unit))
    covariance = factor * motion.covariance
    covariance[3:, 3:] += angle**2 * np.eye(3)
    if motion.model is PoseModel.ROTATION:
        covariance[:3, :3] = motion.covariance[:3, :3]
        return covariance
    known = is_known(motion.depths)
    distance = 1.0 / float(np.median(motion.depths.value[known])) if known.any() else 0.0
    length = float(np.linalg.norm(translation))
    shared = ((angle * distance) ** 2 + (config.systematic_share * length) ** 2) * np.eye(3)
    if not motion.begins_chain:
        covariance[:3, :3] += shared
        return covariance
    across = np.eye(3) - np.outer(translation, translation) / max(length, 1e-12) ** 2
    covariance[:3, :3] += across @ shared @ across - (factor - 1.0) * np.outer(translation, translation)
    return covariance


def _stands_still(pairs: MatchedRays, limit_px: float, ransac: RansacConfig) -> bool:
    """
    Whether half the matches with texture moved by less than the limit and nearly all by little more.
    """
    displacement_px = pairs.displacement_px[pairs.has_texture]
    share = np.mean(displacement_px < limit_px + ransac.threshold_px)
    return bool(np.median(displacement_px) < limit_px and share > 0.7)


def _standstill(pairs: MatchedRays, inlier_px: float) -> Motion:
    """
    The identity, as uncertain as the image moves, at the median distance of the known points.
    """
    inlier = pairs.displacement_px < inlier_px
    rms_px = float(np.sqrt(np.mean(pairs.displacement_px[inlier] ** 2)))
    angle = max(rms_px, _STILLNESS_PX) / float(np.median(pairs.reference.px_per_unit))
    known = is_known(pairs.depths)
    distance = 1.0 / float(np.median(pairs.depths.value[known])) if known.any() else _least_distance(pairs.depths)
    return Motion(
        TrackingState.STATIONARY,
        np.eye(4),
        np.diag(np.repeat([(angle * distance) ** 2, angle**2], 3)),
        inlier,
        pairs.depths,
        scale=ScaleKind.CHAINED if known.any() else ScaleKind.UNIT_NORM,
        rms_px=rms_px,
        reason='the image does not move',
    )


def _least_distance(depths: InverseDepths) -> float:
    """
    How far points are at least that are too far to be measured; 1 where nothing is known.
    """
    informed = np.isfinite(depths.sigma)
    nearest = np.abs(depths.value[informed]) + depths.sigma[informed]
    return 1.0 / float(np.median(nearest)) if informed.any() else 1.0


def _shows_translation(seen: TwoViewMotion, config: MotionConfig) -> bool:
    """
    Whether two views show a direction: with parallax enough, and with twice as much where two directions would do.
    """
    needed = config.min_parallax_deg * (2.0 if seen.is_ambiguous else 1.0)
    return seen.model is not PoseModel.ROTATION and seen.unturned_deg >= needed


def _first_step(pairs: MatchedRays, seen: TwoViewMotion) -> Motion:
    """
    A step of length 1 that begins a chain; its depths come from these two views alone.
    """
    new = triangulate(pairs.reference, pairs.current, seen.reference_from_current, seen.sigma_px)
    return Motion(
        TrackingState.DEGRADED if seen.is_ambiguous else TrackingState.OK,
        seen.reference_from_current,
        seen.covariance,
        seen.inlier,
        new.where(seen.inlier),
        seen.model,
        ScaleKind.CHAINED,
        seen.parallax_deg,
        seen.rms_px,
        begins_chain=True,
        reason='two motions explain these images of a plane' if seen.is_ambiguous else '',
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
        reason=f'a parallax of {seen.unturned_deg:.2f} degrees is too small to see a translation',
    )


def _starts_from_depths(pairs: MatchedRays, expected: Float64Array | None, ransac: RansacConfig) -> list[Float64Array]:
    """
    Where to begin with known depths: the steady motion, and what most of the points agree on.
    """
    known = is_known(pairs.depths)
    chosen = pairs.take(known)
    starts = [] if expected is None else [expected]
    return starts + solve_pnp(chosen.reference, chosen.current, chosen.depths, ransac)


def _starts_from_two_views(pairs: MatchedRays, seen: TwoViewMotion, config: MotionConfig) -> list[Float64Array]:
    """
    Where to begin if most of the depths are wrong: the two-view motion at the scale that the right ones agree on.
    """
    if not _shows_translation(seen, config):
        return []
    new = triangulate(pairs.reference, pairs.current, seen.reference_from_current, seen.sigma_px)
    ratio = scale_ratio(pairs.depths.where(seen.inlier), new)
    if ratio.count < config.min_shared_points:
        return []
    start = seen.reference_from_current.copy()
    start[:3, 3] *= ratio.scale
    return [start]


def _from_depths(
    pairs: MatchedRays, starts: list[Float64Array], ransac: RansacConfig, config: MotionConfig
) -> Motion | None:
    """
    The motion in the unit of the known depths; None if too few of them agree with it.
    """
    known = is_known(pairs.depths)
    if known.sum() < config.min_shared_points or not starts:
        return None
    found = adjust(pairs.reference, pairs.current, pairs.depths, starts, ransac.threshold_px)
    holding = (found.inlier & known).sum()
    is_held = holding >= max(config.min_shared_points, _HOLDING_SHARE * known.sum())
    if not is_held or found.inlier.sum() < max(ransac.min_inliers, ransac.min_inlier_share * len(pairs)):
        return None
    return _chained(pairs, found)


def _chained(pairs: MatchedRays, found: Adjustment) -> Motion:
    agreeing = pairs.take(found.inlier)
    angles = parallax_angles(agreeing.reference, agreeing.current, found.motion[:3, :3])
    return Motion(
        TrackingState.OK,
        found.motion,
        found.covariance,
        found.inlier,
        found.depths.where(found.inlier),
        PoseModel.PNP,
        ScaleKind.CHAINED,
        float(np.degrees(np.median(angles))),
        found.rms_px,
    )
