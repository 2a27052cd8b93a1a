# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Identities of keypoints that live across frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.records import Matches

_ID_COUNT = 2**32
_LARGEST_AGE = np.iinfo(np.uint16).max


@dataclass(frozen=True, slots=True)
class Tracks:
    """
    ``ids`` (N,) uint32, unique within a frame, and ``ages`` (N,) uint16: in how many earlier frames each was seen.
    """

    ids: npt.NDArray[np.uint32]
    ages: npt.NDArray[np.uint16]


class TrackTable:
    """
    Hands out identities: keypoints that match the reference continue its tracks, the others begin new ones.

    The reference may be older than the previous frame; a track keeps its number and its age grows with every frame in
    which it is seen. Numbers are not used again (they wrap around only after 2**32 tracks).
    """

    def __init__(self) -> None:
        self._next_id = 0
        self._reference = self._new_tracks(0)

    def observe(self, count: int, matches: Matches, keep: npt.NDArray[np.bool_]) -> Tracks:
        """
        Tracks of the ``count`` keypoints of a frame, given its matches with the reference.

        :param keep: (M,) which of the matches may carry an identity.
        """
        rows, columns = matches.reference_index[keep], matches.current_index[keep]
        seen = self._reference.ages
        seen[rows] = np.minimum(seen[rows].astype(np.int64) + 1, _LARGEST_AGE).astype(np.uint16)
        tracks = self._new_tracks(count, reserved=len(columns), continued=columns)
        tracks.ids[columns] = self._reference.ids[rows]
        tracks.ages[columns] = seen[rows]
        return tracks

    def advance(self, tracks: Tracks) -> None:
        """
        Make the frame that these tracks belong to the reference.
        """
        self._reference = Tracks(tracks.ids.copy(), tracks.ages.copy())

    def _new_tracks(
        self, count: int, reserved: int = 0, continued: npt.NDArray[np.int64] | None = None
    ) -> Tracks:
        is_new = np.ones(count, np.bool_)
        if continued is not None:
            is_new[continued] = False
        fresh = count - reserved
        ids = np.zeros(count, np.uint32)
        ids[is_new] = ((self._next_id + np.arange(fresh)) % _ID_COUNT).astype(np.uint32)
        self._next_id = (self._next_id + fresh) % _ID_COUNT
        return Tracks(ids, np.zeros(count, np.uint16))
