# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The node in this process, over real DDS.
"""

from time import monotonic

import cv2
import numpy as np
import pytest

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from nav_msgs.msg import Odometry  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import CameraInfo, CompressedImage, Image  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from kp2d_ros.msg import FrontendStatus, KeypointArray, MatchArray, RelativePose  # noqa: E402
from kp2d_ros.ros.conversions import header_from, ns_from_time, time_from_ns  # noqa: E402

RELIABLE = QoSProfile(reliability=ReliabilityPolicy.RELIABLE, depth=50)
BEST_EFFORT = QoSProfile(reliability=ReliabilityPolicy.BEST_EFFORT, depth=50)
LATCHED = QoSProfile(
    reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL, depth=1
)


def play(rig, publisher, numbers, statuses, camera_info=None):
    """
    Images one by one, each when the last one was answered.
    """
    for number in numbers:
        if camera_info is not None:
            camera_info.publish(rig.camera_info(number))
        before = len(statuses)
        publisher.publish(rig.image(number))
        rig.spin_until(lambda before=before: len(statuses) > before)


def test_images_go_in_and_everything_comes_out(rig):
    rig.start(odometry='unit')
    statuses, keypoints = rig.listen(FrontendStatus, 'status'), rig.listen(KeypointArray, 'keypoints')
    matches, poses = rig.listen(MatchArray, 'matches'), rig.listen(RelativePose, 'relative_pose')
    odometry, pictures = rig.listen(Odometry, 'odometry'), rig.listen(Image, 'debug_image')
    images = rig.publisher(Image, 'image')
    camera_info = rig.publish_camera_info(lambda c: c.has_arrived)
    rig.spin_until(lambda: all(p.get_subscription_count() for p in rig.node._outputs._publishers.values()))
    rig.spin_until(lambda: not rig.node._outputs._transforms.is_pending('camera'))
    play(rig, images, range(8), statuses, camera_info)
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


def test_nothing_is_made_without_a_subscriber(rig, monkeypatch):
    rig.start()
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image')
    for name in ('keypoints_message', 'matches_message', 'relative_pose_message', 'draw_result'):
        monkeypatch.setattr(f'kp2d_ros.ros.outputs.{name}', None)
    play(rig, images, range(3), statuses)
    assert statuses[-1].frames_processed == 3


def test_keypoints_flow_without_calibration_and_poses_say_why_there_are_none(rig):
    rig.start()
    statuses, poses = rig.listen(FrontendStatus, 'status'), rig.listen(RelativePose, 'relative_pose')
    keypoints = rig.listen(KeypointArray, 'keypoints')
    images = rig.publisher(Image, 'image')
    rig.spin_until(lambda: rig.node._outputs._publishers['relative_pose'].get_subscription_count() > 0)
    play(rig, images, range(3), statuses)
    rig.spin_until(lambda: len(poses) == 2 and len(keypoints) == 3)
    assert poses[-1].state == RelativePose.INITIALISING
    assert poses[-1].reason == 'no camera_info has arrived on /camera_info'
    assert poses[-1].reference_from_current.covariance[0] >= 1e6
    assert len(keypoints[-1].bearing_xy) == 0
    rig.publish_camera_info(lambda c: c.has_arrived, k=[0.0] * 9)
    play(rig, images, [3], statuses)
    rig.spin_until(lambda: len(poses) == 3)
    assert 'K[0] == 0' in poses[-1].reason
    rig.publish_camera_info(lambda c: '320x240' in c.calibration_for(160, 120).reason, width=320, height=240)
    play(rig, images, [4], statuses)
    rig.spin_until(lambda: len(poses) == 4)
    assert poses[-1].reason == 'camera_info is for 320x240 images, but this one is 160x120'


def test_newest_image_wins_and_drops_are_counted(rig):
    rig.start()
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image', RELIABLE)
    play(rig, images, [0], statuses)
    rig.extractors.gate.clear()
    entered = rig.extractors.entered
    images.publish(rig.image(1))
    rig.spin_until(lambda: rig.extractors.entered > entered)
    for number in range(2, 12):
        images.publish(rig.image(number))
        rig.spin_until(lambda number=number: rig.node.session.counts().received == number + 1)
    rig.extractors.gate.set()
    rig.spin_until(lambda: len(statuses) == 3)
    assert ns_from_time(statuses[-1].header.stamp) == ns_from_time(rig.image(11).header.stamp)
    status = statuses[-1]
    assert (status.frames_received, status.frames_processed, status.frames_dropped) == (12, 3, 9)


def test_images_that_the_middleware_replaced_are_counted_as_dropped(rig):
    rig.start()
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image', BEST_EFFORT)
    play(rig, images, [0], statuses)
    for number in range(1, 6):  # nobody spins: the subscription keeps the newest
        images.publish(rig.image(number))
    rig.spin_until(lambda: len(statuses) == 2)
    status = statuses[-1]
    assert (status.frames_received, status.frames_processed, status.frames_dropped) == (6, 2, 4)


def test_replay_loses_nothing_and_gives_the_same_twice(rig):
    rig.start(mode='replay', replay_queue=2)
    statuses, keypoints = rig.listen(FrontendStatus, 'status', 200), rig.listen(KeypointArray, 'keypoints', 200)
    poses = rig.listen(RelativePose, 'relative_pose', 200)
    images = rig.publisher(Image, 'image', QoSProfile(reliability=ReliabilityPolicy.RELIABLE, depth=200))
    rig.publish_camera_info(lambda c: c.has_arrived)
    rig.spin_until(lambda: rig.node._outputs._publishers['relative_pose'].get_subscription_count() > 0)
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


def test_first_image_of_a_replay_waits_for_its_calibration(rig):
    rig.start(mode='replay')
    statuses, keypoints = rig.listen(FrontendStatus, 'status'), rig.listen(KeypointArray, 'keypoints')
    images, camera_info = rig.publisher(Image, 'image'), rig.publisher(CameraInfo, 'camera_info')
    images.publish(rig.image(0))
    rig.spin_until(lambda: rig.node.session.counts().received == 1)
    camera_info.publish(rig.camera_info())
    rig.spin_until(lambda: len(statuses) == len(keypoints) == 1)
    assert len(keypoints[0].bearing_xy) == len(keypoints[0].xy) > 0


def test_follows_publishers_of_compressed_images(rig):
    rig.start()
    statuses = rig.listen(FrontendStatus, 'status')
    images = rig.publisher(CompressedImage, 'image/compressed')
    _, data = cv2.imencode('.png', rig.pattern.view(0))
    images.publish(CompressedImage(header=header_from(1, 'camera'), format='png', data=data.tobytes()))
    rig.spin_until(lambda: len(statuses) == 1)
    rig.neighbour.destroy_publisher(images)
    raw = rig.publisher(Image, 'image')
    play(rig, raw, [1], statuses)


def test_takes_compressed_images_on_the_image_topic_itself(rig):
    rig.start()
    statuses = rig.listen(FrontendStatus, 'status')
    images = rig.publisher(CompressedImage, 'image')
    _, data = cv2.imencode('.jpg', rig.pattern.view(0))
    images.publish(CompressedImage(header=header_from(1, 'camera'), format='jpeg', data=data.tobytes()))
    rig.spin_until(lambda: len(statuses) == 1)


def test_a_latched_calibration_from_before_the_node_is_used(rig):
    camera_info = rig.neighbour.create_publisher(CameraInfo, 'camera_info', LATCHED)
    camera_info.publish(rig.camera_info())
    rig.start()
    rig.spin_until(lambda: rig.node.session.facts('active').camera_info.received > 0)


def test_restarted_recording_begins_anew_with_one_line(rig):
    rig.start()
    lines = collect_warnings(rig)
    statuses = rig.listen(FrontendStatus, 'status')
    rig.listen(RelativePose, 'relative_pose')
    keypoints = rig.listen(KeypointArray, 'keypoints')
    images = rig.publisher(Image, 'image')
    camera_info = rig.publish_camera_info(lambda c: c.has_arrived)
    rig.spin_until(lambda: rig.node._outputs._publishers['relative_pose'].get_subscription_count() > 0)
    play(rig, images, range(100, 104), statuses, camera_info)
    play(rig, images, range(4), statuses, camera_info)
    rig.spin_until(lambda: len(keypoints) == 8)
    assert statuses[4].reason == 'there is no reference yet'
    assert [line for line in lines if 'time went back' in line] == ['time went back by 5.150 s: beginning anew']
    assert min(keypoints[4].track_ids) > max(keypoints[3].track_ids)  # a number is never used again
    assert statuses[-1].frames_processed == 8


def test_late_and_repeated_images_are_dropped(rig):
    rig.start()
    lines = collect_warnings(rig)
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image')
    play(rig, images, [5], statuses)
    images.publish(rig.image(4))
    rig.spin_until(lambda: rig.node.session.counts().dropped == 1)
    images.publish(rig.image(5))
    rig.spin_until(lambda: rig.node.session.counts().dropped == 2)
    play(rig, images, [6], statuses)
    assert [line for line in lines if 'not newer' in line] == [
        'image dropped: its stamp is not newer than the last (0.050 s back)'
    ]


def test_zero_stamps_are_replaced_by_the_time_of_arrival(rig):
    rig.start()
    lines = collect_warnings(rig)
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image')
    for number in range(3):
        images.publish(rig.image(number, header=header_from(0, 'camera')))
        rig.spin_until(lambda number=number: len(statuses) == number + 1)
    stamps = [ns_from_time(m.header.stamp) for m in statuses]
    assert stamps == sorted(stamps)
    assert stamps[0] > 10**18
    assert len([line for line in lines if 'stamp of zero' in line]) == 1


def test_reset_begins_at_zero_again(rig):
    rig.start()
    statuses, keypoints = rig.listen(FrontendStatus, 'status'), rig.listen(KeypointArray, 'keypoints')
    images = rig.publisher(Image, 'image')
    rig.spin_until(lambda: rig.node._outputs._publishers['keypoints'].get_subscription_count() > 0)
    play(rig, images, range(3), statuses)
    response = rig.call(Trigger, '/frontend/reset', Trigger.Request())
    assert response.success
    assert 'next image' in response.message
    play(rig, images, [3], statuses)
    rig.spin_until(lambda: len(keypoints) == 4)
    assert min(keypoints[3].track_ids) == 0
    assert max(keypoints[3].track_ages) == 0


def test_a_stuck_worker_is_replaced_and_diagnosed(rig):
    rig.start(watchdog_s=0.5)
    statuses, reports = rig.listen(FrontendStatus, 'status'), rig.listen(DiagnosticArray, '/diagnostics')
    images = rig.publisher(Image, 'image')
    play(rig, images, [0], statuses)
    stuck = rig.extractors.gate
    stuck.clear()
    images.publish(rig.image(1))
    entered = rig.extractors.entered
    rig.spin_until(lambda: rig.extractors.entered > entered)
    rig.extractors.gate = type(stuck)()  # for extractors that are built from here on
    rig.extractors.gate.set()
    rig.spin_until(lambda: len(rig.extractors.configs) == 2)
    play(rig, images, [2], statuses)
    rig.spin_until(lambda: any(r.status[0].level == DiagnosticStatus.ERROR for r in reports))
    report = next(r for r in reports if r.status[0].level == DiagnosticStatus.ERROR)
    assert report.status[0].message == 'the worker has been busy with one image for more than 0.5 s'
    finished = rig.extractors.finished
    stuck.set()
    rig.spin_until(lambda: rig.extractors.finished > finished)
    play(rig, images, [3], statuses)
    assert [ns_from_time(s.header.stamp) for s in statuses] == [
        ns_from_time(rig.image(n).header.stamp) for n in (0, 2, 3)  # what the stuck one found late is thrown away
    ]
    assert (statuses[-1].frames_processed, statuses[-1].frames_dropped) == (3, 1)


def test_says_why_nothing_comes_out(rig):
    rig.start(no_output_s=0.5)
    reports, lines = rig.listen(DiagnosticArray, '/diagnostics'), collect_warnings(rig)
    other = rig.neighbour.create_publisher(Image, 'camera/image_raw', 1)
    expected = 'no publisher on /image; image topics that exist: /camera/image_raw (remap with'
    rig.spin_until(lambda: any(r.status[0].message.startswith(expected) for r in reports))
    assert reports[-1].status[0].level == DiagnosticStatus.ERROR
    assert len([line for line in lines if 'no publisher on /image' in line]) == 1
    rig.neighbour.destroy_publisher(other)


def test_says_which_policies_do_not_fit_if_the_user_overrides_them(rig):
    rig.start(no_output_s=0.5, **{'qos_overrides./image.subscription.reliability': 'reliable'})
    reports = rig.listen(DiagnosticArray, '/diagnostics')
    rig.neighbour.create_publisher(Image, 'image', BEST_EFFORT)
    rig.spin_until(lambda: any('incompatible QoS' in r.status[0].message for r in reports))
    message = next(m for m in (r.status[0].message for r in reports) if 'incompatible QoS' in m)
    assert 'reliability: offered best_effort, requested reliable' in message
    assert '/neighbour offers best_effort, volatile, this node requests reliable, volatile' in message


def test_subscribes_as_the_publishers_offer(rig):
    rig.start(mode='replay')
    statuses = rig.listen(FrontendStatus, 'status')
    subscription = rig.node.session._inputs._image
    assert subscription.qos.reliability == ReliabilityPolicy.RELIABLE
    images = rig.publisher(Image, 'image', BEST_EFFORT)
    assert subscription.qos.reliability == ReliabilityPolicy.BEST_EFFORT
    rig.publish_camera_info(lambda c: c.has_arrived)
    play(rig, images, [0], statuses)


def collect_warnings(rig):
    """
    What the node says about images from here on.
    """
    lines = []
    rig.node.session.log._say = lines.append
    logger = rig.node.get_logger()
    rig.node.get_logger = lambda: Listening(logger, lines)
    return lines


class Listening:
    """
    A logger somebody listens to.
    """

    def __init__(self, logger, lines):
        self._logger, self._lines = logger, lines

    def __getattr__(self, severity):
        def say(text):
            self._lines.append(text)
            getattr(self._logger, severity)(text)

        return say


def test_images_of_changing_size_are_taken_as_they_come(rig):
    rig.start()
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image')
    play(rig, images, range(2), statuses)
    small = rig.image(2)
    pixels = np.frombuffer(small.data, np.uint8).reshape(120, 160)[:90, :100]
    small.height, small.width, small.step, small.data = 90, 100, 100, pixels.tobytes()
    images.publish(small)
    rig.spin_until(lambda: len(statuses) == 3)
    play(rig, images, [3], statuses)
    assert statuses[-1].frames_dropped == 0


def test_ends_quickly_even_if_the_worker_hangs(rig):
    rig.start()
    images = rig.publisher(Image, 'image')
    rig.extractors.gate.clear()
    entered = rig.extractors.entered
    images.publish(rig.image(0))
    rig.spin_until(lambda: rig.extractors.entered > entered)
    begin = monotonic()
    rig.node.destroy_node()
    rig.node = None
    assert monotonic() - begin < 2.0


def test_begins_anew_when_the_simulated_clock_goes_back(rig):
    rig.start(use_sim_time=True)
    lines = collect_warnings(rig)
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image')
    clock = rig.publisher(Clock, '/clock')

    def set_clock(seconds):
        clock.publish(Clock(clock=time_from_ns(seconds * 10**9)))
        return rig.node.get_clock().now().nanoseconds == seconds * 10**9

    rig.spin_until(lambda: set_clock(100))
    play(rig, images, range(5, 8), statuses)
    rig.spin_until(lambda: set_clock(1))
    play(rig, images, range(2), statuses)
    assert statuses[3].reason == 'there is no reference yet'
    assert statuses[4].reason != 'there is no reference yet'
    assert [line for line in lines if 'went back' in line] == ['the clock went back by 99.000 s: beginning anew']


def test_says_that_nobody_publishes_the_simulated_clock(rig):
    rig.start(use_sim_time=True, no_output_s=0.5)
    reports = rig.listen(DiagnosticArray, '/diagnostics')
    rig.spin_until(lambda: any('nothing publishes /clock' in r.status[0].message for r in reports))


def test_a_worker_that_is_slow_at_first_gets_more_time_each_time(rig):
    rig.start(watchdog_s=0.5)
    patience = rig.node.session._patience
    rig.node.session._replacements = 3
    assert patience() == 4.0
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image')
    play(rig, images, [0], statuses)
    assert patience() == 0.5
