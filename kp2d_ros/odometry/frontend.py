# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The monocular frontend: keypoints, matches, tracks and the motion of the camera, one image at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kp2d_ros.core.records import (
    BoolArray,
    Float64Array,
    Frame,
    FrontendResult,
    ImageArray,
    Keypoints,
    Matches,
    RelativePose,
    TrackingState,
)
from kp2d_ros.core.se3 import invert_transform
from kp2d_ros.core.settings import section
from kp2d_ros.odometry.chain import Chain, Step
from kp2d_ros.odometry.depths import unknown_depths
from kp2d_ros.odometry.matching import MatchingConfig, match
from kp2d_ros.odometry.motion import Motion, MotionConfig, estimate_motion, no_pose
from kp2d_ros.odometry.ransac import RansacConfig
from kp2d_ros.odometry.rays import rays_from_pixels
from kp2d_ros.odometry.tracks import Tracks, TrackTable
from kp2d_ros.odometry.view import View, matched_rays, misfit, predicted_pixels


@dataclass(frozen=True, slots=True)
class FrontendConfig:
    """
    Everything that the frontend can be told.
    """

    matching: MatchingConfig = section(MatchingConfig)
    ransac: RansacConfig = section(RansacConfig)
    motion: MotionConfig = section(MotionConfig)


@dataclass(frozen=True, slots=True)
class _Compared:
    """
    A frame beside its reference; the frame itself where there is none.
    """

    view: View
    reference: View
    matches: Matches
    tracks: Tracks


class Frontend:
    """
    Follows a camera, frame by frame.

    Each frame is compared with a reference: an earlier frame that stays until the motion is large enough to be seen.
    The depths of its keypoints carry the scale from step to step; the first step of a scale segment has length 1.

    :param extract: gives the keypoints of an image.
    """

    def __init__(self, extract: Callable[[ImageArray], Keypoints], config: FrontendConfig) -> None:
        self._extract = extract
        self._config = config
        self.reset()

    @property
    def config(self) -> FrontendConfig:
        """
        The settings in use.
        """
        return self._config

    def configure(self, config: FrontendConfig) -> None:
        """
        Use other settings from the next frame on; reference, tracks and scale stay.
        """
        self._config = config

    def reset(self) -> None:
        """
        Forget everything: the next frame is the first one, tracks and segments are numbered from 0.
        """
        self._tracks = TrackTable()
        self._chain = Chain()
        self._is_first = True

    def process(self, frame: Frame) -> FrontendResult:
        """
        Extract, match with the reference, estimate the motion, carry scale and tracks on, choose the next reference.
        """
        times = [time.perf_counter()]
        view = self._look(frame)
        times.append(time.perf_counter())
        reference = self._chain.reference
        obstacle = 'there is no reference yet' if reference is None else misfit(reference, view)
        if reference is None or obstacle:
            return self._begin(view, obstacle, times)
        predicted = self._predict(reference)
        matches = match(reference.keypoints, view.keypoints, self._config.matching, predicted)
        times.append(time.perf_counter())
        motion = self._estimate(reference, view, matches)
        config = self._config
        step = self._chain.follow(view, matches, motion, config.motion, config.ransac.min_matches)
        tracks = self._tracks.observe(len(view.keypoints), matches, _carries_identity(motion))
        if step.is_new_reference:
            self._tracks.advance(tracks)
        times.append(time.perf_counter())
        return _result(_Compared(view, reference, matches, tracks), step, times)

    def _look(self, frame: Frame) -> View:
        keypoints = self._extract(frame.image)
        rays = None if frame.camera is None else rays_from_pixels(frame.camera, keypoints.xy)
        size = frame.image.shape[0], frame.image.shape[1]
        nothing = unknown_depths(len(keypoints))
        return View(frame.seq, frame.stamp_ns, size, frame.camera, keypoints, rays, nothing, np.eye(4))

    def _predict(self, reference: View) -> Float64Array | None:
        pose = self._chain.expected_pose
        if self._config.matching.search_radius_px == 0 or pose is None:
            return None
        return predicted_pixels(reference, pose)

    def _estimate(self, reference: View, view: View, matches: Matches) -> Motion:
        if view.camera is None:
            return no_pose(len(matches), TrackingState.INITIALISING, 'the camera is not calibrated')
        was_stationary = self._chain.state in (TrackingState.STATIONARY, TrackingState.INITIALISING)
        pairs = matched_rays(reference, view, matches)
        pose = self._chain.expected_pose
        expected = None if pose is None else invert_transform(reference.world_from_camera) @ pose
        return estimate_motion(pairs, was_stationary, expected, self._config.ransac, self._config.motion)

    def _begin(self, view: View, obstacle: str, times: list[float]) -> FrontendResult:
        """
        The result of a frame that cannot be compared; it becomes the reference if it has enough keypoints.
        """
        needed = self._config.ransac.min_matches
        reason = obstacle
        if not self._chain.begin(view, needed):
            reason = f'{obstacle}: only {len(view.keypoints)} keypoints, {needed} are needed'
        no_matches = Matches.empty()
        tracks = self._tracks.observe(len(view.keypoints), no_matches, np.zeros(0, np.bool_))
        self._tracks.advance(tracks)
        motion = no_pose(0, TrackingState.INITIALISING, reason)
        step = Step(motion, np.eye(4), self._chain.segment, True)
        times.extend([times[-1], time.perf_counter()])
        result = _result(_Compared(view, view, no_matches, tracks), step, times, self._is_first)
        self._is_first = False
        return result


def _carries_identity(motion: Motion) -> BoolArray:
    """
    Which matches continue a track: those that agree with the motion; without calibration nothing speaks against any.
    """
    return np.ones_like(motion.inlier) if motion.state is TrackingState.INITIALISING else motion.inlier


def _result(compared: _Compared, step: Step, times: list[float], is_first: bool = False) -> FrontendResult:
    view, matches = compared.view, compared.matches
    milliseconds = [float(duration) * 1e3 for duration in np.diff(times)]
    return FrontendResult(
        view.seq,
        view.stamp_ns,
        view.keypoints,
        None if view.rays is None else view.rays.xy.astype(np.float32),
        compared.tracks.ids,
        compared.tracks.ages,
        matches,
        compared.reference.keypoints.xy[matches.reference_index],
        view.keypoints.xy[matches.current_index],
        step.motion.inlier,
        None,
        None if is_first else _relative_pose(compared, step),
        step.motion.state,
        step.world_from_camera,
        step.segment,
        dict(zip(('inference', 'match', 'pose'), milliseconds, strict=True)),
    )


def _relative_pose(compared: _Compared, step: Step) -> RelativePose:
    motion = step.motion
    return RelativePose(
        compared.reference.seq,
        compared.reference.stamp_ns,
        motion.state,
        motion.reference_from_current,
        motion.covariance,
        motion.scale,
        step.segment,
        motion.model,
        len(compared.matches),
        int(motion.inlier.sum()),
        motion.parallax_deg,
        motion.rms_px,
        motion.reason,
    )
