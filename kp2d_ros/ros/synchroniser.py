# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Messages of two topics that belong together by their stamps: by ``message_filters`` where it is installed, else by a
small matcher of the same rules.

What is known to go wrong with ``message_filters``: its callback runs inside a lock that an error never opens again, so
it stores and nothing else, and stamps are looked at before they go in; ``slop`` itself is too much; a full queue gives
up its smallest stamp, which after a jump back in time is the newest message, so each run of a recording has a matcher
of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.errors import DataError
from kp2d_ros.ros.conversions import ns_from_time
from kp2d_ros.ros.diagnosis import PairFacts

try:
    import message_filters
except ImportError:  # a ROS 2 installation without it, or the wheels from PyPI
    message_filters = None

_WATCHED = 200  # messages of each topic that rates and offsets are taken from
_WATCHED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class PairRule:
    """
    Stamps may differ by ``tolerance_ns``; 0: they must be equal. ``queue`` messages of each topic wait for theirs.
    """

    tolerance_ns: int
    queue: int


@dataclass(frozen=True, slots=True, eq=False)
class Stamped:
    """
    A message with the ``header`` that matchers look at; ``number`` counts the messages of its topic from 0.
    """

    header: Any
    message: Any
    number: int


class Matcher(Protocol):
    """
    What pairs the messages of two topics, side 0 and side 1; each is in one pair at most.
    """

    def add(self, side: int, item: Stamped) -> list[tuple[Stamped, Stamped]]:
        """
        Take one more message; gives the pairs that it completes.
        """


class NearestMatcher:
    """
    A message is paired when it comes: with the one of the other side that is nearest to it in time.
    """

    def __init__(self, rule: PairRule) -> None:
        self._rule = rule
        self._waiting: tuple[dict[int, Stamped], dict[int, Stamped]] = ({}, {})  # by stamp

    def add(self, side: int, item: Stamped) -> list[tuple[Stamped, Stamped]]:
        """
        As :meth:`Matcher.add`.
        """
        stamp_ns = ns_from_time(item.header.stamp)
        mine, others = self._waiting[side], self._waiting[1 - side]
        mine[stamp_ns] = item
        while len(mine) > self._rule.queue:
            del mine[min(mine)]
        nearest_ns = min(others, key=lambda other_ns: abs(other_ns - stamp_ns), default=None)
        if nearest_ns is None or abs(nearest_ns - stamp_ns) > self._rule.tolerance_ns or stamp_ns not in mine:
            return []
        found = mine.pop(stamp_ns), others.pop(nearest_ns)
        return [found if side == 0 else found[::-1]]


class FilterMatcher:
    """
    The synchronisers of ``message_filters``.
    """

    def __init__(self, rule: PairRule) -> None:
        inputs = [message_filters.SimpleFilter(), message_filters.SimpleFilter()]
        if rule.tolerance_ns:
            slop = (rule.tolerance_ns + 1.5) * 1e-9  # it cuts off to whole nanoseconds, and pairs what is below
            synchroniser = message_filters.ApproximateTimeSynchronizer(inputs, rule.queue, slop)
        else:
            synchroniser = message_filters.TimeSynchronizer(inputs, rule.queue)
        synchroniser.registerCallback(self._store)
        self._inputs = inputs
        self._found: list[tuple[Stamped, Stamped]] = []

    def add(self, side: int, item: Stamped) -> list[tuple[Stamped, Stamped]]:
        """
        As :meth:`Matcher.add`.
        """
        self._inputs[side].signalMessage(item)
        found, self._found = self._found, []
        return found

    def _store(self, first: Stamped, second: Stamped) -> None:
        self._found.append((first, second))


def make_matcher(rule: PairRule) -> Matcher:
    """
    The one of ``message_filters`` where that is installed.
    """
    return NearestMatcher(rule) if message_filters is None else FilterMatcher(rule)


class _Side:
    """
    One topic: how often time began anew on it, its newest stamp since then, and what came lately.
    """

    def __init__(self) -> None:
        self.run = 0
        self.newest_ns: int | None = None
        self.count = 0
        self.lately: deque[tuple[float, int]] = deque(maxlen=_WATCHED)  # time of arrival, stamp

    def stamps_ns(self) -> npt.NDArray[np.int64]:
        """
        Those of the last seconds, rising.
        """
        since = monotonic() - _WATCHED_SECONDS
        return np.sort(np.array([stamp_ns for at, stamp_ns in self.lately if at > since], np.int64))

    def enter(self, run: int) -> None:
        """
        Begin another run of the recording.
        """
        self.run, self.newest_ns = run, None
        self.lately.clear()


