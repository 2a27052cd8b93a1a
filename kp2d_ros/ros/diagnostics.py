# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The state of the node as a ``diagnostic_msgs/DiagnosticArray``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from kp2d_ros.core.records import TrackingState

_ACTIVE = 'active'


@dataclass(frozen=True, slots=True)
class Health:
    """
    What the diagnostics say.

    ``error`` and ``warning`` are sentences, empty where there is none; ``tracking`` is the state of the last image, or
    None before the first. ``values`` are listed below the message.
    """

    name: str
    hardware_id: str
    lifecycle: str
    error: str = ''
    warning: str = ''
    tracking: TrackingState | None = None
    values: Mapping[str, str] = field(default_factory=dict)


def diagnostic_array(health: Health, stamp: Any) -> DiagnosticArray:
    """
    One status: ERROR where nothing comes out, WARN where something is missing or tracking is lost, OK otherwise.
    """
    level, message = _judge(health)
    values = {'lifecycle state': health.lifecycle, **health.values}
    status = DiagnosticStatus(
        level=level,
        name=health.name,
        hardware_id=health.hardware_id,
        message=message,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
    array = DiagnosticArray(status=[status])
    array.header.stamp = stamp
    return array


def _judge(health: Health) -> tuple[bytes, str]:
    if health.error:
        return DiagnosticStatus.ERROR, health.error
    if health.warning:
        return DiagnosticStatus.WARN, health.warning
    if health.lifecycle != _ACTIVE:
        return DiagnosticStatus.OK, health.lifecycle
    if health.tracking is None:
        return DiagnosticStatus.OK, 'waiting for the first image'
    if health.tracking in (TrackingState.LOST, TrackingState.DEGRADED):
        return DiagnosticStatus.WARN, f'tracking is {health.tracking.name}'
    return DiagnosticStatus.OK, f'tracking is {health.tracking.name}'
