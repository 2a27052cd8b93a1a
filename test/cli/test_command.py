# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Tests of what every command does around its own work.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest

from kp2d_ros.cli.command import INTERRUPTED, positive_float, positive_int, run_command
from kp2d_ros.core.errors import DataError


def add_count(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('count', type=int)


def refuse(args: argparse.Namespace) -> int:
    raise DataError(f'count: found {args.count},\n  expected a smaller one')


def interrupt(args: argparse.Namespace) -> int:
    raise KeyboardInterrupt


def test_gives_the_status_of_the_run() -> None:
    assert run_command('kp2d x', 'Count.', add_count, lambda args: args.count, ['3']) == 3


def test_an_error_becomes_one_line_and_status_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command('kp2d x', 'Count.', add_count, refuse, ['3']) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ('', 'error: count: found 3, expected a smaller one\n')


def test_an_interrupt_is_one_word_and_has_the_status_of_the_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command('kp2d x', 'Count.', add_count, interrupt, ['3']) == INTERRUPTED
    assert capsys.readouterr().err == 'interrupted\n'


@pytest.mark.parametrize('text', ['0', '-3', 'nan', 'inf', 'x'])
@pytest.mark.parametrize('kind', [positive_int, positive_float])
def test_numbers_that_must_be_above_zero_are_refused_by_the_parser(
    text: str, kind: Callable[[str], float], capsys: pytest.CaptureFixture[str]
) -> None:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument('--count', type=kind)

    assert run_command('kp2d x', 'Count.', add, lambda args: int(args.count), ['--count', '7']) == 7
    with pytest.raises(SystemExit) as ended:
        run_command('kp2d x', 'Count.', add, refuse, [f'--count={text}'])
    assert ended.value.code == 2
    assert f'argument --count: found {text!r}, expected a' in capsys.readouterr().err


def test_unparsable_arguments_end_with_the_status_of_argparse(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command('kp2d x', 'Count.', add_count, refuse, ['many'])
    assert ended.value.code == 2
    assert 'usage: kp2d x' in capsys.readouterr().err
