# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Looks at the node once a second: says why nothing comes out, and publishes the diagnostics.
"""

from __future__ import annotations

from time import monotonic

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from kp2d_ros.ros.diagnosis import NodeFacts, why_no_output, why_no_poses
from kp2d_ros.ros.diagnostics import Health, diagnostic_array
from kp2d_ros.ros.session import Session

_REPEAT_SECONDS = 30.0  # the same complaint again


class Monitor:
    """
    Remembers since when nothing came out and what was said about it.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._fine_at = {'output': monotonic(), 'poses': monotonic()}
        self._said_at: dict[str, float] = {}
        self._state = ''

    def look(self, facts: NodeFacts, session: Session | None, patience: float) -> None:
        """
        Judge the facts; what is wrong for longer than so many seconds is said.
        """
        if facts.state != self._state:  # what could not be expected before is not late yet
            self._state = facts.state
            self._fine_at = dict.fromkeys(self._fine_at, monotonic())
        error = self._after_a_while('output', why_no_output(facts), 0.0 if facts.model_problem else patience)
        runs = session is not None and not error
        warning = self._after_a_while('poses', why_no_poses(facts) if runs else '', patience)
        self._say('no output', error)
        self._say('no poses', warning)
        if self._publisher.get_subscription_count():
            health = self._health(facts, session, error, warning)
            self._publisher.publish(diagnostic_array(health, self._node.get_clock().now().to_msg()))

    def _after_a_while(self, what: str, sentence: str, patience: float) -> str:
        now = monotonic()
        if not sentence:
            self._fine_at[what] = now
        return sentence if now - self._fine_at[what] >= patience else ''

    def _say(self, what: str, sentence: str) -> None:
        now = monotonic()
        if sentence and now - self._said_at.get(sentence, -float('inf')) > _REPEAT_SECONDS:
            self._said_at = {s: at for s, at in self._said_at.items() if now - at <= _REPEAT_SECONDS}
            self._said_at[sentence] = now
            self._node.get_logger().warning(f'{what}: {sentence}')

    def _health(self, facts: NodeFacts, session: Session | None, error: str, warning: str) -> Health:
        name = f'{self._node.get_fully_qualified_name().lstrip("/")}: frontend'
        if session is None:
            return Health(name, facts.image.topic, facts.state, error)
        counts, (rate, latency_ms) = session.counts(), session.tally.speed()
        info = session.engine.info
        values = {
            'images received': str(counts.received),
            'images processed': str(counts.processed),
            'images dropped': str(counts.dropped),
            'rate (Hz)': f'{rate:.1f}',
            'median latency (ms)': f'{latency_ms:.1f}',
            'extractor': f'{info.model_id} on {info.backend} ({info.device})',
            'image topic': f'{facts.image.topic} ({facts.image.wanted_type})',
            'requested QoS': facts.image.requested,
            'calibration': why_no_poses(facts) or 'ok',
        }
        error = error or session.trouble
        warning = warning or facts.refusal
        return Health(name, facts.image.topic, facts.state, error, warning, session.tally.tracking, values)
