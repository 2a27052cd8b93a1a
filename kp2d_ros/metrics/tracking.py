# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
How well a camera was followed: how long tracks live, how often it was lost, and how soon it was found again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kp2d_ros.core.records import FrontendResult
from kp2d_ros.metrics.frame_record import FrameRecord, lost_runs
from kp2d_ros.metrics.spread import Spread


@dataclass(frozen=True, slots=True)
class Failure:
    """
    A run of LOST frames; ``seconds`` from its first frame to the one that was not lost any more, None where it lasts.
    """

    first_seq: int
    frames: int
    seconds: float | None


def find_failures(frames: Sequence[FrameRecord]) -> list[Failure]:
    """
    The failures of a run in the order of the frames.
    """
    places = {id(frame): place for place, frame in enumerate(frames)}
    failures = []
    for run in lost_runs(frames):
        after = places[id(run[-1])] + 1
        seconds = (frames[after].stamp_ns - run[0].stamp_ns) * 1e-9 if after < len(frames) else None
        failures.append(Failure(run[0].seq, len(run), seconds))
    return failures


class TrackLengths:
    """
    Counts in how many frames each track was seen, while the frames go by.
    """

    def __init__(self) -> None:
        self._frames = np.zeros(1024, np.int32)  # by the number of the track: they are handed out one after the other

    def add(self, result: FrontendResult) -> None:
        """
        Take the tracks of one frame.
        """
        needed = int(result.track_ids.max(initial=0)) + 1
        if needed > len(self._frames):
            self._frames = np.concatenate([self._frames, np.zeros(max(needed, len(self._frames)), np.int32)])
        self._frames[result.track_ids] = result.track_ages.astype(np.int32) + 1

    def spread(self) -> Spread | None:
        """
        Frames by track, of those that were seen at least twice; None if no keypoint was ever found again.
        """
        return Spread.of(self._frames[self._frames > 1])
