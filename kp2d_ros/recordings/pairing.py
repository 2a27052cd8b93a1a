# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Which images of two cameras belong together, by their times.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from kp2d_ros.core.errors import DataError

TOLERANCE_NS = 20_000_000
_MOST_WAITING = 100  # images of one camera, until the other one catches up
T = TypeVar('T')

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PairNames:
    """
    What is paired, for messages: ``colour`` and ``depth`` images of a ``place``.
    """

    first: str
    second: str
    place: str


def pair_stamps(first: Sequence[int], second: Sequence[int], tolerance_ns: int = TOLERANCE_NS) -> list[tuple[int, int]]:
    """
    Pairs of rows of two lists of times, the nearest pairs first, each row in one pair at most; in the order of the
    first list.
    """
    order = np.argsort(np.array(second, np.int64), kind='stable')
    times = np.array(second, np.int64)[order]
    candidates = []
    for row, stamp in enumerate(first):
        low, high = np.searchsorted(times, [stamp - tolerance_ns, stamp + tolerance_ns + 1])
        candidates += [(abs(int(times[k]) - stamp), row, int(order[k])) for k in range(low, high)]
    partner: dict[int, int] = {}
    taken: set[int] = set()
    for _, row, other in sorted(candidates):
        if row not in partner and other not in taken:
            partner[row] = other
            taken.add(other)
    return sorted(partner.items())


def require_pairs(
    first: Sequence[int], second: Sequence[int], names: PairNames, tolerance_ns: int = TOLERANCE_NS
) -> list[tuple[int, int]]:
    """
    As :func:`pair_stamps`, of two cameras whose times fit.

    :raises DataError: if no two images belong together, with the offset of the times as measured.
    """
    if not len(first) or not len(second):
        raise DataError(
            f'{names.place}: found {len(first)} {names.first} and {len(second)} {names.second} images, '
            'expected some of both'
        )
    pairs = pair_stamps(first, second, tolerance_ns)
    if not pairs:
        count = min(len(first), len(second))
        offset_ms = float(np.median(np.subtract(second[:count], first[:count]))) * 1e-6
        raise DataError(
            f'{names.place}: none of the {names.second} images is within {tolerance_ns * 1e-6:g} ms of a '
            f'{names.first} one: they are {abs(offset_ms):.6g} ms {"later" if offset_ms > 0 else "earlier"} in the '
            f'median of the first {count}; expected images taken together'
        )
    return pairs


def report_unpaired(names: PairNames, pairs: int, first: int, second: int, tolerance_ns: int = TOLERANCE_NS) -> None:
    """
    Say in the log, once, how many images of two cameras had no partner.
    """
    if pairs < max(first, second):
        _warn_once(
            f'{names.place}: {pairs} pairs of images: {first - pairs} of {first} {names.first} and {second - pairs} of '
            f'{second} {names.second} images have no partner within {tolerance_ns * 1e-6:g} ms and are left out'
        )


@functools.lru_cache(maxsize=256)  # a recording is read by every method of an evaluation
def _warn_once(text: str) -> None:
    _log.warning('%s', text)


class StampPairing(Generic[T]):
    """
    As :func:`pair_stamps`, for what comes one by one in about the order of time, and is not held longer than needed.

    Whose partner has not come when ``_MOST_WAITING`` others of the same camera have, stays alone.
    """

    def __init__(self, tolerance_ns: int = TOLERANCE_NS) -> None:
        self._tolerance_ns = tolerance_ns
        self._waiting: tuple[list[tuple[int, T]], list[tuple[int, T]]] = ([], [])
        self.counts = [0, 0]  # of what came from each camera
        self.pair_count = 0

    def add(self, camera: int, stamp_ns: int, item: T) -> list[tuple[T, T]]:
        """
        The pairs that are known now that one more came from a camera (0 or 1).
        """
        self.counts[camera] += 1
        waiting = self._waiting[camera]
        jumped_back = bool(waiting) and stamp_ns < waiting[-1][0] - self._tolerance_ns
        ready = self.finish() if jumped_back else []  # a bag that was recorded in a loop
        self._waiting[camera].append((stamp_ns, item))
        return ready + self._release(self._settled())

    def finish(self) -> list[tuple[T, T]]:
        """
        The last pairs, when nothing more comes.
        """
        return self._release(float('inf'))

    def _settled(self) -> float:
        """
        The time up to which the partner of an image of the first camera is there, or is given up.
        """
        first, second = self._waiting
        settled = float('-inf')
        if first and second:
            # Who may still come is later than both; who was there may be nearer to it than to its neighbour.
            settled = min(first[-1][0], second[-1][0]) - 2 * self._tolerance_ns
        if len(first) > _MOST_WAITING:
            settled = max(settled, first[0][0])
        if len(second) > _MOST_WAITING:
            settled = max(settled, second[0][0] + self._tolerance_ns)
        return settled

    def _release(self, settled: float) -> list[tuple[T, T]]:
        """
        The pairs whose first image is not later than ``settled``; they, and those whose partner will not come, are
        forgotten.
        """
        first, second = self._waiting
        found = pair_stamps([stamp for stamp, _ in first], [stamp for stamp, _ in second], self._tolerance_ns)
        pairs = [pair for pair in found if first[pair[0]][0] <= settled]
        ready = [(first[row][1], second[other][1]) for row, other in pairs]
        self.pair_count += len(pairs)
        used = {other for _, other in pairs}
        first[:] = [entry for entry in first if entry[0] > settled]
        earliest = settled - self._tolerance_ns
        second[:] = [entry for row, entry in enumerate(second) if entry[0] > earliest and row not in used]
        return ready
