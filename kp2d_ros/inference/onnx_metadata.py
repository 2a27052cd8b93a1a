# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What an exported network says of itself inside its ONNX file: written by the export, read by the backend.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.settings import build
from kp2d_ros.networks.config import NetworkConfig

METADATA_KEY = 'kp2d_ros'
INPUT = 'image'
OUTPUTS = ('score', 'xy', 'descriptors')

_VERSION = 1
_MAX_SIDE = 65536


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
