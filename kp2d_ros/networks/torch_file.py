# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Reads weights written by ``torch.save`` (zip archives, and the format before torch 1.6) without executing anything.

``torch.load(weights_only=True)`` reads them. It calls nothing but what rebuilds data, but may be made to fill the
memory or to compute for ever; what a file of weights has no need for is therefore refused before.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
import threading
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import torch
from torch import Tensor

from kp2d_ros.core.errors import DataError

MAX_BYTES = 2**29
_MAX_OPCODES = 100_000
_MAX_TENSORS = 10_000
_ZIP_MAGIC = b'PK\x03\x04'
_LEGACY_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)[2:]
_LEGACY_PICKLES = 5
_STORAGES = ('Double', 'Float', 'Half', 'BFloat16', 'Long', 'Int', 'Short', 'Char', 'Byte', 'Bool')
_NAMES = {
    *(f'torch {kind}Storage' for kind in _STORAGES),
    *(f'torch._utils _rebuild_{what}' for what in ('tensor', 'tensor_v2', 'parameter')),
    *('torch Size', 'collections OrderedDict', 'builtins set', '__builtin__ set', 'yacs.config CfgNode'),
}
# Text and names may be used again as often as a pickle likes. Anything else could be nested or copied without limit:
# sixteen uses are enough for tensors and settings that are shared.
_HARMLESS = {'BINUNICODE', 'SHORT_BINSTRING', 'GLOBAL'}
_MAX_REUSED = 16
_BROKEN = (
    zipfile.BadZipFile, pickle.UnpicklingError, struct.error, EOFError, RuntimeError, LookupError, ValueError,
    TypeError, AttributeError, AssertionError, OverflowError, MemoryError,
)  # fmt: skip
_SETTINGS_LOCK = threading.Lock()  # the allow-list of torch is global


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
        data = path.read_bytes()
        zipped = data.startswith(_ZIP_MAGIC)
        if zipped:
            _check_zip(io.BytesIO(data))
        else:
            _check_legacy(io.BytesIO(data))
        # Mapped, a storage ends where the file ends; read, it is as long as the file says.
        source = str(path) if zipped else io.BytesIO(data)
        yacs = torch.serialization.safe_globals([(OrderedDict, 'yacs.config.CfgNode')])
        with _SETTINGS_LOCK, yacs, warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of pickle protocol 3, which differs in nothing that is used
            return _weights(torch.load(source, map_location='cpu', weights_only=True, mmap=zipped))
    except DataError as error:
        raise DataError(f'{path}: {error}') from error
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror or error}') from error
    except _BROKEN as error:
        raise DataError(f'{path}: is broken or cut short: {str(error)[:300]}') from error


def _check_zip(stream: IO[bytes]) -> None:
    with zipfile.ZipFile(stream) as archive:
        entries = archive.infolist()
        # torch.save never compresses; what is not compressed cannot grow beyond the file.
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
            raise DataError('found a compressed or encrypted entry, expected none, as torch.save writes it')
        pickles = [entry for entry in entries if PurePosixPath(entry.filename).name == 'data.pkl']
        if len(pickles) != 1 or len({entry.filename for entry in entries}) != len(entries):
            raise DataError(f'found a zip archive with {len(pickles)} data.pkl, expected one, as torch.save writes it')
        _check_pickle(io.BytesIO(archive.read(pickles[0])))


def _check_legacy(stream: IO[bytes]) -> None:
    if stream.read(2) not in (b'\x80\x02', b'\x80\x03') or stream.read(len(_LEGACY_MAGIC)) != _LEGACY_MAGIC:
        raise DataError('is neither a safetensors file nor written by torch.save (in pickle protocol 2 or 3)')
    for _ in range(_LEGACY_PICKLES - 1):
        _check_pickle(stream)


def _check_pickle(stream: IO[bytes]) -> None:
    """
    Refuse names that weights and settings do not have, and small pickles that become large data.
    """
    before, reused = '', 0
    harmless: dict[int, bool] = {}  # by the number under which something is kept for another use
    argument: Any
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if opcode.name == 'PROTO' and argument > 3:
            raise DataError(f'pickle: found protocol {argument}, expected 2 (the default of torch.save) or 3')
        if opcode.name == 'GLOBAL' and argument not in _NAMES:
            found = argument.replace(' ', '.')[:100]
            raise DataError(f'pickle: found {found}, expected tensors and settings only')
        if opcode.name in {'BINPUT', 'LONG_BINPUT'}:
            harmless[argument] = before in _HARMLESS
        elif opcode.name in {'BINGET', 'LONG_BINGET'}:
            reused += not harmless.get(argument, False)
        if count > _MAX_OPCODES or reused > _MAX_REUSED:
            raise DataError('pickle: repeats more than a file of weights could need')
        before = opcode.name


def _weights(content: Any) -> TorchFile:
    """
    Find the state_dict in the content of a file, and copy its tensors.
    """
    config: Mapping[str, Any] = {}
    tensors = content
    if isinstance(content, dict) and 'state_dict' in content:
        tensors, config = content['state_dict'], content.get('config') or {}
    if not isinstance(tensors, dict) or not 0 < len(tensors) <= _MAX_TENSORS:
        raise DataError("found no weights, expected a state_dict, or a dict with 'state_dict' and 'config'")
    total = 0
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise DataError(f'state_dict: found {str(name)[:100]!r} which is no tensor, expected names and tensors')
        # A view larger than its storage repeats numbers: no weights, but a way to fill the memory from a small file.
        total += tensor.nbytes
        if tensor.nbytes > tensor.untyped_storage().nbytes() or total > MAX_BYTES:
            raise DataError(f'{name[:100]}: found a tensor of {tensor.nbytes} bytes, more than are in the file')
    state = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    return TorchFile(state, config if isinstance(config, dict) else {})
