# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A subscription that follows what the publishers of its topic offer, and knows why nothing comes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from kp2d_ros.ros.diagnosis import Offer, TopicFacts
from kp2d_ros.ros.qos import (
    describe_qos,
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
        self._unsubscribe()
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
        Receive nothing more, for good.
        """
        self._unsubscribe()
        self._callback = _ignore  # whoever took the messages may hold this subscription: they let go of each other

    def _unsubscribe(self) -> None:
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


def _ignore(message: Any) -> None:
    """
    Take a message, and do nothing.
    """
