# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Looks at the node once a second: says why nothing comes out, and publishes the diagnostics.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from time import monotonic

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from kp2d_ros.core.records import TrackingState
from kp2d_ros.doctor.findings import Finding, Severity, worst
from kp2d_ros.ros.diagnosis import NodeFacts, why_no_output, why_no_poses, why_poor_input

_REPEAT_SECONDS = 30.0  # the same complaint again
_ACTIVE = 'active'
_LEVELS = {Severity.WARNING: DiagnosticStatus.WARN, Severity.ERROR: DiagnosticStatus.ERROR}


class Monitor:
    """
    Remembers since when nothing came out and what was said about it.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._fine_at = dict.fromkeys(('output', 'poses', 'input'), monotonic())
        self._said_at: dict[str, float] = {}
        self._state = ''

    def look(
        self, facts: NodeFacts, values: Mapping[str, str], patience: float, findings: Sequence[Finding] = ()
    ) -> None:
        """
        Judge the facts; what is wrong for longer than so many seconds is said.

        :param values: listed in the diagnostics below the message.
        :param findings: what the doctor has found; errors are said at once.
        """
        if facts.state != self._state:  # what could not be expected before is not late yet
            self._state = facts.state
            self._fine_at = dict.fromkeys(self._fine_at, monotonic())
        error = self._after_a_while('output', why_no_output(facts), 0.0 if facts.model_problem else patience)
        runs = facts.state == _ACTIVE and not error
        warning = self._after_a_while('poses', why_no_poses(facts) if runs else '', patience)
        poor = self._after_a_while('input', why_poor_input(facts) if runs else '', patience)
        self._say('no output', error)
        self._say('no poses', warning)
        self._say('poor input', poor)
        for finding in findings:
            if finding.severity is Severity.ERROR:
                self._say('doctor', finding.sentence, finding.kind)
        if self._publisher.get_subscription_count():
            level, message = _judge(facts, error or facts.trouble, warning or poor or facts.refusal)
            statuses = [self._status('frontend', facts, level, message, {'lifecycle state': facts.state, **values})]
            if findings:
                told = {finding.kind: finding.sentence for finding in findings}
                level = _LEVELS.get(worst(findings), DiagnosticStatus.OK)
                statuses.append(self._status('doctor', facts, level, _summary(findings), told))
            array = DiagnosticArray(status=statuses)
            array.header.stamp = self._node.get_clock().now().to_msg()
            self._publisher.publish(array)

    def _after_a_while(self, what: str, sentence: str, patience: float) -> str:
        now = monotonic()
        if not sentence:
            self._fine_at[what] = now
        return sentence if now - self._fine_at[what] >= patience else ''

    def _say(self, what: str, sentence: str, key: str = '') -> None:
        """
        :param key: by which it is known that it was said; empty: by the sentence without its numbers, which change.
        """
        now, key = monotonic(), key or re.sub(r'[0-9.]+', '#', sentence)
        if sentence and now - self._said_at.get(key, -float('inf')) > _REPEAT_SECONDS:
            self._said_at = {s: at for s, at in self._said_at.items() if now - at <= _REPEAT_SECONDS}
            self._said_at[key] = now
            self._node.get_logger().warning(f'{what}: {sentence}')

    def _status(
        self, part: str, facts: NodeFacts, level: bytes, message: str, values: Mapping[str, str]
    ) -> DiagnosticStatus:
        return DiagnosticStatus(
            level=level,
            name=f'{self._node.get_fully_qualified_name().lstrip("/")}: {part}',
            hardware_id=facts.image.topic,
            message=message,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )


def _summary(findings: Sequence[Finding]) -> str:
    """
    The worst finding, if it is a bad one.
    """
    first = max(findings, key=lambda finding: finding.severity)
    return first.sentence if first.severity >= Severity.WARNING else 'nothing wrong was found'


def _judge(facts: NodeFacts, error: str, warning: str) -> tuple[bytes, str]:
    """
    ERROR where nothing comes out, WARN where something is missing or tracking is lost, OK otherwise.
    """
    if error:
        return DiagnosticStatus.ERROR, error
    if warning:
        return DiagnosticStatus.WARN, warning
    if facts.state != _ACTIVE:
        return DiagnosticStatus.OK, facts.state
    if facts.tracking is None:
        return DiagnosticStatus.OK, 'waiting for the first image'
    is_poor = facts.tracking in (TrackingState.LOST, TrackingState.DEGRADED)
    return DiagnosticStatus.WARN if is_poor else DiagnosticStatus.OK, f'tracking is {facts.tracking.name}'
