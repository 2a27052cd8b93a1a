# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Quality of service: what the node asks for, matched to what the publishers offer, and in words.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

_OUTPUT_DEPTH = 10
_REPLAY_OUTPUT_DEPTH = 1000  # a recorder that falls behind for a moment loses nothing


def image_qos(lossless: bool, depth: int = 1) -> QoSProfile:
    """
    What an image subscription asks for before anything is known of a publisher.

    Live: best effort, the newest ``depth`` images only, which every publisher satisfies. Lossless: reliable, keep all.
    """
    if lossless:
        return QoSProfile(reliability=ReliabilityPolicy.RELIABLE, history=HistoryPolicy.KEEP_ALL)
    return QoSProfile(reliability=ReliabilityPolicy.BEST_EFFORT, history=HistoryPolicy.KEEP_LAST, depth=depth)


def camera_info_qos(lossless: bool) -> QoSProfile:
    """
    What a camera_info subscription asks for before anything is known of a publisher.
    """
    wanted = image_qos(lossless)
    wanted.history, wanted.depth = HistoryPolicy.KEEP_LAST, 1
    return wanted


def output_qos(lossless: bool) -> QoSProfile:
    """
    What the node offers on its own topics: reliable, so that every subscriber is satisfied.
    """
    return QoSProfile(reliability=ReliabilityPolicy.RELIABLE, depth=_REPLAY_OUTPUT_DEPTH if lossless else _OUTPUT_DEPTH)


def match_offers(wanted: QoSProfile, offers: Sequence[QoSProfile], latched: bool, large: bool) -> QoSProfile:
    """
    The profile to subscribe with, so that all publishers are satisfied. Without an offer the wanted one stays.

    :param latched: whether messages from before the subscription are of use; then transient local if all publishers
        are.
    :param large: whether messages come in fragments, so that a reliable connection is better wherever it is offered.
        Otherwise the change would cost more (what was not taken yet is lost) than it gives.
    """
    if not offers:
        return wanted
    can_be_reliable = all(offer.reliability == ReliabilityPolicy.RELIABLE for offer in offers)
    # Messages kept for late joiners are only sent again over a reliable connection.
    kept = latched and can_be_reliable and all(o.durability == DurabilityPolicy.TRANSIENT_LOCAL for o in offers)
    is_reliable = can_be_reliable and (kept or large or wanted.reliability == ReliabilityPolicy.RELIABLE)
    return QoSProfile(
        reliability=ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if kept else DurabilityPolicy.VOLATILE,
        history=wanted.history,
        depth=wanted.depth,
    )


def same_policies(first: QoSProfile, second: QoSProfile) -> bool:
    """
    Whether two profiles agree in what :func:`match_offers` decides.
    """
    return (first.reliability, first.durability) == (second.reliability, second.durability)


def incompatible_policies(offered: QoSProfile, requested: QoSProfile) -> list[str]:
    """
    Each policy by which a publisher cannot serve a subscription, in words with both sides; empty: they fit.
    """
    problems = []
    if (offered.reliability, requested.reliability) == (ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE):
        problems.append('reliability: offered best_effort, requested reliable')
    if (offered.durability, requested.durability) == (DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL):
        problems.append('durability: offered volatile, requested transient_local')
    requested_deadline = requested.deadline.nanoseconds
    if requested_deadline and not 0 < offered.deadline.nanoseconds <= requested_deadline:
        problems.append(f'deadline: offered {offered.deadline}, requested {requested.deadline}')
    if (offered.liveliness, requested.liveliness) == (LivelinessPolicy.AUTOMATIC, LivelinessPolicy.MANUAL_BY_TOPIC):
        problems.append('liveliness: offered automatic, requested manual_by_topic')
    return problems


def describe_qos(profile: QoSProfile) -> str:
    """
    The policies that decide whether two sides fit, ``best_effort, volatile``.
    """
    return f'{profile.reliability.name.lower()}, {profile.durability.name.lower()}'


def is_overridden(topic: str, side: str, overrides: Collection[str]) -> bool:
    """
    Whether the user overrides a policy of a topic (its full name) on the ``subscription`` or ``publisher`` side.
    """
    return any(name.startswith(f'qos_overrides.{topic}.{side}.') for name in overrides)


def overriding_options(node: Node, topic: str, side: str, overrides: Collection[str]) -> QoSOverridingOptions | None:
    """
    Options that let the user override policies; None where the parameters exist but are none of the user's.

    rclpy declares them with what was asked for at first and would put that in the place of what is asked for now.
    """
    declared = node.has_parameter(f'qos_overrides.{topic}.{side}.reliability')
    if declared and not is_overridden(topic, side, overrides):
        return None
    return QoSOverridingOptions.with_default_policies()
