# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
``kp2d simulate``: a bag of a camera, a stereo rig or a depth camera carried through a simulated room, with calibration
and true poses.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from kp2d_ros.cli.command import run_command

SUMMARY = 'Render a sequence with known motion, calibration and lens distortion, and write it as a ROS 2 bag.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    The options of the command.
    """
    parser.add_argument('settings', nargs='*', metavar='KEY=VALUE', help='of the scene and the camera, see --list')
    parser.add_argument('--out', type=Path, metavar='BAG', help='the folder to make; it must not exist yet')
    parser.add_argument(
        '--sensor', choices=('mono', 'stereo', 'rgbd'), help='the setting sensor, which is mono by default'
    )
    parser.add_argument('--list', action='store_true', help='print the settings with their defaults and exit')
    parser.add_argument('--storage', choices=('mcap', 'sqlite3'), default='mcap', help='default: %(default)s')
    parser.add_argument('--compression', choices=('jpeg', 'png'), default='', help='default: raw images')


def run(args: argparse.Namespace) -> int:
    """
    Render and write, or list the settings.

    :raises Kp2dError: if a setting is refused or the bag cannot be written.
    """
    from kp2d_ros.core.errors import ConfigError
    from kp2d_ros.core.records import Sensor
    from kp2d_ros.core.settings import build, flatten, merge, parse_overrides
    from kp2d_ros.simulation.scene import SceneConfig, SimulatedSequence

    config = build(SceneConfig, merge(parse_overrides(args.settings), {'sensor': args.sensor} if args.sensor else {}))
    if args.list:
        for name, value, info in flatten(config):
            print(f'{name + "=" + str(value):<48} {info.description}')
        return 0
    if args.out is None:
        raise ConfigError('--out: found none, expected the folder of the bag to write')
    from kp2d_ros.recordings.bag_writer import BagConfig, write_bag

    bag = BagConfig(storage=args.storage, compression=args.compression)
    write_bag(args.out, SimulatedSequence(config), bag)
    sensor = Sensor(config.sensor)
    beside = {Sensor.STEREO: f', right ones on {bag.right_topic}', Sensor.RGBD: f', depth on {bag.depth_topic}'}
    images = f'{config.frames} images on {bag.image_topic_of(sensor)}{beside.get(sensor, "")}'
    print(f'{args.out}: {images}, true poses on {bag.ground_truth_topic}')
    return 0


main = partial(run_command, 'kp2d simulate', SUMMARY, add_arguments, run)

if __name__ == '__main__':
    raise SystemExit(main())
