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

_TELLING_COUNT = 5  # messages of a topic that tell its rate
_USUAL_SHARE = 0.8  # of the messages of the faster topic that have a partner
_LARGE_OFFSET_S = 0.02
_SHORT_OFFSET_S = 1e-4


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
class PairFacts:
    """
    How well two topics fit each other, over the last seconds: the messages of each and the ``pairs`` made of them.

    ``rates`` are per second of their stamps, 0 where unknown. ``offset_s`` is the median by which stamps of the second
    topic are later than those of the first in a pair, or than the nearest ones where there is no pair, NaN where
    unknown; ``tolerance_s`` is how far they may be apart.
    """

    counts: tuple[int, int]
    rates: tuple[float, float]
    pairs: int
    offset_s: float
    tolerance_s: float


@dataclass(frozen=True, slots=True)
class SecondInput:
    """
    What is known of the topic that brings the right image or the depth of each image, and how the two pair.

    ``camera_info`` is that of the right camera; ``warning`` says what is strange about the rig.
    """

    image: TopicFacts
    pairs: PairFacts
    camera_info: TopicFacts | None = None
    warning: str = ''


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """
    What is known of the node.

    ``state`` is the lifecycle state; ``model_problem`` says why there is no extractor; ``is_receiving`` and
    ``is_processing`` images within the time looked at; ``refusal`` is the last complaint about an image;
    ``image_topics`` are the image topics that exist (full names); ``clock_is_missing``: time is simulated and nobody
    publishes it; ``trouble`` says why the worker does not work; ``tracking`` is the state of the last image, None
    before the first; ``second`` is None with one camera.
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
    second: SecondInput | None = None


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
    if facts.second is not None and any(facts.second.pairs.counts):
        reason = _why_no_pairs(facts.image, facts.second)
    if facts.clock_is_missing:
        reason += '; use_sim_time is set and nothing publishes /clock'
    return reason


def why_no_poses(facts: NodeFacts) -> str:
    """
    Why poses cannot come although keypoints may: what is wrong with the calibration; empty: nothing.
    """
    if facts.camera_problem:
        return facts.camera_problem
    infos = [facts.camera_info]
    if facts.second is not None and facts.second.camera_info is not None:
        infos.append(facts.second.camera_info)
    silent = next((info for info in infos if not info.received), None)
    return '' if silent is None else f'no calibration: {why_no_messages(silent)}'


def why_poor_input(facts: NodeFacts) -> str:
    """
    What is wrong with the inputs although poses come; empty: nothing that is known here.
    """
    second = facts.second
    if second is None or not second.pairs.pairs:
        return ''
    if second.warning:
        return second.warning
    pairs, names = second.pairs, (facts.image.topic, second.image.topic)
    rates = sorted(zip(pairs.rates, names, strict=True))
    paired_share = pairs.pairs / max(pairs.counts)
    if min(pairs.counts) >= _TELLING_COUNT and paired_share < _USUAL_SHARE:
        (slower, slow_topic), (faster, fast_topic) = rates
        return (
            f'{1 - paired_share:.0%} of the messages have no partner: {fast_topic} comes at {faster:.1f} Hz, '
            f'{slow_topic} at {slower:.1f} Hz'
        )
    if abs(pairs.offset_s) > _LARGE_OFFSET_S:
        return (
            f'the stamps of {names[1]} are {_offset(pairs.offset_s)} than those of {names[0]}: '
            'with a moving camera the two do not show the same'
        )
    return ''


def pair_values(second: SecondInput | None) -> dict[str, str]:
    """
    What the diagnostics list of two topics that belong together; nothing with one camera.
    """
    if second is None:
        return {}
    pairs = second.pairs
    return {
        'second topic': f'{second.image.topic} ({second.image.wanted_type})',
        'rates of both (Hz)': f'{pairs.rates[0]:.1f}, {pairs.rates[1]:.1f}',
        'paired (last seconds)': f'{pairs.pairs} of {pairs.counts[0]} and {pairs.counts[1]}',
        'offset of stamps (ms)': f'{pairs.offset_s * 1e3:.1f}',
    }


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


def _why_no_pairs(image: TopicFacts, second: SecondInput) -> str:
    pairs, topics = second.pairs, (image, second.image)
    silent = next((topic for topic, count in zip(topics, pairs.counts, strict=True) if not count), None)
    if silent is not None:
        other = next(topic for topic in topics if topic is not silent)
        return f'{other.topic} arrives, but of what belongs to it nothing: {why_no_messages(silent)}'
    both = f'{image.topic} and {second.image.topic} arrive, but no two messages belong together'
    if abs(pairs.offset_s) <= pairs.tolerance_s:
        return f'{both}: their stamps fit, but one arrives too long after the other; set sync_queue higher'
    limit = f'more than sync_tolerance_s ({pairs.tolerance_s:g} s)' if pairs.tolerance_s else 'but must be equal'
    needed = 'approx_sync:=approximate'
    if abs(pairs.offset_s) > _LARGE_OFFSET_S or pairs.tolerance_s:
        needed += f' with sync_tolerance_s above {abs(pairs.offset_s):.3f}'
    return (
        f'{both}: the stamps of the second are {_offset(pairs.offset_s)} (median), {limit}; '
        f'have both triggered together, or {needed} pairs them'
    )


def _offset(seconds: float) -> str:
    size = f'{abs(seconds) * 1e3:.1f} ms' if abs(seconds) < 1 else f'{abs(seconds):.3g} s'
    if abs(seconds) < _SHORT_OFFSET_S:
        size = f'{abs(seconds) * 1e6:.3g} us'
    return f'{size} {"later" if seconds > 0 else "earlier"}'


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
