# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What every command does around its own work: parse, call, and turn an error into one line.

A module of a command offers ``SUMMARY``, ``add_arguments(parser)``, ``run(args) -> int``, and
``main = partial(run_command, NAME, SUMMARY, add_arguments, run)``, called with the arguments or without.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from kp2d_ros.core.errors import Kp2dError
from kp2d_ros.core.settings import flatten

_Number = TypeVar('_Number', int, float)

INTERRUPTED = 130  # what a shell gives for a command ended by Ctrl-C
PIPE_CLOSED = 141  # and for one whose reader went away


def list_settings(settings: Any) -> str:
    """
    The settings of a dataclass as a command takes them, ``key=default``, each with its description below: for --help.
    """
    return '\n'.join(f'  {key}={_as_word(value)}\n      {info.description}' for key, value, info in flatten(settings))


def positive_int(text: str) -> int:
    """
    The ``type`` of an option that is a number of things.
    """
    return _above_zero(int(text))


def positive_float(text: str) -> float:
    """
    The ``type`` of an option that is a finite number above 0.
    """
    return _above_zero(float(text))


def run_guarded(run: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """
    The exit status of a command; an error of this package becomes one line on stderr and 1.
    """
    try:
        status = run(args)
        sys.stdout.flush()
    except Kp2dError as error:
        print(f'error: {" ".join(str(error).split())}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # who read the output, head for instance, has gone; nobody wants the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    return status


def run_command(
    name: str,
    summary: str,
    add_arguments: Callable[[argparse.ArgumentParser], None],
    run: Callable[[argparse.Namespace], int],
    argv: Sequence[str] | None = None,
) -> int:
    """
    Build the parser of one command, parse, and run it; gives the exit status.

    :param argv: the arguments without the program's name; None takes those of the process.
    :raises SystemExit: from argparse, after ``--help`` or for arguments that do not parse.
    """
    parser = argparse.ArgumentParser(prog=name, description=summary)
    add_arguments(parser)
    return run_guarded(run, parser.parse_intermixed_args(argv))  # settings may stand before and after options


def _above_zero(value: _Number) -> _Number:
    if not 0 < value < float('inf'):
        raise argparse.ArgumentTypeError(f'found {value}, expected a number above 0')
    return value


def _as_word(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)).replace(' ', '') if isinstance(value, tuple) else value
