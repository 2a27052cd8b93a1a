# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a feature message costs from one process to another, for each way that descriptors travel.

With the shipped Fast DDS profile and without: one JSON line per case with the size of the message and the median
milliseconds to build it from records, to serialise it, from publish() to the callback of the other process, and back to
records there. ``.venv/bin/ros-env --isolated python benchmarks/ros_messages.py --help``
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message

from kp2d_ros.cli.ros_processes import isolated_environment
from kp2d_ros.core.records import FrontendResult, Keypoints, Matches, TrackingState
from kp2d_ros.msg import KeypointArray
from kp2d_ros.ros.conversions import (
    DescriptorType,
    KeypointContext,
    header_from,
    keypoints_from_message,
    keypoints_message,
    ns_from_time,
)

_QOS = QoSProfile(reliability=ReliabilityPolicy.RELIABLE, depth=10)
_PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
_SPACING_S = 0.03
_WARM_UP = 10
_DISCOVERY_S = 30.0


def main() -> None:
    """
    Start the receiver for each profile and send it messages of every kind.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--keypoints', type=int, default=1000)
    parser.add_argument('--dim', type=int, default=256)
    parser.add_argument('--messages', type=int, default=60)
    parser.add_argument('--role', choices=('all', 'send', 'receive'), default='all', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role == 'all':
        for profile in ('shipped', 'none'):
            run_both(profile)
        return
    rclpy.init()
    (send if options.role == 'send' else receive)(options)
    rclpy.try_shutdown()


def run_both(profile: str) -> None:
    """
    Sender and receiver in processes of their own, under one profile; what the receiver prints is printed.
    """
    environment = isolated_environment()
    if profile == 'none':
        environment = {name: value for name, value in environment.items() if name not in _PROFILE_VARIABLES}
    command = [sys.executable, __file__, *sys.argv[1:], '--role']
    receiver = subprocess.Popen([*command, 'receive'], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        sent = subprocess.run([*command, 'send'], env=environment, check=True, capture_output=True, text=True)
        received, _ = receiver.communicate(timeout=_DISCOVERY_S)
    finally:
        receiver.kill()
    for first, second in zip(sent.stdout.splitlines(), received.splitlines(), strict=True):
        print(json.dumps({'benchmark': 'ros_messages', 'profile': profile, **json.loads(first), **json.loads(second)}))


def send(options: argparse.Namespace) -> None:
    """
    Publish, and print what building and serialising cost.
    """
    node = rclpy.create_node('sender')
    publisher = node.create_publisher(KeypointArray, 'keypoints', _QOS)
    wait_until(node, lambda: publisher.get_subscription_count() > 0)
    result = make_result(options.keypoints, options.dim)
    for kind in (DescriptorType.F32, DescriptorType.F16, DescriptorType.U8):
        context = KeypointContext(header_from(0, ''), 640, 480, kind.name, kind)
        build_ms, serialise_ms = [], []
        for _ in range(options.messages + _WARM_UP):
            begin = time.perf_counter()
            message = keypoints_message(result, context)
            built = time.perf_counter()
            content = serialize_message(message)
            build_ms.append((built - begin) * 1e3)
            serialise_ms.append((time.perf_counter() - built) * 1e3)
            message.header = header_from(time.perf_counter_ns(), '')
            publisher.publish(message)
            rclpy.spin_once(node, timeout_sec=_SPACING_S)
        case = {'keypoints': options.keypoints, 'dim': options.dim, 'descriptors': kind.name.lower()}
        costs = {'build_ms': round(median(build_ms), 3), 'serialise_ms': round(median(serialise_ms), 3)}
        print(json.dumps({**case, 'message_bytes': len(content), **costs}))
    publisher.wait_for_all_acked(rclpy.duration.Duration(seconds=5))
    node.destroy_node()


def receive(options: argparse.Namespace) -> None:
    """
    Print how long messages were on their way, and what it cost to make records of them.
    """
    node = rclpy.create_node('receiver')
    transport_ms: dict[str, list[float]] = {}
    decode_ms: dict[str, list[float]] = {}

    def take(message: Any) -> None:
        # Both processes read the same monotonic clock.
        now = time.perf_counter_ns()
        transport_ms.setdefault(message.model_id, []).append((now - ns_from_time(message.header.stamp)) * 1e-6)
        keypoints_from_message(message)
        decode_ms.setdefault(message.model_id, []).append((time.perf_counter_ns() - now) * 1e-6)

    node.create_subscription(KeypointArray, 'keypoints', take, _QOS)
    wait_until(node, lambda: node.count_publishers('keypoints') > 0)
    wait_until(node, lambda: node.count_publishers('keypoints') == 0, 300.0)
    for kind, values in transport_ms.items():
        spread = {f'transport_p{q}_ms': round(float(np.percentile(values[_WARM_UP:], q)), 3) for q in (50, 90, 99)}
        print(json.dumps({**spread, 'decode_ms': round(median(decode_ms[kind][_WARM_UP:]), 3), 'count': len(values)}))
    node.destroy_node()


def wait_until(node: Node, is_true: Callable[[], bool], timeout: float = _DISCOVERY_S) -> None:
    """
    Spin until something is true.

    :raises TimeoutError: if it is not within so many seconds.
    """
    deadline = time.monotonic() + timeout
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError('the other process was not found, or did not end')
        rclpy.spin_once(node, timeout_sec=0.05)


def make_result(count: int, dim: int) -> FrontendResult:
    """
    A result with so many keypoints and nothing else.
    """
    rng = np.random.default_rng(0)
    descriptors = rng.normal(size=(count, dim)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    xy = rng.uniform(0, 480, (count, 2)).astype(np.float32)
    nothing = np.empty((0, 2), np.float32)
    return FrontendResult(
        seq=0,
        stamp_ns=0,
        keypoints=Keypoints(xy, np.ones(count, np.float32), descriptors),
        bearing_xy=xy,
        track_ids=np.arange(count, dtype=np.uint32),
        track_ages=np.zeros(count, np.uint16),
        matches=Matches.empty(),
        reference_xy=nothing,
        current_xy=nothing,
        inlier=np.zeros(0, bool),
        inlier_probability=None,
        pose=None,
        state=TrackingState.OK,
        world_from_camera=np.eye(4),
        scale_segment=0,
    )


if __name__ == '__main__':
    main()
