# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The chain of poses: which earlier frame is the reference, when another takes its place, and when the scale is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kp2d_ros.core.records import Float32Array, Float64Array, Matches, PoseModel, ScaleKind, TrackingState
from kp2d_ros.core.se3 import invert_transform
from kp2d_ros.odometry.motion import Motion, MotionConfig, widened_covariance
from kp2d_ros.odometry.rays import InverseDepths, unknown_depths
from kp2d_ros.odometry.view import View, placed_view
from kp2d_ros.odometry.window import Window, WindowConfig

_SHORTEST = 0.01  # metres by which the shortest step may well be longer than expected
_ANY_STEP = 1.0  # metres that a step of which nothing is known may well be long


@dataclass(frozen=True, slots=True)
class Link:
    """
    A view compared with a reference, and the motion between the two.

    ``probability`` is (M,), how likely each match is right, or None where nobody judges.
    """

    reference: View
    view: View
    matches: Matches
    motion: Motion
    probability: Float32Array | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """
    Where a frame ended up: its motion with the last word on its state, and the pose of its camera in a scale segment.

    ``depths`` (N,) are those of its keypoints in the unit of the segment.
    """

    motion: Motion
    world_from_camera: Float64Array
    segment: int
    depths: InverseDepths


class Chain:
    """
    Holds the reference, the last view, and the poses of one scale segment after the other.

    A segment has one unit of length: its first step that two views show has length 1. Until then it has no unit, and
    rotations alone are chained. Where neither the scale nor the motion can be carried on, the next segment begins.
    A metric chain has the metre for its unit from the beginning, and never another segment: where the motion cannot be
    carried on, it goes on from the last pose.
    """

    def __init__(self, segment: int = 0, is_metric: bool = False) -> None:
        """
        :param segment: number of the first scale segment.
        :param is_metric: whether the depths of the views are measured, in metres.
        """
        self._reference: View | None = None
        self._last: View | None = None
        self._window = Window()
        self._placed_from: View | None = None  # the reference before, if the last frame took its place
        self._segment = segment
        self._is_metric = is_metric
        self._has_unit = is_metric
        self._velocity: Float64Array | None = None
        self._state = TrackingState.INITIALISING
        self._age = 0
        self._most_inliers = 0
        self._lost_frames = 0

    @property
    def reference(self) -> View | None:
        """
        The view that the next one is compared with; None before the first usable one.
        """
        return self._reference

    @property
    def second_reference(self) -> View | None:
        """
        The last view that has a pose, if it is not the reference: where that fails, this one may do.
        """
        return None if self._last is self._reference else self._last

    @property
    def segment(self) -> int:
        """
        Number of the scale segment.
        """
        return self._segment

    @property
    def is_at_rest(self) -> bool:
        """
        Whether the last frame did not move, or there was none.
        """
        return self._state in (TrackingState.STATIONARY, TrackingState.INITIALISING)

    @property
    def expected_pose(self) -> Float64Array | None:
        """
        Where the camera is next if it goes on as it did; None if the last two frames do not tell.
        """
        return None if self._velocity is None or self._last is None else self._last.world_from_camera @ self._velocity

    def holds(self, motion: Motion) -> bool:
        """
        Whether the chain goes on with a motion: there is one, and in the unit of the chain if that has one.
        """
        if motion.state is TrackingState.LOST:
            return False
        return not (self._has_unit and (motion.begins_chain or motion.model is PoseModel.ROTATION))

    def begin(self, view: View, motion: Motion) -> Placement:
        """
        Give up the reference and start anew from a view without a pose.
        """
        if self._reference is not None:
            self._break()
        self._state = TrackingState.INITIALISING
        view = self._at_origin(view)
        self._set_reference(view)
        return Placement(motion, view.world_from_camera, self._segment, view.measured)

    def lose(self, motion: Motion, view: View) -> Placement:
        """
        Where a frame is that shows nothing: nobody knows; the reference stays.
        """
        self._state = TrackingState.LOST
        self._lost_frames += 1
        self._velocity = None
        pose = np.eye(4) if self._last is None else self._last.world_from_camera
        return Placement(motion, pose, self._segment, view.measured)

    def follow(self, link: Link, config: MotionConfig) -> Placement:
        """
        Put a motion into the chain and decide on the next reference.
        """
        motion = link.motion
        self._state = motion.state
        self._placed_from = None
        if motion.state is TrackingState.INITIALISING:  # without calibration: from frame to frame
            view = self._at_origin(link.view)
            self._set_reference(view)
            return Placement(motion, view.world_from_camera, self._segment, view.measured)
        if motion.state is TrackingState.LOST:
            return self._endure(link, config)
        self._lost_frames = 0
        self._take_reference(link.reference)
        is_length_unknown = motion.model is PoseModel.ROTATION or (motion.begins_chain and self.expected_pose is None)
        if motion.begins_chain:
            motion = self._begin_unit(motion)
        placement = self._advance(replace(link, motion=motion), config)
        if self._is_metric and is_length_unknown:
            self._velocity = None  # not that of a camera at rest
        return placement

    def refine(self, placement: Placement, config: MotionConfig, window: WindowConfig) -> Placement:
        """
        Refine the last keyframes together if the frame that was placed has become one.
        """
        reference, view = self._placed_from, self._reference
        if reference is None or view is None:
            return placement
        found = self._window.refine(reference, view, self._is_metric, window)
        if found is None:
            return placement
        self._reference = self._last = found.view
        if self._velocity is not None:
            self._velocity = self._velocity @ invert_transform(view.world_from_camera) @ found.view.world_from_camera
        motion = replace(
            placement.motion,
            reference_from_current=found.reference_from_current,
            covariance=found.covariance,
        )
        motion = replace(motion, covariance=widened_covariance(motion, found.view.rays, config))
        return Placement(motion, found.view.world_from_camera, self._segment, found.view.depths)

    def _begin_unit(self, motion: Motion) -> Motion:
        """
        Take the length of a first step as the unit; of a new segment, if there was one already.
        """
        if self._is_metric:
            return self._as_long_as_before(motion)
        if self._has_unit:
            self._break()
            reason = 'the scale could not be carried on: a new segment begins'
            motion = replace(motion, state=TrackingState.DEGRADED, reason=reason)
        self._has_unit = True
        return motion

    def _as_long_as_before(self, motion: Motion) -> Motion:
        """
        A step whose length nobody measured: as long as a steady motion would make it, and as uncertain as it is long.
        None at all if it is not known how the camera moved before.
        """
        expected, length, spread = self.expected_pose, 0.0, _ANY_STEP
        reason = 'too few points of known depth: the length of the step is not known'
        if expected is not None and self._reference is not None:
            expected = invert_transform(self._reference.world_from_camera) @ expected
            length = float(np.linalg.norm(expected[:3, 3]))
            spread = max(length, _SHORTEST)
            reason = 'too few points of known depth: the length of the step is that of a steady motion'
        step = motion.reference_from_current.copy()
        step[:3, 3] *= length
        covariance = motion.covariance.copy()
        covariance[:3] *= spread
        covariance[:, :3] *= spread
        return replace(
            motion,
            state=TrackingState.DEGRADED,
            reference_from_current=step,
            covariance=covariance,
            depths=unknown_depths(len(motion.inlier)),
            scale=ScaleKind.CHAINED,
            begins_chain=False,
            reason=reason,
        )

    def _advance(self, link: Link, config: MotionConfig) -> Placement:
        """
        Place the view, and make it the reference if it is time to.
        """
        motion = link.motion
        reference = link.reference if self._reference is None else self._reference  # moved if the segment is new
        view = placed_view(link.view, reference, link.matches, motion)
        is_due = self._is_due(motion, config)
        if is_due and self._has_unit and motion.model is PoseModel.ROTATION and not self._is_metric:
            self._break()  # how far the camera went since the reference is not known
            view = replace(view, world_from_camera=np.eye(4))
        elif self._last is not None:
            self._velocity = invert_transform(self._last.world_from_camera) @ view.world_from_camera
        self._last = view
        if is_due:
            self._set_reference(view)
            is_placed = self._has_unit and motion.model is not PoseModel.ROTATION
            self._placed_from = reference if is_placed else None
        return Placement(motion, view.world_from_camera, self._segment, view.depths)

    def _endure(self, link: Link, config: MotionConfig) -> Placement:
        """
        Keep the reference for some frames without a pose, then start anew.
        """
        placement = self.lose(link.motion, link.view)
        if self._lost_frames > config.max_lost_frames:
            self._break()
            view = self._at_origin(link.view)
            self._set_reference(view)
            begun = 'the last pose is gone on from' if self._is_metric else 'a new segment begins here'
            motion = replace(link.motion, reason=f'{link.motion.reason}; {begun}')
            placement = Placement(motion, view.world_from_camera, self._segment, view.measured)
        return placement

    def _at_origin(self, view: View) -> View:
        """
        A view where the chain is begun from: at the origin of the segment, in a metric chain at the last pose.
        """
        pose = np.eye(4) if self._last is None or not self._is_metric else self._last.world_from_camera
        return replace(view, world_from_camera=pose)

    def _is_due(self, motion: Motion, config: MotionConfig) -> bool:
        """
        Whether the current view shall be the next reference.
        """
        self._age += 1
        inliers = int(motion.inlier.sum())
        self._most_inliers = max(self._most_inliers, inliers)
        if inliers < config.min_overlap * self._most_inliers or motion.begins_chain:
            return True
        if motion.state is TrackingState.STATIONARY:
            return False
        is_seen = motion.scale is ScaleKind.CHAINED and motion.parallax_deg >= config.reference_parallax_deg
        return is_seen or self._age >= config.max_reference_age

    def _take_reference(self, reference: View) -> None:
        """
        Go on from the view that the motion is from: the reference, whose tracks were seen once more, or the second one.
        """
        if self._reference is None or reference.keypoints is not self._reference.keypoints:
            self._set_reference(reference)
        elif self._last is self._reference:
            self._reference = self._last = reference
        else:
            self._reference = reference

    def _set_reference(self, view: View | None) -> None:
        self._reference = self._last = view
        self._age = self._most_inliers = self._lost_frames = 0

    def _break(self) -> None:
        """
        Begin the next segment: the reference is its origin, and it has no unit yet.
        """
        self._window.clear()
        if self._is_metric:
            self._velocity = None
            return
        self._segment += 1
        self._has_unit = False
        self._velocity = None
        if self._reference is not None:
            self._reference = self._last = replace(self._reference, world_from_camera=np.eye(4))
