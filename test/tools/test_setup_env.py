# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The decisions of the set-up: which ROS 2, which Python, what is missing, what may stay.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
HERE = f'{sys.version_info.major}.{sys.version_info.minor}'


@pytest.fixture
def setup_env(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """
    The script as a module whose environment is in ``tmp_path``.
    """
    spec = importlib.util.spec_from_file_location('setup_env', ROOT / 'tools' / 'setup_env.py')
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, 'setup_env', module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, 'VENV', tmp_path / '.venv')
    monkeypatch.setattr(module, 'STATE', tmp_path / '.venv' / 'setup.json')
    return module


def install_ros(prefix: Path, version: str, lib: str = 'lib', packages: str = 'site-packages') -> Path:
    (prefix / lib / f'python{version}' / packages / 'rclpy').mkdir(parents=True)
    return prefix


def make_venv(folder: Path) -> None:
    (folder / 'bin').mkdir(parents=True)
    (folder / 'bin' / 'python').symlink_to(sys.executable)
    (folder / 'share' / 'rclpy').mkdir(parents=True)


def test_a_shell_without_ros_has_none(setup_env: ModuleType) -> None:
    assert setup_env.find_sourced_ros({}) is None


@pytest.mark.parametrize(('lib', 'packages'), [('lib', 'site-packages'), ('local/lib', 'dist-packages')])
def test_finds_the_sourced_ros_and_its_python(setup_env: ModuleType, tmp_path: Path, lib: str, packages: str) -> None:
    prefix = install_ros(tmp_path / 'humble', '3.10', lib, packages)
    environment = {'ROS_DISTRO': 'humble', 'AMENT_PREFIX_PATH': f'{tmp_path}/overlay{os.pathsep}{prefix}'}
    assert setup_env.find_sourced_ros(environment) == setup_env.SourcedRos('humble', str(prefix), '3.10')


def test_wheels_in_an_environment_are_no_sourced_ros(setup_env: ModuleType, tmp_path: Path) -> None:
    prefix = install_ros(tmp_path / '.venv', '3.11')
    (prefix / 'pyvenv.cfg').touch()
    assert setup_env.find_sourced_ros({'ROS_DISTRO': 'kilted', 'AMENT_PREFIX_PATH': str(prefix)}) is None


def test_ros_that_is_named_but_not_sourced_is_refused(setup_env: ModuleType) -> None:
    with pytest.raises(setup_env.SetupError, match='ROS_DISTRO is "jazzy", but no folder'):
        setup_env.find_sourced_ros({'ROS_DISTRO': 'jazzy'})


def test_chooses_the_python_of_the_sourced_ros(setup_env: ModuleType, tmp_path: Path) -> None:
    ros = setup_env.SourcedRos('any', str(tmp_path), HERE)
    assert setup_env.choose_python(ros).version == HERE


