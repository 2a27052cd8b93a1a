# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the node makes of its inputs: types, QoS, stamps, clocks, and their absence; over real DDS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import CameraInfo, CompressedImage, Image  # noqa: E402

from kp2d_ros.msg import FrontendStatus, KeypointArray, RelativePose  # noqa: E402
from kp2d_ros.ros.conversions import header_from, ns_from_time, time_from_ns  # noqa: E402

if TYPE_CHECKING:
    from test.ros.conftest import Rig

RELIABLE = QoSProfile(reliability=ReliabilityPolicy.RELIABLE, depth=50)
BEST_EFFORT = QoSProfile(reliability=ReliabilityPolicy.BEST_EFFORT, depth=50)
LATCHED = QoSProfile(reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL, depth=1)


def test_images_that_the_middleware_replaced_are_counted_as_dropped(rig: Rig) -> None:
    rig.start()
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image', BEST_EFFORT)
    rig.play(images, [0], statuses)
    for number in range(1, 6):  # nobody spins: the subscription keeps the newest
        images.publish(rig.image(number))
    rig.spin_until(lambda: len(statuses) == 2)
    status = statuses[-1]
    assert (status.frames_received, status.frames_processed, status.frames_dropped) == (6, 2, 4)


def test_first_image_of_a_replay_waits_for_its_calibration(rig: Rig) -> None:
    rig.start(mode='replay')
    statuses, keypoints = rig.listen(FrontendStatus, 'status'), rig.listen(KeypointArray, 'keypoints')
    images, camera_info = rig.publisher(Image, 'image'), rig.publisher(CameraInfo, 'camera_info')
    images.publish(rig.image(0))
    rig.spin_until(lambda: rig.node.worker.counts().received == 1)
    camera_info.publish(rig.camera_info())
    rig.spin_until(lambda: len(statuses) == len(keypoints) == 1)
    assert len(keypoints[0].bearing_xy) == len(keypoints[0].xy) > 0


def test_follows_publishers_of_compressed_images(rig: Rig) -> None:
    rig.start()
    statuses = rig.listen(FrontendStatus, 'status')
    images = rig.publisher(CompressedImage, 'image/compressed')
    _, data = cv2.imencode('.png', rig.pattern.view(0))
    images.publish(CompressedImage(header=header_from(1, 'camera'), format='png', data=data.tobytes()))
    rig.spin_until(lambda: len(statuses) == 1)
    rig.neighbour.destroy_publisher(images)
    raw = rig.publisher(Image, 'image')
    rig.play(raw, [1], statuses)


def test_takes_compressed_images_on_the_image_topic_itself(rig: Rig) -> None:
    rig.start()
    statuses = rig.listen(FrontendStatus, 'status')
    images = rig.publisher(CompressedImage, 'image')
    _, data = cv2.imencode('.jpg', rig.pattern.view(0))
    images.publish(CompressedImage(header=header_from(1, 'camera'), format='jpeg', data=data.tobytes()))
    rig.spin_until(lambda: len(statuses) == 1)


def test_a_latched_calibration_from_before_the_node_is_used(rig: Rig) -> None:
    camera_info = rig.neighbour.create_publisher(CameraInfo, 'camera_info', LATCHED)
    camera_info.publish(rig.camera_info())
    rig.start()
    rig.spin_until(lambda: rig.node.inputs.camera_info.received > 0)


def test_restarted_recording_begins_anew_with_one_line(rig: Rig) -> None:
    rig.start()
    lines = rig.collect_warnings()
    statuses = rig.listen(FrontendStatus, 'status')
    rig.listen(RelativePose, 'relative_pose')
    keypoints = rig.listen(KeypointArray, 'keypoints')
    images = rig.publisher(Image, 'image')
    camera_info = rig.publish_camera_info(lambda c: c.wait(0.0))
    rig.spin_until(lambda: rig.node.outputs.publishers['relative_pose'].get_subscription_count() > 0)
    rig.play(images, range(100, 104), statuses, camera_info)
    rig.play(images, range(4), statuses, camera_info)
    rig.spin_until(lambda: len(keypoints) == 8)
    assert statuses[4].reason == 'there is no reference yet'
    assert [line for line in lines if 'time went back' in line] == ['time went back by 5.150 s: beginning anew']
    assert min(keypoints[4].track_ids) > max(keypoints[3].track_ids)  # a number is never used again
    assert statuses[-1].frames_processed == 8


