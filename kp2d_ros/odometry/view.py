# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A frame as the frontend sees it, what two of them have in common, and the identities of keypoints that live across them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.cameras import CameraModel
from kp2d_ros.core.records import BoolArray, Float64Array, Keypoints, Matches
from kp2d_ros.core.se3 import invert_transform, renormalised
from kp2d_ros.odometry.alignment import AlignableImage, AlignmentConfig, align
from kp2d_ros.odometry.depth_sources import DepthSource
from kp2d_ros.odometry.mask import KeypointMask
from kp2d_ros.odometry.motion import MatchedRays, Motion
from kp2d_ros.odometry.rays import (
    InverseDepths,
    Rays,
    carry_depths,
    fuse_depths,
    is_known,
    place_depths,
    rays_from_pixels,
)

_ID_COUNT = 2**32
_LARGEST_AGE = np.iinfo(np.uint16).max


@dataclass(frozen=True, slots=True)
class Tracks:
    """
    ``ids`` (N,) uint32, unique within a frame, and ``ages`` (N,) uint16: in how many earlier frames each was seen.
    """

    ids: npt.NDArray[np.uint32]
    ages: npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class CarriedTracks:
    """
    The tracks of a frame, and those of its reference after one more frame saw them.
    """

    reference: Tracks
    current: Tracks


NO_TRACKS = Tracks(np.empty(0, np.uint32), np.empty(0, np.uint16))


@dataclass(frozen=True, slots=True)
class View:
    """
    The keypoints of a frame with their rays, tracks and inverse depths, and where its camera stands.

    ``has_texture`` (N,) says around which of them there is anything to see.
    ``image``, ``camera`` and all pixels are of the image as it is worked on, shrunk by ``scale`` (2,) in x and y.
    Without a camera the ``rays`` are all NaN. ``depths`` and ``world_from_camera`` are in the unit of the chain.
    ``measured`` are the depths that a sensor, the ``source``, gave for this frame alone; unknown with one camera.
    """

    seq: int
    stamp_ns: int
    image: AlignableImage
    scale: Float64Array
    camera: CameraModel | None
    keypoints: Keypoints
    has_texture: BoolArray
    rays: Rays
    tracks: Tracks
    source: DepthSource | None
    measured: InverseDepths
    depths: InverseDepths
    world_from_camera: Float64Array

    @property
    def obstacle(self) -> str:
        """
        Why the motion of the camera cannot be found, whatever is seen; empty if it can.
        """
        if self.camera is None:
            return 'the camera is not calibrated'
        return '' if self.source is None else self.source.obstacle

    @property
    def size(self) -> tuple[int, int]:
        """
        (height, width) of the image as it is worked on.
        """
        return self.image.size

    @property
    def input_size(self) -> tuple[int, int]:
        """
        (height, width) of the image as it came.
        """
        return round(self.size[0] / self.scale[1]), round(self.size[1] / self.scale[0])


def misfit(reference: View, current: View) -> str:
    """
    Why two views cannot be compared; empty if they can.
    """
    sizes = {
        'image size': (reference.input_size, current.input_size),
        'working size': (reference.size, current.size),
    }
    for name, (old, new) in sizes.items():
        if old != new:
            return f'the {name} changed from {old[1]}x{old[0]} to {new[1]}x{new[0]}'
    if not _same_camera(reference.camera, current.camera):
        return 'the calibration of the camera changed'
    if reference.obstacle != current.obstacle:
        return 'the calibration of the right camera changed'
    old_kind, new_kind = reference.keypoints.descriptors, current.keypoints.descriptors
    if old_kind.dtype != new_kind.dtype or old_kind.shape[1] != new_kind.shape[1]:
        return 'the kind of descriptors changed'
    return ''


def aligned_view(reference: View, current: View, matches: Matches, config: AlignmentConfig, mask: KeypointMask) -> View:
    """
    The current view with its matched keypoints where the images say that they are, if the mask lets them be there.
    """
    rows, columns = matches.reference_index, matches.current_index
    found_xy = current.keypoints.xy
    aligned_xy, moved = align(reference.image, current.image, reference.keypoints.xy[rows], found_xy[columns], config)
    if not mask.is_empty:
        moved &= mask.allows(aligned_xy, current.size, current.scale)
    if not moved.any():
        return current
    xy = found_xy.copy()
    xy[columns[moved]] = aligned_xy[moved]
    rays = current.rays if current.camera is None else rays_from_pixels(current.camera, xy)
    return replace(current, keypoints=replace(current.keypoints, xy=xy), rays=rays)


