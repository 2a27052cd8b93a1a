# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Reads the pickles inside torch files as plain data; nothing in them is imported, called or executed.

Python's unpickler runs whatever a file names. Here every opcode is interpreted by hand: names stay text, and the few
calls that a file of weights needs (rebuild a tensor, make a dict) have their meaning written down below.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import IO, Any, NamedTuple

from kp2d_ros.core.errors import DataError

_MAX_OPCODES = 1_000_000
_MAX_NUMBER = 2**40
_MARK = object()
_BROKEN = (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError)


class Name(NamedTuple):
    """
    Something that a pickle refers to by module and name.
    """

    module: str
    name: str


class StorageRecord(NamedTuple):
    """
    Where numbers lie: ``kind`` is torch's class of storage, for instance FloatStorage.
    """

    key: str
    kind: str
    numel: int


class TensorRecord(NamedTuple):
    """
    A tensor as a view of a storage; offset and strides in elements.
    """

    storage: StorageRecord
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class PickledData(NamedTuple):
    """
    What a pickle holds: dicts, lists, tuples, text, numbers and :class:`TensorRecord` (sets become lists).

    :param storages: every storage that the pickle refers to, by its key.
    """

    content: Any
    storages: dict[str, StorageRecord]


def read_pickle(stream: IO[bytes]) -> PickledData:
    """
    Read one pickle; the stream is left behind it.

    :raises DataError: if the pickle is broken, or holds anything else.
    """
    reader = _Reader()
    return PickledData(reader.read(stream), reader.storages)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> TensorRecord:
    numbers = (offset, *size, *stride)
    if not isinstance(storage, StorageRecord) or not all(_is_size(n) for n in numbers):
        raise DataError('tensor: found a broken description, expected a storage and whole numbers')
    return TensorRecord(storage, offset, tuple(size), tuple(stride))


def _is_size(number: Any) -> bool:
    return type(number) is int and 0 <= number < _MAX_NUMBER


def _dict(pairs: Any = ()) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    for key, value in pairs:
        _set_item(made, key, value)
    return made


def _set_item(target: Any, key: Any, value: Any) -> None:
    # Only text and numbers: hashing a tuple that holds itself many times over would never end.
    if type(target) is not dict or type(key) not in (str, int, float, bool, type(None)):
        raise DataError(f'pickle: found a {type(key).__name__} as a key of a {type(target).__name__}')
    target[key] = value


_CALLS: dict[Name, Callable[..., Any]] = {
    Name('collections', 'OrderedDict'): _dict,
    Name('yacs.config', 'CfgNode'): _dict,
    Name('builtins', 'set'): list,
    Name('__builtin__', 'set'): list,
    Name('torch', 'Size'): tuple,
    Name('torch._utils', '_rebuild_tensor'): _tensor,
    Name('torch._utils', '_rebuild_tensor_v2'): _tensor,
    Name('torch._utils', '_rebuild_parameter'): lambda data, *_: data,
}


