# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The frontend: keypoints, matches, tracks and the motion of the camera, one frame at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import (
    Float32Array,
    Float64Array,
    Frame,
    FrontendResult,
    ImageArray,
    Keypoints,
    Matches,
    RelativePose,
    ScaleKind,
    Sensor,
    TrackingState,
)
from kp2d_ros.core.se3 import invert_transform
from kp2d_ros.core.settings import section, setting, validate
from kp2d_ros.odometry.alignment import AlignableImage, AlignmentConfig
from kp2d_ros.odometry.chain import Chain, Link, Placement
from kp2d_ros.odometry.depth_sources import DepthMap, DepthSource, RgbdConfig, StereoConfig, StereoDepth
from kp2d_ros.odometry.image_size import shrink_image, unshrink_pixels
from kp2d_ros.odometry.mask import load_mask
from kp2d_ros.odometry.matching import MatchingConfig, match
from kp2d_ros.odometry.motion import MotionConfig, estimate_motion, no_pose
from kp2d_ros.odometry.ransac import RansacConfig
from kp2d_ros.odometry.rays import no_rays, rays_from_pixels, unknown_depths
from kp2d_ros.odometry.stage_clock import StageClock
from kp2d_ros.odometry.texture import texture_at
from kp2d_ros.odometry.view import (
    NO_TRACKS,
    TrackTable,
    View,
    aligned_view,
    matched_rays,
    measured_view,
    misfit,
    predicted_pixels,
)
from kp2d_ros.odometry.window import WindowConfig

A = TypeVar('A', bound='npt.NDArray[Any]')

# (M,) in [0, 1] for M matches of a reference and a current image of a size (height, width); None: it cannot say.
JudgeMatches = Callable[[Keypoints, Keypoints, Matches, tuple[int, int]], Float32Array | None]


@dataclass(frozen=True, slots=True)
class FrontendConfig:
    """
    Everything that the frontend can be told.

    Borders are of the image as it comes, other settings in pixels of the image as it is worked on.
    """

    max_side_px: int = setting(
        1280,
        'images whose longer side exceeds this are shrunk to it before anything else; 0: none',
        minimum=0,
        maximum=65535,
        runtime=True,
    )
    min_texture: float = setting(
        1.5,
        'gray levels by which the surroundings of a keypoint must vary to show anything; 0: they need not',
        minimum=0.0,
        maximum=255.0,
        runtime=True,
    )
    mask: str = setting('', 'image file that is black where no keypoint may be; empty: none', runtime=True)
    mask_border_px: tuple[int, ...] = setting(
        (0, 0, 0, 0),
        'widths at the left, top, right and bottom of the image where no keypoint may be',
        minimum=0,
        maximum=65535,
        runtime=True,
    )
    sensor: str = setting(
        Sensor.MONO.value,
        'what looks: mono; stereo: a second camera beside; rgbd: a depth image; the last two know metres',
        choices=tuple(each.value for each in Sensor),
    )
    matching: MatchingConfig = section(MatchingConfig)
    stereo: StereoConfig = section(StereoConfig)
    rgbd: RgbdConfig = section(RgbdConfig)
    alignment: AlignmentConfig = section(AlignmentConfig)
    ransac: RansacConfig = section(RansacConfig)
    motion: MotionConfig = section(MotionConfig)
    window: WindowConfig = section(WindowConfig)

    def __post_init__(self) -> None:
        validate(self)


