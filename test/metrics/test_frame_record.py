# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from kp2d_ros.core.records import FrontendResult, Keypoints, Matches, TrackingState
from kp2d_ros.core.se3 import invert_transform
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.metrics.frame_record import (
    Failure,
    FrameRecord,
    ScaleSegment,
    TrackLengths,
    chain_poses,
    find_failures,
    scale_segments,
)

MakeFrames = Callable[..., list[FrameRecord]]


def test_true_relative_poses_chain_to_the_true_trajectory(truth: Trajectory, make_frames: MakeFrames) -> None:
    chained = chain_poses(make_frames(truth))
    expected = invert_transform(truth.world_from_camera[0]) @ truth.world_from_camera
    np.testing.assert_array_equal(chained.stamps_ns, truth.stamps_ns)
    np.testing.assert_allclose(chained.world_from_camera, expected, atol=1e-12)


def test_a_pose_against_an_older_reference_is_chained_to_that_reference(
    truth: Trajectory, make_frames: MakeFrames
) -> None:
    frames = make_frames(truth)
    assert frames[5].pose is not None
    motion = invert_transform(truth.world_from_camera[2]) @ truth.world_from_camera[5]
    frames[5] = replace(frames[5], pose=replace(frames[5].pose, reference_seq=2, reference_from_current=motion))
    expected = invert_transform(truth.world_from_camera[0]) @ truth.world_from_camera
    np.testing.assert_allclose(chain_poses(frames).world_from_camera, expected, atol=1e-12)


def test_a_lost_frame_keeps_the_last_pose_and_the_next_goes_on_from_there(
    truth: Trajectory, make_frames: MakeFrames
) -> None:
    poses = chain_poses(make_frames(truth, states={4: TrackingState.LOST})).world_from_camera
    np.testing.assert_array_equal(poses[4], poses[3])
    step = invert_transform(truth.world_from_camera[4]) @ truth.world_from_camera[5]
    np.testing.assert_allclose(invert_transform(poses[4]) @ poses[5], step, atol=1e-12)


def test_a_reference_that_was_never_recorded_is_taken_for_the_last_frame(
    truth: Trajectory, make_frames: MakeFrames
) -> None:
    frames = make_frames(truth)
    del frames[4]
    poses = chain_poses(frames).world_from_camera
    step = invert_transform(truth.world_from_camera[4]) @ truth.world_from_camera[5]
    np.testing.assert_allclose(invert_transform(poses[3]) @ poses[4], step, atol=1e-12)


def test_without_any_estimate_the_trajectory_is_empty(truth: Trajectory, make_frames: MakeFrames) -> None:
    lost = chain_poses(make_frames(truth, states=dict.fromkeys(range(1, 12), TrackingState.LOST)))
    assert len(lost) == 0
    assert len(chain_poses([])) == 0


def test_frames_whose_stamp_does_not_rise_are_left_out(truth: Trajectory, make_frames: MakeFrames) -> None:
    frames = make_frames(truth)
    frames[3] = replace(frames[3], stamp_ns=frames[2].stamp_ns)
    frames[7] = replace(frames[7], stamp_ns=0)
    chained = chain_poses(frames)
    assert chained.stamps_ns.tolist() == [f.stamp_ns for f in frames if f.seq not in (3, 7)]


def test_segments_say_where_the_scale_chain_broke(truth: Trajectory, make_frames: MakeFrames) -> None:
    segments = scale_segments(make_frames(truth, segments={5: 1, 9: 2}))
    assert segments == [ScaleSegment(0, 0, 4, 5), ScaleSegment(1, 5, 8, 4), ScaleSegment(2, 9, 11, 3)]


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
