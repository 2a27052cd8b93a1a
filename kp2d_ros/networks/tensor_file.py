# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Safetensors files with one JSON document beside the tensors, written in one piece or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.files import write_bytes

_DOCUMENT = 'kp2d_ros'
_MAX_BYTES = 2**29
_MAX_DOCUMENT = 2**20


@dataclass(frozen=True, slots=True)
class TensorFile:
    """
    Named tensors on the CPU and the JSON document that describes them.
    """

    tensors: dict[str, Tensor]
    document: Mapping[str, Any]


def write_tensor_file(path: Path, file: TensorFile) -> None:
    """
    Write a file that either is there completely or not at all, even if the process is killed meanwhile.

    :raises DataError: if it cannot be written, or the document is not JSON.
    """
    try:
        metadata = {_DOCUMENT: json.dumps(file.document, sort_keys=True, allow_nan=False)}
    except (TypeError, ValueError) as error:
        raise DataError(f'{path}: the description of the weights is not JSON: {error}') from error
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in file.tensors.items()}
    write_bytes(path, safetensors.torch.save(tensors, metadata))


def read_tensor_file(path: Path) -> TensorFile:
    """
    Read what :func:`write_tensor_file` wrote.

    :raises DataError: if the file cannot be read, is broken, or has no such document.
    """
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise DataError(f'{path}: found {size} bytes, expected at most {_MAX_BYTES}')
        with safetensors.safe_open(path, framework='pt') as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is not a dict)
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror or error}') from error
    except (safetensors.SafetensorError, ValueError) as error:
        raise DataError(f'{path}: is not a safetensors file, or is cut short: {error}') from error
    try:
        document = json.loads(metadata.get(_DOCUMENT, 'null')[:_MAX_DOCUMENT])
    except (ValueError, RecursionError) as error:
        raise DataError(f'{path}: the description of the weights is not JSON') from error
    if not isinstance(document, dict):
        raise DataError(f'{path}: found no description of the weights, expected a file written by this package')
    return TensorFile(tensors, document)
