# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
How far the keypoints of one frame are: from the second camera of a stereo rig, or from a depth image.

Both give inverse depths in metres with their standard deviations. That of a disparity is the same number of pixels for
near and far points, and so is that of an inverse depth; the error of a depth camera grows with the square of the depth
(Khoshelham and Elberink, 2012), which is again a constant error of the inverse.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from kp2d_ros.core.cameras import CameraModel
from kp2d_ros.core.checks import check_registered
from kp2d_ros.core.records import DepthImage, Float32Array, Float64Array, ImageArray, Keypoints, RightImage
from kp2d_ros.core.rectification import RectifiedRig, rectify_rig
from kp2d_ros.core.settings import Settings, setting
from kp2d_ros.odometry.alignment import AlignableImage, AlignmentConfig, align
from kp2d_ros.odometry.image_size import shrink_image
from kp2d_ros.odometry.matching import MatchingConfig, match_where
from kp2d_ros.odometry.rays import InverseDepths, Rays, place_depths, rays_from_pixels, unknown_depths

_BEHIND_SIGMAS = 3.0  # by so much a far point may seem to lie beyond infinity
_CLEAR_SIGMAS = 5.0  # of a disparity that is no noise, though its noise may be larger than thought
_CLEAR_SHARE = 0.03  # of the disparities that must be clear: so many are mismatches, or noise after all


@dataclass(frozen=True, slots=True)
class StereoConfig(Settings):
    """
    Which keypoints of the two images of a rig belong together, and how well that tells their depth.
    """

    max_row_px: float = setting(
        2.5, 'how far a keypoint may be from its epipolar line as found', minimum=0.1, maximum=50.0, runtime=True
    )
    max_aligned_row_px: float = setting(1.0, 'and when its patch is aligned', minimum=0.05, maximum=50.0, runtime=True)
    min_depth: float = setting(0.3, 'nearest depth that is looked for', minimum=0.01, maximum=1000.0, runtime=True)
    ratio: float = setting(
        0.9, 'largest ratio of the best distance to the second best on the line', minimum=0.0, maximum=1.0, runtime=True
    )
    disparity_sigma_px: float = setting(
        0.2, 'standard deviation of a disparity', minimum=0.01, maximum=10.0, runtime=True
    )


@dataclass(frozen=True, slots=True)
class RgbdConfig(Settings):
    """
    Which depths of a depth image count, and how well they are known.
    """

    min_depth: float = setting(0.1, 'smaller depths are none', minimum=0.0, maximum=1000.0, runtime=True)
    max_depth: float = setting(10.0, 'larger depths are none', minimum=0.1, maximum=10000.0, runtime=True)
    window_px: int = setting(
        5, 'side of the square around a keypoint whose median is its depth', minimum=1, maximum=31, runtime=True
    )
    max_spread: float = setting(
        0.1, 'share by which inverse depths in it may differ: more is an edge', minimum=0.0, maximum=1.0, runtime=True
    )
    sigma_per_square: float = setting(
        0.01, 'standard deviation of a depth of 1 m; it grows with the square', minimum=1e-5, maximum=1.0, runtime=True
    )


class DepthSource(Protocol):
    """
    What measures the depths of one frame.
    """

    @property
    def obstacle(self) -> str:
        """
        Why nothing can be measured, whatever is seen; empty if it can.
        """

    def measure(self, image: AlignableImage, keypoints: Keypoints, rays: Rays) -> InverseDepths:
        """
        Inverse depths (N,) in 1/m of the N keypoints of an image; of some of them nothing is known.
        """


