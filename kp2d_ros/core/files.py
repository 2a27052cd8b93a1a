# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Files that are there as a whole or not at all, and folders that one run at a time writes into.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kp2d_ros.core.errors import DataError

_LOCK_NAME = '.kp2d.lock'


def write_text(path: Path, text: str) -> None:
    """
    Write a text (UTF-8) into a folder that is made if needed; whoever reads the path sees the old text or the new one.

    :raises DataError: if it cannot be written; what was there stays.
    """
    write_bytes(path, text.encode('utf-8'))


def write_json(path: Path, data: Any) -> None:
    """
    Write JSON values as :func:`write_text` does, one value to a line.

    :raises DataError: if the file cannot be written.
    :raises ValueError: if a number is not finite, which JSON does not have.
    """
    write_text(path, json.dumps(data, indent=1, allow_nan=False) + '\n')


def write_bytes(path: Path, data: bytes) -> None:
    """
    Write bytes as :func:`write_text` does.

    :raises DataError: if the file cannot be written.
    """
    with atomic_path(path) as part:
        part.write_bytes(data)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """
    A path beside the given one, with the same suffix, for whoever writes files by name: what is written there takes
    the place of the file when the ``with`` block ends, and is removed if the block fails.

    A device or a pipe, which is no file that could be replaced, is given as it is.

    :raises DataError: if it cannot be written; what was there stays.
    """
    target = Path(os.path.realpath(path))  # the file that a link leads to is replaced, not the link
    try:
        if target.exists() and not target.is_file():
            yield target
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f'.{target.stem}.{os.getpid()}.part{target.suffix}')
        try:
            yield part
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f'{path}: cannot be written: {error.strerror or error}') from error


@contextmanager
def claim_folder(folder: Path) -> Iterator[None]:
    """
    Make a folder for the results of a run and keep other runs out of it until the ``with`` block or the process ends.

    :raises DataError: at once, if nothing can be written there or another run has claimed it.
    """
    lock = folder / _LOCK_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = _lock_file(lock)
    except BlockingIOError as error:
        raise DataError(f'{folder}: another run is writing into this folder; wait for it, or choose another') from error
    except OSError as error:
        raise DataError(f'{folder}: cannot be written: {error.strerror or error}') from error
    try:
        yield
    finally:
        with suppress(OSError):  # the folder may have been moved or removed meanwhile
            lock.unlink()
        os.close(handle)


def _lock_file(path: Path) -> int:
    """
    An open, locked file; the lock ends when it is closed, so that a process that was killed leaves none.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # the run before has removed the file between the two calls: what was locked is nobody's
