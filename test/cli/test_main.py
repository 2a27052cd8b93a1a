# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib
import subprocess
import sys
from typing import NoReturn

import pytest

from kp2d_ros.cli.main import COMMANDS, main
from kp2d_ros.core.resources import read_version


def test_every_command_is_listed_without_importing_any(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr().out
    for name, summary in COMMANDS.items():
        assert f'  {name}' in shown and summary in shown


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--version']) == 0
    assert capsys.readouterr().out == f'kp2d_ros {read_version()}\n'


def test_an_unknown_command_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_status:
        main(['repaly'])
    assert exit_status.value.code == 2
    assert 'replay' in capsys.readouterr().err


@pytest.mark.parametrize('name', COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_status:
        main([name, '--help'])
    assert exit_status.value.code == 0
    assert f'usage: kp2d {name}' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('module', 'hint'),
    [('no_such_package.part', 'pip install '), ('cv2', 'opencv-python-headless'), ('kp2d_ros.msg', 'source')],
)
def test_a_missing_package_concerns_its_command_only(
    module: str, hint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(name: str) -> NoReturn:
        raise ModuleNotFoundError(name=module)

    monkeypatch.setattr(importlib, 'import_module', fail)
    assert main(['replay']) == 1
    error = capsys.readouterr().err
    assert error.startswith('error: kp2d replay: needs ') and hint in error and error.count('\n') == 1
    assert 'kp2d_ros[' not in error
    assert main(['--version']) == 0


def test_starting_imports_no_heavy_package() -> None:
    code = (
        'import sys; from kp2d_ros.cli.main import main; main([]); '
        "print(sorted({'cv2', 'torch', 'evo', 'matplotlib', 'rosbags', 'onnx', 'numpy', 'yaml'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.splitlines()[-1] == '[]'


def test_an_interrupt_while_a_command_is_imported_is_one_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(name: str) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib, 'import_module', interrupt)
    assert main(['replay']) == 130
    assert capsys.readouterr().err == 'interrupted\n'


def test_a_reader_that_goes_away_ends_a_command_quietly() -> None:
    program = 'import sys; from kp2d_ros.cli.main import main; sys.exit(main(["--version"]))'
    with subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        process.stdout = None
        assert process.communicate(timeout=60.0)[1] == b''
    assert process.returncode == 141
