# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Reads weights written by ``torch.save`` (zip archives, and the format before torch 1.6) without executing anything.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import torch
from torch import Tensor

from kp2d_ros.core.errors import DataError
from kp2d_ros.networks.pickle_reader import StorageRecord, TensorRecord, read_pickle

MAX_BYTES = 2**29
_MAX_PICKLE_BYTES = 2**24
_MAX_TENSORS = 10_000
_MAX_AXES = 8
_ZIP_MAGIC = b'PK\x03\x04'
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_DTYPES = {
    'DoubleStorage': torch.float64,
    'FloatStorage': torch.float32,
    'HalfStorage': torch.float16,
    'BFloat16Storage': torch.bfloat16,
    'LongStorage': torch.int64,
    'IntStorage': torch.int32,
    'ShortStorage': torch.int16,
    'CharStorage': torch.int8,
    'ByteStorage': torch.uint8,
    'BoolStorage': torch.bool,
}
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, KeyError, ValueError, OverflowError)


@dataclass(frozen=True, slots=True)
class TorchFile:
    """
    The weights in a file, on the CPU, and the settings saved beside them (empty if there are none).
    """

    state: dict[str, Tensor]
    config: Mapping[str, Any]


def read_torch_file(path: Path) -> TorchFile:
    """
    Read a state_dict, or a dict with a ``state_dict`` and perhaps a ``config``.

    :raises DataError: if the file cannot be read, is broken or too large, or holds anything but data.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES or not path.is_file():
            raise DataError(f'found {size} bytes, expected a file of at most {MAX_BYTES}')
        # From memory: a file object would set aside as many bytes as a broken length asks for.
        data = path.read_bytes()
        return (_read_zip if data.startswith(_ZIP_MAGIC) else _read_legacy)(io.BytesIO(data))
    except DataError as error:
        raise DataError(f'{path}: {error}') from error
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error}') from error
    except _BROKEN as error:
        raise DataError(f'{path}: is broken or cut short: {error}') from error


def _read_zip(stream: IO[bytes]) -> TorchFile:
    with zipfile.ZipFile(stream) as archive:
        pickles = [name for name in archive.namelist() if PurePosixPath(name).name == 'data.pkl']
        if len(pickles) != 1:
            raise DataError(f'found a zip archive with {len(pickles)} data.pkl, expected one, as torch.save writes it')
        folder = pickles[0].removesuffix('data.pkl')
        byte_order = f'{folder}byteorder'
        if byte_order in archive.namelist() and _read_entry(archive, byte_order, 16) != b'little':
            raise DataError('found another byte order, expected little-endian')
        content = read_pickle(io.BytesIO(_read_entry(archive, pickles[0], _MAX_PICKLE_BYTES))).content
        return _assemble(content, lambda key, size: _read_entry(archive, f'{folder}data/{key}', size))


def _read_entry(archive: zipfile.ZipFile, name: str, max_bytes: int) -> bytes:
    info = archive.getinfo(name)
    # torch.save never compresses; what is not compressed cannot grow beyond the file.
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.file_size > max_bytes:
        raise DataError(f'{name}: found a compressed, encrypted or oversized entry, expected at most {max_bytes} bytes')
    return archive.read(info)


def _read_legacy(stream: IO[bytes]) -> TorchFile:
    if read_pickle(stream).content != _LEGACY_MAGIC:
        raise DataError('is neither a safetensors file nor written by torch.save')
    protocol, system = read_pickle(stream).content, read_pickle(stream).content
    if protocol != _LEGACY_PROTOCOL or not isinstance(system, dict) or system.get('little_endian') is not True:
        raise DataError(f'found another form of torch.save, expected protocol {_LEGACY_PROTOCOL}, little-endian')
    main = read_pickle(stream)
    keys = read_pickle(stream).content
    if not isinstance(keys, list) or not all(isinstance(k, str) for k in keys) or set(keys) != set(main.storages):
        raise DataError('found a list of storages that differs from those in use')
    storages = {key: _read_legacy_storage(stream, main.storages[key]) for key in keys}
    return _assemble(main.content, lambda key, _: storages[key])


def _read_legacy_storage(stream: IO[bytes], record: StorageRecord) -> bytes:
    (numel,) = struct.unpack('<q', stream.read(8))
    if numel != record.numel:
        raise DataError(f'storage {record.key[:100]!r}: found {numel} elements, expected {record.numel}')
    return stream.read(_storage_bytes(record))


def _storage_bytes(record: StorageRecord) -> int:
    if record.kind not in _DTYPES:
        raise DataError(f'found a {record.kind[:100]}, expected one of {", ".join(_DTYPES)}')
    size = record.numel * _DTYPES[record.kind].itemsize
    if size > MAX_BYTES:
        raise DataError(f'found a tensor storage of {size} bytes, expected at most {MAX_BYTES}')
    return size


def _assemble(content: Any, read_storage: Callable[[str, int], bytes]) -> TorchFile:
    """
    Find the state_dict in the content of a file, and turn its records into tensors.
    """
    config: Mapping[str, Any] = {}
    records = content
    if isinstance(content, dict) and 'state_dict' in content:
        records, config = content['state_dict'], content.get('config') or {}
    if not isinstance(records, dict) or not 0 < len(records) <= _MAX_TENSORS:
        raise DataError("found no weights, expected a state_dict, or a dict with 'state_dict' and 'config'")
    storages: dict[str, Tensor] = {}
    state, total = {}, 0
    for name, record in records.items():
        if not isinstance(name, str) or not isinstance(record, TensorRecord):
            raise DataError(f'state_dict: found {str(name)[:100]!r} which is no tensor, expected names and tensors')
        storage = record.storage
        if storage.key not in storages:
            total += _storage_bytes(storage)
            if total > MAX_BYTES:
                raise DataError(f'found more than {MAX_BYTES} bytes of weights')
            storages[storage.key] = _tensor_from(storage, read_storage(storage.key, _storage_bytes(storage)))
        state[name] = _view(name, storages[storage.key], record)
    return TorchFile(state, config if isinstance(config, dict) else {})


def _tensor_from(record: StorageRecord, data: bytes) -> Tensor:
    if len(data) != _storage_bytes(record):
        raise DataError(f'is cut short: found {len(data)} bytes of a storage, expected {_storage_bytes(record)}')
    if not data:
        return torch.empty(0, dtype=_DTYPES[record.kind])
    return torch.frombuffer(bytearray(data), dtype=_DTYPES[record.kind])


def _view(name: str, storage: Tensor, record: TensorRecord) -> Tensor:
    if len(record.size) != len(record.stride) or len(record.size) > _MAX_AXES:
        raise DataError(f'{name[:100]}: found {len(record.size)} axes and {len(record.stride)} strides')
    count = math.prod(record.size)
    if count == 0:
        return storage.new_empty(record.size)
    last = record.offset + sum((s - 1) * d for s, d in zip(record.size, record.stride, strict=True))
    # A view larger than its storage repeats numbers: no weights, but a way to fill the memory from a small file.
    if count > storage.numel() or last >= storage.numel():
        raise DataError(f'{name[:100]}: found a view outside of its storage')
    return storage.as_strided(record.size, record.stride, record.offset).clone()
