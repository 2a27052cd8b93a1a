# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest

from kp2d_ros.doctor.findings import Finding, Severity, graded, worst


@pytest.mark.parametrize(
    ('value', 'severity'), [(0.0, Severity.OK), (1.0, Severity.WARNING), (1.9, Severity.WARNING), (2.0, Severity.ERROR)]
)
def test_a_value_is_graded_by_the_limits_it_reaches(value: float, severity: Severity) -> None:
    assert graded(value, 1.0, 2.0) is severity


def test_the_worst_of_no_findings_is_ok_and_else_the_highest() -> None:
    assert worst([]) is Severity.OK
    assert worst([Finding('a', Severity.WARNING, ''), Finding('b', Severity.UNKNOWN, '')]) is Severity.WARNING


def test_a_finding_is_one_sentence_and_plain_json() -> None:
    finding = Finding('rows', Severity.ERROR, 'rows are off', 'calibrate', {'off_px': 3.0})
    assert finding.sentence == 'rows are off: calibrate'
    assert Finding('rows', Severity.OK, 'fine').sentence == 'fine'
    read = json.loads(json.dumps(finding.as_json()))
    assert read == {
        'kind': 'rows',
        'severity': 'error',
        'found': 'rows are off',
        'advice': 'calibrate',
        'values': {'off_px': 3.0},
    }
