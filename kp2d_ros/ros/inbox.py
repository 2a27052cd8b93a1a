# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What lies between the thread that receives images and the thread that works on them.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar('T')


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
        self.dropped = 0  # items that were replaced by newer ones

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T, timeout: float) -> bool:
        """
        Hand in an item, and whether it found room within so many seconds; after :meth:`close` it is thrown away.
        """
        with self._changed:
            if not self._lossless and len(self._items) >= self._capacity:
                self._items.popleft()
                self.dropped += 1
            if not self._changed.wait_for(lambda: self._closed or len(self._items) < self._capacity, timeout):
                return False
            if not self._closed:
                self._items.append(item)
                self._changed.notify_all()
            return True

    def take(self, timeout: float) -> T | None:
        """
        The oldest item, None if there is none within so many seconds or the box is closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._items), timeout)
            if not self._items:
                return None
            self._changed.notify_all()
            return self._items.popleft()

    def close(self) -> None:
        """
        Forget all items, wake everybody who waits, accept nothing more.
        """
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
