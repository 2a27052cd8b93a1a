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
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from kp2d_ros.core.errors import Kp2dError
from kp2d_ros.core.settings import flatten
from kp2d_ros.inference.models import NETWORK

_Number = TypeVar('_Number', int, float)

INTERRUPTED = 130  # what a shell gives for a command ended by Ctrl-C
PIPE_CLOSED = 141  # and for one whose reader went away


def add_method_option(parser: argparse.ArgumentParser, default: str | None = NETWORK) -> None:
    """
    ``--method NAME``, for a command that works with one method; None: that of the settings.
    """
    parser.add_argument(
        '--method', default=default, metavar='NAME', help=_method_help('what finds the keypoints', default)
    )


def add_methods_option(parser: argparse.ArgumentParser, default: str = 'kp2d,sift,orb') -> None:
    """
    ``--methods A,B``, for a command that compares several; :func:`split_methods` takes it apart.
    """
    parser.add_argument('--methods', default=default, metavar='A,B,...', help=_method_help('what to compare', default))


def split_methods(text: str) -> list[str]:
    """
    The words of ``--methods A,B``.
    """
    return [word.strip() for word in text.split(',') if word.strip()]


def add_settings(parser: argparse.ArgumentParser, example: str = 'matching.ratio=0.8') -> None:
    """
    ``section.key=value`` behind the arguments of a command, as ``settings``.
    """
    parser.add_argument('settings', nargs='*', metavar='KEY=VALUE', help=f'settings, for instance {example}')


def split_settings(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """
    Inputs and settings apart, where a command takes any number of both: a word with ``=`` is a setting unless a file is
    called so.
    """
    settings = [word for word in words if '=' in word and not Path(word).exists()]
    return [word for word in words if word not in settings], settings


def list_settings(settings: Any) -> str:
    """
    The settings of a dataclass as a command takes them, ``key=default``, each with its description below: for --help.
    """
    return '\n'.join(f'  {key}={_as_word(value)}\n      {info.description}' for key, value, info in flatten(settings))


def positive_int(text: str) -> int:
    """
    The ``type`` of an option that is a number of things.
    """
    return _above_zero(text, int)


def positive_float(text: str) -> float:
    """
    The ``type`` of an option that is a finite number above 0.
    """
    return _above_zero(text, float)


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


def _above_zero(text: str, kind: Callable[[str], _Number]) -> _Number:
    with suppress(ValueError):
        value = kind(text)
        if 0 < value < float('inf'):
            return value
    raise argparse.ArgumentTypeError(f'found {text!r}, expected {"a whole" if kind is int else "a"} number above 0')


def _method_help(purpose: str, default: str | None) -> str:
    more = '' if default is None else f' (default: {default})'
    return f'{purpose}: kp2d, sift, orb, a network that ships, a file or untrained:PRESET{more}'


def _as_word(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)).replace(' ', '') if isinstance(value, tuple) else value
