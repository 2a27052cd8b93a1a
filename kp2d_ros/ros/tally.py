# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What became of the images since the node was activated.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from time import monotonic

from kp2d_ros.core.records import TrackingState
from kp2d_ros.ros.frame_processor import Processed

_WINDOW = 50  # images that rate and latency are taken over


@dataclass(frozen=True, slots=True)
class Counts:
    """
    Images since the node was activated.
    """

    received: int
    processed: int
    dropped: int


class Tally:
    """
    Counts of images, the last state and size, rate and latency; any thread may ask and note.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.arrived = self.processed = self.refused = 0
        self.arrived_at = self.processed_at = -float('inf')
        self.tracking: TrackingState | None = None
        self.size: tuple[int, int] | None = None
        self._finished: deque[tuple[float, float]] = deque(maxlen=_WINDOW)  # time, latency in milliseconds

    def note_arrival(self) -> int:
        """
        Count an image that came; gives the number of those before it.
        """
        with self._lock:
            self.arrived += 1
            self.arrived_at = monotonic()
            return self.arrived - 1

    def note_refusal(self) -> None:
        """
        Count an image that could not be used.
        """
        with self._lock:
            self.refused += 1

    def note_result(self, processed: Processed) -> None:
        """
        Count an image that was used.
        """
        with self._lock:
            self.processed += 1
            self.processed_at = monotonic()
            self.tracking = processed.result.state
            self.size = processed.frame.image.shape[0], processed.frame.image.shape[1]

    def note_latency(self, latency_ms: float) -> None:
        """
        Note that the results of an image went out, so many milliseconds after it came.
        """
        with self._lock:
            self._finished.append((monotonic(), latency_ms))

    def speed(self) -> tuple[float, float]:
        """
        Images per second and median latency in milliseconds over the last ones; zeros before there are two.
        """
        with self._lock:
            finished = list(self._finished)
        if len(finished) < 2:
            return 0.0, 0.0
        seconds = max(finished[-1][0] - finished[0][0], 1e-9)
        latencies = sorted(latency for _, latency in finished)
        return (len(finished) - 1) / seconds, latencies[len(latencies) // 2]
