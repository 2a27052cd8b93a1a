# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Make the environment ``.venv/``: with the sourced ROS 2, or with ROS 2 from wheels where none is sourced.

Needs nothing but the standard library, runs under Python 3.8 and later (as far as the sentence that names the right
version), and may be interrupted: the next run repairs.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / '.venv'
STATE = VENV / 'setup.json'
WHEEL_PYTHONS = ('3.11', '3.12')
# What the requirement files do not show but the environment depends on.
SOURCES = ('tools/setup_env.py', 'tools/repair_cmake.py', 'tools/local_setup.sh.in')

ASK_PYTHON = """
import importlib.util as u, json, os, sys, sysconfig
print(json.dumps({
    'executable': getattr(sys, '_base_executable', sys.executable),
    'version': '%d.%d' % sys.version_info[:2],
    'has_venv': all(u.find_spec(name) for name in ('venv', 'ensurepip')),
    'has_headers': os.path.isfile(os.path.join(sysconfig.get_path('include'), 'Python.h')),
}))
"""
KP2D = """#!/bin/sh
# The command line with ROS 2 and the built messages in its environment. Written by `make setup`.
run='import sys; from kp2d_ros.cli.main import main; sys.exit(main())'
exec "$(dirname "$(readlink -f "$0")")"/ros-env python -c "$run" "$@"
"""


class SetupError(Exception):
    """
    What keeps the environment from being made, as one sentence for the user.
    """


@dataclass(frozen=True)
class Python:
    """
    An interpreter that is not a virtual environment itself, and whether it can make one and build C extensions.
    """

    executable: str
    version: str
    has_venv: bool
    has_headers: bool


@dataclass(frozen=True)
class SourcedRos:
    """
    The ROS 2 of the calling shell: its distribution, the prefix that holds rclpy, and the Python that rclpy is for.
    """

    distro: str
    prefix: str
    python_version: str


@dataclass(frozen=True)
class State:
    """
    What an environment was made of; written with ``complete=False`` before the work and ``True`` after it.
    """

    root: str
    python_version: str
    ros: str
    requirements: str
    complete: bool

    def same_base(self, other: State) -> bool:
        """
        Whether an environment of the one kind can become one of the other without starting over.
        """
        return (self.root, self.python_version, self.ros) == (other.root, other.python_version, other.ros)


def find_sourced_ros(environment: Mapping[str, str]) -> SourcedRos | None:
    """
    The ROS 2 whose setup file was sourced; None if there is none, or if it is wheels in an environment like ``.venv/``.

    :raises SetupError: if ROS_DISTRO is set but rclpy is nowhere in AMENT_PREFIX_PATH.
    """
    prefixes = [Path(entry) for entry in environment.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if entry]
    distro = environment.get('ROS_DISTRO', '')
    if any((prefix / 'pyvenv.cfg').is_file() for prefix in prefixes) or not (distro or prefixes):
        return None
    for prefix, lib in itertools.product(prefixes, ('lib', 'local/lib')):
        for rclpy in prefix.glob(f'{lib}/python3.*/*-packages/rclpy'):
            return SourcedRos(distro or 'unknown', str(prefix), rclpy.parents[1].name[len('python') :])
    raise SetupError(
        f'ROS_DISTRO is "{distro}", but no folder in AMENT_PREFIX_PATH ("{os.pathsep.join(map(str, prefixes))}") holds '
        'rclpy: source the setup file of a ROS 2 that has it (apt package ros-<distro>-ros-base), or unset both '
        'variables to use ROS 2 from wheels'
    )


def ask_python(executable: str) -> Python | None:
    """
    What an interpreter says of itself; None if it does not run.
    """
    try:
        answer = subprocess.run([executable, '-c', ASK_PYTHON], capture_output=True, text=True, check=True)
        return Python(**json.loads(answer.stdout))
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None


def choose_python(ros: SourcedRos | None) -> Python:
    """
    The interpreter of the sourced ROS 2, or one that the wheels are made for; the one running this comes first.

    :raises SetupError: if there is none.
    """
    versions = (ros.python_version,) if ros else WHEEL_PYTHONS
    named = [f'python{version}' for version in versions]
    prefix = [str(Path(ros.prefix) / 'bin' / name) for name in named] if ros else []
    for candidate in [*prefix, sys.executable, *[f'/usr/bin/{name}' for name in named], *named]:
        python = ask_python(candidate)
        if python and python.version in versions:
            return python
    if ros:
        raise SetupError(f'ROS 2 {ros.distro} in {ros.prefix} is for Python {ros.python_version}, which was not found')
    raise SetupError(
        f'no ROS 2 is sourced, and its wheels exist for Python {" and ".join(WHEEL_PYTHONS)} only: found Python '
        f'{platform.python_version()}; install one of these, or install ROS 2 and source its setup file'
    )