class Frontend:
    """
    Follows a camera, frame by frame.

    Each frame is compared with a reference: an earlier frame that stays until the motion is large enough to be seen.
    Its matched keypoints are moved to where the patches around them agree best with those of the reference.
    The depths of its keypoints carry the scale from step to step; the first step of a scale segment has length 1. With
    a stereo rig or a depth camera depths are measured in every frame, and all lengths are metres.

    :param extract: gives the keypoints of an image.
    :param judge: says how likely matches are right; None: nothing does.
    :raises ConfigError: if the mask of the settings is none.
    """

    def __init__(
        self,
        extract: Callable[[ImageArray], Keypoints],
        config: FrontendConfig,
        judge: JudgeMatches | None = None,
    ) -> None:
        self._extract = extract
        self._judge = judge
        self._config = config
        self._mask = load_mask(config.mask, config.mask_border_px)
        self._tracks = TrackTable()
        self._chain = Chain(is_metric=self.is_metric)
        self._is_first = True

    @property
    def is_metric(self) -> bool:
        """
        Whether lengths are metres.
        """
        return self._config.sensor != Sensor.MONO.value

    @property
    def config(self) -> FrontendConfig:
        """
        The settings in use.
        """
        return self._config

    def configure(self, config: FrontendConfig) -> None:
        """
        Use other settings from the next frame on; reference, tracks and scale stay, unless the sensor is another one.

        :raises ConfigError: if the mask of the settings is none; then those before stay in use.
        """
        is_other = config.sensor != self._config.sensor
        if (config.mask, config.mask_border_px) != (self._config.mask, self._config.mask_border_px):
            self._mask = load_mask(config.mask, config.mask_border_px)
        self._config = config
        if is_other:
            self.restart()

    def exchange(self, extract: Callable[[ImageArray], Keypoints], judge: JudgeMatches | None = None) -> None:
        """
        Take keypoints from elsewhere from the next frame on; where descriptors do not compare, :meth:`restart` as well.
        """
        self._extract, self._judge = extract, judge

    def restart(self) -> None:
        """
        Forget what was seen: the next frame is a first one. Numbers of tracks and segments go on, none is used twice.
        """
        self._chain = Chain(self._chain.segment if self._is_first else self._chain.segment + 1, self.is_metric)
        self._is_first = True

    def reset(self) -> None:
        """
        Forget everything: the next frame is the first one, tracks and segments are numbered from 0.
        """
        self._tracks = TrackTable()
        self._chain = Chain(is_metric=self.is_metric)
        self._is_first = True

    def process(self, frame: Frame) -> FrontendResult:
        """
        Extract, compare with the reference, carry tracks and scale on, choose the next reference.

        :raises DataError: if the frame lacks what the sensor should see, or its rig is none.
        :raises ConfigError: if the mask is for images of another shape.
        """
        some = {'depth': self.is_metric, 'window': self._config.window.is_on}
        clock = StageClock('inference', 'match', 'pose', *(stage for stage, runs in some.items() if runs))
        with clock.stage('inference'):
            image, scale = shrink_image(frame.image, self._config.max_side_px)
            keypoints = self._extract(image)
            if not self._mask.is_empty:
                keypoints = keypoints.take(self._mask.allows(keypoints.xy, (image.shape[0], image.shape[1]), scale))
        source = self._depth_source(frame, image, clock)
        with clock.stage('match'):
            view = self._view(frame, image, scale, keypoints, source)
        if view.has_texture.sum() < self._config.ransac.min_matches:
            return self._lose(view, clock)
        reference = self._chain.reference
        obstacle = 'there is no reference yet' if reference is None else misfit(reference, view)
        if reference is None or obstacle:
            return self._begin(view, obstacle, clock)
        link = self._compare(reference, view, clock)
        second = self._chain.second_reference
        if second is not None and not self._chain.holds(link.motion):
            other = self._compare(second, view, clock)
            link = other if self._chain.holds(other.motion) else link
        with clock.stage('pose'):
            link = self._track(link)
            placement = self._chain.follow(link, self._config.motion)
        if self._config.window.is_on:
            with clock.stage('window'):
                config = self._config
                placement = self._chain.refine(placement, config.motion, config.window)
        return self._result(link, placement, clock)

    def _depth_source(self, frame: Frame, image: ImageArray, clock: StageClock) -> DepthSource | None:
        """
        What measures the depths in a frame; None with one camera.
        """
        config = self._config
        if not self.is_metric:
            return None
        with clock.stage('depth'):
            if config.sensor == Sensor.RGBD.value:
                if frame.depth is None:
                    raise DataError('frame: found no depth image, expected one with every image (sensor is rgbd)')
                return DepthMap(frame.depth, (image.shape[0], image.shape[1]), config.rgbd)
            if frame.right is None:
                raise DataError('frame: found no right image, expected one with every left one (sensor is stereo)')
            return StereoDepth(frame.right, self._extract, config.max_side_px, config.stereo, config.alignment)

    def _view(
        self,
        frame: Frame,
        image: ImageArray,
        scale: Float64Array,
        keypoints: Keypoints,
        source: DepthSource | None,
    ) -> View:
        """
        A frame without tracks, depths and pose, and the keypoints (N) of its ``image`` shrunk by ``scale``.
        """
        camera = None if frame.camera is None else frame.camera.resized(image.shape[1], image.shape[0])
        alignable = AlignableImage(image)
        return View(
            seq=frame.seq,
            stamp_ns=frame.stamp_ns,
            image=alignable,
            scale=scale,
            camera=camera,
            keypoints=keypoints,
            has_texture=np.asarray(texture_at(alignable.gray, keypoints.xy) >= self._config.min_texture),
            rays=no_rays(len(keypoints)) if camera is None else rays_from_pixels(camera, keypoints.xy),
            tracks=NO_TRACKS,
            source=source,
            measured=unknown_depths(len(keypoints)),
            depths=unknown_depths(len(keypoints)),
            world_from_camera=np.eye(4),
        )

    def _lose(self, view: View, clock: StageClock) -> FrontendResult:
        """
        The result of a frame in which there is nothing to see; it never becomes the reference.
        """
        reason = (
            f'{view.has_texture.sum()} of {len(view.keypoints)} keypoints have texture around them, '
            f'{self._config.ransac.min_matches} are needed (mean brightness {view.image.gray.mean():.0f} of 255)'
        )
        motion = no_pose(0, TrackingState.LOST, reason)
        link = self._track(Link(self._chain.reference or view, view, Matches.empty(), motion))
        return self._result(link, self._chain.lose(motion, link.view), clock)

    def _begin(self, view: View, obstacle: str, clock: StageClock) -> FrontendResult:
        """
        The result of a frame that cannot be compared; it becomes the reference.
        """
        motion = no_pose(0, TrackingState.INITIALISING, obstacle)
        view = _measure(view, clock)
        link = self._track(Link(view, view, Matches.empty(), motion))
        return self._result(link, self._chain.begin(link.view, motion), clock)

    def _result(self, link: Link, placement: Placement, clock: StageClock) -> FrontendResult:
        pose = None if self._is_first else _relative_pose(link, placement)
        self._is_first = False
        if pose is not None and self.is_metric:
            pose = replace(pose, scale=ScaleKind.METRIC)
        return _result(link, placement, pose, clock)

    def _compare(self, reference: View, view: View, clock: StageClock) -> Link:
        config = self._config
        with clock.stage('match'):
            pose = self._chain.expected_pose
            is_guided = config.matching.search_radius_px > 0 and pose is not None
            predicted_xy = predicted_pixels(reference, pose) if is_guided and pose is not None else None
            matches = match(reference.keypoints, view.keypoints, config.matching, predicted_xy)
            probability = self._judge(reference.keypoints, view.keypoints, matches, view.size) if self._judge else None
            view = aligned_view(reference, view, matches, config.alignment, self._mask)
            if config.ransac.guided:
                order = np.argsort(-(matches.scores if probability is None else probability), kind='stable')
                matches, probability = matches.take(order), None if probability is None else probability[order]
        view = _measure(view, clock)  # where the keypoints are now
        with clock.stage('pose'):
            if view.obstacle:
                motion = no_pose(len(matches), TrackingState.INITIALISING, view.obstacle)
                return Link(reference, view, matches, motion, probability)
            expected = None if pose is None else invert_transform(reference.world_from_camera) @ pose
            pairs = matched_rays(reference, view, matches)
            motion = estimate_motion(pairs, self._chain.is_at_rest, expected, config.ransac, config.motion)
        return Link(reference, view, matches, motion, probability)

    def _track(self, link: Link) -> Link:
        """
        The link with tracks: carried on by the matches that agree with the motion; without calibration nothing speaks
        against any match.
        """
        is_unknown = link.motion.state is TrackingState.INITIALISING
        keep = np.ones(len(link.matches), np.bool_) if is_unknown else link.motion.inlier
        carried = self._tracks.carry_on(link.reference.tracks, len(link.view.keypoints), link.matches, keep)
        reference = replace(link.reference, tracks=carried.reference)
        return replace(link, reference=reference, view=replace(link.view, tracks=carried.current))


