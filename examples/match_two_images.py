# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Match two photographs of one thing and write the matched pixels, one match a line: x1 y1 x2 y2 score.

    python examples/match_two_images.py first.jpg second.jpg [kp2d | sift | orb | PATH] > matches.txt
"""

from __future__ import annotations

import sys

import cv2
import numpy as np

import kp2d_ros


def main(first_path: str, second_path: str, method: str = 'kp2d') -> None:
    """
    Extract, match, print.
    """
    extractor = kp2d_ros.load_extractor(method, max_keypoints=1000)
    # OpenCV reads BGR, so that is said; matplotlib, imageio and Pillow read RGB.
    first, second = (extractor.extract(cv2.imread(path), color='bgr') for path in (first_path, second_path))
    matches = kp2d_ros.match(first, second, ratio=0.85)
    pixels = np.hstack([first.xy[matches.reference_index], second.xy[matches.current_index]])
    for (x1, y1, x2, y2), score in zip(pixels, matches.scores, strict=True):
        print(f'{x1:.2f} {y1:.2f} {x2:.2f} {y2:.2f} {score:.3f}')
    print(f'{len(matches)} matches of {len(first)} and {len(second)} keypoints', file=sys.stderr)


if __name__ == '__main__':
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except kp2d_ros.Kp2dError as error:
        sys.exit(f'error: {error}')
