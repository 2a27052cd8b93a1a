# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What lies between the thread that receives images and the thread that works on them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar('T')

_WAKE_SECONDS = 0.1  # how often a blocked sender looks around


def _look_nowhere() -> None:
    """
    A blocked sender has nothing else to do.
    """


class Inbox(Generic[T]):
    """
    A queue with one receiver that never holds more than ``capacity`` items.

    Lossy, the newest wins: a full box drops its oldest item, and counts it. Lossless, the sender waits for room.
    """

    def __init__(self, capacity: int, lossless: bool) -> None:
        self._capacity = capacity
        self._lossless = lossless
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._dropped = 0

    def __len__(self) -> int:
        with self._changed:
            return len(self._items)

    @property
    def dropped(self) -> int:
        """
        How many items were replaced by newer ones.
        """
        with self._changed:
            return self._dropped

    def put(self, item: T, look_around: Callable[[], None] = _look_nowhere) -> None:
        """
        Hand in an item; after :meth:`close` it is thrown away.

        :param look_around: called about ten times a second while a lossless box has no room, without the lock: the
            receiver may be stuck.
        """
        while True:
            with self._changed:
                if not self._lossless and len(self._items) >= self._capacity:
                    self._items.popleft()
                    self._dropped += 1
                if self._closed:
                    return
                if len(self._items) < self._capacity:
                    self._items.append(item)
                    self._changed.notify_all()
                    return
                self._changed.wait(_WAKE_SECONDS)
            look_around()

    def take(self, timeout: float) -> T | None:
        """
        The oldest item, None if there is none within so many seconds or the box is closed.
        """
        deadline = monotonic() + timeout
        with self._changed:
            while not self._items and not self._closed:
                left = deadline - monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            if self._closed or not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """
        Forget all items, wake everybody who waits, accept nothing more.
        """
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
