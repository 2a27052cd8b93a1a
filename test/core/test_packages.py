# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Which command is told to somebody who lacks a package.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

from kp2d_ros.core.errors import BackendError
from kp2d_ros.core.packages import install_command, is_installed, missing_package, require_packages


@pytest.mark.parametrize(
    ('has_mark', 'in_environment', 'command'),
    [
        (False, False, 'pip install onnxruntime'),
        (True, True, 'pip install onnxruntime'),
        (True, False, 'pip install --break-system-packages onnxruntime'),
    ],
)
def test_the_command_works_where_the_distribution_refuses_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_mark: bool, in_environment: bool, command: str
) -> None:
    if has_mark:
        (tmp_path / 'EXTERNALLY-MANAGED').touch()
    monkeypatch.setattr(sysconfig, 'get_path', lambda name: str(tmp_path))
    monkeypatch.setattr(sys, 'prefix', '/an/environment' if in_environment else sys.base_prefix)
    assert install_command('onnxruntime') == command


def test_packages_are_called_as_pip_knows_them() -> None:
    assert str(missing_package('drawing', 'cv2.aruco')).endswith('opencv-python-headless')
    assert str(missing_package('kp2d demo', 'rclpy')) == (
        'kp2d demo: needs rclpy of ROS 2; source the workspace, or see: make build'
    )


def test_modules_are_looked_for_and_not_imported() -> None:
    assert is_installed('json', 'numpy') and not is_installed('json', 'no_such_module')


def test_packages_are_asked_for_before_the_work() -> None:
    require_packages('the report', 'json', 'numpy')
    with pytest.raises(BackendError, match='the report: needs the Python package no_such_module'):
        require_packages('the report', 'json', 'no_such_module')