class StereoDepth:
    """
    Depths from a second image: keypoints matched along epipolar lines, then their patches aligned.
    """

    def __init__(
        self,
        right: RightImage,
        extract: Callable[[ImageArray], Keypoints],
        max_side_px: int,
        config: StereoConfig,
        alignment: AlignmentConfig,
    ) -> None:
        """
        :param extract: finds the keypoints of the right image.
        :param max_side_px: as for the left image; 0: none.
        :raises DataError: if the rig is none.
        """
        image, _ = shrink_image(right.image, max_side_px)
        self._image = AlignableImage(image)
        self._camera = None if right.camera is None else right.camera.resized(image.shape[1], image.shape[0])
        self._rig = None if right.left_from_right is None else rectify_rig(right.left_from_right)
        self._config, self._alignment = config, alignment
        self._keypoints = extract(image)

    @property
    def obstacle(self) -> str:
        """
        As :attr:`DepthSource.obstacle`.
        """
        if self._camera is None:
            return 'the right camera is not calibrated'
        return '' if self._rig is not None else 'where the right camera stands is not known'

    def measure(self, image: AlignableImage, keypoints: Keypoints, rays: Rays) -> InverseDepths:
        """
        As :meth:`DepthSource.measure`; without a calibration of the right camera nothing is known.
        """
        if self._camera is None or self._rig is None or not len(keypoints) or not len(self._keypoints):
            return unknown_depths(len(keypoints))
        rows, columns = self._match(self._camera, self._rig, keypoints, rays)
        found_xy = self._keypoints.xy[columns]
        xy, aligned = align(image, self._image, keypoints.xy[rows], found_xy, self._alignment, may_turn=False)
        use = aligned if self._alignment.window_px >= 3 else np.ones(len(rows), np.bool_)
        rows, xy = rows[use], xy[use]
        left, right = rays.take(rows), rays_from_pixels(self._camera, xy)
        left_xy, right_xy = _turned(self._rig.from_left, left.vectors), _turned(self._rig.from_right, right.vectors)
        focal = right.px_per_unit  # of the image in which the left patch was looked for
        apart = left_xy - right_xy
        sigma = self._config.disparity_sigma_px / focal
        with np.errstate(invalid='ignore'):
            good = np.abs(apart[:, 1]) * focal < self._config.max_aligned_row_px
            good &= (apart[:, 0] > -_BEHIND_SIGMAS * sigma) & (apart[:, 0] < self._largest(self._rig))
        # From the z of the rectified axes to that of the left camera.
        along = np.column_stack([left_xy, np.ones(len(left_xy))]) @ self._rig.from_left[:, 2]
        scale = 1.0 / (self._rig.baseline * along)
        value = apart[:, 0] if _are_clear(apart[good, 0], sigma[good]) else np.zeros(len(apart))
        measured = InverseDepths(value * scale, sigma * scale)
        return place_depths(len(keypoints), rows[good], measured.take(good))

    def _largest(self, rig: RectifiedRig) -> float:
        return rig.baseline / self._config.min_depth

    def _match(
        self, camera: CameraModel, rig: RectifiedRig, keypoints: Keypoints, rays: Rays
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        Rows of left and of right keypoints that look alike and may be one point.
        """
        right = rays_from_pixels(camera, self._keypoints.xy)
        left_xy = _turned(rig.from_left, rays.vectors).astype(np.float32)
        right_xy = _turned(rig.from_right, right.vectors).astype(np.float32)
        focal = rays.px_per_unit[:, None].astype(np.float32)
        with np.errstate(invalid='ignore'):  # rays that the lens does not have
            row = np.abs(left_xy[:, None, 1] - right_xy[None, :, 1]) * focal
            shift = left_xy[:, None, 0] - right_xy[None, :, 0]
            allowed = (row < self._config.max_row_px) & (shift * focal > -self._config.max_row_px)
            allowed &= shift < self._largest(rig)
        found = match_where(keypoints, self._keypoints, MatchingConfig(ratio=self._config.ratio), allowed)
        return found.reference_index, found.current_index


def _are_clear(apart: Float64Array, sigma: Float64Array) -> bool:
    """
    Whether disparities (N,) show anything near; of far points those that noise makes larger would seem to be known.
    """
    return bool((apart > _CLEAR_SIGMAS * sigma).sum() >= _CLEAR_SHARE * len(apart))


class DepthMap:
    """
    Depths from a depth image that is registered to the image.
    """

    def __init__(self, depth: DepthImage, size: tuple[int, int], config: RgbdConfig) -> None:
        """
        :param size: (height, width) of the image that the keypoints are in.
        :raises DataError: if it shows more or less than that image.
        """
        height, width = depth.metres.shape
        check_registered(size, (height, width))
        self._metres = depth.metres
        self._scale = np.array([width / size[1], height / size[0]])
        self._config = config

    @property
    def obstacle(self) -> str:
        """
        As :attr:`DepthSource.obstacle`: none.
        """
        return ''

    def measure(self, image: AlignableImage, keypoints: Keypoints, rays: Rays) -> InverseDepths:
        """
        As :meth:`DepthSource.measure`: the median around each keypoint, where it lies on no edge.
        """
        count = len(keypoints)
        if not count:
            return unknown_depths(0)
        config = self._config
        around = self._around((keypoints.xy + 0.5) * self._scale - 0.5).astype(np.float64)
        with np.errstate(invalid='ignore', divide='ignore'):
            inverse = np.where((around >= config.min_depth) & (around <= config.max_depth), 1.0 / around, np.nan)
        ordered = np.sort(inverse, axis=1)  # NaN last
        measured = np.isfinite(ordered).sum(axis=1)
        known = measured > around.shape[1] // 2
        rows = np.arange(count)
        last = np.maximum(measured - 1, 0)
        median = 0.5 * (ordered[rows, last // 2] + ordered[rows, (last + 1) // 2])
        spread = ordered[rows, last] - ordered[:, 0]
        with np.errstate(invalid='ignore'):
            known &= spread <= config.max_spread * median
        # On a slope the median is right within a part of what it spans.
        sigma = np.hypot(config.sigma_per_square, 0.5 * spread)
        return InverseDepths(median, sigma).where(known)

    def _around(self, xy: Float64Array) -> Float32Array:
        """
        (N, K) depths of the squares around pixels (N, 2), cut off at the border.
        """
        height, width = self._metres.shape
        reach = self._config.window_px // 2
        column, row = np.rint(np.nan_to_num(xy, nan=-1e6)).astype(np.intp).T
        steps = np.arange(-reach, reach + 1)
        rows, columns = (row[:, None] + steps)[:, :, None], (column[:, None] + steps)[:, None, :]
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        depths = self._metres[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]
        return np.where(inside, depths, np.nan).reshape(len(xy), -1).astype(np.float32)


def _turned(rotation: Float64Array, vectors: Float64Array) -> Float64Array:
    """
    (N, 2) rays at z = 1 after a rotation.
    """
    turned = vectors @ rotation.T
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.asarray(np.where(turned[:, 2:] > 0, turned[:, :2] / turned[:, 2:], np.nan))
