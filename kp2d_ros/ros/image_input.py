# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The inputs of the node: images, raw or compressed, whichever is there, and their calibration. Each subscription follows
what the publishers offer, and knows why nothing comes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from kp2d_ros.core.errors import DataError
from kp2d_ros.recordings.camera_yaml import Calibration, is_rectified_topic
from kp2d_ros.ros.conversions import camera_from_message
from kp2d_ros.ros.diagnosis import Offer, TopicFacts
from kp2d_ros.ros.node_config import NodeConfig
from kp2d_ros.ros.qos import (
    camera_info_qos,
    describe_qos,
    image_qos,
    incompatible_policies,
    is_overridden,
    match_offers,
    overriding_options,
    same_policies,
)

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks  # type: ignore[no-redef,import-not-found,unused-ignore]

_IMAGE_TYPES = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CompressedImage': CompressedImage}
_IMAGE = 'image'


class CalibrationSource:
    """
    The latest calibration, between the thread that receives it and the one that uses it: a camera, or the reason why
    there is none.

    Cameras repeat their calibration with every image; the same numbers give the same object.
    """

    def __init__(self, topic: str, is_rectified: bool) -> None:
        self._is_rectified = is_rectified
        self._calibration = Calibration(None, f'no camera_info has arrived on {topic}')
        self._numbers: tuple[Any, ...] = ()
        self._arrived = threading.Event()

    @property
    def problem(self) -> str:
        """
        Why there is no camera although a calibration arrived; empty: there is one, or nothing arrived.
        """
        return self._calibration.reason if self._arrived.is_set() else ''

    def receive(self, message: CameraInfo) -> None:
        """
        Take a calibration: the subscription's callback.
        """
        roi = message.roi
        numbers = (
            *(message.width, message.height, message.binning_x, message.binning_y, message.distortion_model),
            *(roi.x_offset, roi.y_offset, roi.width, roi.height),
            *(bytes(memoryview(values)) for values in (message.d, message.k, message.p)),
        )
        if numbers != self._numbers:
            self._numbers = numbers
            try:
                self._calibration = camera_from_message(message, self._is_rectified)
            except DataError as error:
                self._calibration = Calibration(None, f'camera_info is not usable: {error}')
        self._arrived.set()

    def wait(self, timeout: float) -> bool:
        """
        Whether a calibration has arrived, within so many seconds at the latest.
        """
        return self._arrived.wait(timeout)

    def calibration_for(self, width: int, height: int) -> Calibration:
        """
        The camera of an image of that size, or why there is none.
        """
        calibration = self._calibration
        camera = calibration.camera
        if camera is None or (camera.width, camera.height) == (width, height):
            return calibration
        return Calibration(
            None, f'camera_info is for {camera.width}x{camera.height} images, but this one is {width}x{height}'
        )


@dataclass(frozen=True, slots=True)
class TopicRequest:
    """
    What to subscribe to: a relative name, the message class, and what to ask for before a publisher is known.

    ``latched``: messages from before the subscription are of use; ``large``: they come in fragments.
    """

    topic: str
    message_class: type[Any]
    qos: QoSProfile
    latched: bool = False
    large: bool = False

    @property
    def type_name(self) -> str:
        """
        As ROS writes it, ``sensor_msgs/msg/Image``.
        """
        package = self.message_class.__module__.split('.')[0]
        return f'{package}/msg/{self.message_class.__name__}'


class MatchedSubscription:
    """
    A subscription that is made again when the publishers offer something else; used by the executor's thread.

    QoS overrides of the user (parameters ``qos_overrides./TOPIC.subscription.*``) win: then nothing is matched.
    """

    def __init__(
        self, node: Node, request: TopicRequest, callback: Callable[[Any], None], overrides: Collection[str] = ()
    ) -> None:
        """
        :param overrides: names of the parameters by which the user overrides policies.
        """
        self._node = node
        self._callback = callback
        self._overrides = overrides
        self._last_number = 0
        self._subscription: Any = None
        self.request = request
        self.qos = request.qos  # what is asked for now
        self.received = 0  # messages that came
        self.missed = 0  # replaced by newer ones or lost before they came, as far as the middleware numbers them
        self.publisher_count = 0
        self.change(request, request.qos)

    @property
    def topic(self) -> str:
        """
        The full name, after remapping.
        """
        return str(self._node.resolve_topic_name(self.request.topic))

    def change(self, request: TopicRequest, qos: QoSProfile) -> None:
        """
        Subscribe to something else instead, or in another way.
        """
        self.close()
        self.request, self.qos, self._last_number = request, qos, 0
        self._subscription = self._node.create_subscription(
            request.message_class,
            request.topic,
            self._receive_numbered if hasattr(Subscription, 'CallbackType') else self._receive,
            qos,
            # rclpy's own callbacks warn about each publisher that does not fit; facts() says it with both sides.
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
            qos_overriding_options=overriding_options(self._node, self.topic, 'subscription', self._overrides),
        )

    def match(self) -> None:
        """
        Follow the publishers; call it now and then.
        """
        infos = self._node.get_publishers_info_by_topic(self.topic)
        self.publisher_count = len(infos)
        if is_overridden(self.topic, 'subscription', self._overrides):
            return
        offers = [info.qos_profile for info in infos if info.topic_type == self.request.type_name]
        wanted = match_offers(self.request.qos, offers, self.request.latched, self.request.large)
        if not same_policies(wanted, self.qos):
            self.change(self.request, wanted)

    def facts(self) -> TopicFacts:
        """
        What is known of the topic now.
        """
        offers = tuple(
            Offer(
                node=f'{info.node_namespace.rstrip("/")}/{info.node_name}',
                type_name=info.topic_type,
                policies=describe_qos(info.qos_profile),
                incompatible=tuple(incompatible_policies(info.qos_profile, self.qos)),
            )
            for info in self._node.get_publishers_info_by_topic(self.topic)
        )
        return TopicFacts(self.topic, self.request.type_name, describe_qos(self.qos), offers, self.received)

    def close(self) -> None:
        """
        Receive nothing more.
        """
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _receive_numbered(self, message: Any, info: Any) -> None:
        """
        As :meth:`_receive`, with the number that the publisher gave the message (not on Humble).
        """
        number = info.get('publication_sequence_number') or 0
        # Numbers of several publishers do not compare; a smaller number is a publisher that was started again.
        if self.publisher_count == 1 and 0 < self._last_number < number:
            self.missed += number - self._last_number - 1
        self._last_number = number
        self._receive(message)

    def _receive(self, message: Any) -> None:
        self.received += 1
        self._callback(message)


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
        self.camera_info = MatchedSubscription(node, info, self.calibrations.receive, overrides)
        self.image = MatchedSubscription(node, self._request(*self._choose()), on_image, overrides)

    def follow_publishers(self) -> None:
        """
        Adapt type, topic and QoS to the publishers that are there; call it now and then.
        """
        topic, message_class = self._choose()
        if (topic, message_class) != (self.image.request.topic, self.image.request.message_class):
            request = self._request(topic, message_class)
            self.image.change(request, request.qos)
        self.image.match()
        self.camera_info.match()

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
        self.image.close()
        self.camera_info.close()

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
