# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the doctor says: one finding for each thing that was looked at, with what was measured and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any


class Severity(IntEnum):
    """
    How bad a finding is. UNKNOWN: the images so far do not tell; ERROR: odometry will be wrong.
    """

    OK = 0
    UNKNOWN = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing that was looked at.

    ``kind`` is its short name (``rows``), the same in every report. ``found`` is one sentence with what was measured,
    ``advice`` one with what to do, empty where nothing is to be done. ``values`` are the numbers, by their names with
    units (``offset_ms``).
    """

    kind: str
    severity: Severity
    found: str
    advice: str = ''
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """
        What was found and what to do, on one line.
        """
        return f'{self.found}: {self.advice}' if self.advice else self.found

    def as_json(self) -> dict[str, Any]:
        """
        Plain values for JSON.
        """
        return {
            'kind': self.kind,
            'severity': self.severity.name.lower(),
            'found': self.found,
            'advice': self.advice,
            'values': dict(self.values),
        }


def worst(findings: Iterable[Finding]) -> Severity:
    """
    The highest severity; OK of none.
    """
    return max((finding.severity for finding in findings), default=Severity.OK)


def graded(value: float, warning: float, error: float) -> Severity:
    """
    OK below ``warning``, WARNING below ``error``, ERROR from there on.
    """
    if value >= error:
        return Severity.ERROR
    return Severity.WARNING if value >= warning else Severity.OK
