# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The decisions of the set-up: which ROS 2, which Python, what is missing, what may stay.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import machine
import repair_cmake
import setup_env
import torch_build

ROOT = Path(__file__).parents[2]
HERE = f'{sys.version_info.major}.{sys.version_info.minor}'


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """
    The environment is in ``tmp_path``.
    """
    monkeypatch.setattr(setup_env, 'VENV', tmp_path / '.venv')
    monkeypatch.setattr(setup_env, 'STATE', tmp_path / '.venv' / 'setup.json')
    return tmp_path


def install_ros(prefix: Path, version: str, lib: str = 'lib', packages: str = 'site-packages') -> Path:
    (prefix / lib / f'python{version}' / packages / 'rclpy').mkdir(parents=True)
    return prefix


def make_venv(folder: Path) -> None:
    (folder / 'bin').mkdir(parents=True)
    (folder / 'bin' / 'python').symlink_to(sys.executable)
    (folder / 'share' / 'rclpy').mkdir(parents=True)


def test_a_shell_without_ros_has_none() -> None:
    assert machine.find_sourced_ros({}) is None


@pytest.mark.parametrize(('lib', 'packages'), [('lib', 'site-packages'), ('local/lib', 'dist-packages')])
def test_finds_the_sourced_ros_and_its_python(tmp_path: Path, lib: str, packages: str) -> None:
    prefix = install_ros(tmp_path / 'humble', '3.10', lib, packages)
    environment = {'ROS_DISTRO': 'humble', 'AMENT_PREFIX_PATH': f'{tmp_path}/overlay{os.pathsep}{prefix}'}
    assert machine.find_sourced_ros(environment) == machine.SourcedRos('humble', str(prefix), '3.10')


def test_wheels_in_an_environment_are_no_sourced_ros(tmp_path: Path) -> None:
    prefix = install_ros(tmp_path / '.venv', '3.11')
    (prefix / 'pyvenv.cfg').touch()
    assert machine.find_sourced_ros({'ROS_DISTRO': 'kilted', 'AMENT_PREFIX_PATH': str(prefix)}) is None


def test_ros_that_is_named_but_not_sourced_is_refused() -> None:
    with pytest.raises(machine.SetupError, match='ROS_DISTRO is "jazzy", but no folder'):
        machine.find_sourced_ros({'ROS_DISTRO': 'jazzy'})


def test_chooses_the_python_of_the_sourced_ros(tmp_path: Path) -> None:
    ros = machine.SourcedRos('any', str(tmp_path), HERE)
    assert machine.choose_python(ros).version == HERE


def test_a_ros_for_a_python_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(machine.SetupError, match=r'ROS 2 old in .* is for Python 3\.1, which was not found'):
        machine.choose_python(machine.SourcedRos('old', str(tmp_path), '3.1'))


def test_python_without_wheels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, 'WHEEL_PYTHONS', ('3.1',))
    with pytest.raises(machine.SetupError, match=r'wheels exist for Python 3\.1 only: found Python'):
        machine.choose_python(None)


def test_says_everything_that_is_missing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('CC', 'no-such-compiler')
    monkeypatch.setenv('CXX', 'no-such-compiler')
    bare = machine.Python('python3', '3.11', has_venv=False, has_headers=False)
    ros = machine.SourcedRos('kilted', '/opt/ros/kilted', '3.11')
    with pytest.raises(machine.SetupError, match=r'apt install python3\.11-venv python3\.11-dev gcc g\+\+'):
        machine.check_machine(bare, ros)


def test_a_machine_without_wheels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, 'machine', lambda: 'aarch64')
    with pytest.raises(machine.SetupError, match='for Linux on x86_64 only: found linux on aarch64'):
        machine.check_machine(machine.Python('python3', '3.11', has_venv=True, has_headers=True), None)


def test_the_state_survives_a_round_trip() -> None:
    assert setup_env.read_state() is None
    setup_env.VENV.mkdir()
    wanted = setup_env.State('/somewhere', '3.11', 'wheels', 'abc', complete=True)
    setup_env.write_state(wanted, complete=False)
    assert setup_env.read_state() == dataclasses.replace(wanted, complete=False)
    setup_env.write_state(wanted, complete=True)
    assert setup_env.read_state() == wanted


def test_a_broken_state_counts_as_none() -> None:
    setup_env.VENV.mkdir()
    for text in ('', '[]', '{"root": "/somewhere"}'):
        setup_env.STATE.write_text(text)
        assert setup_env.read_state() is None


