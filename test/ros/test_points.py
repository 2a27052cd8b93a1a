# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from kp2d_ros.core.records import FrontendResult, Keypoints, Matches, TrackingState  # noqa: E402
from kp2d_ros.core.se3 import rotation_from_vector, transform_from  # noqa: E402
from kp2d_ros.ros.conversions import header_from  # noqa: E402
from kp2d_ros.ros.points import points_message, tracked_points  # noqa: E402

POINTS = np.array([[1.0, 2.0, 4.0], [-1.0, 0.5, 2.0], [0.0, 0.0, 8.0], [1.0, 1.0, 5.0], [0.2, 0.1, 1.0]])
POSE = transform_from(rotation_from_vector(np.array([0.3, -0.2, 0.5])), np.array([1.0, -2.0, 0.5]))


@pytest.fixture
def seen() -> FrontendResult:
    """
    Five keypoints: of the third no depth is known, the fourth is new, the fifth has no ray.
    """
    count, empty = len(POINTS), np.empty((0, 2), np.float32)
    rays = (POINTS[:, :2] / POINTS[:, 2:]).astype(np.float32)
    rays[4] = np.nan
    sigma = np.full(count, 0.01)
    sigma[2] = np.inf
    return FrontendResult(
        seq=1,
        stamp_ns=5,
        keypoints=Keypoints(
            np.zeros((count, 2), np.float32), np.ones(count, np.float32), np.zeros((count, 8), np.float32)
        ),
        bearing_xy=rays,
        track_ids=np.array([7, 8, 9, 10, 2**32 - 1], np.uint32),
        track_ages=np.array([1, 3, 1, 0, 1], np.uint16),
        matches=Matches.empty(),
        reference_xy=empty,
        current_xy=empty,
        inlier=np.empty(0, np.bool_),
        inlier_probability=None,
        pose=None,
        state=TrackingState.OK,
        world_from_camera=np.eye(4),
        scale_segment=0,
        inverse_depth=1.0 / POINTS[:, 2],
        inverse_depth_sigma=sigma,
    )


def test_points_are_where_they_are_in_the_world(seen: Any) -> None:
    points = tracked_points(seen, POSE)
    xyz = np.stack([points[axis] for axis in 'xyz'], axis=1)
    np.testing.assert_allclose(xyz, POINTS[:2] @ POSE[:3, :3].T + POSE[:3, 3], rtol=1e-6)
    assert points['id'].tolist() == [7, 8]
    np.testing.assert_allclose(points['sigma'], [0.01 * 16, 0.01 * 4], rtol=1e-6)


def test_nothing_is_known_without_calibration_or_depths(seen: Any) -> None:
    for nothing in ({'bearing_xy': None}, {'inverse_depth': None}, {'inverse_depth_sigma': None}):
        assert len(tracked_points(replace(seen, **nothing), POSE)) == 0
    cloud = points_message(replace(seen, bearing_xy=None), POSE, header_from(5, 'odom'))
    assert (cloud.width, cloud.row_step, len(cloud.data)) == (0, 0, 0)


def test_the_message_says_how_its_bytes_are_to_be_read(seen: Any) -> None:
    cloud = points_message(seen, POSE, header_from(5, 'odom'))
    assert cloud.header.frame_id == 'odom'
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step, cloud.is_dense) == (1, 2, 20, 40, True)
    kinds = {7: '<f4', 6: '<u4'}  # FLOAT32 and UINT32 of PointField
    layout = [(field.name, kinds[field.datatype], field.offset) for field in cloud.fields]
    names, formats, offsets = zip(*layout, strict=True)
    dtype = np.dtype({'names': names, 'formats': formats, 'offsets': offsets, 'itemsize': cloud.point_step})
    read = np.frombuffer(bytes(cloud.data), dtype)
    np.testing.assert_array_equal(read, tracked_points(seen, POSE).astype(dtype))
