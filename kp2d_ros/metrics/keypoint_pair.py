# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Keypoints of two images of one size under a known homography, and which of them take part in a measure.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from kp2d_ros.core.checks import check_shape
from kp2d_ros.core.records import BoolArray, Float64Array, Keypoints

Size = tuple[int, int]  # width, height in pixels
IndexArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class KeypointPair:
    """
    The keypoints of two images, and how they are to be compared.

    ``target_from_source`` is (3, 3), in pixels. The ``count`` best points of an image take part; two points are the
    same one up to ``threshold_px``.
    """

    source: Keypoints
    target: Keypoints
    target_from_source: Float64Array
    size: Size
    count: int = 300
    threshold_px: float = 3.0

    def __post_init__(self) -> None:
        check_shape('target_from_source', self.target_from_source, (3, 3))

    @property
    def source_from_target(self) -> Float64Array:
        """
        The homography the other way round.
        """
        return np.asarray(np.linalg.inv(self.target_from_source), np.float64)

    @property
    def warped_source(self) -> Float64Array:
        """
        (N, 2) where the source points lie in the target image; NaN for points at infinity.
        """
        return warp(self.target_from_source, self.source.xy)

    def errors_px(self, rows: IndexArray) -> Float64Array:
        """
        (M,) how far matched points are from where they belong, in target pixels; infinite for points at infinity.

        :param rows: (M, 2) rows of source and target.
        """
        errors = np.linalg.norm(self.warped_source[rows[:, 0]] - self.target.xy[rows[:, 1]], axis=1)
        return np.asarray(np.where(np.isnan(errors), np.inf, errors))

    def swapped(self) -> KeypointPair:
        """
        The same pair from the other side.
        """
        return dataclasses.replace(
            self, source=self.target, target=self.source, target_from_source=self.source_from_target
        )

    def best(self) -> KeypointPair:
        """
        The best points of each image, seen by the other image or not, in the order of rising scores.

        That is the order of the public code. It tells: of equally near descriptors, which are common among binary ones,
        the first is taken, and OpenCV's RANSAC draws with a fixed seed.
        """
        source, target = (k.take(rising(k.scores, self.count)) for k in (self.source, self.target))
        return dataclasses.replace(self, source=source, target=target)

    def in_common_view(self) -> KeypointPair:
        """
        The points that the other image shows.
        """
        source = self.source.take(inside(self.warped_source, self.size))
        target = self.target.take(inside(warp(self.source_from_target, self.target.xy), self.size))
        return dataclasses.replace(self, source=source, target=target)


def warp(homography: Float64Array, xy: npt.NDArray[np.floating]) -> Float64Array:
    """
    (N, 2) pixels mapped by a (3, 3) homography; NaN for points at infinity.
    """
    check_shape('homography', homography, (3, 3))
    mapped = np.concatenate([xy, np.ones((len(xy), 1))], axis=1) @ homography.T
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.asarray(np.where(np.abs(mapped[:, 2:]) > 1e-12, mapped[:, :2] / mapped[:, 2:], np.nan))


def inside(xy: Float64Array, size: Size) -> BoolArray:
    """
    (N,) whether points lie in 0 <= x < width, 0 <= y < height; False for NaN.
    """
    return np.asarray((xy >= 0).all(axis=1) & (xy < np.array(size)).all(axis=1))


def rising(scores: npt.NDArray[np.floating], count: int) -> IndexArray:
    """
    Rows of the ``count`` highest scores, the best last; equal scores keep their order.
    """
    return np.argsort(scores, kind='stable')[max(len(scores) - count, 0) :]


def nearest_descriptor(queries: Keypoints, candidates: Keypoints) -> IndexArray:
    """
    (N,) row of the candidate nearest in descriptor space, by Euclidean or Hamming distance; brute force.

    :param candidates: at least one, if there are queries.
    """
    found = _matcher(queries, mutual=False).match(queries.descriptors, candidates.descriptors) if len(queries) else ()
    return np.array([match.trainIdx for match in found], np.int64)


def mutual_matches(source: Keypoints, target: Keypoints) -> IndexArray:
    """
    (M, 2) rows of source and target that are each other's nearest neighbours, in the order of the source.
    """
    if len(source) == 0 or len(target) == 0:
        return np.empty((0, 2), np.int64)
    found = _matcher(source, mutual=True).match(source.descriptors, target.descriptors)
    return np.array([(match.queryIdx, match.trainIdx) for match in found], np.int64).reshape(-1, 2)


def _matcher(keypoints: Keypoints, *, mutual: bool) -> cv2.BFMatcher:
    return cv2.BFMatcher(cv2.NORM_HAMMING if keypoints.is_binary else cv2.NORM_L2, crossCheck=mutual)
