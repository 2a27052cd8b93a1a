# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What ROS adds to an image: from its publication in one process to its keypoints back there, minus the inference.

The frontend runs in another process, live, over loopback, once with the shipped Fast DDS profile and once without, for
each way that descriptors travel. One JSON line per figure, milliseconds of wall clock: the round trip minus the
inference (``ros``), and minus matching and pose as well (``transport``); and the size of the feature message. The cases
take turns, round by round, so that a busy machine slows all of them.
``.venv/bin/ros-env --isolated python benchmarks/ros_overhead.py --help``
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kp2d_ros.cli.ros_processes import ProcessGroup, isolated_environment
from kp2d_ros.inference.pipeline import build_extractor, load_pipeline_config
from kp2d_ros.simulation.scene import SceneConfig, SimulatedSequence

_SPACING_S = 0.15  # between images: the frontend is idle when the next one comes
_WARM_UP = 5
_PROFILES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')


def main() -> None:
    """
    Start the frontend for each case, and this file once more to measure it.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--method', default='orb', help='a quick one leaves the machine to the transport')
    parser.add_argument('--width', type=int, default=640)
    parser.add_argument('--height', type=int, default=480)
    parser.add_argument('--images', type=int, default=60)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--measure', help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments)))
        return
    cases = [(name, kind) for kind in descriptor_types(arguments.method) for name in ('shipped', 'none')]
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {case: [] for case in cases}
    for _ in range(arguments.rounds):
        for case in cases:
            found[case].append(run_case(*case, arguments))
    for (profile, kind), rounds in found.items():
        report(f'{arguments.method} {arguments.width}x{arguments.height}', profile, kind, rounds)


def descriptor_types(extractor: str) -> tuple[str, ...]:
    """
    The ways that descriptors of an extractor can travel; packed bits know one.
    """
    config = load_pipeline_config(overrides=[f'extractor.name={extractor}'])
    is_binary = build_extractor(config.extractor).extract(np.zeros((64, 64), np.uint8)).is_binary
    return ('u8',) if is_binary else ('f32', 'f16', 'u8')


def run_case(profile: str, kind: str, arguments: argparse.Namespace) -> Mapping[str, Any]:
    """
    One frontend, measured once.
    """
    environment = isolated_environment()
    if profile == 'none':
        environment = {name: value for name, value in environment.items() if name not in _PROFILES}
    parameters = {'extractor.name': arguments.method, 'descriptor_type': kind}
    words = [word for name, value in parameters.items() for word in ('-p', f'{name}:={value}')]
    with tempfile.TemporaryDirectory() as folder, ProcessGroup(Path(folder)) as group:
        command = [sys.executable, '-m', 'kp2d_ros.ros.frontend_node', '--ros-args', *words]
        node = group.start('frontend', command, environment)
        group.wait_for_words(node, 'active', 60)
        again = [sys.executable, __file__, *sys.argv[1:], '--measure', kind]
        done = subprocess.run(again, env=environment, check=True, capture_output=True, text=True, timeout=300)
    result: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """
    Publish images one at a time, and wait for keypoints and status of each.
    """
    import rclpy
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from rclpy.serialization import serialize_message
    from sensor_msgs.msg import Image

    from kp2d_ros.msg import FrontendStatus, KeypointArray
    from kp2d_ros.ros.conversions import header_from, image_message

    scene = SceneConfig(frames=20, width=arguments.width, height=arguments.height, color=False)
    images = [frame.image for frame in SimulatedSequence(scene)]
    rclpy.init()
    node = rclpy.create_node('ros_overhead')
    quality = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
    publisher = node.create_publisher(Image, 'image', quality)
    arrived: dict[str, tuple[int, Any]] = {}

    def note(name: str) -> Any:
        return lambda message: arrived.__setitem__(name, (time.perf_counter_ns(), message))

    node.create_subscription(KeypointArray, 'keypoints', note('keypoints'), quality)
    node.create_subscription(FrontendStatus, 'status', note('status'), quality)
    deadline = time.monotonic() + 30
    while publisher.get_subscription_count() == 0 and time.monotonic() < deadline:
        rclpy.spin_once(node, timeout_sec=0.1)
    rows = []
    for number in range(arguments.images + _WARM_UP):
        message = image_message(images[number % len(images)], header_from((number + 1) * 1_000_000_000, 'camera'))
        arrived.clear()
        begin = time.perf_counter_ns()
        publisher.publish(message)
        end = time.monotonic() + 2
        while len(arrived) < 2 and time.monotonic() < end:
            rclpy.spin_once(node, timeout_sec=0.01)
        if len(arrived) == 2 and number >= _WARM_UP:
            status = arrived['status'][1]
            trip = (arrived['keypoints'][0] - begin) * 1e-6
            rest = status.match_ms + status.pose_ms
            rows.append((trip, trip - status.inference_ms, trip - status.inference_ms - rest))
        time.sleep(_SPACING_S)
    keypoints = arrived['keypoints'][1]
    size = len(serialize_message(keypoints))
    node.destroy_node()
    rclpy.shutdown()
    return {'rows': rows, 'bytes': size, 'keypoints': len(keypoints.scores)}


def report(what: str, profile: str, kind: str, rounds: list[Mapping[str, Any]]) -> None:
    """
    Print the figures of one case.
    """
    rows = np.array([row for found in rounds for row in found['rows']])
    case = {'benchmark': 'ros_overhead', 'case': what, 'profile': profile, 'descriptors': kind}
    for column, name in enumerate(('round_trip', 'ros', 'transport')):
        spread = {f'p{q}': round(float(np.percentile(rows[:, column], q)), 3) for q in (50, 90, 99)}
        print(json.dumps({**case, 'figure': f'{name}_ms', **spread, 'count': len(rows)}))
    last = rounds[-1]
    print(json.dumps({**case, 'figure': 'message_bytes', 'value': last['bytes'], 'keypoints': last['keypoints']}))


if __name__ == '__main__':
    main()
