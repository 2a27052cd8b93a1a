# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Processes of a ROS graph: found, started with their own log, waited for with a time limit, and always ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep
from types import FrameType, TracebackType

from kp2d_ros.core.errors import BackendError
from kp2d_ros.core.resources import PACKAGE, find_shipped_file

_POLL_SECONDS = 0.05
_TAIL_LINES = 15
_STOP_SECONDS = 5.0
_OLD_PROFILES = frozenset({'humble', 'iron', 'jazzy'})  # where Fast DDS still goes by its former name


def find_executable(name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """
    The installed executable that ``ros2 run kp2d_ros NAME`` starts.

    :raises BackendError: if no sourced ROS workspace has it.
    """
    prefixes = [prefix for prefix in environment.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if prefix]
    for prefix in prefixes:
        path = Path(prefix) / 'lib' / PACKAGE / name
        if os.access(path, os.X_OK):
            return path
    raise BackendError(
        f'{name}: found no lib/{PACKAGE}/{name} in {len(prefixes)} sourced ROS prefixes; build the package and source '
        'it first: make build, then .venv/bin/ros-env kp2d ...'
    )


def isolated_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """
    The environment for processes that talk to each other over loopback, and to nobody else.

    A domain that is set stays; otherwise one is taken by the number of this process.
    """
    domain = environment.get('ROS_DOMAIN_ID', '')
    distribution = environment.get('ROS_DISTRO', '')
    profiles = 'FASTRTPS_DEFAULT_PROFILES_FILE' if distribution in _OLD_PROFILES else 'FASTDDS_DEFAULT_PROFILES_FILE'
    loopback = (
        {'ROS_LOCALHOST_ONLY': '1'} if distribution == 'humble' else {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    )
    return {
        **environment,
        **loopback,
        profiles: str(find_shipped_file('config/fastdds_localhost.xml')),
        'ROS_DOMAIN_ID': domain if domain not in ('', '0') else str(1 + os.getpid() % 101),
        'PYTHONUNBUFFERED': '1',
    }


def _interrupt(number: int, frame: FrameType | None) -> None:
    """
    End this process as Ctrl-C does.
    """
    raise KeyboardInterrupt


class RosProcess:
    """
    One process, whose output goes to a file.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        """
        :raises BackendError: if it cannot be started.
        """
        self.name = name
        self._log = log
        try:
            with log.open('wb') as stream:
                # A session of its own: Ctrl-C reaches only the parent, which ends its processes in order.
                self._process = subprocess.Popen(
                    command, env=dict(environment), stdout=stream, stderr=stream, start_new_session=True
                )
        except OSError as error:
            raise BackendError(f'{name}: cannot be started: {error}') from error

    @property
    def returncode(self) -> int | None:
        """
        The exit status; None while it runs.
        """
        return self._process.poll()

    def output(self) -> str:
        """
        Everything that it has written so far.
        """
        return self._log.read_text(encoding='utf-8', errors='replace')

    def failure(self, what: str) -> BackendError:
        """
        An error about this process that ends with its last lines.
        """
        tail = ' | '.join(line.strip() for line in self.output().splitlines()[-_TAIL_LINES:] if line.strip())
        return BackendError(f'{self.name}: {what}; its last words: {tail or "none"}')

    def stop(self, seconds: float = _STOP_SECONDS) -> None:
        """
        Ask it to end as Ctrl-C does, then less politely; afterwards it has ended.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            if self.returncode is not None:
                return
            self._process.send_signal(number)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue


class ProcessGroup:
    """
    Processes that live no longer than a ``with`` block; the last one started is ended first.
    """

    def __init__(self, logs: Path) -> None:
        """
        :param logs: the folder for one ``NAME.log`` each, made if needed.
        :raises BackendError: if it cannot be made.
        """
        self._logs = logs
        self._processes: list[RosProcess] = []
        try:
            logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BackendError(f'{logs}: cannot be made: {error}') from error

    def __enter__(self) -> ProcessGroup:
        # A plain SIGTERM would leave the processes behind.
        self._former_handler = signal.signal(signal.SIGTERM, _interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._processes):
            process.stop()
        signal.signal(signal.SIGTERM, self._former_handler)

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> RosProcess:
        """
        Start one more process.

        :raises BackendError: if it cannot be started.
        """
        process = RosProcess(name, command, self._logs / f'{name}.log', environment)
        self._processes.append(process)
        return process

    def wait_for_words(self, process: RosProcess, words: str, seconds: float) -> None:
        """
        Wait until a process has written certain words.

        :raises BackendError: if it has not in time, or if a process of the group fails.
        """
        deadline = monotonic() + seconds
        while words not in process.output():
            self._check(process, f'has not said "{words}" after {seconds:g} s', deadline)
            if process.returncode is not None:
                raise process.failure(f'ended before it said "{words}"')

    def wait_for_end(self, process: RosProcess, seconds: float) -> None:
        """
        Wait until a process has ended well.

        :raises BackendError: if it has not in time, or if a process of the group fails.
        """
        deadline = monotonic() + seconds
        while process.returncode is None:
            self._check(process, f'has not ended after {seconds:g} s', deadline)
        self._check(process, '', deadline=float('inf'))

    def _check(self, process: RosProcess, complaint: str, deadline: float) -> None:
        for each in self._processes:
            if each.returncode not in (None, 0):
                raise each.failure(f'ended with status {each.returncode}')
        if monotonic() > deadline:
            raise process.failure(complaint)
        sleep(_POLL_SECONDS)
