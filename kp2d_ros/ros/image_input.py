# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The inputs of the node: images, raw or compressed, whichever is there, and their calibration.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from kp2d_ros.recordings.camera_yaml import is_rectified_topic
from kp2d_ros.ros.calibration_source import CalibrationSource
from kp2d_ros.ros.diagnosis import TopicFacts
from kp2d_ros.ros.node_config import NodeConfig
from kp2d_ros.ros.qos import camera_info_qos, image_qos
from kp2d_ros.ros.subscriptions import MatchedSubscription, TopicRequest

_IMAGE_TYPES = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CompressedImage': CompressedImage}
_IMAGE = 'image'


class ImageInput:
    """
    Subscribes while the node is active; used by the executor's thread.
    """

    def __init__(
        self, node: Node, config: NodeConfig, on_image: Callable[[Any], None], overrides: Collection[str]
    ) -> None:
        self._node = node
        self._transport = config.image_transport
        self._lossless = config.lossless
        image_topic = node.resolve_topic_name(_IMAGE)
        is_rectified = is_rectified_topic(image_topic) if config.rectified == 'auto' else config.rectified == 'yes'
        self.calibrations = CalibrationSource(node.resolve_topic_name('camera_info'), is_rectified)
        # The calibration first: in a lossless run the first image waits for it.
        info = TopicRequest('camera_info', CameraInfo, camera_info_qos(config.lossless), latched=True)
        self._camera_info = MatchedSubscription(node, info, self.calibrations.receive, overrides)
        self._image = MatchedSubscription(node, self._request(*self._choose()), on_image, overrides)

    @property
    def missed(self) -> int:
        """
        Images that were lost before they came, as far as the middleware tells.
        """
        return self._image.missed

    @property
    def is_receiving(self) -> bool:
        """
        Whether any image came.
        """
        return self._image.received > 0

    def follow_publishers(self) -> None:
        """
        Adapt type, topic and QoS to the publishers that are there; call it now and then.
        """
        topic, message_class = self._choose()
        request = self._image.request
        if (topic, message_class) != (request.topic, request.message_class):
            self._image.change(self._request(topic, message_class))
        self._image.match()
        self._camera_info.match()

    def image_facts(self) -> TopicFacts:
        """
        What is known of the images.
        """
        return self._image.facts()

    def camera_info_facts(self) -> TopicFacts:
        """
        What is known of the calibration.
        """
        return self._camera_info.facts()

    def image_topics(self) -> list[str]:
        """
        Full names of all topics that carry images and have a publisher.
        """
        topics = self._node.get_topic_names_and_types()
        return [
            name
            for name, types in topics
            if any(t in _IMAGE_TYPES for t in types)
            and self._node.count_publishers(name) > 0
            and name != self._node.resolve_topic_name('debug_image')
        ]

    def close(self) -> None:
        """
        Receive nothing more.
        """
        self._image.close()
        self._camera_info.close()

    def _request(self, topic: str, message_class: type[Any]) -> TopicRequest:
        # In a lossless run images that a publisher keeps for late joiners count as well.
        return TopicRequest(topic, message_class, image_qos(self._lossless), latched=self._lossless, large=True)

    def _choose(self) -> tuple[str, type[Any]]:
        """
        Relative topic and class of the images: what is asked for, or by what the publishers send.
        """
        on_image = self._types_on(_IMAGE)
        has_compressed = 'sensor_msgs/msg/CompressedImage' in on_image
        if self._transport == 'raw':
            return _IMAGE, Image
        # A topic remapped to .../compressed carries them itself; otherwise they lie below it, as with image_transport.
        below = f'{self._node.resolve_topic_name(_IMAGE)}/compressed'
        if self._transport == 'compressed':
            return (below if self._types_on(below) and not has_compressed else _IMAGE), CompressedImage
        if on_image or not self._types_on(below):
            return _IMAGE, CompressedImage if has_compressed else Image
        return below, CompressedImage

    def _types_on(self, topic: str) -> set[str]:
        infos = self._node.get_publishers_info_by_topic(self._node.resolve_topic_name(topic))
        return {info.topic_type for info in infos}
