# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Play a bag or a dataset folder as topics (--publish), or run the frontend offline over it (kp2d replay).
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence

from rclpy.logging import get_logger
from rclpy.utilities import remove_ros_args

from kp2d_ros.core.errors import Kp2dError
from kp2d_ros.recordings.sources import add_source_options, open_sources
from kp2d_ros.ros.interruption import ignore_signals, ros_context
from kp2d_ros.ros.player import Player, PlayOptions

_NAME = 'replay'
_OFFLINE = 'kp2d_ros.cli.replay'
_EPILOG = (
    'Without --publish all arguments go to `kp2d replay`, which runs the frontend offline and writes the trajectory: '
    'see `kp2d replay --help`.'
)


def main(argv: Sequence[str] | None = None) -> int:
    """
    Play, or hand over to the offline command; gives the exit status.

    :param argv: the arguments without the program's name; None takes those of the process.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    own = remove_ros_args([_NAME, *arguments])[1:]
    if '--publish' not in own and not {'-h', '--help'} & set(own):
        # Another program in the place of this one: nobody imports the commands.
        os.execv(sys.executable, [sys.executable, '-m', _OFFLINE, *own])
    options = _parse(own)
    with ros_context([_NAME, *arguments]):
        try:
            _play(options)
        except Kp2dError as error:
            get_logger(_NAME).fatal(' '.join(str(error).split()))
            return 1
    return 0


def _play(options: argparse.Namespace) -> None:
    (sequence,) = open_sources([options.source], options)
    how = PlayOptions(options.rate, options.loop, options.wait, options.max_frames, options.frame_id)
    player = Player(sequence, how)
    try:
        player.get_logger().info(f'{sequence.name}: {len(sequence)} images at rate {options.rate:g}')
        player.get_logger().info(f'{player.play()} images published')
    finally:
        ignore_signals()
        player.destroy_node()


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='ros2 run kp2d_ros replay', description=__doc__, epilog=_EPILOG)
    add_source_options(parser)
    group = parser.add_argument_group('how to play')
    group.add_argument('--publish', action='store_true', help='publish image, camera_info, ground_truth and /clock')
    group.add_argument(
        '--rate',
        type=_rate,
        default=1.0,
        metavar='X',
        help='times as fast as recorded; 0: as fast as the frontend answers (default: %(default)s)',
    )
    group.add_argument('--loop', action='store_true', help='again and again')
    group.add_argument(
        '--wait', type=float, default=10.0, metavar='S', help='seconds to wait for a subscriber (default: %(default)s)'
    )
    group.add_argument('--max-frames', type=int, metavar='N', help='stop after so many images')
    group.add_argument('--frame-id', default='camera', help='frame of images that name none (default: %(default)s)')
    return parser.parse_args(arguments)


def _rate(text: str) -> float:
    rate = float(text)
    if not math.isfinite(rate) or rate < 0:
        raise argparse.ArgumentTypeError(f'found {text}, expected a number that is not negative')
    return rate


if __name__ == '__main__':
    raise SystemExit(main())
