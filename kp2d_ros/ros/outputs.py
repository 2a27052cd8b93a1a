# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the node publishes for each image; nothing is made that nobody listens to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from time import perf_counter, sleep
from typing import Any

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry, Path
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image, PointCloud2

from kp2d_ros.core.records import Sensor
from kp2d_ros.drawing.frame import draw_result
from kp2d_ros.msg import FrontendStatus, KeypointArray, MatchArray
from kp2d_ros.msg import RelativePose as RelativePoseMessage
from kp2d_ros.ros.conversions import (
    DescriptorType,
    KeypointContext,
    header_from,
    image_message,
    keypoints_message,
    matches_message,
    ns_from_time,
    pose_message,
    relative_pose_message,
)
from kp2d_ros.ros.node_config import NodeConfig
from kp2d_ros.ros.odometry_chain import ChainedPose, OdometryChain
from kp2d_ros.ros.points import points_message
from kp2d_ros.ros.qos import output_qos, overriding_options
from kp2d_ros.ros.transforms import Transforms
from kp2d_ros.ros.worker import Counts, Processed

_logger = logging.getLogger(__name__)

_TOPICS = {
    'keypoints': KeypointArray,
    'matches': MatchArray,
    'relative_pose': RelativePoseMessage,
    'odometry': Odometry,
    'path': Path,
    'points': PointCloud2,
    'debug_image': Image,
    'status': FrontendStatus,
}
_STAGES = ('wait', 'decode', 'inference', 'match', 'pose', 'depth', 'window')
_POLL_SECONDS = 0.05
_PATH_POSES = 1000  # a longer path keeps every other pose
_PATH_NS = 200_000_000  # the whole path goes out no more often than this


class Outputs:
    """
    The publishers of one configured node. Published to by the worker's thread.
    """

    def __init__(self, node: LifecycleNode, config: NodeConfig, overrides: Collection[str] = ()) -> None:
        self._node = node
        self._config = config
        self.publishers: dict[str, Any] = {
            topic: node.create_lifecycle_publisher(
                message_class,
                topic,
                output_qos(config.lossless),
                qos_overriding_options=overriding_options(node, node.resolve_topic_name(topic), 'publisher', overrides),
            )
            for topic, message_class in _TOPICS.items()
        }
        is_metric = config.sensor != Sensor.MONO.value and config.odometry != 'never'
        wants_transforms = config.odometry == 'unit' or config.publish_tf or is_metric
        self.transforms = Transforms(node, config.base_frame, config.publish_tf) if wants_transforms else None
        self._chain: OdometryChain | None = None
        self._path = PathSoFar(config.odom_frame)
        self._has_explained = False
        self._publish_ms = 0.0

    def reconfigure(self, config: NodeConfig) -> None:
        """
        Use other settings from the next image on.
        """
        self._config = config

    def publish(self, processed: Processed, counts: Counts) -> float:
        """
        Publish everything of one image that somebody listens to; gives the milliseconds from its arrival until then.
        """
        begin = perf_counter()
        frame, result = processed.frame, processed.result
        header = header_from(frame.stamp_ns, frame.frame_id)
        if processed.began_anew:  # odometry starts at the origin again
            self._chain, self._path = None, PathSoFar(self._config.odom_frame)
        height, width = frame.image.shape[:2]
        descriptor_type = DescriptorType[self._config.descriptor_type.upper()]
        context = KeypointContext(header, width, height, processed.extractor.model_id, descriptor_type)
        self._publish('keypoints', lambda: keypoints_message(result, context))
        if result.pose is not None:
            pose = result.pose
            self._publish('matches', lambda: matches_message(result, header))
            self._publish('relative_pose', lambda: relative_pose_message(pose, result.seq, header))
        self._publish_odometry(processed)
        self._publish(
            'debug_image', lambda: image_message(draw_result(frame.image, result, self._config.debug_image), header)
        )
        end = perf_counter()
        total_ms = (end - processed.arrived) * 1e3
        self._publish('status', lambda: self._status(processed, header, counts, total_ms))
        self._publish_ms = (perf_counter() - begin) * 1e3
        return total_ms

    def close(self) -> None:
        """
        Destroy the publishers.
        """
        for publisher in self.publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self.publishers.clear()
        if self.transforms is not None:
            self.transforms.close()

    def _publish(self, topic: str, make: Callable[[], Any]) -> None:
        publisher = self.publishers[topic]
        if publisher.get_subscription_count():
            publisher.publish(make())

    def _status(self, processed: Processed, header: Any, counts: Counts, total_ms: float) -> FrontendStatus:
        result, pose = processed.result, processed.result.pose
        height, width = result.working_size
        return FrontendStatus(
            header=header,
            state=int(result.state),
            reason='there is no reference yet' if pose is None else pose.reason,
            **{f'{stage}_ms': processed.stage_ms.get(stage, 0.0) for stage in _STAGES},
            publish_ms=self._publish_ms,
            total_ms=total_ms,
            frames_received=counts.received,
            frames_processed=counts.processed,
            frames_dropped=counts.dropped,
            keypoint_count=len(result.keypoints),
            match_count=len(result.matches),
            inlier_count=0 if pose is None else pose.inlier_count,
            working_width=width,
            working_height=height,
            backend=processed.extractor.backend,
            device=processed.extractor.device,
            model_id=processed.extractor.model_id,
        )

    def _publish_odometry(self, processed: Processed) -> None:
        if self._config.odometry == 'never' or processed.frame.camera is None:
            return
        if self._chain is None:
            self._chain = self._begin_chain(processed.frame.frame_id)
            if self._chain is None:
                return
        chained = self._chain.add(processed.result)
        if chained is None:
            return
        if self._config.odometry == 'unit' or chained.is_metric:
            self._send_odometry(processed, chained)
        elif not self._has_explained and self.publishers['odometry'].get_subscription_count():
            self._has_explained = True
            _logger.info('odometry is not published: one camera alone does not know metres; set odometry to "unit"')

    def _begin_chain(self, camera_frame: str) -> OdometryChain | None:
        if self.transforms is None:
            return OdometryChain()
        while self.transforms.is_pending(camera_frame):
            if not self._config.lossless:
                return None
            sleep(_POLL_SECONDS)
        return OdometryChain(self.transforms.base_from_camera(camera_frame))

    def _send_odometry(self, processed: Processed, chained: ChainedPose) -> None:
        stamp_ns = processed.frame.stamp_ns
        odometry = odometry_message(chained, stamp_ns, self._config)
        self._publish('points', lambda: points_message(processed.result, chained.odom_from_camera, odometry.header))
        self._publish('odometry', lambda: odometry)
        if self._path.add(PoseStamped(header=odometry.header, pose=odometry.pose.pose)):
            self._publish('path', self._path.message)
        if self.transforms is not None:
            self.transforms.send(stamp_ns, self._config.odom_frame, chained.odom_from_base)


