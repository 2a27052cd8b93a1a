# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The node with a stereo rig or a depth camera, over real DDS: metres, and what it says where they cannot be.
"""

from __future__ import annotations

import gc
import weakref
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from geometry_msgs.msg import TransformStamped  # noqa: E402
from lifecycle_msgs.msg import State  # noqa: E402
from nav_msgs.msg import Odometry  # noqa: E402
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2  # noqa: E402

from kp2d_ros.msg import FrontendStatus, RelativePose  # noqa: E402
from kp2d_ros.ros.conversions import header_from, ns_from_time  # noqa: E402

if TYPE_CHECKING:
    from test.ros.conftest import Rig

MS = 10**6
STEP_NS = 50 * MS
STEP_M = 0.1  # of the camera from image to image, to its right
FOCAL_PX = 150.0
APART = 3  # steps from the left camera to the right one
DEPTHS_M = (FOCAL_PX * STEP_M / 2, FOCAL_PX * STEP_M / 4)  # of the upper and the lower plane, which move by 2 and 4 px


def depth_mm() -> NDArray[np.uint16]:
    depth = np.empty((120, 160), np.uint16)
    depth[:60], depth[60:] = (round(1e3 * metres) for metres in DEPTHS_M)
    return depth


class Sensor:
    """
    What a stereo rig or a depth camera publishes.
    """

    def __init__(self, rig: Rig, sensor: str, baseline: float = APART * STEP_M, qos: int = 50) -> None:
        self.rig = rig
        self.sensor = sensor
        self.statuses = rig.listen(FrontendStatus, 'status', 500)
        self.warnings = rig.collect_warnings()
        self.baseline = baseline
        self.partner_topic = 'right/image' if sensor == 'stereo' else 'depth/image'
        self.images = rig.publisher(Image, 'image', qos)
        self.partners = rig.publisher(Image, self.partner_topic, qos)
        self.infos = rig.publisher(CameraInfo, 'camera_info')
        self.right_infos = rig.publisher(CameraInfo, 'right/camera_info') if sensor == 'stereo' else None

    def send_infos(self) -> None:
        """
        Both calibrations, until they are there.
        """

        def are_known() -> bool:
            self.infos.publish(self.rig.camera_info())
            if self.right_infos is not None:
                info = self.rig.camera_info()
                info.header.frame_id = 'right_camera'
                info.p[3] = -FOCAL_PX * self.baseline
                self.right_infos.publish(info)
            return bool(self.rig.node.inputs.calibrations.wait(0.0))

        self.rig.spin_until(are_known)

    def partner(self, number: int, stamp_ns: int) -> Image:
        if self.sensor == 'stereo':
            return self.rig.image(number + APART, header=header_from(stamp_ns, 'right_camera'))
        depth = depth_mm()
        fields = {'encoding': '16UC1', 'height': 120, 'width': 160, 'step': 320, 'data': depth.tobytes()}
        return Image(header=header_from(stamp_ns, 'camera'), **fields)

    def send(self, number: int, late_ns: int = 0) -> None:
        """
        What is seen at a moment; the stamp of the partner is later by so much.
        """
        image = self.rig.image(number)
        self.images.publish(image)
        self.partners.publish(self.partner(number, ns_from_time(image.header.stamp) + late_ns))

    def play(self, numbers: Any, late_ns: int = 0) -> None:
        for number in numbers:
            before = len(self.statuses)
            self.send(number, late_ns)
            self.rig.spin_until(lambda before=before: len(self.statuses) > before)

    def spin(self, is_true: Any, late_ns: int = 0, share: int = 1) -> None:
        """
        Go on at the pace of the sensor until something is so; only each ``share``-th partner comes, none if that is 0.
        """
        count, began = 0, monotonic()

        def go_on() -> bool:
            nonlocal count
            if monotonic() - began > count * STEP_NS * 1e-9:
                image = self.rig.image(count)
                self.images.publish(image)
                if share and count % share == 0:
                    self.partners.publish(self.partner(count, ns_from_time(image.header.stamp) + late_ns))
                count += 1
            return bool(is_true())

        self.rig.spin_until(go_on, timeout=20.0)


def said(reports: list[Any], words: str) -> Any:
    """
    The first diagnosis that holds these words, None if there is none.
    """
    return next((r.status[0] for r in reports if words in r.status[0].message), None)


@pytest.fixture(params=['stereo', 'rgbd'])
def sensor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_way_comes_out_in_metres(rig: Rig, sensor: str) -> None:
    rig.start(mode='replay', sensor=sensor, rgbd__max_depth=20.0)
    odometry, poses = rig.listen(Odometry, 'odometry'), rig.listen(RelativePose, 'relative_pose')
    clouds = rig.listen(PointCloud2, 'points')
    scene = Sensor(rig, sensor)
    rig.spin_until(lambda: all(rig.node.outputs.publishers[t].get_subscription_count() for t in ('odometry', 'points')))
    scene.send_infos()
    scene.play(range(10))
    rig.spin_until(lambda: len(poses) == 9 and len(odometry) == len(clouds) == 9)
    assert {pose.scale for pose in poses} == {RelativePose.SCALE_METRIC}
    assert {pose.scale_segment for pose in poses} == {0}
    assert [pose.state for pose in poses] == [RelativePose.OK] * 9
    position, speed = odometry[-1].pose.pose.position, odometry[-1].twist.twist.linear
    assert (odometry[-1].header.frame_id, odometry[-1].child_frame_id) == ('odom', 'base_link')
    # To its right: along -y of a base that looks along x.
    assert position.y == pytest.approx(-9 * STEP_M, rel=0.03)
    assert max(abs(position.x), abs(position.z)) < 0.05
    assert speed.y == pytest.approx(-STEP_M / (STEP_NS * 1e-9), rel=0.1)
    covariance = np.reshape(odometry[-1].pose.covariance, (6, 6))
    assert 0 < np.diag(covariance).min() <= np.diag(covariance).max() < 1.0
    raw = np.frombuffer(bytes(clouds[-1].data), np.float32).reshape(-1, 5)
    assert clouds[-1].header.frame_id == 'odom'
    assert len(raw) > 20
    near_planes = np.min(np.abs(raw[:, :1] - np.array([DEPTHS_M])), axis=1)
    assert np.median(near_planes) < 0.3
    status = scene.statuses[-1]
    assert (status.frames_received, status.frames_processed, status.frames_dropped) == (10, 10, 0)
    assert status.depth_ms > 0


def test_on_loss_the_pose_holds_still_with_a_growing_covariance_and_goes_on_afterwards(rig: Rig, sensor: str) -> None:
    rig.start(mode='replay', sensor=sensor, rgbd__max_depth=20.0)
    odometry = rig.listen(Odometry, 'odometry')
    scene = Sensor(rig, sensor)
    rig.spin_until(rig.node.outputs.publishers['odometry'].get_subscription_count)
    scene.send_infos()
    scene.play(range(6))
    blank = np.full((120, 160), 12, np.uint8).tobytes()
    for number in range(6, 9):
        image = rig.image(number, data=blank)
        scene.images.publish(image)
        scene.partners.publish(scene.partner(number, ns_from_time(image.header.stamp)))
        rig.spin_until(lambda number=number: len(scene.statuses) == number + 1)
    scene.play(range(9, 12))
    rig.spin_until(lambda: len(odometry) == 11)
    way = [message.pose.pose.position.y for message in odometry]
    assert scene.statuses[6].state == FrontendStatus.LOST
    assert way[5] == way[6] == way[7] == way[4]
    variances = [message.pose.covariance[0] for message in odometry]
    assert variances[4] < variances[5] < variances[6] < variances[7] < 9999
    assert way[8] == pytest.approx(-9 * STEP_M, rel=0.05)
    assert odometry[8].twist.twist.linear.y == pytest.approx(-2.0, rel=0.1)  # over the whole time without a pose
    assert variances[8] < variances[7]


def test_one_silent_topic_is_named(rig: Rig, sensor: str) -> None:
    rig.start(sensor=sensor, no_output_s=0.5)
    reports = rig.listen(DiagnosticArray, '/diagnostics')
    scene = Sensor(rig, sensor)
    words = f'/image arrives, but of what belongs to it nothing: /{scene.partner_topic} has a publisher (/neighbour)'
    scene.spin(lambda: said(reports, words), share=0)
    assert said(reports, words).level == DiagnosticStatus.ERROR
    assert any(f'no output: {words}' in line for line in scene.warnings)


def test_a_partner_at_a_third_of_the_rate_is_said_with_both_rates(rig: Rig) -> None:
    rig.start(sensor='stereo', no_output_s=0.5)
    reports = rig.listen(DiagnosticArray, '/diagnostics')
    scene = Sensor(rig, 'stereo')
    scene.send_infos()
    words = '/image comes at 20.0 Hz, /right/image at 6.7 Hz'
    scene.spin(lambda: said(reports, words), share=3)
    assert said(reports, words).level == DiagnosticStatus.WARN
    assert 'of the messages have no partner' in said(reports, words).message
    status = scene.statuses[-1]
    assert status.frames_received > 2 * status.frames_processed
    assert status.frames_dropped >= status.frames_received - status.frames_processed - 1


@pytest.mark.parametrize(
    ('sensor', 'late_ms', 'limit'),
    [('stereo', 15, 'but must be equal'), ('rgbd', 22, 'more than sync_tolerance_s (0.02 s)')],
)
def test_pairs_that_never_match_are_told_with_their_offset(rig: Rig, sensor: str, late_ms: int, limit: str) -> None:
    rig.start(sensor=sensor, no_output_s=0.5)
    reports = rig.listen(DiagnosticArray, '/diagnostics')
    scene = Sensor(rig, sensor)
    words = f'{late_ms}.0 ms later (median), {limit}'
    scene.spin(lambda: said(reports, words), late_ns=late_ms * MS)
    status = said(reports, words)
    assert status.level == DiagnosticStatus.ERROR
    assert f'/image and /{scene.partner_topic} arrive, but no two messages belong together' in status.message
    assert 'or approx_sync:=approximate' in status.message
    before = len(reports)
    scene.spin(lambda: len(reports) > before + 2, late_ns=(late_ms + 1) * MS)
    assert len([line for line in scene.warnings if 'belong together' in line]) == 1  # whatever the numbers


def test_a_large_offset_that_is_allowed_is_warned_of(rig: Rig) -> None:
    rig.start(sensor='stereo', no_output_s=0.5, approx_sync='approximate', sync_tolerance_s=0.024)
    reports = rig.listen(DiagnosticArray, '/diagnostics')
    scene = Sensor(rig, 'stereo')
    scene.send_infos()
    words = 'the stamps of /right/image are 22.0 ms earlier than those of /image'
    scene.spin(lambda: said(reports, words), late_ns=-22 * MS)
    assert said(reports, words).level == DiagnosticStatus.WARN


def test_a_recording_that_is_played_again_goes_on_without_losing_a_pair(rig: Rig, sensor: str) -> None:
    rig.start(mode='replay', sensor=sensor)
    poses = rig.listen(RelativePose, 'relative_pose', 500)
    scene = Sensor(rig, sensor)
    rig.spin_until(rig.node.outputs.publishers['relative_pose'].get_subscription_count)
    scene.send_infos()
    for _ in range(3):
        for number in range(100, 115):
            scene.send(number)
    rig.spin_until(lambda: len(scene.statuses) == 45, timeout=30.0)
    rig.spin_until(lambda: len(poses) == 42)
    runs = [[(m.reference_from_current, m.state) for m in poses[first : first + 14]] for first in (0, 14, 28)]
    assert runs[0] == runs[1] == runs[2]
    assert [line for line in scene.warnings if 'time went back' in line]
    assert scene.statuses[-1].frames_dropped == 0


def test_sensors_are_exchanged_by_configuring_anew(rig: Rig) -> None:
    rig.start(sensor='stereo', rgbd__max_depth=20.0)
    scene = Sensor(rig, 'stereo')
    scene.send_infos()
    scene.play(range(3))
    assert not rig.set_parameters(sensor='rgbd').successful
    rig.node.trigger_deactivate()
    rig.node.trigger_cleanup()
    assert rig.set_parameters(sensor='rgbd').successful
    for publisher in (scene.images, scene.partners, scene.infos, scene.right_infos):
        rig.neighbour.destroy_publisher(publisher)
    rig.node.start()
    assert rig.node._state_machine.current_state[0] == State.PRIMARY_STATE_ACTIVE
    depth = Sensor(rig, 'rgbd')
    poses = rig.listen(RelativePose, 'relative_pose')
    rig.spin_until(rig.node.outputs.publishers['relative_pose'].get_subscription_count)
    depth.send_infos()
    depth.play(range(3))
    rig.spin_until(lambda: len(poses) == 2)
    assert poses[-1].state == RelativePose.OK


def test_nothing_of_a_metric_configuration_outlives_its_cleanup(rig: Rig, sensor: str) -> None:
    node = rig.start(sensor=sensor)
    scene = Sensor(rig, sensor)
    scene.send_infos()
    scene.play(range(2))
    gc.collect()
    gc.disable()
    try:
        kept = [weakref.ref(each) for each in (node.inputs, node.worker, node.engine, node.outputs)]
        node.trigger_deactivate()
        node.trigger_cleanup()
        assert [ref() for ref in kept] == [None] * len(kept)
    finally:
        gc.enable()


def test_without_a_baseline_keypoints_flow_and_the_pose_says_what_is_missing(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.start(sensor='stereo', no_output_s=0.5)
    poses, reports = rig.listen(RelativePose, 'relative_pose'), rig.listen(DiagnosticArray, '/diagnostics')
    scene = Sensor(rig, 'stereo', baseline=0.0)
    rig.spin_until(rig.node.outputs.publishers['relative_pose'].get_subscription_count)
    scene.infos.publish(rig.camera_info())
    scene.play(range(2))
    rig.spin_until(lambda: len(poses) == 1)
    assert poses[0].reason == 'right camera: no camera_info has arrived on /right/camera_info'
    scene.send_infos()
    rig.spin_until(lambda: not rig.node.inputs.calibrations._is_waiting)
    scene.play(range(2, 4))
    rig.spin_until(lambda: len(poses) == 3)
    assert poses[-1].state == RelativePose.INITIALISING
    assert 'the baseline is 0: P[3] is 0 in the calibration of the right camera' in poses[-1].reason
    assert 'set the parameter baseline' in poses[-1].reason
    scene.spin(lambda: said(reports, 'set the parameter baseline'))


def test_a_baseline_of_the_parameter_counts_where_nobody_else_says_it(rig: Rig) -> None:
    rig.start(mode='replay', sensor='stereo', baseline=APART * STEP_M)
    odometry = rig.listen(Odometry, 'odometry')
    scene = Sensor(rig, 'stereo', baseline=0.0)
    rig.spin_until(rig.node.outputs.publishers['odometry'].get_subscription_count)
    scene.send_infos()
    scene.play(range(4))
    rig.spin_until(lambda: len(odometry) == 3)
    assert odometry[-1].pose.pose.position.y == pytest.approx(-3 * STEP_M, rel=0.05)


def test_a_baseline_comes_from_tf_where_p_does_not_say_it(rig: Rig) -> None:
    tf2_ros = pytest.importorskip('tf2_ros', reason='needs the ROS package tf2_ros', exc_type=ImportError)
    place = TransformStamped(child_frame_id='right_camera')
    place.header.frame_id = 'camera'
    place.transform.translation.x, place.transform.rotation.w = APART * STEP_M, 1.0
    broadcaster = tf2_ros.StaticTransformBroadcaster(rig.neighbour)
    broadcaster.sendTransform(place)
    rig.start(sensor='stereo', mode='replay', baseline=5.0)
    odometry = rig.listen(Odometry, 'odometry')
    scene = Sensor(rig, 'stereo', baseline=0.0)
    rig.spin_until(rig.node.outputs.publishers['odometry'].get_subscription_count)
    scene.send_infos()
    scene.play(range(4))
    rig.spin_until(lambda: len(odometry) == 3)
    assert odometry[-1].pose.pose.position.y == pytest.approx(-3 * STEP_M, rel=0.05)


def test_a_baseline_of_more_than_ten_metres_is_warned_of(rig: Rig) -> None:
    rig.start(sensor='stereo', no_output_s=0.5)
    reports = rig.listen(DiagnosticArray, '/diagnostics')
    scene = Sensor(rig, 'stereo', baseline=300.0)
    scene.send_infos()
    scene.spin(lambda: said(reports, 'the baseline is 300 m, expected less than 10 m'))


def test_depth_of_other_encodings_and_transports_is_taken(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    import cv2

    rig.start(sensor='rgbd')
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image')
    depths = rig.publisher(CompressedImage, 'depth/image/compressedDepth')
    _, png = cv2.imencode('.png', depth_mm())
    packed = CompressedImage(format='16UC1; compressedDepth png', data=bytes(12) + png.tobytes())
    packed.header = rig.image(0).header
    images.publish(rig.image(0))
    depths.publish(packed)
    rig.spin_until(lambda: len(statuses) == 1)
    rig.neighbour.destroy_publisher(depths)
    raw = rig.publisher(Image, 'depth/image')
    fields = {'encoding': 'mono16', 'height': 120, 'width': 160, 'step': 320, 'data': depth_mm().tobytes()}
    with caplog.at_level('WARNING', 'kp2d_ros'):
        for number in (1, 2):
            images.publish(rig.image(number))
            raw.publish(Image(header=rig.image(number).header, **fields))
            rig.spin_until(lambda number=number: len(statuses) == number + 1)
    assert len([r for r in caplog.records if 'depth comes as mono16' in r.getMessage()]) == 1
    assert statuses[-1].frames_dropped == 0
    lines = rig.collect_warnings()
    images.publish(rig.image(3))
    raw.publish(rig.image(3))
    rig.spin_until(lambda: any('image dropped' in line and 'mono8' in line for line in lines))
