# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Identities of keypoints that live across frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.records import BoolArray, Matches

_ID_COUNT = 2**32
_LARGEST_AGE = np.iinfo(np.uint16).max


@dataclass(frozen=True, slots=True)
class Tracks:
    """
    ``ids`` (N,) uint32, unique within a frame, and ``ages`` (N,) uint16: in how many earlier frames each was seen.
    """

    ids: npt.NDArray[np.uint32]
    ages: npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class CarriedTracks:
    """
    The tracks of a frame, and those of its reference after one more frame saw them.
    """

    reference: Tracks
    current: Tracks


NO_TRACKS = Tracks(np.empty(0, np.uint32), np.empty(0, np.uint16))


class TrackTable:
    """
    Hands out identities; a number is not used again until 2**32 others were.
    """

    def __init__(self) -> None:
        self._next_id = 0

    def begin(self, count: int) -> Tracks:
        """
        New tracks for all ``count`` keypoints of a frame.
        """
        ids = (self._next_id + np.arange(count)) % _ID_COUNT
        self._next_id = (self._next_id + count) % _ID_COUNT
        return Tracks(ids.astype(np.uint32), np.zeros(count, np.uint16))

    def carry_on(self, reference: Tracks, count: int, matches: Matches, keep: BoolArray) -> CarriedTracks:
        """
        Tracks of the ``count`` keypoints of a frame: those that match the reference continue its tracks, others begin.

        The reference may be an older frame and may be matched again: its ages count on with every match, so that a
        track is as old as the number of frames that saw it.

        :param keep: (M,) which of the matches carry an identity.
        """
        rows, columns = matches.reference_index[keep], matches.current_index[keep]
        ages = reference.ages.copy()
        ages[rows] = np.minimum(ages[rows], _LARGEST_AGE - 1) + 1
        is_new = np.ones(count, np.bool_)
        is_new[columns] = False
        new = self.begin(int(is_new.sum()))
        current = Tracks(np.empty(count, np.uint32), np.zeros(count, np.uint16))
        current.ids[is_new] = new.ids
        current.ids[columns] = reference.ids[rows]
        current.ages[columns] = ages[rows]
        return CarriedTracks(Tracks(reference.ids, ages), current)
