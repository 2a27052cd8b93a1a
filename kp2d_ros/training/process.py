# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
One process of many, as torchrun starts them (a plain start is one process of one), and what it asks of the system.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

import torch
import torch.distributed

from kp2d_ros.core.errors import BackendError

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # malloc.h of glibc


@dataclass(frozen=True, slots=True)
class Process:
    """
    Which of how many processes this is, and the device that it trains on.
    """

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """
        Whether this process writes the files.
        """
        return self.rank == 0


@contextmanager
def training_process(device_name: str) -> Iterator[Process]:
    """
    Join the other processes if torchrun started this one (environment variables RANK, WORLD_SIZE, LOCAL_RANK), and
    share the cores of the machine with them.

    :param device_name: ``auto`` takes the CUDA device of the local rank, or the CPU where there is none.
    :raises BackendError: if the device is not there, or the other processes are not.
    """
    try:
        world_size, local_rank = int(os.environ.get('WORLD_SIZE', '1')), int(os.environ.get('LOCAL_RANK', '0'))
    except ValueError as error:
        raise BackendError(f'WORLD_SIZE and LOCAL_RANK: expected the numbers that torchrun sets: {error}') from error
    device = pick_device(device_name, local_rank)
    if device.type == 'cpu':
        keep_freed_memory()
        if world_size > 1:  # torchrun's own default is one thread each
            torch.set_num_threads(max((os.cpu_count() or 1) // world_size, 1))
    if world_size == 1:
        yield Process(0, 1, device)
        return
    try:
        torch.distributed.init_process_group('nccl' if device.type == 'cuda' else 'gloo')
    except (RuntimeError, ValueError) as error:
        raise BackendError(f'torchrun: the {world_size} processes do not find each other: {error}') from error
    try:
        yield Process(torch.distributed.get_rank(), world_size, device)
        torch.distributed.barrier()  # gloo aborts a process whose peer leaves while it still listens
    finally:
        torch.distributed.destroy_process_group()


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """
    The device of a name; ``auto`` and ``cuda`` mean the CUDA device of this rank.

    :raises BackendError: if there is no such device.
    """
    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    if name == 'cuda':
        name = f'cuda:{local_rank}'
    device: torch.device | None = None
    with suppress(RuntimeError):
        device = torch.device(name)
    if device is None or device.type not in {'cpu', 'cuda'}:
        raise BackendError(f'device: found {name!r}, expected auto, cpu, cuda or cuda:N')
    if device.type == 'cuda' and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        raise BackendError(f'device: found {name!r}, expected one of the {count} CUDA devices that torch sees, or cpu')
    return device


def any_process(flag: bool, process: Process) -> bool:
    """
    Whether the flag is up in one of the processes; all of them get the same answer.
    """
    if process.world_size == 1:
        return flag
    raised = torch.tensor(int(flag), device=process.device)
    torch.distributed.all_reduce(raised, op=torch.distributed.ReduceOp.MAX)
    return bool(raised)


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """
    Ctrl-C asks the loop to stop after the step that it is at; a second one stops at once.
    """
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def keep_freed_memory() -> bool:
    """
    Let this process keep what it frees, for good; whether its C library knows how to (glibc does).

    A training step on a CPU frees gigabytes of large tensors. By default each goes back to the system at once and comes
    back page by page in the next step, which takes a quarter of the time of a step.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    options = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 2**28}
    return all(set_option(option, value) == 1 for option, value in options.items())