def test_a_finished_environment_is_kept_and_any_other_is_not() -> None:
    wanted = setup_env.State('/somewhere', HERE, 'wheels', 'new', complete=True)
    assert not setup_env.can_be_kept(wanted, wanted)  # nothing is there
    make_venv(setup_env.VENV)
    assert setup_env.can_be_kept(wanted, wanted)
    assert setup_env.can_be_kept(dataclasses.replace(wanted, requirements='old'), wanted)
    assert setup_env.can_be_kept(None, wanted)  # made by hand
    for change in ({'complete': False}, {'root': '/elsewhere'}, {'ros': 'jazzy in /opt/ros/jazzy'}):
        assert not setup_env.can_be_kept(dataclasses.replace(wanted, **change), wanted)
    assert not setup_env.can_be_kept(wanted, dataclasses.replace(wanted, python_version='3.1'))


def test_a_change_of_the_requirements_changes_the_wanted_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / 'requirements').mkdir()
    (tmp_path / 'requirements' / 'pinned.txt').write_text('numpy==2.4.6\n')
    monkeypatch.setattr(setup_env, 'ROOT', tmp_path)
    monkeypatch.setattr(setup_env, 'SOURCES', ())
    python = machine.Python('python3', HERE, has_venv=True, has_headers=True)
    before = setup_env.wanted_state(python, None)
    assert setup_env.wanted_state(python, None) == before
    (tmp_path / 'requirements' / 'pinned.txt').write_text('numpy==2.4.7\n')
    assert setup_env.wanted_state(python, None) != before


@pytest.mark.parametrize(('numpy', 'bound'), [('1.26.4', ['numpy<2']), ('2.3.0', [])])
def test_numpy_stays_below_2_where_the_system_has_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, numpy: str, bound: list[str]
) -> None:
    (tmp_path / 'numpy.py').write_text(f'__version__ = "{numpy}"\n')
    (tmp_path / 'cv2.py').touch()
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    python = machine.Python(sys.executable, HERE, has_venv=True, has_headers=True)
    assert setup_env.numpy_bound(python) == bound
    assert setup_env.without_system_opencv(python, ['numpy', 'opencv-python-headless>=4']) == ['numpy']


def test_a_pytorch_that_is_there_is_known_by_its_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_venv(setup_env.VENV)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    (tmp_path / 'torch.py').write_text('raise ImportError\n')
    assert setup_env.installed_torch(None) == ''
    (tmp_path / 'torch.py').write_text('__version__ = "2.13.0+cpu"\n')
    assert setup_env.installed_torch(None) == 'torch==2.13.0'
    assert setup_env.installed_torch(machine.SourcedRos('jazzy', '/opt/ros/jazzy', HERE)) == 'torch=='


def test_pytorch_is_added_to_a_finished_environment_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed: list[list[str]] = []
    monkeypatch.setattr(setup_env, 'install', lambda python, ros, lines, options: installed.append(lines))
    monkeypatch.setattr(torch_build, 'with_torch_build', lambda lines, *_: [*lines, 'chosen'])
    make_venv(setup_env.VENV)
    python = machine.Python('python3', HERE, has_venv=True, has_headers=True)
    state = setup_env.wanted_state(python, None)
    setup_env.add_develop(python, None, state)
    assert len(installed) == 1 and installed[0][-1] == 'chosen'
    left = setup_env.read_state()
    assert left and left.complete and left.develop and left != state
    setup_env.add_develop(python, None, left)
    assert len(installed) == 1
    assert setup_env.make_base(python, None) == left  # `make demo` leaves PyTorch there


def test_a_refused_pytorch_leaves_the_environment_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> list[str]:
        raise machine.SetupError('no card')

    monkeypatch.setattr(torch_build, 'with_torch_build', refuse)
    make_venv(setup_env.VENV)
    python = machine.Python('python3', HERE, has_venv=True, has_headers=True)
    state = setup_env.wanted_state(python, None)
    setup_env.write_state(state, complete=True)
    with pytest.raises(machine.SetupError, match='no card'):
        setup_env.add_develop(python, None, state)
    assert setup_env.read_state() == state


def test_a_failing_command_stops_the_set_up() -> None:
    with pytest.raises(machine.SetupError, match='failed: false'):
        setup_env.run('false')


def test_repairs_the_include_folders_of_a_foreign_machine() -> None:
    foreign = (
        'set(INCLUDES "/opt/python/cp312-cp312/include/python3.12;'
        '/opt/python/cp312-cp312/lib/python3.12/site-packages/numpy/_core/include;/usr/include")'
    )
    repaired = repair_cmake.repair_text(foreign, '/usr/include/python3.12', '/venv/numpy')
    assert repaired == 'set(INCLUDES "/usr/include/python3.12;/venv/numpy;/usr/include")'
    assert repair_cmake.repair_text(repaired, '/usr/include/python3.12', '/venv/numpy') == repaired


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
