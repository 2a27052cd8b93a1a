# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The inputs of the node: images, raw or compressed, whichever is there, their calibration, and what belongs to each
image: the right one of a stereo pair, or its depth.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Sensor
from kp2d_ros.recordings.camera_yaml import is_rectified_topic
from kp2d_ros.ros.calibrations import CalibrationSource, RigSettings, RigSource
from kp2d_ros.ros.diagnosis import SecondInput
from kp2d_ros.ros.frame_maker import FrameMaker, ImageSet
from kp2d_ros.ros.log_bridge import ThrottledLog
from kp2d_ros.ros.node_config import NodeConfig
from kp2d_ros.ros.qos import camera_info_qos, image_qos
from kp2d_ros.ros.subscription import MatchedSubscription, TopicRequest
from kp2d_ros.ros.synchroniser import PairRule, Synchroniser
from kp2d_ros.ros.transforms import TransformListener, has_tf

_IMAGE_TYPES = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CompressedImage': CompressedImage}
_IMAGE = 'image'


@dataclass(frozen=True, slots=True)
class _Kind:
    """
    A topic that belongs to the images: its relative name, and the last part of that of its compressed messages.
    """

    topic: str
    compressed: str


_PARTNERS = {
    Sensor.STEREO.value: _Kind('right/image', 'compressed'),
    Sensor.RGBD.value: _Kind('depth/image', 'compressedDepth'),
}


class ImageSubscription(MatchedSubscription):
    """
    A subscription to images that also follows whether they come raw or compressed.
    """

    def __init__(
        self,
        node: Node,
        kind: _Kind,
        config: NodeConfig,
        callback: Callable[[Any], None],
        overrides: Collection[str] = (),
    ) -> None:
        self._kind = kind
        self._config = config
        super().__init__(node, self._request(*self._choose(node)), callback, overrides)

    @property
    def name(self) -> str:
        """
        The relative name that was asked for; compressed images may come below it.
        """
        return self._kind.topic

    def follow(self) -> None:
        """
        Adapt type, topic and QoS to the publishers that are there; call it now and then.
        """
        topic, message_class = self._choose(self._node)
        if (topic, message_class) != (self.request.topic, self.request.message_class):
            request = self._request(topic, message_class)
            self.change(request, request.qos)
        self.match()

    def _request(self, topic: str, message_class: type[Any]) -> TopicRequest:
        lossless = self._config.lossless
        # The two of a pair do not arrive at once: one must not be replaced before the other is there.
        depth = 1 if self._config.sensor == Sensor.MONO.value else self._config.sync_queue
        # In a lossless run images that a publisher keeps for late joiners count as well.
        return TopicRequest(topic, message_class, image_qos(lossless, depth), latched=lossless, large=True)

    def _choose(self, node: Node) -> tuple[str, type[Any]]:
        """
        Relative topic and class of the images: what is asked for, or by what the publishers send.
        """
        name = self._kind.topic
        on_image = _types_on(node, name)
        has_compressed = 'sensor_msgs/msg/CompressedImage' in on_image
        if self._config.image_transport == 'raw':
            return name, Image
        # A topic remapped to .../compressed carries them itself; otherwise they lie below it, as with image_transport.
        below = f'{node.resolve_topic_name(name)}/{self._kind.compressed}'
        if self._config.image_transport == 'compressed':
            return (below if _types_on(node, below) and not has_compressed else name), CompressedImage
        if on_image or not _types_on(node, below):
            return name, CompressedImage if has_compressed else Image
        return below, CompressedImage


