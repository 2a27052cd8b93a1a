# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kp2d_ros.core.errors import DataError
from kp2d_ros.recordings.pairing import PairNames, StampPairing, pair_stamps, report_unpaired, require_pairs

MS = 1_000_000
NAMES = PairNames('left', 'right', 'bag')


def test_equal_times_belong_together_whatever_is_missing() -> None:
    first, second = [0, 100, 200, 300], [100, 300, 400]
    assert pair_stamps(first, second, 0) == [(1, 0), (3, 1)]


def test_the_nearest_pair_wins_and_each_image_is_used_once() -> None:
    assert pair_stamps([0, 16, 32], [17, 33], 20) == [(1, 0), (2, 1)]
    assert pair_stamps([0, 3], [2], 20) == [(1, 0)]


def test_the_tolerance_is_inclusive() -> None:
    assert pair_stamps([0], [20], 20) == [(0, 0)]
    assert pair_stamps([0], [21], 20) == []
    assert pair_stamps([], [1], 20) == pair_stamps([1], [], 20) == []


def test_cameras_that_never_meet_are_refused_with_the_offset_in_words() -> None:
    left = [k * 100 * MS for k in range(10)]
    right = [stamp + 530 * MS for stamp in left]
    with pytest.raises(DataError, match=r'bag: none of the right images .* 20 ms of a left one: they are 530 ms later'):
        require_pairs(left, right, NAMES)
    with pytest.raises(DataError, match='530 ms earlier'):
        require_pairs(right, left, NAMES)
    with pytest.raises(DataError, match='found 10 left and 0 right images'):
        require_pairs(left, [], NAMES)


def test_what_has_no_partner_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    names = PairNames('colour', 'depth', 'a folder of its own')
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            report_unpaired(names, 9, 10, 9)
        report_unpaired(names, 9, 9, 9)
    assert [record.message for record in caplog.records] == [
        'a folder of its own: 9 pairs of images: 1 of 10 colour and 0 of 9 depth images have no partner within 20 ms '
        'and are left out'
    ]


@given(
    first=st.lists(st.integers(0, 2000), max_size=30, unique=True),
    second=st.lists(st.integers(0, 2000), max_size=30, unique=True),
)
def test_pairs_are_within_the_tolerance_and_one_to_one(first: list[int], second: list[int]) -> None:
    pairs = pair_stamps(first, second, 50)
    rows, others = [row for row, _ in pairs], [other for _, other in pairs]
    assert rows == sorted(set(rows))
    assert len(set(others)) == len(others)
    assert all(abs(first[row] - second[other]) <= 50 for row, other in pairs)
    # Nobody is left who could still be paired with somebody who is left as well.
    free = [stamp for row, stamp in enumerate(first) if row not in rows]
    alone = [stamp for other, stamp in enumerate(second) if other not in others]
    assert not [(a, b) for a in free for b in alone if abs(a - b) <= 50]


def stream(first: list[int], second: list[int], delay: int = 0) -> tuple[list[tuple[int, int]], StampPairing[int]]:
    """
    What comes of two cameras whose images arrive in the order of their times, those of the second one later.
    """
    pairing = StampPairing[int](20 * MS)
    arrivals = sorted([(stamp, 0, stamp) for stamp in first] + [(stamp + delay, 1, stamp) for stamp in second])
    pairs = [pair for _, camera, stamp in arrivals for pair in pairing.add(camera, stamp, stamp)]
    return pairs + pairing.finish(), pairing


@pytest.mark.parametrize('delay', [0, 70 * MS, -70 * MS, 500 * MS])
def test_a_stream_gives_the_pairs_of_the_lists(rng: np.random.Generator, delay: int) -> None:
    times = np.arange(60) * 33 * MS
    first = [int(t) for t in times + rng.integers(0, 5 * MS, 60) if rng.random() < 0.8]
    second = [int(t) for t in times + rng.integers(0, 5 * MS, 60) if rng.random() < 0.8]
    pairs, pairing = stream(first, second, delay)
    assert pairs == [(first[row], second[other]) for row, other in pair_stamps(first, second)]
    assert (pairing.counts, pairing.pair_count) == ([len(first), len(second)], len(pairs))


def test_who_comes_later_may_be_nearer() -> None:
    pairs, _ = stream([0, 15 * MS, 100 * MS], [12 * MS, 101 * MS])
    assert pairs == [(15 * MS, 12 * MS), (100 * MS, 101 * MS)]
    pairs, _ = stream([10 * MS, 100 * MS], [0, 12 * MS, 101 * MS])
    assert pairs == [(10 * MS, 12 * MS), (100 * MS, 101 * MS)]


def test_a_camera_that_falls_silent_holds_nobody_for_ever() -> None:
    pairs, pairing = stream([k * 100 * MS for k in range(1000)], [0, 99900 * MS])
    assert pairs == [(0, 0), (99900 * MS, 99900 * MS)]
    assert pairing.pair_count == 2


def test_a_bag_that_was_recorded_in_a_loop_keeps_its_pairs() -> None:
    pairing = StampPairing[int](20 * MS)
    stamps = [k * 100 * MS for k in range(5)] * 3
    pairs = [pair for stamp in stamps for camera in (0, 1) for pair in pairing.add(camera, stamp, stamp)]
    assert pairs + pairing.finish() == [(stamp, stamp) for stamp in stamps]
