# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Bags that unpack to far more than they are.
"""

from __future__ import annotations

import sqlite3
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rosbags')

from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2 import storage_mcap as mcap
from rosbags.typesys import Stores, get_typestore

from kp2d_ros.core.errors import DataError
from kp2d_ros.recordings import bag_limits
from kp2d_ros.recordings.bags import open_bag

SIDE = 2048  # of a gray image: 4 MiB of zeros
LIMIT = 2**20
WriteBag = Callable[[Path], Path]


def image_message(store: Any, *header: Any) -> Any:
    stamp = store.types['builtin_interfaces/msg/Time'](5, 7)
    head = store.types['std_msgs/msg/Header'](*header, stamp, 'cam')
    pixels = np.zeros(SIDE * SIDE, np.uint8)
    return store.types['sensor_msgs/msg/Image'](head, SIDE, SIDE, 'mono8', 0, SIDE, pixels)


def write_rosbag2(path: Path, storage: StoragePlugin, mode: CompressionMode, images: int = 1) -> Path:
    store = get_typestore(Stores.ROS2_HUMBLE)
    message = image_message(store)
    writer = Writer(path, version=8, storage_plugin=storage)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection('/image', message.__msgtype__, typestore=store)
        for _ in range(images):
            writer.write(connection, 10, store.serialize_cdr(message, message.__msgtype__))
    return path


def write_rosbag1(path: Path, compression: Any) -> Path:
    store = get_typestore(Stores.ROS1_NOETIC)
    message = image_message(store, 0)
    writer = Writer1(path.with_suffix('.bag'))
    if compression is not None:
        writer.set_compression(compression)
    with writer:
        connection = writer.add_connection('/image', message.__msgtype__, typestore=store)
        writer.write(connection, 10, store.serialize_ros1(message, message.__msgtype__))
    return path.with_suffix('.bag')


def write_understated_chunk(path: Path) -> Path:
    """
    Sizes in chunk and index that say 64 KiB, of a chunk that unpacks to more than 4 MiB.
    """
    write_rosbag2(path, StoragePlugin.MCAP, CompressionMode.STORAGE)
    (file,) = path.glob('*.mcap')
    reader = mcap.McapReader(file)
    reader.open()
    size = reader.chunks[0].uncompressed_size
    reader.close()
    file.write_bytes(file.read_bytes().replace(size.to_bytes(8, 'little'), (2**16).to_bytes(8, 'little')))
    return path


def write_without_index(path: Path) -> Path:
    """
    A recording that was never finished: rosbags scans its chunks.
    """
    write_rosbag2(path, StoragePlugin.MCAP, CompressionMode.STORAGE)
    (file,) = path.glob('*.mcap')
    content = file.read_bytes()
    file.write_bytes(content[:-28] + bytes(20) + content[-8:])
    return file


def write_computed_row(path: Path) -> Path:
    """
    A database of a few kilobytes with a column that is a gigabyte.
    """
    write_rosbag2(path, StoragePlugin.SQLITE3, CompressionMode.NONE)
    (file,) = path.glob('*.db3')
    with sqlite3.connect(file) as database:
        database.executescript(
            'DROP TABLE messages; CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, '
            'data BLOB GENERATED ALWAYS AS (zeroblob(900000000)) VIRTUAL);'
            'INSERT INTO messages(topic_id, timestamp) VALUES (1, 10); VACUUM;'
        )
    database.close()
    return path


BOMBS: dict[str, WriteBag] = {
    'chunk of zstd': lambda path: write_rosbag2(path, StoragePlugin.MCAP, CompressionMode.STORAGE),
    'chunk that says it is small': write_understated_chunk,
    'chunk without index': write_without_index,
    'message of zstd': lambda path: write_rosbag2(path, StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    'row that is computed': write_computed_row,
    'raw chunk': lambda path: write_rosbag2(path, StoragePlugin.MCAP, CompressionMode.NONE),
    'raw row': lambda path: write_rosbag2(path, StoragePlugin.SQLITE3, CompressionMode.NONE),
    'ROS 1, bz2': lambda path: write_rosbag1(path, Writer1.CompressionFormat.BZ2),
    'ROS 1, lz4': lambda path: write_rosbag1(path, Writer1.CompressionFormat.LZ4),
    'ROS 1, raw': lambda path: write_rosbag1(path, None),
}

ILL_FORMED = {'chunk that says it is small', 'row that is computed'}


@pytest.mark.parametrize('kind', BOMBS)
def test_what_unpacks_to_too_much_is_refused_before_memory_is_taken(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = BOMBS[kind](tmp_path / 'bag')
    monkeypatch.setattr(bag_limits, 'MAX_PIECE_BYTES', LIMIT)
    tracemalloc.start()
    with pytest.raises(DataError, match=r'cannot be read as a bag: .*(more than 1 MiB|size mismatch|too big)'):
        list(open_bag(path))
    assert tracemalloc.get_traced_memory()[1] < 4 * LIMIT
    tracemalloc.stop()


@pytest.mark.parametrize('kind', [kind for kind in BOMBS if kind not in ILL_FORMED])
def test_what_is_within_the_limit_is_read(kind: str, tmp_path: Path) -> None:
    (frame,) = open_bag(BOMBS[kind](tmp_path / 'bag'))
    assert frame.image.shape == (SIDE, SIDE)


def test_a_bag_that_is_compressed_as_a_whole_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_rosbag2(tmp_path / 'bag', StoragePlugin.SQLITE3, CompressionMode.FILE)
    assert len(list(open_bag(path))) == 1
    monkeypatch.setattr(bag_limits, 'MAX_PIECE_BYTES', LIMIT)
    monkeypatch.setattr(bag_limits, '_MAX_RATIO', 1)
    with pytest.raises(DataError, match='found a compressed bag of more than 1 MiB'):
        open_bag(path)


def test_chunks_that_rosbags_would_unpack_together_have_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_rosbag2(tmp_path / 'bag', StoragePlugin.MCAP, CompressionMode.STORAGE, images=3)
    assert len(list(open_bag(path))) == 3
    monkeypatch.setattr(bag_limits, 'MAX_OPEN_BYTES', 8 * LIMIT)
    with pytest.raises(DataError, match='chunks of more than 8 MiB that overlap in time'):
        open_bag(path)