class _Reader:
    """
    The stack machine of the pickle format, for the opcodes that data needs.
    """

    def __init__(self) -> None:
        self.storages: dict[str, StorageRecord] = {}
        self._stack: list[Any] = []
        self._items = 0
        self._memo: dict[int, Any] = {}
        self._opcodes: dict[str, Callable[[Any], None]] = {
            'PROTO': self._nothing,
            'FRAME': self._nothing,
            'MARK': lambda _: self._stack.append(_MARK),
            'NONE': lambda _: self._stack.append(None),
            'NEWTRUE': lambda _: self._stack.append(True),
            'NEWFALSE': lambda _: self._stack.append(False),
            'EMPTY_DICT': lambda _: self._stack.append({}),
            'EMPTY_LIST': lambda _: self._stack.append([]),
            'EMPTY_SET': lambda _: self._stack.append([]),
            'EMPTY_TUPLE': lambda _: self._stack.append(()),
            'TUPLE': lambda _: self._stack.append(tuple(self._pop_to_mark())),
            'TUPLE1': lambda _: self._tuple(1),
            'TUPLE2': lambda _: self._tuple(2),
            'TUPLE3': lambda _: self._tuple(3),
            'BINPUT': self._put,
            'LONG_BINPUT': self._put,
            'MEMOIZE': lambda _: self._put(len(self._memo)),
            'BINGET': self._get,
            'LONG_BINGET': self._get,
            'APPEND': lambda _: self._extend([self._stack.pop()]),
            'APPENDS': lambda _: self._extend(self._pop_to_mark()),
            'ADDITEMS': lambda _: self._extend(self._pop_to_mark()),
            'SETITEM': lambda _: self._set_items([self._stack.pop(-2), self._stack.pop()]),
            'SETITEMS': lambda _: self._set_items(self._pop_to_mark()),
            'GLOBAL': lambda text: self._name(*text.split(' ', 1)),
            'STACK_GLOBAL': lambda _: self._name(self._stack.pop(-2), self._stack.pop()),
            'BINPERSID': self._storage,
            'REDUCE': self._call,
            'NEWOBJ': self._call,
            'BUILD': self._build,
        }
        for name in ('BINUNICODE', 'SHORT_BINUNICODE', 'BINSTRING', 'SHORT_BINSTRING', 'BINFLOAT'):
            self._opcodes[name] = self._stack.append
        for name in ('BININT', 'BININT1', 'BININT2', 'LONG1', 'LONG4'):
            self._opcodes[name] = self._stack.append

    def read(self, stream: IO[bytes]) -> Any:
        try:
            for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
                if opcode.name == 'STOP':
                    return self._stack.pop()
                if opcode.name not in self._opcodes or count > _MAX_OPCODES:
                    raise DataError(f'pickle: found opcode {opcode.name}, which data does not need')
                self._opcodes[opcode.name](argument)
        except _BROKEN as error:
            raise DataError(f'pickle: is broken or cut short ({type(error).__name__})') from error
        raise DataError('pickle: is cut short')

    def _nothing(self, _: Any) -> None:
        pass

    def _pop_to_mark(self) -> list[Any]:
        start = len(self._stack) - 1
        while self._stack[start] is not _MARK:
            start -= 1
            if start < 0:
                raise DataError('pickle: is broken (no mark)')
        values = self._stack[start + 1 :]
        del self._stack[start:]
        return values

    def _tuple(self, length: int) -> None:
        values = tuple(self._stack[-length:])
        del self._stack[-length:]
        self._stack.append(values)

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def _extend(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise DataError('pickle: is broken (a list was expected)')
        target.extend(values)

    def _set_items(self, values: list[Any]) -> None:
        for key, value in zip(values[::2], values[1::2], strict=True):
            _set_item(self._stack[-1], key, value)

    def _name(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise DataError('pickle: is broken (a name was expected)')
        self._stack.append(Name(module, name))

    def _storage(self, _: Any) -> None:
        label, kind, key, _device, numel, *view = self._stack.pop()
        whole = label == 'storage' and isinstance(kind, Name) and kind.module == 'torch' and view in ([], [None])
        if not whole or type(key) is not str or not _is_size(numel):
            raise DataError('pickle: found a reference to something other than a whole tensor storage')
        record = StorageRecord(key, kind.name, numel)
        if self.storages.setdefault(key, record) != record:
            raise DataError(f'pickle: found two descriptions of the tensor storage {key[:100]!r}')
        self._stack.append(record)

    def _call(self, _: Any) -> None:
        arguments, name = self._stack.pop(), self._stack.pop()
        if not isinstance(name, Name) or name not in _CALLS:
            found = '.'.join(name) if isinstance(name, Name) else type(name).__name__
            raise DataError(f'pickle: found a call of {found[:100]}, expected tensors and settings only')
        self._items += sum(len(a) for a in arguments if isinstance(a, (list, tuple)))
        if self._items > _MAX_OPCODES:
            raise DataError('pickle: copies more than a file of weights could need')
        self._stack.append(_CALLS[name](*arguments))

    def _build(self, _: Any) -> None:
        # Attributes of dicts (a state_dict's version numbers, yacs' flags) carry nothing that is needed here.
        self._stack.pop()
        if type(self._stack[-1]) is not dict:
            raise DataError('pickle: found attributes of something that is not a dict')
