# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import numpy as np

from kp2d_ros.core.records import Matches
from kp2d_ros.odometry.tracks import TrackTable


def matches_of(*pairs):
    rows, columns = np.array(pairs, np.int64).reshape(-1, 2).T
    return Matches(rows, columns, np.ones(len(rows), np.float32))


def everything(matches):
    return np.ones(len(matches), np.bool_)


def test_matches_carry_the_identity_and_the_rest_is_new():
    table = TrackTable()
    reference = table.begin(3)
    matches = matches_of((0, 2), (2, 0))
    tracks = table.carry_on(reference, 4, matches, everything(matches)).current
    assert tracks.ids.tolist() == [2, 3, 0, 4]
    assert tracks.ages.tolist() == [1, 0, 1, 0]


def test_a_track_ages_with_every_frame_that_sees_it_while_the_reference_stays():
    table = TrackTable()
    reference = table.begin(2)
    for age in (1, 2, 3):
        carried = table.carry_on(reference, 1, matches_of((1, 0)), np.array([True]))
        reference, tracks = carried.reference, carried.current
        assert (tracks.ids.tolist(), tracks.ages.tolist()) == ([1], [age])
    successor = table.carry_on(tracks, 1, matches_of((0, 0)), np.array([True])).current
    assert (successor.ids.tolist(), successor.ages.tolist()) == ([1], [4])


def test_the_tracks_of_the_reference_are_not_written_into():
    table = TrackTable()
    reference = table.begin(2)
    table.carry_on(reference, 1, matches_of((1, 0)), np.array([True]))
    assert (reference.ids.tolist(), reference.ages.tolist()) == ([0, 1], [0, 0])


def test_a_match_that_is_not_kept_begins_a_new_track():
    table = TrackTable()
    reference = table.begin(2)
    tracks = table.carry_on(reference, 2, matches_of((0, 0), (1, 1)), np.array([True, False])).current
    assert tracks.ids.tolist() == [0, 2]


def test_numbers_are_unique_in_a_frame_and_never_return(rng):
    table = TrackTable()
    reference = table.begin(50)
    gone: set[int] = set()
    for _ in range(20):
        count = int(rng.integers(0, 50))
        size = min(count, len(reference.ids)) // 2
        rows, columns = rng.permutation(len(reference.ids))[:size], rng.permutation(count)[:size]
        matches = matches_of(*zip(rows, columns, strict=True))
        tracks = table.carry_on(reference, count, matches, everything(matches)).current
        ids = set(tracks.ids.tolist())
        assert len(ids) == count
        assert not ids & gone
        gone |= set(reference.ids.tolist()) - ids
        reference = tracks


def test_the_age_stops_at_the_largest_number_it_can_hold():
    table = TrackTable()
    tracks = replace(table.begin(1), ages=np.array([65534], np.uint16))
    for _ in range(3):
        tracks = table.carry_on(tracks, 1, matches_of((0, 0)), np.array([True])).current
    assert tracks.ages.tolist() == [65535]


def test_a_frame_without_keypoints_has_no_tracks():
    table = TrackTable()
    tracks = table.carry_on(table.begin(5), 0, matches_of(), np.zeros(0, np.bool_)).current
    assert tracks.ids.shape == tracks.ages.shape == (0,)
    assert tracks.ids.dtype == np.uint32
    assert tracks.ages.dtype == np.uint16
