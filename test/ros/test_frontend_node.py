# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The node in this process, over real DDS.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from kp2d_ros.core.errors import BackendError

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from nav_msgs.msg import Odometry, Path  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import Image, PointCloud2  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from kp2d_ros.msg import FrontendStatus, KeypointArray, MatchArray, RelativePose  # noqa: E402
from kp2d_ros.ros.conversions import ns_from_time  # noqa: E402

if TYPE_CHECKING:
    from test.ros.conftest import Rig

RELIABLE = QoSProfile(reliability=ReliabilityPolicy.RELIABLE, depth=50)
BEST_EFFORT = QoSProfile(reliability=ReliabilityPolicy.BEST_EFFORT, depth=50)
LATCHED = QoSProfile(reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL, depth=1)


def test_images_go_in_and_everything_comes_out(rig: Rig) -> None:
    rig.start(odometry='unit')
    statuses, keypoints = rig.listen(FrontendStatus, 'status'), rig.listen(KeypointArray, 'keypoints')
    matches, poses = rig.listen(MatchArray, 'matches'), rig.listen(RelativePose, 'relative_pose')
    odometry, pictures = rig.listen(Odometry, 'odometry'), rig.listen(Image, 'debug_image')
    paths, clouds = rig.listen(Path, 'path'), rig.listen(PointCloud2, 'points')
    images = rig.publisher(Image, 'image')
    camera_info = rig.publish_camera_info(lambda c: c.wait(0.0))
    rig.spin_until(lambda: all(p.get_subscription_count() for p in rig.node.outputs.publishers.values()))
    rig.spin_until(lambda: not rig.node.outputs.transforms.is_pending('camera'))
    rig.play(images, range(8), statuses, camera_info)
    rig.spin_until(lambda: len(keypoints) == 8 and len(pictures) == 8 and len(poses) == len(matches) == 7)
    stamps = [ns_from_time(m.header.stamp) for m in keypoints]
    assert stamps == [ns_from_time(rig.image(n).header.stamp) for n in range(8)]
    assert [m.frame_seq for m in keypoints] == list(range(8))
    assert len(keypoints[-1].xy) > 50
    assert len(keypoints[-1].bearing_xy) == len(keypoints[-1].xy)
    assert poses[-1].state in (RelativePose.OK, RelativePose.DEGRADED)
    assert matches[-1].reference_seq == poses[-1].reference_seq < 7
    status = statuses[-1]
    assert (status.frames_received, status.frames_processed, status.frames_dropped) == (8, 8, 0)
    assert status.model_id == 'orb'
    stages = status.wait_ms + status.decode_ms + status.inference_ms + status.match_ms + status.pose_ms
    assert 0 < status.inference_ms <= stages <= status.total_ms
    assert (pictures[-1].width, pictures[-1].height, pictures[-1].encoding) == (160, 120, 'rgb8')
    assert odometry[-1].header.frame_id == 'odom'
    assert odometry[-1].child_frame_id == 'base_link'
    # The camera moves to its right: along -y of a base that looks along x.
    position = odometry[-1].pose.pose.position
    assert position.y < 0
    assert abs(position.y) > 3 * max(abs(position.x), abs(position.z))
    rig.spin_until(lambda: len(paths) == 2 and len(clouds) == len(odometry))  # the path five times a second
    assert clouds[-1].header == odometry[-1].header
    assert clouds[-1].width > 20  # in the unit of the path
    assert paths[-1].header.frame_id == 'odom'
    way = {ns_from_time(p.header.stamp): p.pose.position for p in paths[-1].poses}
    assert all(way[ns_from_time(o.header.stamp)] == o.pose.pose.position for o in odometry[: len(way)])
    assert len(way) > 4


