# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
How much a bag may unpack to: a few kilobytes of zstd stand for gigabytes of zeros.

rosbags unpacks whatever a file says, in one piece. Here its decompressors and its reading of records get a limit,
which is checked before memory is taken.
"""

from __future__ import annotations

import bz2
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import lz4.frame  # type: ignore[import-untyped]
from rosbags.highlevel import AnyReader
from rosbags.rosbag1 import reader as reader1
from rosbags.rosbag2 import reader as reader2
from rosbags.rosbag2 import storage_mcap, storage_sqlite3

MAX_PIECE_BYTES = 2**28  # of a message, or of the chunk that it lies in, unpacked
MAX_OPEN_BYTES = 2**30  # of the chunks of an mcap file that overlap in time: they are unpacked together
_MAX_RATIO = 1000  # of a bag that is compressed as a whole, which is unpacked to disk

# Modules of rosbags, whose names for other libraries are not meant for us.
_rosbag1: Any = reader1
_rosbag2: Any = reader2
_mcap: Any = storage_mcap
_sqlite: Any = storage_sqlite3


def _check(size: int, what: str) -> None:
    if size > MAX_PIECE_BYTES:
        raise ValueError(f'found {what} of more than {MAX_PIECE_BYTES >> 20} MiB, expected less')


def _limited(make: Callable[[], Any]) -> Callable[..., bytes]:
    """
    What unpacks bytes with an incremental decompressor, as far as ``size`` (0: the limit) and one byte more.
    """

    def unpack(data: bytes, size: int = 0) -> bytes:
        _check(size, 'a chunk')
        room = (size or MAX_PIECE_BYTES) + 1
        parts: list[bytes] = []
        while data and room:
            unpacker = make()
            parts.append(unpacker.decompress(data, max_length=room))
            room -= len(parts[-1])
            if room and not unpacker.eof:
                raise ValueError('found compressed data that is cut short')
            data = unpacker.unused_data
        unpacked = b''.join(parts)
        _check(len(unpacked), 'a chunk or message')
        return unpacked

    return unpack


def _limited_read(read: Callable[[Any, int], bytes]) -> Callable[[Any, int], bytes]:
    def read_piece(file: Any, size: int) -> bytes:
        _check(size, 'a record')
        return read(file, size)

    return read_piece


def _limited_file(open_file: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """
    What opens a bag that is compressed as a whole, to be read as far as such a bag may go.
    """

    def open_packed(file: Any, mode: str) -> Any:
        unpacked = open_file(file, mode)
        limit = MAX_PIECE_BYTES + _MAX_RATIO * os.fstat(file.fileno()).st_size

        def read_piece(size: int = -1) -> bytes:
            if unpacked.tell() > limit:
                raise ValueError(f'found a compressed bag of more than {limit >> 20} MiB, expected less')
            return bytes(unpacked.read(size))

        return closing(SimpleNamespace(read=read_piece, close=unpacked.close))

    return open_packed


def _limited_database(apsw: Any) -> Callable[..., Any]:
    """
    What opens a database whose rows have a limit: they may be computed, and a generated column can be a gigabyte.
    """

    def connect(*args: Any, **options: Any) -> Any:
        database = apsw.Connection(*args, **options)
        database.limit(apsw.SQLITE_LIMIT_LENGTH, MAX_PIECE_BYTES)
        return database

    return connect


def limit_unpacking() -> None:
    """
    Give rosbags' readers the limits; what exceeds them raises a ValueError, or an error of SQLite.
    """
    zstd, apsw = _mcap.zstd, _sqlite.apsw
    unpack_zstd, unpack_lz4 = _limited(zstd.ZstdDecompressor), _limited(lz4.frame.LZ4FrameDecompressor)
    _mcap.DECOMPRESSORS.update(zstd=unpack_zstd, lz4=unpack_lz4)
    _mcap.read_exact = _limited_read(_mcap.read_exact)
    _rosbag1.decompressors.update(bz2=_limited(bz2.BZ2Decompressor), lz4=unpack_lz4)
    _rosbag1.read_bytes = _limited_read(_rosbag1.read_bytes)
    _rosbag2.zstd = SimpleNamespace(**{**vars(zstd), 'decompress': unpack_zstd, 'open': _limited_file(zstd.open)})
    _sqlite.apsw = SimpleNamespace(**{**vars(apsw), 'Connection': _limited_database(apsw)})


def check_overlap(reader: AnyReader) -> None:
    """
    Refuse an mcap file whose index makes rosbags unpack too much together.

    :raises ValueError: if it does.
    """
    for chunks in _chunk_lists(reader):
        _check(max((chunk.uncompressed_size for chunk in chunks), default=0), 'a chunk')
        events = [(chunk.message_start_time, 1, chunk.uncompressed_size) for chunk in chunks]
        events += [(chunk.message_end_time, 2, -chunk.uncompressed_size) for chunk in chunks]
        held = 0
        for _, _, size in sorted(events):
            held += size
            if held > MAX_OPEN_BYTES:
                raise ValueError(
                    f'found chunks of more than {MAX_OPEN_BYTES >> 20} MiB that overlap in time, expected fewer'
                )


def _chunk_lists(reader: AnyReader) -> Iterator[list[Any]]:
    for part in reader.readers:
        storage: Any = getattr(part, 'storage', None)
        for file in getattr(storage, 'storages', [storage]):
            yield getattr(file, 'chunks', []) if isinstance(file, _mcap.McapReader) else []