class Synchroniser:
    """
    Pairs the messages of two topics and hands the pairs on; used by the executor's thread.

    Topics of a recording that is played again go back in time one after the other: messages pair within one run only,
    and none of either run is lost.
    """

    def __init__(self, rule: PairRule, jump_ns: int, on_pair: Callable[[Any, Any, int], None]) -> None:
        """
        :param jump_ns: a stamp further back than this is a jump in time.
        :param on_pair: takes both messages, and how many of side 0 before them are left without a partner.
        """
        self._rule = rule
        self._jump_ns = jump_ns
        self._on_pair = on_pair
        self._sides = (_Side(), _Side())
        self._matchers = {0: make_matcher(rule)}  # by run; two while one topic went back and the other did not yet
        self._pairs = self._left_out = 0
        self._paired: deque[tuple[float, int]] = deque(maxlen=_WATCHED)  # time of arrival, how much later side 1 is

    def add(self, side: int, message: Any) -> None:
        """
        Take a message of one side: the callback of its subscription.

        :raises DataError: if its stamp is none.
        """
        stamp_ns = ns_from_time(message.header.stamp)
        if stamp_ns < 0:
            raise DataError(f'stamp: found {stamp_ns * 1e-9:.3f} s, expected one that is not negative')
        mine = self._sides[side]
        item = Stamped(message.header, message, mine.count)
        mine.count += 1
        self._follow(side, stamp_ns)
        mine.lately.append((monotonic(), stamp_ns))
        for first, second in self._matchers[mine.run].add(side, item):
            self._left_out = max(self._left_out, first.number - self._pairs)
            self._pairs += 1
            later_ns = ns_from_time(second.header.stamp) - ns_from_time(first.header.stamp)
            self._paired.append((monotonic(), later_ns))
            self._on_pair(first.message, second.message, self._left_out)

    def facts(self) -> PairFacts:
        """
        How well the topics fit each other lately.
        """
        first, second = (side.stamps_ns() for side in self._sides)
        since = monotonic() - _WATCHED_SECONDS
        paired_ns = [later_ns for at, later_ns in self._paired if at > since]
        return PairFacts(
            counts=(len(first), len(second)),
            rates=(_rate(first), _rate(second)),
            pairs=len(paired_ns),
            offset_s=float(np.median(paired_ns)) * 1e-9 if paired_ns else _offset_s(first, second),
            tolerance_s=self._rule.tolerance_ns * 1e-9,
        )

    def _follow(self, side: int, stamp_ns: int) -> None:
        """
        Note the time of a side, and to which run of the recording it belongs.
        """
        mine, other = self._sides[side], self._sides[1 - side]
        is_behind = mine.run < other.run
        if mine.newest_ns is not None and stamp_ns < mine.newest_ns - self._jump_ns:
            mine.enter(other.run if is_behind else mine.run + 1)
        elif is_behind and other.newest_ns is not None and stamp_ns <= other.newest_ns + self._jump_ns:
            mine.enter(other.run)
        mine.newest_ns = stamp_ns if mine.newest_ns is None else max(stamp_ns, mine.newest_ns)
        runs = {mine.run, other.run}
        if runs != set(self._matchers):
            self._matchers = {run: self._matchers.get(run) or make_matcher(self._rule) for run in runs}


def _offset_s(first_ns: npt.NDArray[np.int64], second_ns: npt.NDArray[np.int64]) -> float:
    """
    Median by which the stamps (M,) of the second topic are later than the nearest ones (N,) of the first, both rising;
    NaN without any.
    """
    if not len(first_ns) or not len(second_ns):
        return float('nan')
    fewer, more = (first_ns, second_ns) if len(first_ns) <= len(second_ns) else (second_ns, first_ns)
    place = np.searchsorted(more, fewer)
    before, after = (more[np.clip(at, 0, len(more) - 1)] for at in (place - 1, place))
    nearest = np.where(np.abs(before - fewer) <= np.abs(after - fewer), before, after)
    return float(np.median(nearest - fewer)) * (1e-9 if fewer is first_ns else -1e-9)


def _rate(stamps_ns: npt.NDArray[np.int64]) -> float:
    """
    Messages per second of their own time; 0 if that does not go on.
    """
    seconds = 1e-9 * float(stamps_ns[-1] - stamps_ns[0]) if len(stamps_ns) else 0.0
    return (len(stamps_ns) - 1) / seconds if seconds else 0.0
