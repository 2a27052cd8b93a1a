# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Whether the stamp of an image makes sense after those before it.
"""

from __future__ import annotations

from enum import Enum


class StampVerdict(Enum):
    """
    What to do with an image by its stamp.
    """

    ACCEPT = 'accept'
    LATE = 'late'  # not newer than the last one: out of order or sent twice
    RESTART = 'restart'  # so far back that time began again: a bag that was restarted, a clock that was set


class StampGate:
    """
    Remembers the newest stamp; used by one thread.
    """

    def __init__(self, jump_ns: int) -> None:
        """
        :param jump_ns: a stamp further back than this is a restart, one that is less far back is late.
        """
        self._jump_ns = jump_ns
        self._newest_ns: int | None = None

    @property
    def newest_ns(self) -> int | None:
        """
        The stamp of the last image that was let through; None: there was none.
        """
        return self._newest_ns

    def check(self, stamp_ns: int) -> StampVerdict:
        """
        Judge a stamp; one that is late changes nothing.
        """
        if self._newest_ns is not None and stamp_ns <= self._newest_ns:
            if self._newest_ns - stamp_ns <= self._jump_ns:
                return StampVerdict.LATE
            self._newest_ns = stamp_ns
            return StampVerdict.RESTART
        self._newest_ns = stamp_ns
        return StampVerdict.ACCEPT

    def forget(self) -> None:
        """
        Accept any stamp next.
        """
        self._newest_ns = None
