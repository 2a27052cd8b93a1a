# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The chain of poses: which earlier frame is the reference, when another takes its place, and when the scale is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kp2d_ros.core.records import Float64Array, Matches, PoseModel, ScaleKind, TrackingState
from kp2d_ros.core.se3 import invert_transform
from kp2d_ros.odometry.motion import Motion, MotionConfig
from kp2d_ros.odometry.view import View, placed_view


@dataclass(frozen=True, slots=True)
class Step:
    """
    A motion put into the chain: the pose of the camera in its segment, and whether the frame is the new reference.
    """

    motion: Motion
    world_from_camera: Float64Array
    segment: int
    is_new_reference: bool


class Chain:
    """
    Holds the reference and the poses of one scale segment after the other.

    A segment has one unit of length: its first step that two views show has length 1. Until then it has no unit, and
    rotations alone are chained. Where neither the scale nor the motion can be carried on, the next segment begins.
    """

    def __init__(self) -> None:
        self._reference: View | None = None
        self._segment = 0
        self._has_unit = False
        self._pose = np.eye(4)
        self._velocity: Float64Array | None = None
        self._frames = 0
        self._most_inliers = 0
        self._lost_frames = 0
        self._state = TrackingState.INITIALISING

    @property
    def reference(self) -> View | None:
        """
        The frame that the next one is compared with; None before the first usable one.
        """
        return self._reference

    @property
    def segment(self) -> int:
        """
        Number of the scale segment.
        """
        return self._segment

    @property
    def state(self) -> TrackingState:
        """
        What the last motion was worth.
        """
        return self._state

    @property
    def expected_pose(self) -> Float64Array | None:
        """
        Where the camera is next if it goes on as it did; None if the last two frames do not tell.
        """
        return None if self._velocity is None else self._pose @ self._velocity

    def begin(self, view: View, min_keypoints: int) -> bool:
        """
        Give up the reference and start from a frame if it has enough keypoints; False if it has not.
        """
        if self._reference is not None:
            self._break()
        self._state = TrackingState.INITIALISING
        is_usable = len(view.keypoints) >= min_keypoints
        self._reference = replace(view, world_from_camera=np.eye(4)) if is_usable else None
        self._frames = self._most_inliers = self._lost_frames = 0
        return is_usable

    def follow(self, view: View, matches: Matches, motion: Motion, config: MotionConfig, min_keypoints: int) -> Step:
        """
        Put the motion of a frame into the chain and decide on the next reference.
        """
        if self._reference is None:
            raise ValueError('Chain.follow: found no reference, expected begin() first')
        self._state = motion.state
        if motion.state is TrackingState.LOST:
            return self._endure(view, motion, config, min_keypoints)
        self._lost_frames = 0
        self._frames += 1
        if motion.begins_chain:
            if self._has_unit:
                self._break()
                reason = 'the scale could not be carried on: a new segment begins'
                motion = replace(motion, state=TrackingState.DEGRADED, reason=reason)
            self._has_unit = True
        placed = placed_view(view, matches, motion, self._reference)
        must_advance = self._is_due(motion, config)
        if must_advance and self._has_unit and motion.model is PoseModel.ROTATION:
            self._break()  # how far the camera went since the reference is not known
            placed = replace(placed, world_from_camera=np.eye(4))
        self._velocity = invert_transform(self._pose) @ placed.world_from_camera
        self._pose = placed.world_from_camera
        if must_advance:
            self._reference = placed
            self._frames = self._most_inliers = 0
        return Step(motion, self._pose, self._segment, must_advance)

    def _endure(self, view: View, motion: Motion, config: MotionConfig, min_keypoints: int) -> Step:
        """
        Keep the reference for some frames without a pose, then start anew.
        """
        self._lost_frames += 1
        self._velocity = None
        is_new = False
        if self._lost_frames > config.max_lost_frames and len(view.keypoints) >= min_keypoints:
            is_new = self.begin(view, min_keypoints)
            self._state = TrackingState.LOST
            motion = replace(motion, reason=f'{motion.reason}; a new segment begins here')
        return Step(motion, self._pose, self._segment, is_new)

    def _is_due(self, motion: Motion, config: MotionConfig) -> bool:
        """
        Whether the current frame shall be the next reference.
        """
        inliers = int(motion.inlier.sum())
        self._most_inliers = max(self._most_inliers, inliers)
        if inliers < config.min_overlap * self._most_inliers:
            return True
        if motion.state is TrackingState.STATIONARY:
            return False
        if motion.state is TrackingState.INITIALISING:  # without calibration: from frame to frame
            return True
        is_seen = motion.begins_chain or (
            motion.scale is ScaleKind.CHAINED and motion.parallax_deg >= config.reference_parallax_deg
        )
        return is_seen or self._frames >= config.max_reference_age

    def _break(self) -> None:
        """
        Begin the next segment: the reference is its origin, and it has no unit yet.
        """
        self._segment += 1
        self._has_unit = False
        self._velocity = None
        self._pose = np.eye(4)
        if self._reference is not None:
            self._reference = replace(self._reference, world_from_camera=np.eye(4))
