# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The command line ``kp2d``: finds the command and hands the arguments over.

Each command is imported only when it is asked for, so an optional package that is missing concerns its own commands.
Nothing else is imported before :func:`main` runs, which is where Ctrl-C ends a command in one line.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

_INTERRUPTED = 130  # what a shell gives for a command ended by Ctrl-C

COMMANDS = {  # each is a module of kp2d_ros.cli
    'replay': 'run the frontend over a bag or a dataset folder, offline',
    'simulate': 'render a sequence with known motion, as a bag',
    'demo': 'simulate, play over DDS, record and score; needs ROS 2',
    'train': 'train a keypoint network on photographs or bags',
    'pairs': 'draw a contact sheet of training pairs',
    'doctor': 'say what is wrong with the cameras of a recording',
    'draw': 'draw keypoints, scores, matches and tracks on your own images',
    'evaluate': 'measure keypoints or odometry against the truth',
    'export': 'export a network to ONNX and compare the outputs',
}


def _build_parser() -> argparse.ArgumentParser:
    width = max(len(name) for name in COMMANDS)
    listing = '\n'.join(f'  {name:<{width}}  {summary}' for name, summary in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog='kp2d',
        description='Visual-odometry frontend on learned and classical keypoints.',
        epilog=f'commands:\n{listing}\n\nkp2d COMMAND --help says what a command takes.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--version', action='store_true', help='print the version and exit')
    parser.add_argument('command', nargs='?', metavar='COMMAND', choices=list(COMMANDS), help='one of the list below')
    return parser


def _run_command(name: str, argv: Sequence[str]) -> int:
    try:
        return int(importlib.import_module(f'kp2d_ros.cli.{name}').main(argv))
    except ModuleNotFoundError as error:
        if (error.name or '').startswith('kp2d_ros') and error.name != 'kp2d_ros.msg':
            raise  # a fault of this package, which its traceback explains
        from kp2d_ros.core.packages import missing_package

        print(f'error: {missing_package(f"kp2d {name}", error.name)}', file=sys.stderr)
        return 1


def _run(words: Sequence[str]) -> int:
    if words and words[0] in COMMANDS:
        return _run_command(words[0], words[1:])
    parser = _build_parser()
    args = parser.parse_args(words)
    if args.version:
        from kp2d_ros.cli.command import run_guarded

        return run_guarded(_print_version, args)
    parser.print_help()
    return 2


def _print_version(args: argparse.Namespace) -> int:
    from kp2d_ros.core.resources import read_version

    print(f'kp2d_ros {read_version()}')
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """
    The exit status of ``kp2d``; ``argv`` None takes the arguments of the process.

    :raises SystemExit: from argparse, after ``--help`` or for arguments that do not parse.
    """
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:  # while a command was imported
        print('interrupted', file=sys.stderr)
        return _INTERRUPTED


if __name__ == '__main__':
    raise SystemExit(main())
