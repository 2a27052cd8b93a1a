# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
How many images a second the live node keeps up with: a camera at a fixed rate, the frontend in another process.

The images have a camera_info, and somebody listens to keypoints, matches, poses and the status. One JSON line per rate:
images sent and answered, the rate of the answers, and milliseconds by stage (median) as the status has them.
``.venv/bin/ros-env --isolated python benchmarks/live.py --help``
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from kp2d_ros.cli.ros_processes import ProcessGroup, isolated_environment
from kp2d_ros.simulation.scene import SceneConfig, SimulatedSequence

_STAGES = ('wait', 'decode', 'inference', 'match', 'pose', 'publish', 'total')
_WARM_UP_S = 3.0


def main() -> None:
    """
    One frontend for each rate, slowest first.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('settings', nargs='*', metavar='KEY:=VALUE', help='of the node: extractor.max_keypoints:=500')
    parser.add_argument('--method', default='kp2d')
    parser.add_argument('--width', type=int, default=320)
    parser.add_argument('--height', type=int, default=240)
    parser.add_argument('--rates', nargs='+', type=float, default=[30.0, 40.0, 60.0], metavar='HZ')
    parser.add_argument('--seconds', type=float, default=20.0)
    arguments = parser.parse_intermixed_args()
    scene = SceneConfig(frames=100, width=arguments.width, height=arguments.height, color=False, rate_hz=30.0)
    frames = list(SimulatedSequence(scene))
    words = [word for text in arguments.settings for word in ('-p', text)]
    for rate in sorted(arguments.rates):
        with tempfile.TemporaryDirectory() as folder, ProcessGroup(Path(folder)) as group:
            name = f'extractor.name:={arguments.method}'
            command = [sys.executable, '-m', 'kp2d_ros.ros.frontend_node', '--ros-args', '-p', name, *words]
            node = group.start('frontend', command, isolated_environment())
            group.wait_for_words(node, 'active', 60)
            found = measure(frames, rate, arguments.seconds)
        case = {'benchmark': 'live', 'extractor': arguments.method, 'size': f'{arguments.width}x{arguments.height}'}
        print(json.dumps({**case, 'rate_hz': rate, **found}), flush=True)


def measure(frames: list[Any], rate: float, seconds: float) -> dict[str, Any]:
    """
    Publish the images to and fro at a rate, and count what comes back once the node is warm.
    """
    import rclpy
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import CameraInfo, Image

    from kp2d_ros.msg import FrontendStatus, KeypointArray, MatchArray, RelativePose
    from kp2d_ros.ros.conversions import camera_info_message, header_from, image_message

    rclpy.init()
    node = rclpy.create_node('live_benchmark')
    quality = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
    images, infos = (node.create_publisher(*what, quality) for what in ((Image, 'image'), (CameraInfo, 'camera_info')))
    statuses: list[Any] = []
    node.create_subscription(FrontendStatus, 'status', lambda message: statuses.append((time.monotonic(), message)), 50)
    for kind, topic in ((KeypointArray, 'keypoints'), (MatchArray, 'matches'), (RelativePose, 'relative_pose')):
        node.create_subscription(kind, topic, lambda message: None, quality)
    spinning = threading.Thread(target=rclpy.spin, args=(node,), daemon=True)
    spinning.start()
    order = [*frames, *frames[-2:0:-1]]
    header = header_from(0, 'camera')
    pairs = [(image_message(frame.image, header), camera_info_message(frame.camera, header)) for frame in order]
    deadline = time.monotonic() + 30
    while images.get_subscription_count() == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    begin = time.monotonic()
    sent = 0
    for number in range(int((_WARM_UP_S + seconds) * rate)):
        due = begin + number / rate
        time.sleep(max(0.0, due - time.monotonic()))
        image, info = pairs[number % len(pairs)]
        image.header.stamp = info.header.stamp = node.get_clock().now().to_msg()
        infos.publish(info)
        images.publish(image)
        sent += due >= begin + _WARM_UP_S
    time.sleep(0.5)
    rclpy.shutdown()
    spinning.join()
    kept = [status for at, status in statuses if at >= begin + _WARM_UP_S]
    if not kept:
        raise SystemExit(f'live: found no answer to {sent} images at {rate} Hz, expected some')
    stages = {stage: float(np.median([getattr(status, f'{stage}_ms') for status in kept])) for stage in _STAGES}
    return {
        'sent': sent,
        'answered': len(kept),
        'answered_hz': round(len(kept) / seconds, 1),
        'stage_ms': {stage: round(value, 1) for stage, value in stages.items()},
        'keypoints': float(np.median([status.keypoint_count for status in kept])),
        'states': {str(state): sum(status.state == state for status in kept) for state in {s.state for s in kept}},
    }


if __name__ == '__main__':
    main()
