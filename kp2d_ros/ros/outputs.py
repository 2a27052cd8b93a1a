# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the node publishes for each image; nothing is made that nobody listens to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from time import perf_counter
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image

from kp2d_ros.drawing.frame import draw_result
from kp2d_ros.inference.extractor import ExtractorInfo
from kp2d_ros.msg import FrontendStatus, KeypointArray, MatchArray
from kp2d_ros.msg import RelativePose as RelativePoseMessage
from kp2d_ros.ros.conversions import (
    KeypointContext,
    descriptor_type_from_name,
    header_from,
    keypoints_message,
    matches_message,
    pose_message,
    relative_pose_message,
)
from kp2d_ros.ros.frame_processor import Processed
from kp2d_ros.ros.image_messages import image_message
from kp2d_ros.ros.node_config import NodeConfig
from kp2d_ros.ros.odometry_chain import ChainedPose, OdometryChain
from kp2d_ros.ros.qos import output_qos, overriding_options
from kp2d_ros.ros.tally import Counts
from kp2d_ros.ros.transforms import Transforms

_logger = logging.getLogger(__name__)

_TOPICS = {
    'keypoints': KeypointArray,
    'matches': MatchArray,
    'relative_pose': RelativePoseMessage,
    'odometry': Odometry,
    'debug_image': Image,
    'status': FrontendStatus,
}


class Outputs:
    """
    The publishers of one configured node. Published to by the worker's thread.
    """

    def __init__(self, node: LifecycleNode, config: NodeConfig, overrides: Collection[str] = ()) -> None:
        self._node = node
        self._config = config
        self._publishers: dict[str, Any] = {
            topic: node.create_lifecycle_publisher(
                message_class,
                topic,
                output_qos(config.lossless),
                qos_overriding_options=overriding_options(node, node.resolve_topic_name(topic), 'publisher', overrides),
            )
            for topic, message_class in _TOPICS.items()
        }
        wants_transforms = config.odometry == 'unit' or config.publish_tf
        self._transforms = Transforms(node, config.base_frame, config.publish_tf) if wants_transforms else None
        self._chain: OdometryChain | None = None
        self._has_explained = False
        self._publish_ms = 0.0

    def reconfigure(self, config: NodeConfig) -> None:
        """
        Use other settings from the next image on.
        """
        self._config = config

    def publish(self, processed: Processed, info: ExtractorInfo, counts: Counts) -> float:
        """
        Publish everything of one image that somebody listens to; gives the milliseconds from its arrival until then.
        """
        begin = perf_counter()
        frame, result = processed.frame, processed.result
        header = header_from(frame.stamp_ns, frame.frame_id)
        if processed.began_anew:
            self._chain = None  # odometry starts at the origin again
        height, width = frame.image.shape[:2]
        descriptor_type = descriptor_type_from_name(self._config.descriptor_type)
        context = KeypointContext(header, width, height, info.model_id, descriptor_type)
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
        status_begin = perf_counter()
        self._publish('status', lambda: self._status(processed, header, info, counts, total_ms))
        self._publish_ms = (perf_counter() - status_begin + end - begin) * 1e3
        return total_ms

    def close(self) -> None:
        """
        Destroy the publishers.
        """
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers.clear()
        if self._transforms is not None:
            self._transforms.close()

    def _publish(self, topic: str, make: Callable[[], Any]) -> None:
        publisher = self._publishers[topic]
        if publisher.get_subscription_count():
            publisher.publish(make())

    def _status(self, processed: Processed, header: Any, info: ExtractorInfo, counts: Counts, total_ms: float) -> Any:
        result, stage_ms = processed.result, processed.stage_ms
        pose = result.pose
        return FrontendStatus(
            header=header,
            state=int(result.state),
            reason='there is no reference yet' if pose is None else pose.reason,
            **{f'{stage}_ms': stage_ms.get(stage, 0.0) for stage in ('wait', 'decode', 'inference', 'match', 'pose')},
            publish_ms=self._publish_ms,
            total_ms=total_ms,
            frames_received=counts.received,
            frames_processed=counts.processed,
            frames_dropped=counts.dropped,
            keypoint_count=len(result.keypoints),
            match_count=len(result.matches),
            inlier_count=0 if pose is None else pose.inlier_count,
            backend=info.backend,
            device=info.device,
            model_id=info.model_id,
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
        elif not self._has_explained and self._publishers['odometry'].get_subscription_count():
            self._has_explained = True
            _logger.info('odometry is not published: one camera alone does not know metres; set odometry to "unit"')

    def _begin_chain(self, camera_frame: str) -> OdometryChain | None:
        if self._transforms is None:
            return OdometryChain()
        if self._transforms.is_pending(camera_frame):
            return None
        return OdometryChain(self._transforms.base_from_camera(camera_frame))

    def _send_odometry(self, processed: Processed, chained: ChainedPose) -> None:
        stamp_ns, config = processed.frame.stamp_ns, self._config
        self._publish('odometry', lambda: odometry_message(chained, stamp_ns, config))
        if self._transforms is not None:
            self._transforms.send(stamp_ns, config.odom_frame, chained.odom_from_base)


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
