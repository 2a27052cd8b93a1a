# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Pairs of keypoints by their descriptors: nearest neighbours that are mutual, distinct and near.

All pairs are compared by one matrix product. Packed bits become vectors of +1 and -1, whose product gives the Hamming
distance exactly; this is faster than counting bits pair by pair, and one path serves both kinds of descriptors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.checks import check_shape
from kp2d_ros.core.errors import ShapeError
from kp2d_ros.core.records import Float32Array, Keypoints, Matches
from kp2d_ros.core.settings import setting, validate

_EXCLUDED = np.float32(-4.0)  # below every cosine
_RESOLUTION = 1e-3  # rounding of the matrix product makes distances of this size out of none

# Multiplications up to which OpenBLAS works alone: SMP_THRESHOLD_MIN times GEMM_MULTITHREAD_THRESHOLD.
_LONE_PRODUCT = 65536 * 4


@dataclass(frozen=True, slots=True)
class MatchingConfig:
    """
    Which nearest neighbours count as matches.
    """

    ratio: float = setting(
        0.85,
        'largest ratio of the best distance to the second best one; 1 lets all pass',
        minimum=0.0,
        maximum=1.0,
        runtime=True,
    )
    max_distance: float = setting(
        1.0,
        'largest Euclidean distance of float descriptors (unit vectors: 0 to 2)',
        minimum=0.0,
        maximum=2.0,
        runtime=True,
    )
    max_hamming: float = setting(
        0.25, 'largest share of differing bits of binary descriptors', minimum=0.0, maximum=1.0, runtime=True
    )
    mutual: bool = setting(True, 'keep only pairs that are nearest to each other in both directions', runtime=True)
    search_radius_px: float = setting(
        0.0,
        'search only this near to where a keypoint is expected; 0 searches everywhere',
        minimum=0.0,
        maximum=10000.0,
        runtime=True,
    )

    def __post_init__(self) -> None:
        validate(self)


def match(
    reference: Keypoints,
    current: Keypoints,
    config: MatchingConfig,
    predicted_xy: npt.NDArray[np.floating] | None = None,
) -> Matches:
    """
    One-to-one pairs of keypoints, in the order of the reference.

    :param predicted_xy: (N, 2) pixels of the current image where the reference keypoints are expected, used if
        ``config.search_radius_px`` is not 0; a row of NaN is searched everywhere.
    :raises ShapeError: if the two descriptors are not of one kind and length.
    """
    if predicted_xy is None or not config.search_radius_px > 0:
        return match_where(reference, current, config)
    check_shape('predicted_xy', predicted_xy, (len(reference), 2))
    return match_where(reference, current, config, ~_is_far(predicted_xy, current.xy, config.search_radius_px))


def match_where(
    reference: Keypoints, current: Keypoints, config: MatchingConfig, allowed: npt.NDArray[np.bool_] | None = None
) -> Matches:
    """
    As :func:`match`, among the pairs that are ``allowed`` (N, M); None: all.

    :raises ShapeError: if the two descriptors are not of one kind and length.
    """
    found, wanted = current.descriptors, reference.descriptors
    if found.dtype != wanted.dtype or found.shape[1] != wanted.shape[1]:
        raise ShapeError(
            f'current descriptors: found {found.dtype} of length {found.shape[1]}, '
            f'expected {wanted.dtype} of length {wanted.shape[1]} as in the reference'
        )
    if not len(reference) or not len(current):
        return Matches.empty()
    cosine = _products(_unit_vectors(wanted), _unit_vectors(found))
    if allowed is not None:
        cosine[~allowed] = _EXCLUDED
    rows, columns = _nearest(cosine, config.mutual)
    best = cosine[rows, columns]
    cosine[rows, columns] = _EXCLUDED
    # A lone candidate has no rival: nothing is left in its row and column but excluded ones.
    rival = np.maximum(cosine.max(axis=1)[rows], cosine.max(axis=0)[columns])
    largest, limit = (1.0, config.max_hamming) if reference.is_binary else (2.0, config.max_distance)
    distance = _distance(best, reference.is_binary)
    keep = (distance <= limit) & (best > _EXCLUDED)
    if config.ratio < 1.0:
        keep &= np.maximum(distance, _RESOLUTION) < config.ratio * _distance(rival, reference.is_binary)
    scores = (1.0 - distance[keep] / largest).astype(np.float32)
    return Matches(rows[keep], columns[keep], np.clip(scores, 0.0, 1.0))


def _products(wanted: Float32Array, found: Float32Array) -> Float32Array:
    """
    (N, M) scalar products of the rows of (N, D) and (M, D), tile by tile.

    A product of this size wakes the threads of the BLAS, which then spin for milliseconds and take the processor from
    the network that looks at the next image. Tiles are too small to wake them, and hardly slower on one core.
    """
    length = max(wanted.shape[1], 1)
    side = max(int(np.sqrt(_LONE_PRODUCT / length)), 8)
    rows, columns = -(-len(wanted) // side), -(-len(found) // side)
    left = np.zeros((rows, 1, side, length), np.float32)
    right = np.zeros((1, columns, side, length), np.float32)
    left.reshape(-1, length)[: len(wanted), : wanted.shape[1]] = wanted
    right.reshape(-1, length)[: len(found), : found.shape[1]] = found
    products = np.empty((rows, side, columns, side), np.float32)
    np.matmul(left, right.transpose(0, 1, 3, 2), out=products.transpose(0, 2, 1, 3))
    return products.reshape(rows * side, columns * side)[: len(wanted), : len(found)]


def _unit_vectors(descriptors: Float32Array | npt.NDArray[np.uint8]) -> Float32Array:
    """
    (N, D) numbers: float descriptors, zero where not finite; packed bits as +-1/sqrt(D), so that they have unit norm.
    """
    if descriptors.dtype == np.uint8:
        signs = np.unpackbits(descriptors.astype(np.uint8, copy=False), axis=1).astype(np.float32) * 2 - 1
        return np.asarray(signs / np.float32(np.sqrt(max(signs.shape[1], 1))), np.float32)
    # A network may give NaN for one point; it must not spoil the others.
    return np.nan_to_num(descriptors.astype(np.float32, copy=False), nan=0.0, posinf=0.0, neginf=0.0)


def _distance(cosine: Float32Array, is_binary: bool) -> npt.NDArray[np.float64]:
    """
    Euclidean distance of unit vectors, or share of differing bits; infinite for excluded pairs.
    """
    squared = np.maximum(2.0 - 2.0 * cosine.astype(np.float64), 0.0)
    distance = squared / 4.0 if is_binary else np.sqrt(squared)
    return np.where(cosine > _EXCLUDED, distance, np.inf)


def _nearest(cosine: Float32Array, mutual: bool) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """
    Rows with their best columns, each column at most once: the best row wins, of equal ones the first.
    """
    columns = cosine.argmax(axis=1)
    rows = np.arange(len(cosine))
    best = cosine[rows, columns]
    if mutual:
        rows = np.flatnonzero(best >= cosine.max(axis=0)[columns])
    order = rows[np.argsort(-best[rows], kind='stable')]
    _, first = np.unique(columns[order], return_index=True)
    rows = np.sort(order[first])
    return rows, columns[rows]


def _is_far(predicted_xy: npt.NDArray[np.floating], xy: Float32Array, radius: float) -> npt.NDArray[np.bool_]:
    offset = predicted_xy.astype(np.float32)[:, None, :] - xy[None, :, :]
    squared = offset[..., 0] ** 2 + offset[..., 1] ** 2
    return np.asarray(squared > radius * radius)  # false for NaN: searched everywhere