def test_nothing_is_made_without_a_subscriber(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.start()
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image')
    for name in ('keypoints_message', 'matches_message', 'relative_pose_message', 'points_message', 'draw_result'):
        monkeypatch.setattr(f'kp2d_ros.ros.outputs.{name}', None)
    rig.play(images, range(3), statuses)
    assert statuses[-1].frames_processed == 3


def test_keypoints_flow_without_calibration_and_poses_say_why_there_are_none(rig: Rig) -> None:
    rig.start()
    statuses, poses = rig.listen(FrontendStatus, 'status'), rig.listen(RelativePose, 'relative_pose')
    keypoints = rig.listen(KeypointArray, 'keypoints')
    images = rig.publisher(Image, 'image')
    rig.spin_until(lambda: rig.node.outputs.publishers['relative_pose'].get_subscription_count() > 0)
    rig.play(images, range(3), statuses)
    rig.spin_until(lambda: len(poses) == 2 and len(keypoints) == 3)
    assert poses[-1].state == RelativePose.INITIALISING
    assert poses[-1].reason == 'no camera_info has arrived on /camera_info'
    assert poses[-1].reference_from_current.covariance[0] >= 1e6
    assert len(keypoints[-1].bearing_xy) == 0
    rig.publish_camera_info(lambda c: c.wait(0.0), k=[0.0] * 9)
    rig.play(images, [3], statuses)
    rig.spin_until(lambda: len(poses) == 3)
    assert 'K[0] == 0' in poses[-1].reason
    rig.publish_camera_info(lambda c: '320x240' in c.calibration_for(160, 120).reason, width=320, height=240)
    rig.play(images, [4], statuses)
    rig.spin_until(lambda: len(poses) == 4)
    assert poses[-1].reason == 'camera_info is for 320x240 images, but this one is 160x120'


def test_newest_image_wins_and_drops_are_counted(rig: Rig) -> None:
    rig.start()
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image', RELIABLE)
    rig.play(images, [0], statuses)
    rig.extractors.gate.clear()
    entered = rig.extractors.entered
    images.publish(rig.image(1))
    rig.spin_until(lambda: rig.extractors.entered > entered)
    for number in range(2, 12):
        images.publish(rig.image(number))
        rig.spin_until(lambda number=number: rig.node.worker.counts().received == number + 1)
    rig.extractors.gate.set()
    rig.spin_until(lambda: len(statuses) == 3)
    assert ns_from_time(statuses[-1].header.stamp) == ns_from_time(rig.image(11).header.stamp)
    status = statuses[-1]
    assert (status.frames_received, status.frames_processed, status.frames_dropped) == (12, 3, 9)


def test_replay_loses_nothing_and_gives_the_same_twice(rig: Rig) -> None:
    rig.start(mode='replay', replay_queue=2)
    statuses, keypoints = rig.listen(FrontendStatus, 'status', 200), rig.listen(KeypointArray, 'keypoints', 200)
    poses = rig.listen(RelativePose, 'relative_pose', 200)
    images = rig.publisher(Image, 'image', QoSProfile(reliability=ReliabilityPolicy.RELIABLE, depth=200))
    rig.publish_camera_info(lambda c: c.wait(0.0))
    rig.spin_until(lambda: rig.node.outputs.publishers['relative_pose'].get_subscription_count() > 0)
    for run in (1, 2):
        for number in range(40):
            images.publish(rig.image(number))
        rig.spin_until(lambda run=run: len(statuses) == run * 40, timeout=30.0)
        rig.spin_until(lambda run=run: len(poses) == run * 39)
        rig.call(Trigger, '/frontend/reset', Trigger.Request())
    assert statuses[-1].frames_dropped == 0
    assert [bytes(m.xy) for m in keypoints[:40]] == [bytes(m.xy) for m in keypoints[40:]]
    runs = poses[:39], poses[39:]
    first, second = ([(m.reference_from_current, m.state, m.scale_segment) for m in run] for run in runs)
    assert first == second
    assert [bytes(m.track_ids) for m in keypoints[:40]] == [bytes(m.track_ids) for m in keypoints[40:]]


def test_reset_begins_at_zero_again(rig: Rig) -> None:
    rig.start()
    statuses, keypoints = rig.listen(FrontendStatus, 'status'), rig.listen(KeypointArray, 'keypoints')
    images = rig.publisher(Image, 'image')
    rig.spin_until(lambda: rig.node.outputs.publishers['keypoints'].get_subscription_count() > 0)
    rig.play(images, range(3), statuses)
    response = rig.call(Trigger, '/frontend/reset', Trigger.Request())
    assert response.success
    assert 'next image' in response.message
    rig.play(images, [3], statuses)
    rig.spin_until(lambda: len(keypoints) == 4)
    assert min(keypoints[3].track_ids) == 0
    assert max(keypoints[3].track_ages) == 0


def test_a_stuck_worker_is_diagnosed_until_it_goes_on(rig: Rig) -> None:
    rig.start(watchdog_s=0.5)
    statuses, reports = rig.listen(FrontendStatus, 'status'), rig.listen(DiagnosticArray, '/diagnostics')
    images = rig.publisher(Image, 'image')
    rig.play(images, [0], statuses)
    rig.extractors.gate.clear()
    images.publish(rig.image(1))
    rig.spin_until(lambda: any(r.status[0].level == DiagnosticStatus.ERROR for r in reports))
    report = next(r for r in reports if r.status[0].level == DiagnosticStatus.ERROR)
    assert report.status[0].message == 'the worker has been busy with one image for more than 0.5 s'
    rig.extractors.gate.set()
    rig.spin_until(lambda: len(statuses) == 2)
    rig.play(images, [2], statuses)
    before = len(reports)
    rig.spin_until(lambda: len(reports) > before)
    assert reports[-1].status[0].level != DiagnosticStatus.ERROR
    assert (statuses[-1].frames_processed, statuses[-1].frames_dropped) == (3, 0)


@pytest.mark.parametrize('mode', ['live', 'replay'])
def test_a_worker_that_stays_stuck_ends_the_node_with_one_sentence(rig: Rig, mode: str) -> None:
    rig.start(mode=mode, replay_queue=1, stuck_exit_s=0.5, camera_info_wait_s=0.0)
    images = rig.publisher(Image, 'image')
    rig.extractors.gate.clear()
    for number in range(4):  # in a lossless run the callback itself waits for the worker
        images.publish(rig.image(number))
    sentence = r'the worker has been busy with one image for more than 0\.5 s \(stuck_exit_s\): this process ends'
    with pytest.raises(BackendError, match=sentence):
        rig.spin_until(lambda: False)


def test_an_image_that_fails_unexpectedly_is_one_line_and_the_next_one_is_processed(rig: Rig) -> None:
    rig.start()
    lines = rig.collect_warnings()
    statuses, keypoints = rig.listen(FrontendStatus, 'status'), rig.listen(KeypointArray, 'keypoints')
    images = rig.publisher(Image, 'image')
    rig.spin_until(lambda: rig.node.outputs.publishers['keypoints'].get_subscription_count() > 0)
    rig.play(images, range(2), statuses)
    for number in range(2, 5):
        rig.extractors.surprises.append(ZeroDivisionError('division\nby zero'))
        images.publish(rig.image(number))
        rig.spin_until(lambda number=number: rig.node.worker.counts().dropped == number - 1)
    rig.play(images, [5, 6], statuses)
    (line,) = [line for line in lines if 'ZeroDivisionError' in line]
    assert re.fullmatch(r'image dropped: unexpected ZeroDivisionError at conftest\.py:\d+: division by zero', line)
    assert statuses[2].reason == 'there is no reference yet'  # what it left behind half-way is not gone on with
    assert (statuses[-1].frames_processed, statuses[-1].frames_dropped) == (4, 3)
    rig.spin_until(lambda: len(keypoints) == 4)
    assert min(keypoints[2].track_ids) > max(keypoints[1].track_ids)


def test_large_images_are_worked_on_smaller_and_it_is_said_once(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.start(max_side_px=140)
    statuses, keypoints = rig.listen(FrontendStatus, 'status'), rig.listen(KeypointArray, 'keypoints')
    images = rig.publisher(Image, 'image')
    rig.spin_until(lambda: rig.node.outputs.publishers['keypoints'].get_subscription_count() > 0)
    with caplog.at_level('INFO', 'kp2d_ros'):
        rig.play(images, range(3), statuses)
    said = [r.getMessage() for r in caplog.records if 'worked on' in r.getMessage()]
    assert said == ['images of 160x120 are worked on at 140x105: max_side_px is 140']
    assert (statuses[-1].working_width, statuses[-1].working_height) == (140, 105)
    rig.spin_until(lambda: len(keypoints) == 3)
    assert max(keypoints[-1].xy[::2]) > 110  # pixels of the image as it was received
    assert (keypoints[-1].width, keypoints[-1].height) == (160, 120)


def test_ends_even_if_the_worker_hangs(rig: Rig) -> None:
    rig.start()
    images = rig.publisher(Image, 'image')
    rig.extractors.gate.clear()
    entered = rig.extractors.entered
    images.publish(rig.image(0))
    rig.spin_until(lambda: rig.extractors.entered > entered)
    rig.node.destroy_node()
    rig.node = None
    assert rig.extractors.finished == 2  # of two images to warm it: it hangs still
