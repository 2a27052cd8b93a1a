# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from kp2d_ros.ros.log_bridge import ThrottledLog, forward_logging, reported, stop_forwarding


class Clock:
    now = 0.0

    def __call__(self) -> Any:
        return self.now


class RecordingLogger:
    def __init__(self) -> None:
        self.lines = []

    def __getattr__(self, severity: Any) -> Callable[..., Any]:
        return lambda text: self.lines.append((severity, text))


def test_says_each_kind_once_per_period_and_counts_the_rest() -> None:
    said, clock = [], Clock()
    log = ThrottledLog(said.append, 5.0, clock)
    for number in range(4):
        log.complain('step', f'wrong step {number}')
    log.complain('encoding', 'unknown encoding')
    assert said == ['wrong step 0', 'unknown encoding']
    clock.now = 6.0
    log.complain('step', 'wrong step 9')
    assert said[-1] == 'wrong step 9 (3 more like this)'


def test_remembers_the_latest_complaint_for_a_while() -> None:
    clock = Clock()
    log = ThrottledLog(lambda text: None, 5.0, clock)
    assert log.latest(1.0) == ''
    log.complain('a', 'first')
    log.complain('a', 'second')
    assert log.latest(1.0) == 'second'
    clock.now = 2.0
    assert log.latest(1.0) == ''


def test_hands_records_of_the_package_to_the_ros_logger() -> None:
    logger = RecordingLogger()
    handler = forward_logging(logger)
    try:
        logging.getLogger('kp2d_ros.somewhere').warning('%d of %d', 1, 2)
        logging.getLogger('kp2d_ros').info('fine')
        logging.getLogger('elsewhere').error('not ours')
    finally:
        stop_forwarding(handler)
    logging.getLogger('kp2d_ros').error('too late')
    assert logger.lines == [('warning', '1 of 2'), ('info', 'fine')]


def test_says_an_unexpected_error_in_one_line_and_lets_it_go_on() -> None:
    said = []
    with pytest.raises(ZeroDivisionError), reported(said.append):
        raise ZeroDivisionError('by\nwhat')
    assert said == ['unexpected ZeroDivisionError: by what']


def test_no_line_is_longer_than_one_can_read() -> None:
    said = []
    log = ThrottledLog(said.append, 5.0, Clock())
    log.complain('encoding', 'x' * 100_000)
    assert 400 < len(said[0]) < 600
    assert len(log.latest(1.0)) < 600