def measured_view(view: View) -> View:
    """
    The view with the depths that its sensor measures where its keypoints are.
    """
    if view.source is None or view.camera is None:
        return view
    measured = view.source.measure(view.image, view.keypoints, view.rays)
    return replace(view, measured=measured, depths=measured)


def matched_rays(reference: View, current: View, matches: Matches) -> MatchedRays:
    """
    What the motion between two views is estimated from.
    """
    rows, columns = matches.reference_index, matches.current_index
    offset = (current.keypoints.xy[columns] - reference.keypoints.xy[rows]).astype(np.float64)
    return MatchedRays(
        reference.rays.take(rows),
        current.rays.take(columns),
        reference.depths.take(rows),
        np.asarray(np.linalg.norm(offset, axis=1), np.float64),
        reference.has_texture[rows] & current.has_texture[columns],
    )


def placed_view(view: View, reference: View, matches: Matches, motion: Motion) -> View:
    """
    The view at the end of a motion, with the inverse depths that its inliers bring along from the reference and those
    that a sensor measured.
    """
    rows, columns = matches.reference_index[motion.inlier], matches.current_index[motion.inlier]
    seen = motion.depths.take(motion.inlier)
    carried = carry_depths(reference.rays.take(rows), seen, motion.reference_from_current)
    return replace(
        view,
        depths=fuse_depths(place_depths(len(view.keypoints), columns, carried), view.measured),
        world_from_camera=renormalised(reference.world_from_camera @ motion.reference_from_current),
    )


def predicted_pixels(reference: View, world_from_current: Float64Array) -> Float64Array | None:
    """
    (N, 2) pixels where a camera at that pose would see the keypoints of the reference, NaN where it would not; None
    without a camera.

    Points of unknown depth are put at the median depth, or at infinity if no depth is known.
    """
    if reference.camera is None:
        return None
    known = is_known(reference.depths)
    filler = float(np.median(reference.depths.value[known])) if known.any() else 0.0
    inverse_depth = np.where(known, reference.depths.value, filler)
    current_from_reference = invert_transform(world_from_current) @ reference.world_from_camera
    points = reference.rays.vectors @ current_from_reference[:3, :3].T
    return reference.camera.project(points + inverse_depth[:, None] * current_from_reference[:3, 3])


def _same_camera(first: CameraModel | None, second: CameraModel | None) -> bool:
    if first is None or second is None:
        return first is second
    return (
        first.lens is second.lens
        and np.array_equal(first.matrix, second.matrix)
        and np.array_equal(first.coefficients, second.coefficients)
    )


class TrackTable:
    """
    Hands out identities; a number is not used again until 2**32 others were.
    """

    def __init__(self) -> None:
        self._next_id = 0

    def begin(self, count: int) -> Tracks:
        """
        New tracks for all ``count`` keypoints of a frame.
        """
        ids = (self._next_id + np.arange(count)) % _ID_COUNT
        self._next_id = (self._next_id + count) % _ID_COUNT
        return Tracks(ids.astype(np.uint32), np.zeros(count, np.uint16))

    def carry_on(self, reference: Tracks, count: int, matches: Matches, keep: BoolArray) -> CarriedTracks:
        """
        Tracks of the ``count`` keypoints of a frame: those that match the reference continue its tracks, others begin.

        The reference may be an older frame and may be matched again: its ages count on with every match, so that a
        track is as old as the number of frames that saw it.

        :param keep: (M,) which of the matches carry an identity.
        """
        rows, columns = matches.reference_index[keep], matches.current_index[keep]
        ages = reference.ages.copy()
        ages[rows] = np.minimum(ages[rows], _LARGEST_AGE - 1) + 1
        is_new = np.ones(count, np.bool_)
        is_new[columns] = False
        new = self.begin(int(is_new.sum()))
        current = Tracks(np.empty(count, np.uint32), np.zeros(count, np.uint16))
        current.ids[is_new] = new.ids
        current.ids[columns] = reference.ids[rows]
        current.ages[columns] = ages[rows]
        return CarriedTracks(Tracks(reference.ids, ages), current)
