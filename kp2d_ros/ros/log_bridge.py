# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the rest of the package logs, in the log of the node; and each complaint once in a while only.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

PACKAGE = 'kp2d_ros'
_LONGEST = 500  # characters of one complaint: what it quotes may come from anywhere


class RosLogHandler(logging.Handler):
    """
    Hands the records of Python's ``logging`` to a ROS logger.
    """

    def __init__(self, ros_logger: Any) -> None:
        super().__init__()
        self._ros_logger = ros_logger

    def emit(self, record: logging.LogRecord) -> None:
        """
        One record at the severity of the same name.
        """
        text = self.format(record)
        # Each call from a line of its own: a ROS logger refuses a line that changes its severity.
        if record.levelno >= logging.ERROR:
            self._ros_logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._ros_logger.warning(text)
        elif record.levelno >= logging.INFO:
            self._ros_logger.info(text)
        else:
            self._ros_logger.debug(text)


def forward_logging(ros_logger: Any) -> RosLogHandler:
    """
    From here on the log of this package goes to a ROS logger; take the handler off when the node ends.
    """
    handler = RosLogHandler(ros_logger)
    logger = logging.getLogger(PACKAGE)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    return handler


def stop_forwarding(handler: RosLogHandler) -> None:
    """
    Take the handler of :func:`forward_logging` off.
    """
    logging.getLogger(PACKAGE).removeHandler(handler)


@contextmanager
def reported(say: Callable[[str], Any]) -> Iterator[None]:
    """
    Say what went wrong before rclpy swallows it, as it does in the transitions of a lifecycle node.
    """
    try:
        yield
    except Exception as error:
        say(f'unexpected {type(error).__name__}: {" ".join(str(error).split())}')
        raise


@dataclass(slots=True)
class _Complaint:
    """
    When it was last said, and how often it was swallowed since.
    """

    said_at: float
    swallowed: int = 0


class ThrottledLog:
    """
    Says a complaint of one kind once per period, with the number of those that were swallowed. Any thread may use it.
    """

    def __init__(self, say: Callable[[str], Any], period: float, clock: Callable[[], float] = monotonic) -> None:
        self.say = say
        self._period = period
        self._clock = clock
        self._complaints: dict[str, _Complaint] = {}
        self._last = ('', -float('inf'))
        self._lock = threading.Lock()

    def complain(self, kind: str, text: str) -> None:
        """
        Say the text, unless this kind of complaint was said within the period.
        """
        now = self._clock()
        text = text if len(text) <= _LONGEST else f'{text[:_LONGEST]}...'
        with self._lock:
            self._last = (text, now)
            before = self._complaints.get(kind)
            if before is not None and now - before.said_at < self._period:
                before.swallowed += 1
                return
            swallowed = before.swallowed if before else 0
            self._complaints[kind] = _Complaint(now)
        self.say(f'{text} ({swallowed} more like this)' if swallowed else text)

    def latest(self, within: float) -> str:
        """
        The last complaint of any kind, said or swallowed, if it is not older than so many seconds; else empty.
        """
        with self._lock:
            text, at = self._last
        return text if self._clock() - at <= within else ''
