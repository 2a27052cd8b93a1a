# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Homographies from minimal samples that are drawn by weights: what the weights are worth at a given number of samples.

OpenCV's RANSAC stops when it is confident and refines as it goes; this one tries exactly as many samples as it is told,
the same for every method, and refines only the best one.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from kp2d_ros.core.records import Float64Array
from kp2d_ros.metrics.keypoint_pair import warp

_SAMPLE = 4
_LEAST_WEIGHT = 1e-6  # of the largest: every match may be drawn


def find_homography(
    source_xy: npt.NDArray[np.floating],
    target_xy: npt.NDArray[np.floating],
    weights: npt.NDArray[np.floating] | None,
    iterations: int,
    rng: np.random.Generator,
    threshold_px: float = 3.0,
) -> Float64Array | None:
    """
    The (3, 3) homography of M pairs of points that most of them agree with; None if no sample gave one.

    :param weights: (M,) chances of a pair to be drawn, in any unit; None: all the same.
    :param iterations: number of samples of four pairs.
    """
    if len(source_xy) < _SAMPLE:
        return None
    rows = _draw(len(source_xy), weights, iterations, rng)
    candidates = _from_four(source_xy[rows].astype(np.float64), target_xy[rows].astype(np.float64))
    counts = [np.count_nonzero(_agrees(h, source_xy, target_xy, threshold_px)) for h in candidates]
    if not counts or max(counts) < _SAMPLE:
        return None
    best = candidates[int(np.argmax(counts))]
    inlier = _agrees(best, source_xy, target_xy, threshold_px)
    refined, _ = cv2.findHomography(source_xy[inlier], target_xy[inlier], 0)
    return best if refined is None else np.asarray(refined, np.float64)


def _draw(
    count: int, weights: npt.NDArray[np.floating] | None, iterations: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """
    (iterations, 4) different rows each, one after the other by weight: the largest keys of Efraimidis and Spirakis.
    """
    chances = np.ones(count) if weights is None else np.maximum(weights.astype(np.float64), 0.0)
    largest = float(chances.max())
    log_chances = np.log(np.maximum(chances / largest, _LEAST_WEIGHT)) if largest > 0 else np.zeros(count)
    keys = log_chances + rng.gumbel(size=(iterations, count))
    return np.argpartition(-keys, _SAMPLE - 1, axis=1)[:, :_SAMPLE]


def _from_four(source: Float64Array, target: Float64Array) -> Float64Array:
    """
    (N, 3, 3) homographies of N times four pairs (N, 4, 2), h33 = 1, without degenerate samples.
    """
    x, y, u, v = source[..., 0], source[..., 1], target[..., 0], target[..., 1]
    one, zero = np.ones_like(x), np.zeros_like(x)
    upper = np.stack([x, y, one, zero, zero, zero, -u * x, -u * y], axis=-1)
    lower = np.stack([zero, zero, zero, x, y, one, -v * x, -v * y], axis=-1)
    system = np.concatenate([upper, lower], axis=1)
    wanted = np.concatenate([u, v], axis=1)[..., None]
    is_regular = np.abs(np.linalg.det(system / np.abs(system).max(axis=1, keepdims=True).clip(1e-12))) > 1e-12
    solved = np.linalg.solve(system[is_regular], wanted[is_regular])[..., 0]
    matrices = np.concatenate([solved, np.ones((len(solved), 1))], axis=1).reshape(-1, 3, 3)
    return np.asarray(matrices[np.isfinite(matrices).all(axis=(1, 2))])


def _agrees(
    homography: Float64Array,
    source_xy: npt.NDArray[np.floating],
    target_xy: npt.NDArray[np.floating],
    threshold_px: float,
) -> npt.NDArray[np.bool_]:
    return np.asarray(np.linalg.norm(warp(homography, source_xy) - target_xy, axis=1) <= threshold_px)