class PathSoFar:
    """
    The way of the base since the start in a bounded number of poses: the longer it gets, the further apart they are.
    """

    def __init__(self, frame_id: str) -> None:
        self._path = Path()
        self._path.header.frame_id = frame_id
        self._spacing = 1
        self._count = 0
        self._due_ns: int | None = None

    def add(self, pose: PoseStamped) -> bool:
        """
        Take one more pose, and whether it is time to publish the path again.
        """
        poses = self._path.poses
        if self._count % self._spacing == 0:
            poses.append(pose)
        self._count += 1
        if len(poses) > _PATH_POSES:
            del poses[1::2]
            self._spacing *= 2
        self._path.header.stamp = pose.header.stamp
        stamp_ns = ns_from_time(pose.header.stamp)
        if self._due_ns is not None and stamp_ns < self._due_ns:
            return False
        self._due_ns = stamp_ns + _PATH_NS
        return True

    def message(self) -> Path:
        """
        ``nav_msgs/Path``, in ``odom_frame``.
        """
        return self._path


def odometry_message(chained: ChainedPose, stamp_ns: int, config: NodeConfig) -> Odometry:
    """
    ``nav_msgs/Odometry``: the pose in ``odom_frame``, the velocity in ``base_frame``.
    """
    message = Odometry(header=header_from(stamp_ns, config.odom_frame), child_frame_id=config.base_frame)
    message.pose.pose = pose_message(chained.odom_from_base)
    message.pose.covariance = chained.covariance.ravel().tolist()
    linear, angular = message.twist.twist.linear, message.twist.twist.angular
    linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = chained.velocity.tolist()
    message.twist.covariance = chained.velocity_covariance.ravel().tolist()
    return message
