# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The thread that works on the images, and what tells that it is stuck.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

from kp2d_ros.ros.inbox import Inbox

T = TypeVar('T')

_LOOK_SECONDS = 0.1  # how often an idle worker looks whether it shall end


class Worker(Generic[T]):
    """
    Takes items from an inbox and hands them to a function, one after the other, on a thread of its own.

    A worker that hangs in its function cannot be ended; it is abandoned: it takes nothing more, and ``is_abandoned``
    tells the function, when it comes back after all, to throw its result away.
    """

    def __init__(self, inbox: Inbox[T], make_handler: Callable[[Worker[T]], Callable[[T], None]]) -> None:
        """
        :param make_handler: called on the worker's thread before the first item, for what takes time to build.
        """
        self._inbox = inbox
        self._make_handler = make_handler
        self._stop = threading.Event()
        self._busy_since: float | None = None
        self._failure = ''
        # A daemon: a thread that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name='kp2d_worker', daemon=True)

    @property
    def is_abandoned(self) -> bool:
        """
        Whether nobody waits for results any more.
        """
        return self._stop.is_set()

    @property
    def failure(self) -> str:
        """
        The error that ended the thread; empty: none did.
        """
        return self._failure

    def start(self) -> None:
        """
        Begin to work.
        """
        self._thread.start()

    def abandon(self) -> None:
        """
        Take nothing more; does not wait.
        """
        self._stop.set()

    def stop(self, timeout: float) -> bool:
        """
        Take nothing more, and whether the thread has ended within so many seconds.
        """
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def trouble(self, limit: float) -> str:
        """
        Why the worker must be replaced: it died, or has been busy with one item for longer than so many seconds; else
        empty.
        """
        if not self._thread.is_alive():
            return f'the worker ended: {self._failure or "nobody knows why"}'
        busy_since = self._busy_since
        if busy_since is not None and monotonic() - busy_since > limit:
            return f'the worker has been busy with one image for more than {limit:g} s'
        return ''

    def _run(self) -> None:
        try:
            handle = self._make_handler(self)
            while not self._stop.is_set():
                self._busy_since = None
                item = self._inbox.take(_LOOK_SECONDS)
                if item is not None:
                    self._busy_since = monotonic()
                    handle(item)
        except BaseException as error:
            self._failure = f'{type(error).__name__}: {error}'
            raise
