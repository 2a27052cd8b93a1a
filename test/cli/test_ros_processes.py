# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest

from kp2d_ros.cli.ros_processes import ProcessGroup, find_executable
from kp2d_ros.core.errors import BackendError

STUBBORN = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print('ready', flush=True)
time.sleep(60)
"""


TERMINATED = """
import os, signal, sys
from pathlib import Path
from kp2d_ros.cli.ros_processes import ProcessGroup
with ProcessGroup(Path(sys.argv[1])) as group:
    sleeper = 'import os, time; print(os.getpid(), flush=True); time.sleep(60)'
    child = group.start('child', [sys.executable, '-c', sleeper], os.environ)
    while not child.output():
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    group.wait_for_end(child, 30)
"""


def python(code: str) -> list[str]:
    return [sys.executable, '-c', code]


def test_a_process_that_ends_well_is_waited_for(tmp_path: Path) -> None:
    with ProcessGroup(tmp_path / 'logs') as group:
        process = group.start('worker', python('print("done")'), os.environ)
        group.wait_for_end(process, 10)
    assert process.returncode == 0
    assert (tmp_path / 'logs' / 'worker.log').read_text() == 'done\n'


def test_a_failing_process_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    with ProcessGroup(tmp_path) as group:
        process = group.start('worker', python('raise SystemExit("the bag is empty")'), os.environ)
        with pytest.raises(BackendError, match='worker: ended with status 1; its last words: the bag is empty'):
            group.wait_for_end(process, 10)


def test_a_failure_beside_the_awaited_process_ends_the_wait(tmp_path: Path) -> None:
    with ProcessGroup(tmp_path) as group:
        waiting = group.start('waiting', python('import time; time.sleep(60)'), os.environ)
        group.start('failing', python('raise SystemExit(3)'), os.environ)
        with pytest.raises(BackendError, match='failing: ended with status 3'):
            group.wait_for_end(waiting, 10)
    assert waiting.returncode is not None


def test_too_slow_is_an_error_that_names_the_process(tmp_path: Path) -> None:
    with ProcessGroup(tmp_path) as group:
        process = group.start('slow', python('import time; time.sleep(60)'), os.environ)
        with pytest.raises(BackendError, match=r'slow: has not ended after 0\.2 s'):
            group.wait_for_end(process, 0.2)
        with pytest.raises(BackendError, match='slow: has not said "hello"'):
            group.wait_for_words(process, 'hello', 0.2)


def test_a_process_that_ignores_the_interrupt_is_ended_all_the_same(tmp_path: Path) -> None:
    with ProcessGroup(tmp_path) as group:
        process = group.start('stubborn', python(STUBBORN), os.environ)
        group.wait_for_words(process, 'ready', 10)
        begin = monotonic()
        process.stop(seconds=0.3)
    assert process.returncode is not None
    assert monotonic() - begin < 5


def test_a_program_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with ProcessGroup(tmp_path) as group, pytest.raises(BackendError, match='worker: cannot be started'):
        group.start('worker', [str(tmp_path / 'nowhere')], os.environ)


def test_the_executable_of_a_sourced_workspace_is_found(tmp_path: Path) -> None:
    program = tmp_path / 'lib' / 'kp2d_ros' / 'frontend'
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\n')
    program.chmod(0o755)
    environment = {'AMENT_PREFIX_PATH': os.pathsep.join(['/nowhere', str(tmp_path)])}
    assert find_executable('frontend', environment) == program
    with pytest.raises(BackendError, match='replay: found no lib/kp2d_ros/replay in 2 sourced ROS prefixes'):
        find_executable('replay', environment)


def test_no_process_outlives_a_parent_that_is_terminated(tmp_path: Path) -> None:
    parent = subprocess.run([*python(TERMINATED), str(tmp_path)], capture_output=True, timeout=60, check=False)
    assert parent.returncode != 0
    child = int((tmp_path / 'child.log').read_text().split()[0])
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
