# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kp2d_ros.core.records import FrontendResult, Keypoints, Matches, TrackingState
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.metrics.frame_record import Failure, FrameRecord, TrackLengths, find_failures


def result_with(ids: list[int], ages: list[int]) -> FrontendResult:
    nothing = np.empty((0, 2), np.float32)
    return FrontendResult(
        seq=0,
        stamp_ns=0,
        keypoints=Keypoints(nothing, np.empty(0, np.float32), np.empty((0, 4), np.float32)),
        bearing_xy=None,
        track_ids=np.array(ids, np.uint32),
        track_ages=np.array(ages, np.uint16),
        matches=Matches.empty(),
        reference_xy=nothing,
        current_xy=nothing,
        inlier=np.empty(0, np.bool_),
        inlier_probability=None,
        pose=None,
        state=TrackingState.OK,
        world_from_camera=np.eye(4),
        scale_segment=0,
    )


def test_a_failure_lasts_until_the_frame_that_has_a_pose_again(
    truth: Trajectory, make_frames: Callable[..., list[FrameRecord]]
) -> None:
    lost = dict.fromkeys((3, 4, 8, 10, 11), TrackingState.LOST)
    failures = find_failures(make_frames(truth, states=lost))
    assert failures == [
        Failure(3, 2, pytest.approx(0.2)),
        Failure(8, 1, pytest.approx(0.1)),
        Failure(10, 2, None),
    ]
    assert find_failures([]) == []


def test_tracks_count_the_frames_that_saw_them() -> None:
    lengths = TrackLengths()
    assert lengths.spread() is None
    lengths.add(result_with([0, 1, 2], [0, 0, 0]))
    assert lengths.spread() is None  # nothing was found again
    lengths.add(result_with([0, 1, 5000], [1, 1, 0]))
    lengths.add(result_with([1, 5000], [2, 1]))
    lengths.add(result_with([], []))
    spread = lengths.spread()
    assert spread is not None
    assert (spread.count, spread.maximum, spread.mean) == (3, 3.0, pytest.approx(7 / 3))
