# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Where the time of a frame goes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class StageClock:
    """
    Adds up how long each stage takes; a stage that does not run took 0.
    """

    def __init__(self, *stages: str) -> None:
        self._seconds = dict.fromkeys(stages, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """
        Count what runs inside for a stage.
        """
        began = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - began

    @property
    def milliseconds(self) -> Mapping[str, float]:
        """
        By stage, so far.
        """
        return {name: 1e3 * seconds for name, seconds in self._seconds.items()}
