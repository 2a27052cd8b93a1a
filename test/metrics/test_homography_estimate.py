# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.records import Keypoints
from kp2d_ros.metrics.homography_estimate import area_under_curve, correctness, homography_errors
from kp2d_ros.metrics.keypoint_pair import KeypointPair, warp
from kp2d_ros.metrics.keypoint_protocol import KeypointProtocol, resize_for, scale_homography

SIZE = (80, 60)
PROTOCOL = KeypointProtocol(width=80, height=60, orders=4)


def make_pair(xy: NDArray[Any], moved: Any, homography: NDArray[Any]) -> KeypointPair:
    scores = np.arange(len(xy), dtype=np.float32)
    descriptors = np.eye(len(xy), dtype=np.float32)
    first, second = (np.asarray(points, np.float32) for points in (xy, moved))
    return KeypointPair(Keypoints(first, scores, descriptors), Keypoints(second, scores, descriptors), homography, SIZE)


def test_a_shift_that_is_off_by_two_pixels_has_corners_off_by_two(rng: np.random.Generator) -> None:
    xy = rng.uniform(10, 50, (12, 2))
    truth = np.array([[1.0, 0, 4], [0, 1, 3], [0, 0, 1]])
    found = homography_errors(make_pair(xy, xy + np.array([6, 3]), truth), PROTOCOL)
    assert found.match_count == 12 and found.rising_px == pytest.approx(2, abs=1e-3)
    assert found.shuffled_px == pytest.approx([2] * 4, abs=1e-3)
    assert [correctness(found.shuffled_px, threshold) for threshold in (1, 3, 5)] == [0, 1, 1]
    assert area_under_curve(found.shuffled_px, 4) == pytest.approx(0.5, abs=1e-3)


def test_the_error_is_that_of_the_corners_of_the_image() -> None:
    # Twice as large about the origin, estimated as no change: each corner is off by its distance from the origin.
    xy = np.array([[5, 5], [35, 5], [5, 25], [35, 25], [20, 15], [11, 20]])
    twice = np.diag([2.0, 2.0, 1.0])
    found = homography_errors(make_pair(xy, xy, twice), PROTOCOL)
    assert found.rising_px == pytest.approx((0 + 59 + 79 + math.hypot(79, 59)) / 4, rel=1e-3)


def test_points_that_the_other_image_does_not_show_take_no_places() -> None:
    # In each image the eight points of the highest scores lie where the other one does not look; six take part.
    seen = np.array([(5, 5), (35, 5), (5, 45), (35, 45), (20, 15), (11, 20)])
    shift = np.array([[1.0, 0, 30], [0, 1, 5], [0, 0, 1]])
    unseen = [np.stack([np.full(8, x), 5 + 6 * np.arange(8)], axis=1) for x in (70, 5)]
    pair = make_pair(np.concatenate([seen, unseen[0]]), np.concatenate([seen + np.array([30, 5]), unseen[1]]), shift)
    pair = replace(pair, count=len(seen))
    found = homography_errors(pair, PROTOCOL)
    assert found.match_count == len(seen) and found.rising_px == pytest.approx(0, abs=1e-3)


def test_fewer_than_four_matches_give_no_homography(rng: np.random.Generator) -> None:
    xy = rng.uniform(10, 50, (3, 2))
    found = homography_errors(make_pair(xy, xy, np.eye(3)), PROTOCOL)
    assert math.isinf(found.rising_px) and set(found.shuffled_px) == {math.inf}
    assert correctness(found.shuffled_px, 5) == area_under_curve(found.shuffled_px, 5) == 0.0


def test_random_orders_are_the_same_each_time_and_others_for_another_seed(rng: np.random.Generator) -> None:
    xy = rng.uniform(5, 55, (40, 2))
    moved = xy + rng.normal(0, 2.5, xy.shape)
    pair = make_pair(xy, moved, np.eye(3))
    first = homography_errors(pair, PROTOCOL)
    assert first == homography_errors(pair, PROTOCOL)
    assert len(set(first.shuffled_px)) > 1
    other = homography_errors(pair, KeypointProtocol(width=80, height=60, orders=4, seed=1))
    assert other.rising_px == first.rising_px and other.shuffled_px != first.shuffled_px


def test_area_is_that_below_the_steps() -> None:
    # Two of four errors below 3: the curve is 1/4 from 1 on and 2/4 from 2 on.
    assert area_under_curve([1, 2, 7, math.inf], 3) == pytest.approx((0.25 * 1 + 0.5 * 1) / 3)


def test_scaling_follows_the_public_code_or_the_resizing() -> None:
    truth = np.array([[1.0, 0, 8], [0, 1, 4], [0, 0, 1]])
    public = scale_homography(KeypointProtocol(width=80, height=60), truth, (160, 240), (320, 120))
    assert public == pytest.approx(np.array([[0.5, 0, 2], [0, 2, 2], [0, 0, 1]]))
    exact = KeypointProtocol(width=80, height=60, half_pixel=True)
    xy = np.array([[10.0, 20.0], [100.5, 0.0]])
    resized = (xy + 0.5) * (0.5, 0.25) - 0.5
    moved = (warp(truth, xy) + 0.5) * (0.25, 0.5) - 0.5
    assert warp(scale_homography(exact, truth, (160, 240), (320, 120)), resized) == pytest.approx(moved)
    same = scale_homography(exact, truth, (80, 60), (80, 60))
    assert same == pytest.approx(truth) and np.linalg.inv(same) @ truth == pytest.approx(np.eye(3))


def test_numbers_follow_from_the_size() -> None:
    small, large = KeypointProtocol(), KeypointProtocol(width=640, height=480)
    assert (small.keypoints, small.candidates) == (300, 1064)
    assert (large.keypoints, large.candidates) == (1000, 4524)
    assert KeypointProtocol(top_k=50, pool=70).candidates == 70
    with pytest.raises(ConfigError, match='pool: found 100 candidates, expected at least the 300'):
        KeypointProtocol(pool=100)


def test_large_sequences_are_the_eight_of_d2_net() -> None:
    protocol = KeypointProtocol(exclude=('large', 'v_wall'))
    out = [name for name in ('i_dc', 'v_talent', 'v_wall', 'i_ajuntament') if protocol.leaves_out(name)]
    assert out == ['i_dc', 'v_talent', 'v_wall']


def test_images_are_resized_without_their_aspect(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (90, 200, 3), dtype=np.uint8)
    assert resize_for(KeypointProtocol(), image).shape == (240, 320, 3)
    ready = rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)
    assert resize_for(KeypointProtocol(), ready) is ready
