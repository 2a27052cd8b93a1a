# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
import errno
import fcntl
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.files import atomic_path, claim_folder, write_bytes, write_json, write_text

CLAIM = """
import sys
from pathlib import Path
from kp2d_ros.core.files import claim_folder
with claim_folder(Path(sys.argv[1])):
    print('claimed', flush=True)
    sys.stdin.read()
"""


@contextmanager
def other_run_in(folder: Path) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, '-c', CLAIM, str(folder)]
    run = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert run.stdout is not None
        assert run.stdout.readline() == 'claimed\n'
        yield run
    finally:
        run.kill()
        run.communicate()


def test_files_are_written_whole_into_folders_that_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / 'a' / 'text.txt', 'grün\n')
    write_bytes(tmp_path / 'a' / 'bytes', b'\x00\xff')
    write_json(tmp_path / 'b' / 'values.json', {'name': [1, 0.5, None]})
    assert (tmp_path / 'a' / 'text.txt').read_text(encoding='utf-8') == 'grün\n'
    assert (tmp_path / 'a' / 'bytes').read_bytes() == b'\x00\xff'
    assert json.loads((tmp_path / 'b' / 'values.json').read_text()) == {'name': [1, 0.5, None]}
    assert sorted(os.listdir(tmp_path / 'a')) == ['bytes', 'text.txt']


def test_a_new_file_has_the_permissions_that_the_process_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / 'text.txt', '')
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / 'text.txt').stat().st_mode) == 0o640


def test_a_full_disk_keeps_the_old_file_and_leaves_no_part_of_the_new_one(
    tmp_path: Path, disk_that_holds: Callable[[int], AbstractContextManager[None]]
) -> None:
    write_text(tmp_path / 'run.json', 'old')
    with disk_that_holds(1000), pytest.raises(DataError, match=r'run\.json: cannot be written: File too large'):
        write_text(tmp_path / 'run.json', 'x' * 5000)
    assert os.listdir(tmp_path) == ['run.json']
    assert (tmp_path / 'run.json').read_text() == 'old'


def test_what_fails_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / 'video.mp4') as part:
        part.write_text('half')
        assert part.suffix == '.mp4'  # by which many writers choose the format
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_a_writer_that_wrote_nothing_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(DataError, match=r'video\.mp4: cannot be written: No such file'),
        atomic_path(tmp_path / 'video.mp4'),
    ):
        pass


def test_json_refuses_what_json_does_not_have_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='JSON'):
        write_json(tmp_path / 'a.json', {'mean': float('nan')})
    assert os.listdir(tmp_path) == []


def test_a_file_in_the_way_of_the_folder_and_a_folder_in_the_way_of_the_file_are_told(tmp_path: Path) -> None:
    write_text(tmp_path / 'file', '')
    with pytest.raises(DataError, match=r'file/run\.json: cannot be written: File exists'):
        write_text(tmp_path / 'file' / 'run.json', '')
    with pytest.raises(DataError, match='cannot be written: Is a directory'):
        write_text(tmp_path, '')


def test_a_link_stays_and_its_file_changes_and_a_device_is_written_to(tmp_path: Path) -> None:
    write_text(tmp_path / 'file', 'old')
    (tmp_path / 'link').symlink_to('file')
    (tmp_path / 'null').symlink_to(os.devnull)
    write_text(tmp_path / 'link', 'new')
    write_text(tmp_path / 'null', 'gone')
    assert (tmp_path / 'link').is_symlink()
    assert (tmp_path / 'file').read_text() == 'new'
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_folder_is_claimed_by_one_run_at_a_time_and_nothing_of_the_claim_stays(tmp_path: Path) -> None:
    folder = tmp_path / 'deep' / 'out'
    with other_run_in(folder) as run:
        with pytest.raises(DataError, match='out: another run is writing into this folder'), claim_folder(folder):
            pass
        run.communicate('')
    assert os.listdir(folder) == []
    with claim_folder(folder):
        write_text(folder / 'run.json', '')
    assert os.listdir(folder) == ['run.json']


def test_the_claim_of_a_killed_run_ends_with_it(tmp_path: Path) -> None:
    with other_run_in(tmp_path) as run:
        run.kill()
        run.wait()
        with claim_folder(tmp_path):
            pass


def test_one_process_claims_a_folder_only_once(tmp_path: Path) -> None:
    with claim_folder(tmp_path):
        with pytest.raises(DataError, match='another run'), claim_folder(tmp_path):
            pass
        with pytest.raises(DataError, match='another run'), claim_folder(tmp_path):  # the refused one kept the lock
            pass


def test_a_lock_file_that_its_run_removes_meanwhile_is_not_taken_for_a_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks = []
    flock = fcntl.flock

    def lock_what_is_removed_the_first_time(handle: int, kind: int) -> None:
        locks.append(handle)
        if len(locks) == 1:
            next(tmp_path.iterdir()).unlink()
        flock(handle, kind)

    monkeypatch.setattr(fcntl, 'flock', lock_what_is_removed_the_first_time)
    with claim_folder(tmp_path):
        assert len(locks) == 2
        with pytest.raises(DataError, match='another run'), claim_folder(tmp_path):
            pass


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / 'file', '')
    with pytest.raises(DataError, match='file: cannot be written: File exists'), claim_folder(tmp_path / 'file'):
        pass

    def refuse(*arguments: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))  # permissions do not hold back a root user

    monkeypatch.setattr(os, 'open', refuse)
    with (
        pytest.raises(DataError, match='out: cannot be written: Read-only file system'),
        claim_folder(tmp_path / 'out'),
    ):
        pass


def test_a_folder_that_is_removed_while_claimed_is_no_error(tmp_path: Path) -> None:
    with claim_folder(tmp_path / 'out'):
        next((tmp_path / 'out').iterdir()).unlink()
        (tmp_path / 'out').rmdir()
