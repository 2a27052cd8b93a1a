# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Follow the camera of a video, a bag or a folder of images and write its path: one image a line, time and position.

    python examples/odometry_of_a_video.py walk.mp4 camera.yaml > path.txt

The calibration is the YAML file that ROS's camera_calibration writes. The unit of the path is unknown: one camera sees
no metres.
"""

from __future__ import annotations

import sys
from pathlib import Path

import kp2d_ros


def main(source: str, calibration: str, method: str = 'kp2d') -> None:
    """
    Read, follow, print.
    """
    frames = kp2d_ros.open_sequence(Path(source), calibration=Path(calibration))
    extractor = kp2d_ros.load_extractor(method)
    path = kp2d_ros.PosePath()
    states: list[str] = []
    for result in kp2d_ros.run_frontend(frames, extractor):
        # Each pose is relative to a reference some images ago; added up they make a path that never jumps.
        x, y, z = path.add(result.seq, result.stamp_ns, result.pose).world_from_camera[:3, 3]
        print(f'{result.stamp_ns * 1e-9:.6f} {x:.4f} {y:.4f} {z:.4f}')  # x right, y down, z forward of the first image
        states.append(result.state.name)
    lost = states.count(kp2d_ros.TrackingState.LOST.name)
    print(f'{len(states)} images, {lost} of them lost', file=sys.stderr)


if __name__ == '__main__':
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except kp2d_ros.Kp2dError as error:
        sys.exit(f'error: {error}')
