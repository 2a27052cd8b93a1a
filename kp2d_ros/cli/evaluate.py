# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
``kp2d evaluate``: how good keypoints are, the odometry that is made of them, and the judge of their matches.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

SUMMARY = 'Measure methods against ground truth; write report.html for people and report.json for machines.'

# Imported only when asked for. Each module has SUMMARY, add_arguments, run and main, as that of a command.
SUBJECTS = {
    'keypoints': (
        'kp2d_ros.cli.evaluate_keypoints',
        'pairs of images under known homographies (HPatches, photos)',
    ),
    'odometry': ('kp2d_ros.cli.evaluate_odometry', 'bags and dataset folders with true poses'),
    'inlier': (
        'kp2d_ros.cli.evaluate_inlier',
        'an IO-Net: as a classifier of matches, a filter, and the guide of RANSAC',
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    The one argument that decides which others there are.
    """
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    width = max(len(name) for name in SUBJECTS)
    listing = '\n'.join(f'  {name:<{width}}  {summary}' for name, (_, summary) in SUBJECTS.items())
    parser.epilog = f'subjects:\n{listing}\n\nkp2d evaluate SUBJECT --help says what a subject takes.'
    parser.add_argument('subject', metavar='SUBJECT', choices=list(SUBJECTS), help='one of the list below')


def main(argv: Sequence[str] | None = None) -> int:
    """
    The exit status of ``kp2d evaluate``.

    :raises SystemExit: from argparse, after ``--help`` or for arguments that do not parse.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in SUBJECTS:
        return int(importlib.import_module(SUBJECTS[words[0]][0]).main(words[1:]))
    parser = argparse.ArgumentParser(prog='kp2d evaluate', description=SUMMARY)
    add_arguments(parser)
    parser.parse_args(words)
    return 2


if __name__ == '__main__':
    raise SystemExit(main())
