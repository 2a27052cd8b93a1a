# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Why no output comes: from what is known of the inputs to sentences that say what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field

from kp2d_ros.core.records import TrackingState


@dataclass(frozen=True, slots=True)
class Offer:
    """
    One publisher on a topic: its node, its type (``sensor_msgs/msg/Image``), its policies in words, and those by which
    it does not fit what the node asks for.
    """

    node: str
    type_name: str
    policies: str
    incompatible: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """
    What is known of one input: its full name, the wanted type, who offers what, and how many messages came.
    """

    topic: str
    wanted_type: str
    requested: str = ''
    offers: tuple[Offer, ...] = ()
    received: int = 0


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """
    What is known of the node.

    ``state`` is the lifecycle state; ``model_problem`` says why there is no extractor; ``is_receiving`` and
    ``is_processing`` images within the time looked at; ``refusal`` is the last complaint about an image;
    ``image_topics`` are the image topics that exist (full names); ``clock_is_missing``: time is simulated and nobody
    publishes it; ``trouble`` says why the worker does not work; ``tracking`` is the state of the last image, None
    before the first.
    """

    state: str
    image: TopicFacts
    camera_info: TopicFacts
    model_problem: str = ''
    is_receiving: bool = False
    is_processing: bool = False
    refusal: str = ''
    camera_problem: str = ''
    image_topics: Sequence[str] = field(default_factory=tuple)
    clock_is_missing: bool = False
    trouble: str = ''
    tracking: TrackingState | None = None


def why_no_output(facts: NodeFacts) -> str:
    """
    Why no keypoints come out, the first cause on the way of an image; empty: they do.
    """
    if facts.model_problem:
        return f'no extractor: {facts.model_problem}'
    if facts.state != 'active':
        steps = 'configure`, then `activate' if facts.state == 'unconfigured' else 'activate'
        return f'the node is {facts.state}: `ros2 lifecycle set NODE {steps}`'
    if facts.is_processing:
        return ''
    if facts.is_receiving:
        return _why_nothing_processed(facts)
    reason = why_no_messages(facts.image, facts.image_topics)
    if facts.clock_is_missing:
        reason += '; use_sim_time is set and nothing publishes /clock'
    return reason


def why_no_poses(facts: NodeFacts) -> str:
    """
    Why poses cannot come although keypoints may: what is wrong with the calibration; empty: nothing.
    """
    if facts.camera_problem:
        return facts.camera_problem
    return '' if facts.camera_info.received else f'no calibration: {why_no_messages(facts.camera_info)}'


def why_no_messages(topic: TopicFacts, others: Sequence[str] | None = None) -> str:
    """
    Why nothing arrives on a topic.

    :param others: topics that the user may have meant; None: do not speak of them.
    """
    if not topic.offers:
        hint = '' if others is None else _similar(topic.topic, others)
        return f'no publisher on {topic.topic}{hint}'
    fitting = [offer for offer in topic.offers if offer.type_name == topic.wanted_type]
    if not fitting:
        found = ', '.join(sorted({offer.type_name for offer in topic.offers}))
        return f'{topic.topic} carries {found}, expected {topic.wanted_type}'
    unfit = [offer for offer in fitting if offer.incompatible]
    if len(unfit) == len(fitting):
        offer = unfit[0]
        return (
            f'incompatible QoS on {topic.topic}: {"; ".join(offer.incompatible)} '
            f'({offer.node} offers {offer.policies}, this node requests {topic.requested})'
        )
    return f'{topic.topic} has a publisher ({fitting[0].node}) that sends nothing, or nothing of it arrives'


def _why_nothing_processed(facts: NodeFacts) -> str:
    if facts.trouble:
        return f'images arrive on {facts.image.topic}, but {facts.trouble}'
    if facts.refusal:
        return f'images arrive on {facts.image.topic}, but none can be used: {facts.refusal}'
    return f'images arrive on {facts.image.topic}; the first is still being processed'


def _similar(topic: str, others: Sequence[str]) -> str:
    if not others:
        return '; there is no image topic at all'
    near = difflib.get_close_matches(topic, others, n=3, cutoff=0.0)
    listed = ', '.join(near)
    more = f' and {len(others) - len(near)} more' if len(others) > len(near) else ''
    return f'; image topics that exist: {listed}{more} (remap with `-r image:={near[0]}`)'
