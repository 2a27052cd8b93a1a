# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Optional Python packages: which are there, and what to type for one that is not.
"""

from __future__ import annotations

import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from kp2d_ros.core.errors import BackendError

_ROS_NAMES = ('rclpy', 'kp2d_ros')  # of the latter only the generated messages can be missing
_PIP_NAMES = {'cv2': 'opencv-python-headless', 'yaml': 'pyyaml', 'PIL': 'pillow'}  # others are called as they import


def is_installed(*modules: str) -> bool:
    """
    Whether all of these modules can be found; none of them is imported.
    """
    return all(find_spec(module) is not None for module in modules)


def install_command(*modules: str) -> str:
    """
    The command that installs the packages of some modules beside this Python, also where its distribution refuses plain
    pip (PEP 668).
    """
    is_managed = sys.prefix == sys.base_prefix and Path(sysconfig.get_path('stdlib'), 'EXTERNALLY-MANAGED').is_file()
    names = ' '.join(_PIP_NAMES.get(module, module) for module in modules)
    return f'pip install {"--break-system-packages " if is_managed else ""}{names}'


def require_packages(purpose: str, *modules: str) -> None:
    """
    Whether packages are there that are needed later: asked before the work, not after it.

    :raises BackendError: if one is not installed, as :func:`missing_package` has it.
    """
    for module in modules:
        if not is_installed(module):
            raise missing_package(purpose, module)


def missing_package(purpose: str, module: str | None) -> BackendError:
    """
    The error for a package that is not installed, with the command that installs it.

    :param purpose: what needs it.
    :param module: as in :class:`ModuleNotFoundError`, whose name may be that of a module within.
    """
    package = (module or '').partition('.')[0]
    if package in _ROS_NAMES:
        return BackendError(f'{purpose}: needs {module} of ROS 2; source the workspace, or see: make build')
    return BackendError(
        f'{purpose}: needs the Python package {package}, which is not installed; try: {install_command(package)}'
    )
