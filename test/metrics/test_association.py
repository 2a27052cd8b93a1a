# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from kp2d_ros.core.se3 import rotation_from_vector, transform_from
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.metrics.pose_error import interpolate_poses

SECOND = 10**9
START = 1_700_000_000 * SECOND + 1  # odd nanoseconds that a float64 of seconds cannot hold


def turning() -> Trajectory:
    stamps = START + np.array([0, 1, 2, 5], np.int64) * SECOND // 10
    poses = [
        transform_from(rotation_from_vector(np.array([0, 0, 0.2 * k])), np.array([k, 0, 0])) for k in (0, 1, 2, 5.0)
    ]
    return Trajectory(stamps, np.array(poses))


def test_a_stamp_of_the_trajectory_gives_its_pose_unchanged() -> None:
    trajectory = turning()
    np.testing.assert_array_equal(interpolate_poses(trajectory, trajectory.stamps_ns), trajectory.world_from_camera)


def test_between_two_poses_the_motion_is_even() -> None:
    (pose,) = interpolate_poses(turning(), np.array([START + SECOND // 40]))
    np.testing.assert_allclose(pose[:3, 3], [0.25, 0, 0], atol=1e-12)
    np.testing.assert_allclose(pose[:3, :3], rotation_from_vector(np.array([0, 0, 0.05])), atol=1e-12)


def test_outside_and_in_long_holes_nothing_is_made_up() -> None:
    stamps = START + np.array([-1, SECOND // 10 * 3, SECOND // 10 * 5 + 1], np.int64)
    assert np.isnan(interpolate_poses(turning(), stamps)).all()
    assert np.isfinite(interpolate_poses(turning(), stamps[1:2], max_gap_ns=SECOND)).all()


def test_no_stamps_give_no_poses() -> None:
    assert interpolate_poses(turning(), np.empty(0, np.int64)).shape == (0, 4, 4)
