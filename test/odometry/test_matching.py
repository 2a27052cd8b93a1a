# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.errors import ConfigError, ShapeError
from kp2d_ros.core.records import Keypoints
from kp2d_ros.odometry.matching import MatchingConfig, match, match_where

LOOSE = MatchingConfig(ratio=1.0, max_distance=2.0, max_hamming=1.0)


def keypoints_of(descriptors: NDArray[Any], xy: NDArray[Any] | None = None) -> Keypoints:
    descriptors = np.asarray(descriptors)
    count = len(descriptors)
    xy = np.zeros((count, 2)) if xy is None else np.asarray(xy)
    return Keypoints(xy.astype(np.float32), np.ones(count, np.float32), descriptors)


def random_units(rng: np.random.Generator, count: int, dim: int = 16) -> Any:
    vectors = rng.normal(size=(count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def noisy_copy(rng: np.random.Generator, vectors: Any, noise: Any) -> Any:
    copy = vectors + noise * rng.normal(size=vectors.shape).astype(np.float32)
    return copy / np.linalg.norm(copy, axis=1, keepdims=True)


def oracle(distances: Any, ratio: Any, limit: Any) -> list[Any]:
    """
    Mutual nearest neighbours with both tests, pair by pair.
    """
    pairs = []
    for i, row in enumerate(distances):
        j = int(np.argmin(row))
        column = distances[:, j]
        if int(np.argmin(column)) != i or row[j] > limit:
            continue
        rivals = [d for k, d in enumerate(row) if k != j] + [d for k, d in enumerate(column) if k != i]
        if not rivals or row[j] <= ratio * min(rivals):
            pairs.append((i, j))
    return pairs


def pairs_of(matches: Any) -> Any:
    return list(zip(matches.reference_index.tolist(), matches.current_index.tolist(), strict=True))


@pytest.mark.parametrize('ratio', [0.7, 0.9, 1.0])
def test_float_matches_are_those_of_the_pairwise_search(rng: np.random.Generator, ratio: float) -> None:
    first = random_units(rng, 60)
    second = np.concatenate([noisy_copy(rng, first[rng.permutation(60)[:40]], 0.15), random_units(rng, 15)])
    distances = np.linalg.norm(first[:, None] - second[None], axis=2)
    found = match(keypoints_of(first), keypoints_of(second), MatchingConfig(ratio=ratio, max_distance=0.9))
    assert pairs_of(found) == oracle(distances, ratio, 0.9)
    assert len(found) > 20
    np.testing.assert_allclose(found.scores, 1 - distances[tuple(zip(*pairs_of(found), strict=True))] / 2, atol=1e-4)


@pytest.mark.parametrize('ratio', [0.7, 1.0])
def test_binary_matches_are_those_of_the_pairwise_search(rng: np.random.Generator, ratio: float) -> None:
    first = rng.integers(0, 256, (50, 32), np.uint8)
    flips = (rng.random((50, 32, 8)) < 0.1).astype(np.uint8)
    second = (first ^ np.packbits(flips, axis=2)[..., 0])[rng.permutation(50)]
    distances = np.unpackbits(first[:, None] ^ second[None], axis=2).sum(axis=2) / 256.0
    found = match(keypoints_of(first), keypoints_of(second), MatchingConfig(ratio=ratio, max_hamming=0.2))
    assert pairs_of(found) == oracle(distances, ratio, 0.2)
    assert len(found) > 40
    np.testing.assert_allclose(found.scores, 1 - distances[tuple(zip(*pairs_of(found), strict=True))], atol=1e-5)


@pytest.mark.parametrize(('first', 'second'), [(0, 0), (0, 5), (5, 0)])
def test_nothing_matches_nothing(rng: np.random.Generator, first: int, second: int) -> None:
    found = match(keypoints_of(random_units(rng, first)), keypoints_of(random_units(rng, second)), MatchingConfig())
    assert len(found) == 0
    assert found.reference_index.dtype == np.int64


def test_a_lone_pair_has_no_rival_and_matches(rng: np.random.Generator) -> None:
    one = random_units(rng, 1)
    assert pairs_of(match(keypoints_of(one), keypoints_of(noisy_copy(rng, one, 0.05)), MatchingConfig())) == [(0, 0)]


def test_duplicates_are_not_distinct(rng: np.random.Generator) -> None:
    one = np.repeat(random_units(rng, 1), 3, axis=0)
    assert len(match(keypoints_of(one), keypoints_of(one), MatchingConfig(ratio=0.95))) == 0


@pytest.mark.parametrize(('rival_distance', 'count'), [(5e-4, 0), (0.02, 1)])
def test_distances_as_small_as_rounding_do_not_tell_two_keypoints_apart(rival_distance: float, count: int) -> None:
    angles = np.array([0.0, rival_distance])
    current = keypoints_of(np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32))
    assert len(match(keypoints_of(np.array([[1.0, 0.0]], np.float32)), current, MatchingConfig())) == count


@pytest.mark.parametrize('mutual', [True, False])
def test_no_keypoint_is_used_twice(rng: np.random.Generator, mutual: bool) -> None:
    first = np.repeat(random_units(rng, 4), 5, axis=0)
    second = np.repeat(random_units(rng, 3), 4, axis=0)
    found = match(keypoints_of(first), keypoints_of(second), MatchingConfig(1.0, 2.0, 1.0, mutual))
    assert len(found) > 0
    assert len(set(found.reference_index.tolist())) == len(set(found.current_index.tolist())) == len(found)


def test_without_mutuality_a_keypoint_may_match_what_prefers_another() -> None:
    def at(*degrees: Any) -> Any:
        return keypoints_of(np.array([[np.cos(a), np.sin(a)] for a in np.radians(degrees)], np.float32))

    reference, current = at(-25, 0), at(-10, 5)  # the second reference is nearer to both, and takes the second
    assert pairs_of(match(reference, current, LOOSE)) == [(1, 1)]
    assert pairs_of(match(reference, current, MatchingConfig(1.0, 2.0, 1.0, False))) == [(0, 0), (1, 1)]


def test_the_search_window_excludes_what_is_far_from_the_expected_place(rng: np.random.Generator) -> None:
    descriptors = random_units(rng, 3)
    xy = np.array([[10, 10], [100, 100], [200, 200]])
    current = keypoints_of(descriptors, xy)
    expected = np.array([[12, 11], [150, 100], [np.nan, np.nan]])
    config = MatchingConfig(ratio=1.0, max_distance=2.0, search_radius_px=20.0)
    assert pairs_of(match(keypoints_of(descriptors), current, config, expected)) == [(0, 0), (2, 2)]
    assert len(match(keypoints_of(descriptors), current, LOOSE, expected)) == 3


@pytest.mark.parametrize('ratio', [0.8, 1.0])
@pytest.mark.parametrize('share', [0.05, 0.5])
def test_among_allowed_pairs_matches_are_those_of_the_pairwise_search(
    rng: np.random.Generator, ratio: float, share: float
) -> None:
    first = random_units(rng, 50)
    second = np.concatenate([noisy_copy(rng, first[rng.permutation(50)[:35]], 0.15), random_units(rng, 10)])
    allowed = rng.random((50, 45)) < share
    distances = np.where(allowed, np.linalg.norm(first[:, None] - second[None], axis=2), np.inf)
    found = match_where(keypoints_of(first), keypoints_of(second), MatchingConfig(ratio, 0.9), allowed)
    assert pairs_of(found) == oracle(distances, ratio, 0.9)
    assert all(allowed[pair] for pair in pairs_of(found))


def test_where_no_pair_is_allowed_there_is_none(rng: np.random.Generator) -> None:
    points = keypoints_of(random_units(rng, 5))
    assert len(match_where(points, points, LOOSE, np.zeros((5, 5), np.bool_))) == 0
    assert pairs_of(match_where(points, points, LOOSE, np.eye(5, dtype=np.bool_))) == [(k, k) for k in range(5)]


def test_a_descriptor_that_is_not_finite_spoils_no_other_match(rng: np.random.Generator) -> None:
    first = random_units(rng, 6)
    second = noisy_copy(rng, first, 0.05)
    second[2], first[4, 3] = np.nan, np.inf
    found = match(keypoints_of(first), keypoints_of(second), MatchingConfig())
    assert pairs_of(found) == [(0, 0), (1, 1), (3, 3), (4, 4), (5, 5)]


def test_descriptors_of_two_kinds_are_refused(rng: np.random.Generator) -> None:
    floats, bits = keypoints_of(random_units(rng, 3)), keypoints_of(np.zeros((3, 16), np.uint8))
    with pytest.raises(ShapeError, match='uint8 of length 16, expected float32'):
        match(floats, bits, MatchingConfig())
    with pytest.raises(ShapeError, match='length 8, expected float32 of length 16'):
        match(floats, keypoints_of(random_units(rng, 3, 8)), MatchingConfig())


def test_a_ratio_above_one_is_refused() -> None:
    with pytest.raises(ConfigError, match=r'ratio: found 1\.5'):
        MatchingConfig(ratio=1.5)
