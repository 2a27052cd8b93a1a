# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Undistorted rays of keypoints, and how many pixels a step on the plane z = 1 is worth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.cameras import CameraModel
from kp2d_ros.core.records import BoolArray, Float64Array

_STEP = 1e-4  # of the finite differences on the plane z = 1


@dataclass(frozen=True, slots=True)
class Rays:
    """
    ``vectors`` (N, 3) with z = 1, NaN where the lens model has no answer; ``px_per_unit`` (N,) pixels per unit there.

    Without distortion ``px_per_unit`` is the focal length; a wide lens packs more of the plane into a pixel near its
    rim. All thresholds and residuals are pixels because of it.
    """

    vectors: Float64Array
    px_per_unit: Float64Array

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def xy(self) -> Float64Array:
        """
        (N, 2) points on the plane z = 1.
        """
        return self.vectors[:, :2]

    @property
    def is_finite(self) -> BoolArray:
        """
        (N,) whether the lens model had an answer of any use.
        """
        return np.asarray(np.isfinite(self.vectors).all(axis=1) & (self.px_per_unit > 0) & (self.px_per_unit < np.inf))

    def take(self, index: npt.NDArray[np.int64] | BoolArray) -> Rays:
        """
        The rays of these rows, or of the rows where a mask is true.
        """
        return Rays(self.vectors[index], self.px_per_unit[index])


def no_rays(count: int) -> Rays:
    """
    Rays of ``count`` keypoints of a camera that is not calibrated: all NaN.
    """
    return Rays(np.full((count, 3), np.nan), np.full(count, np.nan))


def rays_from_pixels(camera: CameraModel, xy: npt.NDArray[np.floating]) -> Rays:
    """
    Rays of (N, 2) pixels of the distorted image.
    """
    vectors = np.column_stack([camera.unproject(xy), np.ones(len(xy))])
    here = camera.project(vectors)
    by_x = (camera.project(vectors + np.array([_STEP, 0.0, 0.0])) - here) / _STEP
    by_y = (camera.project(vectors + np.array([0.0, _STEP, 0.0])) - here) / _STEP
    area = np.abs(by_x[:, 0] * by_y[:, 1] - by_x[:, 1] * by_y[:, 0])
    return Rays(vectors, np.sqrt(area))
