# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from geometry_msgs.msg import TransformStamped  # noqa: E402
from nav_msgs.msg import Odometry  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

from kp2d_ros.msg import FrontendStatus  # noqa: E402
from kp2d_ros.ros import transforms  # noqa: E402
from kp2d_ros.ros.conversions import ns_from_time, transform_from_pose  # noqa: E402

if TYPE_CHECKING:
    from test.ros.conftest import Rig


def test_says_what_is_missing_and_how_to_get_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(transforms, 'tf2_ros', None)
    with caplog.at_level(logging.WARNING, 'kp2d_ros'):
        rig.start(publish_tf=True)
    assert [record.getMessage() for record in caplog.records] == [transforms.MISSING]
    assert 'apt install ros-$ROS_DISTRO-tf2-ros' in transforms.MISSING


def test_odometry_is_published_as_a_transform_from_where_the_camera_sits(rig: Rig) -> None:
    tf2_ros = pytest.importorskip('tf2_ros', reason='needs the ROS package tf2_ros', exc_type=ImportError)
    from tf2_msgs.msg import TFMessage

    place = TransformStamped(child_frame_id='camera')
    place.header.frame_id = 'base_link'
    place.transform.translation.x = 5.0
    # The camera looks to the left of the robot: its z is along y of the base, its x along x.
    place.transform.rotation.x, place.transform.rotation.w = -np.sqrt(0.5), np.sqrt(0.5)
    broadcaster = tf2_ros.StaticTransformBroadcaster(rig.neighbour)
    broadcaster.sendTransform(place)
    rig.start(odometry='unit', publish_tf=True)
    statuses, odometry = rig.listen(FrontendStatus, 'status'), rig.listen(Odometry, 'odometry')
    sent = rig.listen(TFMessage, '/tf')
    images = rig.publisher(Image, 'image')
    rig.publish_camera_info(lambda c: c.wait(0.0))
    rig.spin_until(lambda: not rig.node.outputs.transforms.is_pending('camera'))
    rig.spin_until(lambda: rig.node.outputs.publishers['odometry'].get_subscription_count() > 0)
    for number in range(8):
        images.publish(rig.image(number))
        rig.spin_until(lambda number=number: len(statuses) > number)
    rig.spin_until(lambda: odometry and len(sent) == len(odometry))
    pose, transform = odometry[-1].pose.pose, sent[-1].transforms[0]
    assert (transform.header.frame_id, transform.child_frame_id) == ('odom', 'base_link')
    assert ns_from_time(transform.header.stamp) == ns_from_time(odometry[-1].header.stamp)
    position = transform_from_pose(pose)[:3, 3]
    moved = transform.transform.translation
    np.testing.assert_array_equal([moved.x, moved.y, moved.z], position)
    # The camera moves to its right, which is forward for the robot.
    assert position[0] > 3 * np.abs(position[1:]).max() > 0
