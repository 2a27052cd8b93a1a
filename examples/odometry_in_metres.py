# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Follow a stereo rig or a depth camera and write its path in metres: one image a line, time and position.

    python examples/odometry_in_metres.py my_bag stereo > path.txt

The recording brings the calibration of its cameras: a bag, or a folder of KITTI, EuRoC, TUM RGB-D or TartanAir; rgbd in
place of stereo takes its depth images.
"""

from __future__ import annotations

import sys
from pathlib import Path

import kp2d_ros


def main(source: str, sensor: str, method: str = 'kp2d') -> None:
    """
    Read, follow, print.
    """
    frames = kp2d_ros.open_sequence(Path(source), sensor=sensor)
    extractor = kp2d_ros.load_extractor(method)
    depths = 0
    for result in kp2d_ros.run_frontend(frames, extractor, sensor=sensor):
        # In metres there is one chain for ever, from the first image on; while the camera is lost it stands still.
        x, y, z = result.world_from_camera[:3, 3]
        print(f'{result.stamp_ns * 1e-9:.6f} {x:.4f} {y:.4f} {z:.4f}')  # x right, y down, z forward of the first image
        if result.inverse_depth_sigma is not None:
            depths += int((result.inverse_depth_sigma < float('inf')).sum())
    print(f'{depths} keypoints of known depth', file=sys.stderr)


if __name__ == '__main__':
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except kp2d_ros.Kp2dError as error:
        sys.exit(f'error: {error}')