class ImageInput:
    """
    Subscribes while the node is active; used by the executor's thread.
    """

    def __init__(
        self,
        node: Node,
        config: NodeConfig,
        on_images: Callable[[ImageSet, int], None],
        log: ThrottledLog,
        overrides: Collection[str],
    ) -> None:
        """
        :param on_images: takes the messages of one moment, and how many images were lost before them.
        """
        self._node = node
        self._on_images = on_images
        self._log = log
        self._transforms = TransformListener(node)
        self._synchroniser: Synchroniser | None = None
        is_rectified = config.rectified == 'yes'
        if config.rectified == 'auto':
            is_rectified = is_rectified_topic(node.resolve_topic_name(_IMAGE))
        # The calibrations first: in a lossless run the first image waits for them.
        source, self.camera_info = self._calibration('camera_info', is_rectified, config, overrides)
        self.calibrations: CalibrationSource | RigSource = source
        self.right_camera_info: MatchedSubscription | None = None
        if config.sensor == Sensor.STEREO.value:
            right, self.right_camera_info = self._calibration('right/camera_info', is_rectified, config, overrides)
            find = self._transforms.a_from_b if has_tf() else None
            self.calibrations = RigSource(source, right, RigSettings(is_rectified, config.baseline), find)
        self.frames = FrameMaker(self.calibrations, config.depth_scale)
        kind = _PARTNERS.get(config.sensor)
        self.partner: ImageSubscription | None = None
        on_image: Callable[[Any], None] = self._take_single
        if kind is not None:
            self._synchroniser = Synchroniser(_pair_rule(config), round(config.time_jump_s * 1e9), self._take_pair)
            self.partner = ImageSubscription(node, kind, config, partial(self._take_side, 1), overrides)
            on_image = partial(self._take_side, 0)
        self.image = ImageSubscription(node, _Kind(_IMAGE, 'compressed'), config, on_image, overrides)

    def follow_publishers(self) -> None:
        """
        Adapt type, topic and QoS to the publishers that are there; call it now and then.
        """
        for images in (self.image, self.partner):
            if images is not None:
                images.follow()
        for infos in (self.camera_info, self.right_camera_info):
            if infos is not None:
                infos.match()
        if isinstance(self.calibrations, RigSource) and self.calibrations.needs_transform:
            self._transforms.start()

    def second(self) -> SecondInput | None:
        """
        What is known of the partner of the images; None with one camera.
        """
        if self.partner is None or self._synchroniser is None:
            return None
        info, rig = self.right_camera_info, self.calibrations
        return SecondInput(
            self.partner.facts(),
            self._synchroniser.facts(),
            None if info is None else info.facts(),
            rig.warning if isinstance(rig, RigSource) else '',
        )

    def topics(self) -> list[str]:
        """
        Full names of the image topics that were asked for.
        """
        return [self._node.resolve_topic_name(each.name) for each in (self.image, self.partner) if each is not None]

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
        for subscription in (self.image, self.partner, self.camera_info, self.right_camera_info):
            if subscription is not None:
                subscription.close()
        self._synchroniser = None
        self._transforms.close()

    def _calibration(
        self, topic: str, is_rectified: bool, config: NodeConfig, overrides: Collection[str]
    ) -> tuple[CalibrationSource, MatchedSubscription]:
        source = CalibrationSource(self._node.resolve_topic_name(topic), is_rectified)
        request = TopicRequest(topic, CameraInfo, camera_info_qos(config.lossless), latched=True)
        return source, MatchedSubscription(self._node, request, source.receive, overrides)

    def _take_single(self, message: Any) -> None:
        self._on_images(ImageSet(message), self.image.missed)

    def _take_side(self, side: int, message: Any) -> None:
        if self._synchroniser is None:
            return
        try:
            self._synchroniser.add(side, message)
        except DataError as error:
            self._log.complain('stamp', f'image dropped: {error}')

    def _take_pair(self, image: Any, partner: Any, left_out: int) -> None:
        self._on_images(ImageSet(image, partner), self.image.missed + left_out)


def _pair_rule(config: NodeConfig) -> PairRule:
    by_sensor = {Sensor.STEREO.value: 'exact', Sensor.RGBD.value: 'approximate'}
    approximate = (by_sensor[config.sensor] if config.approx_sync == 'auto' else config.approx_sync) == 'approximate'
    # In a lossless run one topic may be ahead by what waits of it.
    queue = max(config.sync_queue, config.replay_queue) if config.lossless else config.sync_queue
    return PairRule(round(config.sync_tolerance_s * 1e9) if approximate else 0, queue)


def _types_on(node: Node, topic: str) -> set[str]:
    infos = node.get_publishers_info_by_topic(node.resolve_topic_name(topic))
    return {info.topic_type for info in infos}
