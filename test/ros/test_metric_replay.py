# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A bag of a stereo rig or a depth camera: over DDS through the node in replay mode it comes to what it does offline.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kp2d_ros.inference.classical import ClassicalExtractor
from kp2d_ros.inference.extractor import ExtractorConfig
from kp2d_ros.inference.pipeline import build_frontend
from kp2d_ros.recordings.bag_writer import BagConfig, write_bag
from kp2d_ros.recordings.sources import open_sequence
from kp2d_ros.simulation.scene import SimulatedSequence

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
rosbag2 = pytest.importorskip('rosbags.rosbag2', reason='needs rosbags')
pytestmark = pytest.mark.ros

from nav_msgs.msg import Odometry  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402
from sensor_msgs.msg import CameraInfo, CompressedImage, Image  # noqa: E402

from kp2d_ros.msg import FrontendStatus, KeypointArray, RelativePose  # noqa: E402
from kp2d_ros.ros.conversions import header_from, relative_pose_message  # noqa: E402
from kp2d_ros.ros.node_config import NodeConfig  # noqa: E402
from kp2d_ros.ros.odometry_chain import OdometryChain  # noqa: E402
from kp2d_ros.ros.outputs import odometry_message  # noqa: E402

if TYPE_CHECKING:
    from test.ros.conftest import Rig

FRAMES = 7
NAMES = {
    'stereo': {
        '/stereo/left/image_raw': 'image',
        '/stereo/left/camera_info': 'camera_info',
        '/stereo/right/image_raw': 'right/image',
        '/stereo/right/camera_info': 'right/camera_info',
    },
    'rgbd': {
        '/camera/color/image_raw': 'image',
        '/camera/color/camera_info': 'camera_info',
        '/camera/depth/image_raw': 'depth/image',
    },
}
KINDS = {'Image': Image, 'CameraInfo': CameraInfo, 'CompressedImage': CompressedImage}
PLENTY = QoSProfile(reliability=ReliabilityPolicy.RELIABLE, depth=200)


@pytest.fixture(params=['stereo', 'rgbd'])
def sensor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=['', 'png'])
def bag(
    sensor: str, request: pytest.FixtureRequest, simulate: Callable[..., SimulatedSequence], tmp_path: Path
) -> Path:
    scene = simulate(sensor=sensor, frames=FRAMES, width=320, height=240, baseline=0.2, blank_first=4, blank_frames=1)
    write_bag(tmp_path / 'bag', scene, BagConfig(compression=request.param))
    return tmp_path / 'bag'


class Outputs:
    """
    What the node publishes of a whole sequence.
    """

    def __init__(self, rig: Rig) -> None:
        self.statuses = rig.listen(FrontendStatus, 'status', 200)
        self.keypoints = rig.listen(KeypointArray, 'keypoints', 200)
        self.poses = rig.listen(RelativePose, 'relative_pose', 200)
        self.odometry = rig.listen(Odometry, 'odometry', 200)
        topics = ('keypoints', 'relative_pose', 'odometry')
        rig.spin_until(lambda: all(rig.node.outputs.publishers[t].get_subscription_count() for t in topics))

    def are_complete(self) -> bool:
        counts = {len(self.statuses), len(self.keypoints), len(self.poses) + 1, len(self.odometry) + 1}
        return counts == {FRAMES}


def offline(bag: Path, sensor: str) -> Any:
    """
    The results of the frontend, and the messages that they would be.
    """
    config = NodeConfig(sensor=sensor, extractor=ExtractorConfig(name='orb', max_keypoints=200))
    frontend, chain = build_frontend(config, ClassicalExtractor(config.extractor)), OdometryChain()
    results, poses, odometry = [], [], []
    for frame in open_sequence(bag, sensor=sensor):
        result = frontend.process(frame)
        results.append(result)
        if result.pose is not None:
            header = header_from(frame.stamp_ns, frame.frame_id)
            poses.append(relative_pose_message(result.pose, result.seq, header))
        chained = chain.add(result)
        if chained is not None:
            odometry.append(odometry_message(chained, frame.stamp_ns, config))
    return results, poses, odometry


def publish_bag(rig: Rig, bag: Path, sensor: str) -> None:
    """
    The messages of a bag as they are in it, as ``ros2 bag play`` sends them.
    """
    with rosbag2.Reader(bag) as reader:
        publishers = {}
        for connection in reader.connections:
            base = connection.topic.removesuffix('/compressedDepth').removesuffix('/compressed')
            if base in NAMES[sensor]:
                topic = connection.topic.replace(base, NAMES[sensor][base])
                kind = KINDS[connection.msgtype.rpartition('/')[2]]
                publishers[connection.topic] = rig.publisher(kind, topic, PLENTY)
        for connection, _, content in reader.messages():
            if connection.topic in publishers:
                publishers[connection.topic].publish(bytes(content))


def test_a_metric_bag_through_the_node_equals_the_offline_run_bit_by_bit(rig: Rig, bag: Path, sensor: str) -> None:
    rig.start(mode='replay', sensor=sensor)
    outputs = Outputs(rig)
    publish_bag(rig, bag, sensor)
    rig.spin_until(outputs.are_complete, timeout=60.0)
    results, poses, odometry = offline(bag, sensor)
    assert [bytes(m.xy) for m in outputs.keypoints] == [r.keypoints.xy.tobytes() for r in results]
    assert [m.frame_seq for m in outputs.keypoints] == list(range(FRAMES))
    assert [serialize_message(m) for m in outputs.poses] == [serialize_message(m) for m in poses]
    assert [serialize_message(m) for m in outputs.odometry] == [serialize_message(m) for m in odometry]
    assert {m.scale for m in poses} == {RelativePose.SCALE_METRIC}
    assert [m.state for m in poses].count(RelativePose.LOST) == 1
    assert outputs.statuses[-1].frames_dropped == 0


def test_our_player_plays_all_topics_of_a_metric_bag(rig: Rig, bag: Path, sensor: str, run: Any) -> None:
    rig.start(mode='replay', sensor=sensor)
    outputs = Outputs(rig)
    process = run('replay_node', bag, '--publish', '--sensor', sensor, '--rate', 0)
    rig.spin_until(process.has_ended, timeout=60.0)
    assert process.status() == 0, process.lines
    assert any(f'{FRAMES} images published' in line for line in process.lines)
    rig.spin_until(outputs.are_complete)
    _, _, odometry = offline(bag, sensor)
    # Not the last bit: the player makes R and P of the rig anew.
    found, expected = (
        np.array([[m.pose.pose.position.x, m.pose.pose.position.y, m.pose.pose.position.z] for m in each])
        for each in (outputs.odometry, odometry)
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)
