# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What to read of a recording, as options of a command: the same for every command that reads one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kp2d_ros.recordings.sequence import SequenceReader, open_sequence


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """
    The source, and which part of it.
    """
    parser.add_argument(
        'source',
        type=Path,
        help='bag (rosbag2 mcap or sqlite3, ROS 1), folder of KITTI, EuRoC, TUM RGB-D or images, or video',
    )
    add_reading_options(parser)


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """
    Which part of a source, for a command that names the source itself (as ``source``, a path).
    """
    group = parser.add_argument_group('what to read')
    group.add_argument('--image-topic', metavar='TOPIC', help='images of a bag; default: the only ones')
    group.add_argument('--camera-info-topic', metavar='TOPIC', help='default: camera_info beside the images')
    group.add_argument('--ground-truth-topic', metavar='TOPIC', help='true poses in a bag; default: none')
    group.add_argument('--camera', type=int, metavar='N', help='camera of KITTI or EuRoC; default: the left one')
    group.add_argument('--calibration', type=Path, metavar='YAML', help='camera YAML in place of the recorded one')


def open_source(options: argparse.Namespace) -> SequenceReader:
    """
    The recording that the options of :func:`add_source_options` name.

    :raises DataError: if it cannot be read.
    """
    return open_sequence(
        options.source,
        image_topic=options.image_topic,
        camera_info_topic=options.camera_info_topic,
        ground_truth_topic=options.ground_truth_topic,
        camera=options.camera,
        calibration=options.calibration,
    )
