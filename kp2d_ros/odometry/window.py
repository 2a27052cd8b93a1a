# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The last keyframes and the points that they share, refined together whenever there is a new one.

The work is bounded by the numbers of keyframes, points and steps, not by a clock: the same images give the same poses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.records import Float64Array
from kp2d_ros.core.se3 import invert_transform, renormalised
from kp2d_ros.core.settings import Settings, setting
from kp2d_ros.odometry.bundle import Adjusted, Bundle, Observations, adjust_bundle
from kp2d_ros.odometry.rays import InverseDepths, is_known
from kp2d_ros.odometry.view import View

_FEWEST = 3  # keyframes: two were refined when their motion was found
_MIN_POINTS = 20  # fewer say less than the motions did
_LARGEST_SHIFT = 0.5  # share of its motion by which a keyframe may be moved; more is a failure


@dataclass(frozen=True, slots=True)
class WindowConfig(Settings):
    """
    How much is refined together.
    """

    keyframes: int = setting(
        0,
        'keyframes that are refined together, 4 are enough; below 3: none, for it pays on some sequences only',
        minimum=0,
        maximum=20,
        runtime=True,
    )
    max_points: int = setting(
        1000, 'points that take part, those seen most often first', minimum=_MIN_POINTS, maximum=5000, runtime=True
    )
    steps: int = setting(4, 'steps of the refinement at each new keyframe', minimum=1, maximum=50, runtime=True)

    @property
    def is_on(self) -> bool:
        """
        Whether anything is refined.
        """
        return self.keyframes >= _FEWEST


@dataclass(frozen=True, slots=True)
class Refined:
    """
    The newest keyframe after the refinement, ``reference_from_current`` (4, 4) between it and the one before, and its
    covariance (6, 6) over translation and rotation about the fixed axes of the reference.
    """

    view: View
    reference_from_current: Float64Array
    covariance: Float64Array


class Window:
    """
    The keyframes of one scale segment that are refined together.
    """

    def __init__(self) -> None:
        self._views: list[View] = []

    def clear(self) -> None:
        """
        Let go of all keyframes: the next ones are in another unit, or nobody knows where.
        """
        self._views = []

    def refine(self, reference: View, view: View, is_metric: bool, config: WindowConfig) -> Refined | None:
        """
        Take one more keyframe, and refine all; None if they have too little in common.

        :param reference: the keyframe that ``view`` was placed from; it stays where it is, the others move.
        :param is_metric: whether depths hold the scale; otherwise the two oldest keyframes do.
        """
        if not self._views or self._views[-1].seq != reference.seq:
            self._views.append(reference)
        views = [*self._views, view][-config.keyframes :]
        self._views = views
        if len(views) < _FEWEST:
            return None
        rows = _shared_points(views, config.max_points)
        if rows.shape[1] < _MIN_POINTS:
            return None
        found = adjust_bundle(_observations(views, rows), _start(views, rows), 1 if is_metric else 2, config.steps)
        poses = found.bundle.poses
        motion = renormalised(invert_transform(poses[-2]) @ poses[-1])
        if not _is_credible(invert_transform(reference.world_from_camera) @ view.world_from_camera, motion):
            return None
        moved = reference.world_from_camera @ invert_transform(poses[-2])
        self._views = [
            replace(each, world_from_camera=renormalised(moved @ pose)) for each, pose in zip(views, poses, strict=True)
        ]
        # Only the newest: what the others know of their depths is from before they were seen by the ones after them.
        self._views[-1] = _with_depths(self._views[-1], rows[-1], found)
        return Refined(self._views[-1], motion, found.motion_covariance(len(views) - 2, len(views) - 1))


def _is_credible(before: Float64Array, after: Float64Array) -> bool:
    """
    Whether a motion is finite and about what it was before.
    """
    moved = float(np.linalg.norm(after[:3, 3] - before[:3, 3]))
    return moved <= _LARGEST_SHIFT * float(np.linalg.norm(before[:3, 3]))  # false for NaN


def _shared_points(views: Sequence[View], max_points: int) -> npt.NDArray[np.int64]:
    """
    (K, P) rows of the keypoints of each view that show the same point, -1 where a view has none of it.

    A point is a track that two views saw, one of them at a known depth. Those that most views saw come first.
    """
    ids = np.concatenate([view.tracks.ids for view in views])
    owner = np.repeat(np.arange(len(views)), [len(view.keypoints) for view in views])
    row = np.concatenate([np.arange(len(view.keypoints)) for view in views])
    usable = np.concatenate([view.rays.is_finite for view in views])
    known = np.concatenate([is_known(view.depths) for view in views])
    tracks, index = np.unique(ids[usable], return_inverse=True)
    seen = np.bincount(index, minlength=len(tracks))
    has_depth = np.bincount(index, weights=known[usable], minlength=len(tracks)) > 0
    chosen = np.flatnonzero((seen >= 2) & has_depth)
    chosen = chosen[np.argsort(-seen[chosen], kind='stable')][:max_points]
    place = np.full(len(tracks), -1)
    place[chosen] = np.arange(len(chosen))
    taken = place[index] >= 0
    rows = np.full((len(views), len(chosen)), -1)
    rows[owner[usable][taken], place[index][taken]] = row[usable][taken]
    return rows


def _observations(views: Sequence[View], rows: npt.NDArray[np.int64]) -> Observations:
    seen = rows >= 0
    # The oldest view stands for all that were before: its depths hold what they told.
    depths = [views[0].depths, *(view.measured for view in views[1:])]
    xy = np.stack([view.rays.xy[each].T for view, each in zip(views, rows, strict=True)])
    px_per_unit = np.stack([view.rays.px_per_unit[each] for view, each in zip(views, rows, strict=True)])
    nearness = np.stack([known.value[each] for known, each in zip(depths, rows, strict=True)])
    sigma = np.stack([known.sigma[each] for known, each in zip(depths, rows, strict=True)])
    return Observations(
        np.where(seen[:, None], xy, 0.0),
        np.where(seen, px_per_unit, 0.0),
        np.where(seen, nearness, 0.0),
        np.where(seen, 1.0 / sigma, 0.0),
    )


def _start(views: Sequence[View], rows: npt.NDArray[np.int64]) -> Bundle:
    """
    The poses as they are, and each point at the ray and the depth of the view that knows its depth best.
    """
    rays = np.empty((len(views), 3, rows.shape[1]))
    doubt = np.empty(rows.shape)
    for number, (view, each) in enumerate(zip(views, rows, strict=True)):
        nearness = view.depths.value[each]
        rays[number, :2], rays[number, 2] = view.rays.xy[each].T, nearness
        known = is_known(view.depths)[each] & (each >= 0)
        doubt[number] = np.where(known, view.depths.sigma[each] / np.where(known, nearness, 1.0), np.inf)
    best = doubt.argmin(axis=0)
    poses = np.stack([view.world_from_camera for view in views])
    anchors = np.ascontiguousarray(poses[best].transpose(1, 2, 0))
    return Bundle(poses, np.ascontiguousarray(rays[best, :, np.arange(len(best))].T), anchors)


def _with_depths(view: View, rows: npt.NDArray[np.int64], found: Adjusted) -> View:
    """
    The view with the inverse depths that the refinement found for its keypoints in ``rows`` (P,), -1 for none.
    """
    mine = rows >= 0
    depths = InverseDepths(view.depths.value.copy(), view.depths.sigma.copy())
    depths.value[rows[mine]] = found.bundle.nearness[-1, mine]
    depths.sigma[rows[mine]] = found.nearness_sigma[mine]
    return replace(view, depths=depths)
