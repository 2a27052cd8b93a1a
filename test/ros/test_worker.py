# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The worker without a node: what it does with stamps, and that it ends.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from kp2d_ros.ros.worker import StampGate, StampVerdict  # noqa: E402

SECOND = 10**9


def test_accepts_rising_stamps_and_holds_back_late_ones() -> None:
    gate = StampGate(SECOND)
    stamps = [5 * SECOND, 6 * SECOND, 6 * SECOND, 6 * SECOND - 1, 6 * SECOND + 1]
    verdicts = [gate.check(stamp) for stamp in stamps]
    accept, late = StampVerdict.ACCEPT, StampVerdict.LATE
    assert verdicts == [accept, accept, late, late, accept]


def test_takes_a_large_step_back_for_a_restart() -> None:
    gate = StampGate(SECOND)
    gate.check(100 * SECOND)
    assert gate.check(3 * SECOND) is StampVerdict.RESTART
    assert gate.check(4 * SECOND) is StampVerdict.ACCEPT


def test_accepts_anything_after_forgetting() -> None:
    gate = StampGate(SECOND)
    gate.check(100 * SECOND)
    gate.newest_ns = None
    assert gate.check(1) is StampVerdict.ACCEPT


@given(st.lists(st.integers(0, 20 * SECOND)), st.integers(0, 5 * SECOND))
def test_between_two_restarts_stamps_that_pass_always_rise(stamps: Any, jump: Any) -> None:
    gate, passed = StampGate(jump), []
    for stamp in stamps:
        verdict = gate.check(stamp)
        if verdict is StampVerdict.RESTART:
            assert passed[-1] - stamp > jump
            passed = []
        if verdict is not StampVerdict.LATE:
            passed.append(stamp)
        assert passed == sorted(set(passed))
