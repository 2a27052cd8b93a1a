# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A frame as the frontend sees it, and whether two of them can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kp2d_ros.core.cameras import CameraModel
from kp2d_ros.core.records import Float64Array, Keypoints, Matches
from kp2d_ros.core.se3 import invert_transform
from kp2d_ros.odometry.depths import InverseDepths, carry_depths, is_known, place_depths
from kp2d_ros.odometry.motion import MatchedRays, Motion
from kp2d_ros.odometry.rays import Rays


@dataclass(frozen=True, slots=True)
class View:
    """
    The keypoints of a frame, their ``rays`` (None without calibration), their inverse ``depths`` in the unit of the
    chain, and the pose of the camera in it. ``size`` is (height, width) of the image.
    """

    seq: int
    stamp_ns: int
    size: tuple[int, int]
    camera: CameraModel | None
    keypoints: Keypoints
    rays: Rays | None
    depths: InverseDepths
    world_from_camera: Float64Array


def misfit(reference: View, current: View) -> str:
    """
    Why two views cannot be compared; empty if they can.
    """
    if reference.size != current.size:
        old, new = (f'{size[1]}x{size[0]}' for size in (reference.size, current.size))
        return f'the image size changed from {old} to {new}'
    if not _same_camera(reference.camera, current.camera):
        return 'the calibration of the camera changed'
    old_kind, new_kind = reference.keypoints.descriptors, current.keypoints.descriptors
    if old_kind.dtype != new_kind.dtype or old_kind.shape[1] != new_kind.shape[1]:
        return 'the kind of descriptors changed'
    return ''


def matched_rays(reference: View, current: View, matches: Matches) -> MatchedRays:
    """
    What the motion is estimated from; both views must be calibrated.
    """
    rows, columns = matches.reference_index, matches.current_index
    if reference.rays is None or current.rays is None:
        raise ValueError('matched_rays: found a view without rays, expected two calibrated views')
    offset = (current.keypoints.xy[columns] - reference.keypoints.xy[rows]).astype(np.float64)
    depths = InverseDepths(reference.depths.value[rows], reference.depths.sigma[rows])
    return MatchedRays(
        reference.rays.take(rows), current.rays.take(columns), depths, np.linalg.norm(offset, axis=1)
    )


def placed_view(view: View, matches: Matches, motion: Motion, reference: View) -> View:
    """
    The current view as the next reference: its pose, and the inverse depths that the inliers bring along.
    """
    keep = motion.inlier
    if reference.rays is None:
        return view
    rays = reference.rays.take(matches.reference_index[keep])
    seen = InverseDepths(motion.depths.value[keep], motion.depths.sigma[keep])
    carried = carry_depths(rays, seen, motion.reference_from_current)
    depths = place_depths(len(view.keypoints), matches.current_index[keep], carried)
    return replace(view, depths=depths, world_from_camera=reference.world_from_camera @ motion.reference_from_current)


def predicted_pixels(reference: View, world_from_current: Float64Array) -> Float64Array | None:
    """
    (N, 2) pixels where a camera at that pose would see the keypoints of the reference; NaN outside its view.

    Points of unknown depth are put at the median depth, or at infinity if no depth is known.
    """
    if reference.rays is None or reference.camera is None:
        return None
    known = is_known(reference.depths)
    filler = float(np.median(reference.depths.value[known])) if known.any() else 0.0
    inverse_depth = np.where(known, reference.depths.value, filler)
    current_from_reference = invert_transform(world_from_current) @ reference.world_from_camera
    turned = reference.rays.vectors @ current_from_reference[:3, :3].T
    points = turned + inverse_depth[:, None] * current_from_reference[:3, 3]
    return reference.camera.project(points)


def _same_camera(first: CameraModel | None, second: CameraModel | None) -> bool:
    if first is None or second is None:
        return first is second
    return (
        first.lens is second.lens
        and np.array_equal(first.matrix, second.matrix)
        and np.array_equal(first.coefficients, second.coefficients)
    )
