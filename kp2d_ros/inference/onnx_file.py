# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
ONNX files: what an exported network says of itself inside its file, and a look into a file before a runtime opens it,
for it may name other files to take its weights from.

The file is a protobuf message; the field numbers below are those of onnx.proto3. No protobuf library is needed, so
that a robot needs nothing but the runtime.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.settings import build
from kp2d_ros.networks.config import NetworkConfig

METADATA_KEY = 'kp2d_ros'
INPUT = 'image'
OUTPUTS = ('score', 'xy', 'descriptors')

_VERSION = 1
_MAX_SIDE = 65536
_DEEPEST = 64  # messages within messages; a real graph has about five

# For each message, by field number, the messages inside it that can hold a tensor.
_INNER = {
    'model': {7: 'graph', 20: 'training', 25: 'function'},
    'training': {1: 'graph', 2: 'graph'},
    'function': {7: 'node', 11: 'attribute'},
    'graph': {1: 'node', 5: 'tensor', 15: 'sparse'},
    'node': {5: 'attribute'},
    'attribute': {5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse'},
    'sparse': {1: 'tensor', 2: 'tensor'},
    'tensor': {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of a tensor: where in which file it lies; 1: in another file


@dataclass(frozen=True, slots=True)
class OnnxMetadata:
    """
    Which network it is, and the sizes of images that it takes: multiples of ``size_multiple``, or one size alone.

    ``height`` and ``width`` are 0 if any multiple will do.
    """

    model_id: str
    is_trained: bool
    config: NetworkConfig
    size_multiple: int
    height: int = 0
    width: int = 0


def format_metadata(metadata: OnnxMetadata) -> str:
    """
    The metadata as JSON text.
    """
    return json.dumps({'version': _VERSION} | dataclasses.asdict(metadata), sort_keys=True)


def parse_metadata(text: str) -> OnnxMetadata:
    """
    Read what :func:`format_metadata` wrote.

    :raises DataError: if it is something else, or a value is not what it can be.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f'metadata {METADATA_KEY}: is not JSON: {error}') from error
    if not isinstance(document, dict) or document.get('version') != _VERSION:
        raise DataError(f'metadata {METADATA_KEY}: found {text[:100]!r}, expected version {_VERSION}')
    try:
        config = build(NetworkConfig, document.get('config', {}))
    except ConfigError as error:
        raise DataError(f'metadata {METADATA_KEY}: {error}') from error
    model_id = document.get('model_id')
    if not isinstance(model_id, str):
        raise DataError(f'metadata {METADATA_KEY}: found model_id {model_id!r}, expected a text')
    return OnnxMetadata(
        model_id=model_id,
        is_trained=document.get('is_trained') is True,
        config=config,
        size_multiple=_pixels(document, 'size_multiple', minimum=1),
        height=_pixels(document, 'height', minimum=0),
        width=_pixels(document, 'width', minimum=0),
    )


def _pixels(document: Mapping[str, Any], key: str, minimum: int) -> int:
    value = document.get(key)
    if type(value) is not int or not minimum <= value <= _MAX_SIDE:
        raise DataError(f'metadata {METADATA_KEY}: found {key} {value!r}, expected {minimum} to {_MAX_SIDE}')
    return value


def read_onnx_file(path: Path) -> bytes:
    """
    The bytes of an ONNX file that holds all of its weights itself.

    :raises DataError: if the file cannot be read, is no protobuf message, or takes weights from other files.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror}') from error
    if not data:
        raise DataError(f'{path}: found an empty file, expected an ONNX model')
    try:
        is_external = _has_external_tensor(memoryview(data), 'model', _DEEPEST)
    except (IndexError, ValueError) as error:
        raise DataError(f'{path}: found a damaged file or another format, expected an ONNX model') from error
    if is_external:
        raise DataError(f'{path}: takes weights from other files, expected all of them inside it')
    return data


def _has_external_tensor(message: memoryview, kind: str, depth: int) -> bool:
    if depth == 0:
        raise ValueError('nested too deeply')
    inner = _INNER[kind]
    for number, value in _fields(message):
        if kind == 'tensor' and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)):
            return True
        if number in inner and isinstance(value, memoryview) and _has_external_tensor(value, inner[number], depth - 1):
            return True
    return False


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """
    Number and value of each field: an integer, or the bytes of a string or of a message within.

    :raises IndexError: if the message ends within a field.
    :raises ValueError: if it is no protobuf message.
    """
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        value: int | memoryview
        if key & 7 == 0:
            value, position = _varint(message, position)
        else:
            if key & 7 == 2:
                size, position = _varint(message, position)
            else:
                size = {1: 8, 5: 4}.get(key & 7, -1)
            if key >> 3 == 0 or size < 0:
                raise ValueError(f'no such field: {key}')
            value, position = message[position : position + size], position + size
        if position > len(message):
            raise IndexError('truncated')
        yield key >> 3, value


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """
    The integer at a position, seven bits a byte, lowest first; and the position behind it.
    """
    value = 0
    for shift in range(0, 70, 7):
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise ValueError('an integer of more than ten bytes')
