# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
How a node of this package is asked to end: as KeyboardInterrupt, while its ROS context is still alive.

rclpy's own handlers shut the context down first, under the feet of a thread that is just publishing.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.signals import SignalHandlerOptions

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def ros_context(arguments: Sequence[str]) -> Iterator[None]:
    """
    ROS from here to the end of the block, which Ctrl-C, SIGTERM or a shutdown from outside end without an error.

    :param arguments: those of the process, its name first.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.default_int_handler)
    rclpy.init(args=list(arguments), signal_handler_options=SignalHandlerOptions.NO)
    try:
        yield
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


def ignore_signals() -> None:
    """
    Be asked only once: a terminal and a launch file both send a signal, and the end has begun.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