def check_machine(python: Python, ros: SourcedRos | None) -> None:
    """
    Refuse a machine on which the work could not end well, before it begins.

    :raises SetupError: if something is missing, with the packages that bring it.
    """
    if not ros and (sys.platform, platform.machine()) != ('linux', 'x86_64'):
        raise SetupError(
            f'no ROS 2 is sourced, and its wheels exist for Linux on x86_64 only: found {sys.platform} on '
            f'{platform.machine()}; install ROS 2 and source its setup file'
        )
    needs = {
        f'python{python.version}-venv': python.has_venv,
        f'python{python.version}-dev': python.has_headers,
        'gcc': shutil.which(os.environ.get('CC', 'cc')),
        'g++': shutil.which(os.environ.get('CXX', 'c++')),
    }
    if ros:
        needs.update({'cmake': shutil.which('cmake'), 'python3-colcon-common-extensions': shutil.which('colcon')})
    missing = [package for package, found in needs.items() if not found]
    if missing:
        raise SetupError(f'something is missing on this machine; install it with: sudo apt install {" ".join(missing)}')


def wanted_state(python: Python, ros: SourcedRos | None) -> State:
    """
    The state that a finished environment must be in.
    """
    digest = hashlib.sha256()
    for path in [*sorted((ROOT / 'requirements').iterdir()), *(ROOT / name for name in SOURCES)]:
        digest.update(path.read_bytes())
    identity = f'{ros.distro} in {ros.prefix}' if ros else 'wheels'
    return State(str(ROOT), python.version, identity, digest.hexdigest(), complete=True)


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


def install(python: Python, ros: SourcedRos | None) -> None:
    """
    Let pip install what the requirement files name, and put the source tree on the path.
    """
    requirements = ROOT / 'requirements' / ('with_ros.txt' if ros else 'pinned.txt')
    lines = requirements.read_text(encoding='utf-8').splitlines()
    environment = {**os.environ, 'PIP_DISABLE_PIP_VERSION_CHECK': '1'}
    if ros:
        lines = [*without_system_opencv(python, lines), *numpy_bound(python)]
    else:
        environment.pop('PYTHONPATH', None)  # what lies there would count as installed
    listed = VENV / 'requirements.txt'
    listed.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    pip = (str(VENV / 'bin' / 'python'), '-m', 'pip')
    run(*pip, 'install', '--no-input', '--progress-bar', 'off', '--requirement', str(listed), environment=environment)
    packages = VENV / 'lib' / f'python{python.version}' / 'site-packages'
    (packages / 'kp2d_ros_source.pth').write_text(f'{ROOT}\n', encoding='utf-8')


def without_system_opencv(python: Python, lines: list[str]) -> list[str]:
    """
    The requirements without OpenCV where the system has one: two of them in one process do not mix.
    """
    if subprocess.run([python.executable, '-c', 'import cv2'], capture_output=True, check=False).returncode != 0:
        return lines
    return [line for line in lines if not line.startswith('opencv')]


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


def make_environment() -> None:
    """
    Bring ``.venv/`` into the wanted state, with as little work as that takes.

    :raises SetupError: if that cannot be done here.
    """
    ros = find_sourced_ros(os.environ)
    python = choose_python(ros)
    wanted, found = wanted_state(python, ros), read_state()
    if found == wanted and can_be_kept(found, wanted):
        return
    check_machine(python, ros)
    origin = f'with ROS 2 {ros.distro} from {ros.prefix}' if ros else 'with ROS 2 Kilted from wheels'
    print(f'setup: .venv, Python {python.version}, {origin}; a few minutes the first time', flush=True)
    if not can_be_kept(found, wanted):
        for folder in ('build', 'install', 'log'):  # they hold paths of the former environment
            shutil.rmtree(ROOT / folder, ignore_errors=True)
        system = ('--system-site-packages',) if ros else ()
        run(python.executable, '-m', 'venv', '--clear', *system, str(VENV))
    write_state(wanted, complete=False)
    install(python, ros)
    if not ros:
        prepare_wheels()
    write_commands()
    write_state(wanted, complete=True)


def main() -> int:
    """
    Make the environment; exit status 1 and one sentence if that cannot be done.
    """
    try:
        with only_one_at_a_time():
            make_environment()
    except SetupError as error:
        print(f'setup: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('setup: interrupted; the next run starts over', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