def test_late_and_repeated_images_are_dropped(rig: Rig) -> None:
    rig.start()
    lines = rig.collect_warnings()
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image')
    rig.play(images, [5], statuses)
    images.publish(rig.image(4))
    rig.spin_until(lambda: rig.node.worker.counts().dropped == 1)
    images.publish(rig.image(5))
    rig.spin_until(lambda: rig.node.worker.counts().dropped == 2)
    rig.play(images, [6], statuses)
    assert [line for line in lines if 'not newer' in line] == [
        'image dropped: its stamp is not newer than the last (0.050 s back)'
    ]


def test_zero_stamps_are_replaced_by_the_time_of_arrival(rig: Rig) -> None:
    rig.start()
    lines = rig.collect_warnings()
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image')
    for number in range(3):
        images.publish(rig.image(number, header=header_from(0, 'camera')))
        rig.spin_until(lambda number=number: len(statuses) == number + 1)
    stamps = [ns_from_time(m.header.stamp) for m in statuses]
    assert stamps == sorted(stamps)
    assert stamps[0] > 10**18
    assert len([line for line in lines if 'stamp of zero' in line]) == 1


def test_says_why_nothing_comes_out(rig: Rig) -> None:
    rig.start(no_output_s=0.5)
    reports, lines = rig.listen(DiagnosticArray, '/diagnostics'), rig.collect_warnings()
    other = rig.neighbour.create_publisher(Image, 'camera/image_raw', 1)
    expected = 'no publisher on /image; image topics that exist: /camera/image_raw (remap with'
    rig.spin_until(lambda: any(r.status[0].message.startswith(expected) for r in reports))
    assert reports[-1].status[0].level == DiagnosticStatus.ERROR
    assert len([line for line in lines if 'no publisher on /image' in line]) == 1
    rig.neighbour.destroy_publisher(other)


def test_says_which_policies_do_not_fit_if_the_user_overrides_them(rig: Rig) -> None:
    rig.start(no_output_s=0.5, **{'qos_overrides./image.subscription.reliability': 'reliable'})
    reports = rig.listen(DiagnosticArray, '/diagnostics')
    rig.neighbour.create_publisher(Image, 'image', BEST_EFFORT)
    rig.spin_until(lambda: any('incompatible QoS' in r.status[0].message for r in reports))
    message = next(m for m in (r.status[0].message for r in reports) if 'incompatible QoS' in m)
    assert 'reliability: offered best_effort, requested reliable' in message
    assert '/neighbour offers best_effort, volatile, this node requests reliable, volatile' in message


def test_subscribes_as_the_publishers_offer(rig: Rig) -> None:
    rig.start(mode='replay')
    statuses = rig.listen(FrontendStatus, 'status')
    subscription = rig.node.inputs.image
    assert subscription.qos.reliability == ReliabilityPolicy.RELIABLE
    images = rig.publisher(Image, 'image', BEST_EFFORT)
    assert subscription.qos.reliability == ReliabilityPolicy.BEST_EFFORT
    rig.publish_camera_info(lambda c: c.wait(0.0))
    rig.play(images, [0], statuses)


def test_images_of_changing_size_are_taken_as_they_come(rig: Rig) -> None:
    rig.start()
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image')
    rig.play(images, range(2), statuses)
    small = rig.image(2)
    pixels = np.frombuffer(small.data, np.uint8).reshape(120, 160)[:90, :100]
    small.height, small.width, small.step, small.data = 90, 100, 100, pixels.tobytes()
    images.publish(small)
    rig.spin_until(lambda: len(statuses) == 3)
    rig.play(images, [3], statuses)
    assert statuses[-1].frames_dropped == 0


def test_begins_anew_when_the_simulated_clock_goes_back(rig: Rig) -> None:
    rig.start(use_sim_time=True)
    lines = rig.collect_warnings()
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image')
    clock = rig.publisher(Clock, '/clock')

    def set_clock(seconds: Any) -> bool:
        clock.publish(Clock(clock=time_from_ns(seconds * 10**9)))
        return bool(rig.node.get_clock().now().nanoseconds == seconds * 10**9)

    rig.spin_until(lambda: set_clock(100))
    rig.play(images, range(5, 8), statuses)
    rig.spin_until(lambda: set_clock(1))
    rig.play(images, range(2), statuses)
    assert statuses[3].reason == 'there is no reference yet'
    assert statuses[4].reason != 'there is no reference yet'
    assert [line for line in lines if 'went back' in line] == ['the clock went back by 99.000 s: beginning anew']


def test_says_that_nobody_publishes_the_simulated_clock(rig: Rig) -> None:
    rig.start(use_sim_time=True, no_output_s=0.5)
    reports = rig.listen(DiagnosticArray, '/diagnostics')
    rig.spin_until(lambda: any('nothing publishes /clock' in r.status[0].message for r in reports))