def test_a_ros_for_a_python_that_is_not_there_is_refused(setup_env: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(setup_env.SetupError, match=r'ROS 2 old in .* is for Python 3\.1, which was not found'):
        setup_env.choose_python(setup_env.SourcedRos('old', str(tmp_path), '3.1'))


def test_python_without_wheels_is_refused(setup_env: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_env, 'WHEEL_PYTHONS', ('3.1',))
    with pytest.raises(setup_env.SetupError, match=r'wheels exist for Python 3\.1 only: found Python'):
        setup_env.choose_python(None)


def test_says_everything_that_is_missing_at_once(setup_env: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('CC', 'no-such-compiler')
    monkeypatch.setenv('CXX', 'no-such-compiler')
    bare = setup_env.Python('python3', '3.11', has_venv=False, has_headers=False)
    ros = setup_env.SourcedRos('kilted', '/opt/ros/kilted', '3.11')
    with pytest.raises(setup_env.SetupError, match=r'apt install python3\.11-venv python3\.11-dev gcc g\+\+'):
        setup_env.check_machine(bare, ros)


def test_a_machine_without_wheels_is_refused(setup_env: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_env.platform, 'machine', lambda: 'aarch64')
    with pytest.raises(setup_env.SetupError, match='for Linux on x86_64 only: found linux on aarch64'):
        setup_env.check_machine(setup_env.Python('python3', '3.11', has_venv=True, has_headers=True), None)


def test_the_state_survives_a_round_trip(setup_env: ModuleType) -> None:
    assert setup_env.read_state() is None
    setup_env.VENV.mkdir()
    wanted = setup_env.State('/somewhere', '3.11', 'wheels', 'abc', complete=True)
    setup_env.write_state(wanted, complete=False)
    assert setup_env.read_state() == dataclasses.replace(wanted, complete=False)
    setup_env.write_state(wanted, complete=True)
    assert setup_env.read_state() == wanted


def test_a_broken_state_counts_as_none(setup_env: ModuleType) -> None:
    setup_env.VENV.mkdir()
    for text in ('', '[]', '{"root": "/somewhere"}'):
        setup_env.STATE.write_text(text)
        assert setup_env.read_state() is None


def test_a_finished_environment_is_kept_and_any_other_is_not(setup_env: ModuleType) -> None:
    wanted = setup_env.State('/somewhere', HERE, 'wheels', 'new', complete=True)
    assert not setup_env.can_be_kept(wanted, wanted)  # nothing is there
    make_venv(setup_env.VENV)
    assert setup_env.can_be_kept(wanted, wanted)
    assert setup_env.can_be_kept(dataclasses.replace(wanted, requirements='old'), wanted)
    assert setup_env.can_be_kept(None, wanted)  # made by hand
    for change in ({'complete': False}, {'root': '/elsewhere'}, {'ros': 'jazzy in /opt/ros/jazzy'}):
        assert not setup_env.can_be_kept(dataclasses.replace(wanted, **change), wanted)
    assert not setup_env.can_be_kept(wanted, dataclasses.replace(wanted, python_version='3.1'))


def test_a_change_of_the_requirements_changes_the_wanted_state(
    setup_env: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / 'requirements').mkdir()
    (tmp_path / 'requirements' / 'pinned.txt').write_text('numpy==2.4.6\n')
    monkeypatch.setattr(setup_env, 'ROOT', tmp_path)
    monkeypatch.setattr(setup_env, 'SOURCES', ())
    python = setup_env.Python('python3', HERE, has_venv=True, has_headers=True)
    before = setup_env.wanted_state(python, None)
    assert setup_env.wanted_state(python, None) == before
    (tmp_path / 'requirements' / 'pinned.txt').write_text('numpy==2.4.7\n')
    assert setup_env.wanted_state(python, None) != before


@pytest.mark.parametrize(('numpy', 'bound'), [('1.26.4', ['numpy<2']), ('2.3.0', [])])
def test_numpy_stays_below_2_where_the_system_has_1(
    setup_env: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, numpy: str, bound: list[str]
) -> None:
    (tmp_path / 'numpy.py').write_text(f'__version__ = "{numpy}"\n')
    (tmp_path / 'cv2.py').touch()
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    python = setup_env.Python(sys.executable, HERE, has_venv=True, has_headers=True)
    assert setup_env.numpy_bound(python) == bound
    assert setup_env.without_system_opencv(python, ['numpy', 'opencv-python-headless>=4']) == ['numpy']


def test_a_failing_command_stops_the_set_up(setup_env: ModuleType) -> None:
    with pytest.raises(setup_env.SetupError, match='failed: false'):
        setup_env.run('false')


def test_repairs_the_include_folders_of_a_foreign_machine() -> None:
    spec = importlib.util.spec_from_file_location('repair_cmake', ROOT / 'tools' / 'repair_cmake.py')
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    foreign = (
        'set(INCLUDES "/opt/python/cp312-cp312/include/python3.12;'
        '/opt/python/cp312-cp312/lib/python3.12/site-packages/numpy/_core/include;/usr/include")'
    )
    repaired = module.repair_text(foreign, '/usr/include/python3.12', '/venv/numpy')
    assert repaired == 'set(INCLUDES "/usr/include/python3.12;/venv/numpy;/usr/include")'
    assert module.repair_text(repaired, '/usr/include/python3.12', '/venv/numpy') == repaired


def test_isolated_runs_stay_on_this_machine_in_a_domain_of_their_own() -> None:
    script = str(ROOT / 'tools' / 'ros_env.sh')
    output = subprocess.run([script, '--isolated', 'env'], capture_output=True, text=True, check=True).stdout
    variables = dict(line.split('=', 1) for line in output.splitlines() if '=' in line)
    assert 1 <= int(variables['ROS_DOMAIN_ID']) <= 101
    assert variables.get('ROS_AUTOMATIC_DISCOVERY_RANGE') == 'LOCALHOST' or variables.get('ROS_LOCALHOST_ONLY') == '1'
    assert variables['PYTHONPATH'].split(os.pathsep)[0] == str(ROOT)


def test_the_environment_needs_a_command() -> None:
    done = subprocess.run([str(ROOT / 'tools' / 'ros_env.sh')], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, 'usage: ros-env [--isolated] COMMAND...\n')
