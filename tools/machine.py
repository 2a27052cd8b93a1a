# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What this machine has of what the set-up needs: a sourced ROS 2, an interpreter that fits, compilers.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

WHEEL_PYTHONS = ('3.11', '3.12')

ASK_PYTHON = """
import importlib.util as u, json, os, sys, sysconfig
print(json.dumps({
    'executable': getattr(sys, '_base_executable', sys.executable),
    'version': '%d.%d' % sys.version_info[:2],
    'has_venv': all(u.find_spec(name) for name in ('venv', 'ensurepip')),
    'has_headers': os.path.isfile(os.path.join(sysconfig.get_path('include'), 'Python.h')),
}))
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
