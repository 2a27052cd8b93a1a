# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Pairs by stamps: the rules, held by our matcher and by that of message_filters, and what is made of them.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from kp2d_ros.core.errors import DataError  # noqa: E402
from kp2d_ros.ros import synchroniser  # noqa: E402
from kp2d_ros.ros.conversions import header_from, ns_from_time  # noqa: E402
from kp2d_ros.ros.synchroniser import (  # noqa: E402
    FilterMatcher,
    NearestMatcher,
    PairRule,
    Stamped,
    Synchroniser,
    make_matcher,
)

HAS_FILTERS = find_spec('message_filters') is not None
MS = 10**6
SECOND = 10**9
EXACT, NEAR = PairRule(0, 5), PairRule(20 * MS, 5)
FIRST, SECOND_SIDE = 0, 1


def message(stamp_ns: int) -> Any:
    return SimpleNamespace(header=header_from(stamp_ns, 'camera'))


@pytest.fixture(params=['nearest', 'message_filters'])
def matcher_of(request: pytest.FixtureRequest) -> Callable[[PairRule], Any]:
    if request.param == 'nearest':
        return NearestMatcher
    if not HAS_FILTERS:
        pytest.skip('needs the ROS package message_filters')
    return FilterMatcher


def pairs_of(matcher: Any, arrivals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """
    Stamps of the pairs that a matcher makes of (side, stamp), in their order.
    """
    found = []
    for number, (side, stamp_ns) in enumerate(arrivals):
        item = Stamped(header_from(stamp_ns, ''), None, number)
        found += [(ns_from_time(a.header.stamp), ns_from_time(b.header.stamp)) for a, b in matcher.add(side, item)]
    return found


def test_equal_stamps_pair_whichever_comes_first(matcher_of: Any) -> None:
    arrivals = [(0, 10), (1, 10), (1, 20), (0, 20)]
    assert pairs_of(matcher_of(EXACT), arrivals) == pairs_of(matcher_of(NEAR), arrivals) == [(10, 10), (20, 20)]


def test_unequal_stamps_pair_only_if_they_may(matcher_of: Any) -> None:
    arrivals = [(0, 100 * MS), (1, 101 * MS)]
    assert pairs_of(matcher_of(EXACT), arrivals) == []
    assert pairs_of(matcher_of(NEAR), arrivals) == [(100 * MS, 101 * MS)]


def test_the_tolerance_itself_is_near_enough_and_a_nanosecond_more_is_not(matcher_of: Any) -> None:
    assert pairs_of(matcher_of(NEAR), [(0, SECOND), (1, SECOND + 20 * MS)]) == [(SECOND, SECOND + 20 * MS)]
    assert pairs_of(matcher_of(NEAR), [(0, SECOND), (1, SECOND + 20 * MS + 1)]) == []


def test_the_nearest_one_is_taken_and_each_but_once(matcher_of: Any) -> None:
    arrivals = [(0, 100 * MS), (0, 110 * MS), (1, 112 * MS), (1, 115 * MS)]
    assert pairs_of(matcher_of(NEAR), arrivals) == [(110 * MS, 112 * MS), (100 * MS, 115 * MS)]


def test_a_full_queue_gives_up_the_oldest(matcher_of: Any) -> None:
    waiting = [(0, stamp * SECOND) for stamp in range(1, 8)]
    for rule in (EXACT, NEAR):
        assert pairs_of(matcher_of(rule), [*waiting, (1, 2 * SECOND), (1, 3 * SECOND)]) == [(3 * SECOND, 3 * SECOND)]


def test_a_message_older_than_a_full_queue_is_given_up_itself(matcher_of: Any) -> None:
    waiting = [(0, stamp * SECOND) for stamp in range(2, 7)]
    for rule in (EXACT, NEAR):
        assert pairs_of(matcher_of(rule), [*waiting, (1, SECOND), (0, SECOND)]) == []


ARRIVALS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 40).map(lambda n: n * 5 * MS)), max_size=40)


@settings(max_examples=300, deadline=None)
@given(arrivals=ARRIVALS, tolerance_ms=st.sampled_from([0, 5, 20]), queue=st.integers(1, 6))
def test_both_matchers_make_the_same_pairs(arrivals: list[tuple[int, int]], tolerance_ms: int, queue: int) -> None:
    if not HAS_FILTERS:
        pytest.skip('needs the ROS package message_filters')
    rule = PairRule(tolerance_ms * MS, queue)
    assert pairs_of(NearestMatcher(rule), arrivals) == pairs_of(FilterMatcher(rule), arrivals)


def test_message_filters_are_used_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = NearestMatcher if not HAS_FILTERS else FilterMatcher
    assert isinstance(make_matcher(EXACT), expected)
    monkeypatch.setattr(synchroniser, 'message_filters', None)
    assert isinstance(make_matcher(EXACT), NearestMatcher)