def _measure(view: View, clock: StageClock) -> View:
    if view.source is None:
        return view
    with clock.stage('depth'):
        return measured_view(view)


def _result(link: Link, placement: Placement, pose: RelativePose | None, clock: StageClock) -> FrontendResult:
    """
    What a frame gave, in pixels of the image as it came.
    """
    view, matches, found = link.view, link.matches, link.view.keypoints
    xy = unshrink_pixels(found.xy, view.scale)
    reference_xy = link.reference.keypoints.xy[matches.reference_index]
    return FrontendResult(
        seq=view.seq,
        stamp_ns=view.stamp_ns,
        keypoints=Keypoints(_read_only(xy), _read_only(found.scores), _read_only(found.descriptors)),
        bearing_xy=None if view.camera is None else view.rays.xy.astype(np.float32),
        inverse_depth=_read_only(placement.depths.value),
        inverse_depth_sigma=_read_only(placement.depths.sigma),
        track_ids=_read_only(view.tracks.ids),
        track_ages=_read_only(view.tracks.ages),
        matches=matches,
        reference_xy=unshrink_pixels(reference_xy, link.reference.scale),
        current_xy=xy[matches.current_index],
        inlier=placement.motion.inlier,
        inlier_probability=link.probability,
        pose=pose,
        state=placement.motion.state,
        world_from_camera=_read_only(placement.world_from_camera),
        scale_segment=placement.segment,
        stage_ms=clock.milliseconds,
        working_size=view.size,
    )


def _read_only(array: A) -> A:
    """
    The same numbers, which the frontend goes on with and nobody else may change.
    """
    shown: A = array.view()
    shown.flags.writeable = False
    return shown


def _relative_pose(link: Link, placement: Placement) -> RelativePose:
    motion = placement.motion
    return RelativePose(
        reference_seq=link.reference.seq,
        reference_stamp_ns=link.reference.stamp_ns,
        state=motion.state,
        reference_from_current=motion.reference_from_current,
        covariance=motion.covariance,
        scale=motion.scale,
        scale_segment=placement.segment,
        model=motion.model,
        match_count=len(link.matches),
        inlier_count=int(motion.inlier.sum()),
        parallax_deg=motion.parallax_deg,
        rms_px=motion.rms_px / float(np.sqrt(link.view.scale.prod())),
        reason=motion.reason,
    )