class Desk:
    """
    A synchroniser and the stamps of the pairs that it hands on.
    """

    def __init__(self, rule: PairRule = EXACT) -> None:
        self.pairs: list[tuple[int, int]] = []
        self.left_out: list[int] = []
        self.refuses = False
        self.synchroniser = Synchroniser(rule, SECOND // 2, self._take)

    def _take(self, first: Any, second: Any, left_out: int) -> None:
        self.pairs.append((ns_from_time(first.header.stamp), ns_from_time(second.header.stamp)))
        self.left_out.append(left_out)
        if self.refuses:
            raise RuntimeError('stuck')

    def add(self, side: int, *stamps_ns: int) -> None:
        for stamp_ns in stamps_ns:
            self.synchroniser.add(side, message(stamp_ns))


@pytest.fixture(params=['nearest', 'message_filters'])
def desk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Desk:
    if request.param == 'nearest':
        monkeypatch.setattr(synchroniser, 'message_filters', None)
    elif not HAS_FILTERS:
        pytest.skip('needs the ROS package message_filters')
    return Desk()


LATER = [(100 + n) * SECOND // 10 for n in range(8)]
EARLIER = [(10 + n) * SECOND // 10 for n in range(8)]


def test_a_recording_that_is_played_again_loses_no_pair_however_the_topics_overlap(desk: Any) -> None:
    desk.add(FIRST, *LATER, *EARLIER[:5])  # one topic is in the second run already
    desk.add(SECOND_SIDE, *LATER[-5:], *EARLIER)
    desk.add(FIRST, *EARLIER[5:])
    assert desk.pairs == [(stamp, stamp) for stamp in (*LATER[-5:], *EARLIER)]  # five of each wait


def test_many_runs_of_a_recording_pair_as_the_first_one(desk: Any) -> None:
    for _ in range(20):
        for stamp in EARLIER:
            desk.add(SECOND_SIDE, stamp)
            desk.add(FIRST, stamp)
    assert len(desk.pairs) == 20 * len(EARLIER)
    assert desk.left_out == [0] * len(desk.pairs)


def test_a_topic_that_alone_was_set_back_is_found_again_when_it_is_right(desk: Any) -> None:
    desk.add(FIRST, 10 * SECOND)
    desk.add(SECOND_SIDE, 10 * SECOND, 7 * SECOND, 8 * SECOND)
    desk.add(FIRST, 11 * SECOND, 12 * SECOND)
    desk.add(SECOND_SIDE, 12 * SECOND, 13 * SECOND)
    desk.add(FIRST, 13 * SECOND)
    assert desk.pairs[-1] == (13 * SECOND, 13 * SECOND)


def test_messages_without_a_partner_are_counted(desk: Any) -> None:
    desk.add(FIRST, *EARLIER[:3])
    desk.add(SECOND_SIDE, EARLIER[2])
    desk.add(FIRST, *EARLIER[3:])
    desk.add(SECOND_SIDE, EARLIER[3], EARLIER[6])
    assert desk.left_out == [2, 2, 4]


def test_a_stamp_that_is_none_is_refused_and_the_next_message_is_paired(desk: Any) -> None:
    wrong = message(0)
    wrong.header.stamp.sec = -5
    with pytest.raises(DataError, match=r'found -5\.000 s, expected one that is not negative'):
        desk.synchroniser.add(FIRST, wrong)
    wrong.header.stamp.sec, wrong.header.stamp.nanosec = 1, 2**32 - 1
    with pytest.raises(DataError, match='4294967295 ns'):
        desk.synchroniser.add(FIRST, wrong)
    desk.add(FIRST, SECOND)
    desk.add(SECOND_SIDE, SECOND)
    assert desk.pairs == [(SECOND, SECOND)]


def test_an_error_of_the_receiver_leaves_no_lock_behind(desk: Any) -> None:
    desk.refuses = True
    for stamp in EARLIER[:2]:
        desk.add(FIRST, stamp)
        with pytest.raises(RuntimeError, match='stuck'):
            desk.add(SECOND_SIDE, stamp)
    assert len(desk.pairs) == 2


def test_rates_and_the_offset_are_those_of_the_stamps() -> None:
    desk = Desk(NEAR)
    desk.add(FIRST, *(SECOND + n * 50 * MS for n in range(40)))
    desk.add(SECOND_SIDE, *(SECOND + n * 150 * MS - 21 * MS for n in range(1, 14)))
    facts = desk.synchroniser.facts()
    assert facts.counts == (40, 13)
    assert facts.rates == pytest.approx((20.0, 1 / 0.15))
    assert facts.pairs == 0
    assert facts.offset_s == pytest.approx(-0.021)
    assert facts.tolerance_s == 0.02


def test_the_offset_of_pairs_is_theirs_whatever_waits_beside_them() -> None:
    desk = Desk(NEAR)
    desk.add(FIRST, SECOND)
    desk.add(SECOND_SIDE, SECOND + 3 * MS, SECOND + 103 * MS, SECOND + 203 * MS)
    assert desk.synchroniser.facts().offset_s == pytest.approx(0.003)


def test_the_offset_is_the_median_to_the_nearest_stamp() -> None:
    desk = Desk()
    desk.add(FIRST, *(SECOND + n * 100 * MS for n in range(9)))
    desk.add(SECOND_SIDE, *(SECOND + n * 100 * MS + 30 * MS for n in range(9)))
    assert desk.synchroniser.facts().offset_s == pytest.approx(0.030)
    empty = Desk().synchroniser.facts()
    assert empty.offset_s != empty.offset_s
    assert (empty.counts, empty.rates, empty.pairs) == ((0, 0), (0.0, 0.0), 0)
