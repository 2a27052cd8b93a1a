# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Tests of the look into an ONNX file before a runtime opens it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kp2d_ros.core.errors import DataError
from kp2d_ros.inference.onnx_file import read_onnx_file

pytest.importorskip('onnx')

from onnx import TensorProto, helper, numpy_helper


def model_with(
    initializers: tuple[Any, ...] = (),
    nodes: tuple[Any, ...] = (),
    functions: tuple[Any, ...] = (),
    sparse: tuple[Any, ...] = (),
) -> Any:
    graph = helper.make_graph(list(nodes), 'g', [], [], list(initializers), sparse_initializer=list(sparse))
    return helper.make_model(graph, functions=list(functions))


def tensor(external: bool = False) -> Any:
    made = numpy_helper.from_array(np.arange(300, dtype=np.float32), 'w')
    if external:
        made.ClearField('raw_data')
        made.data_location = TensorProto.EXTERNAL
        made.external_data.add(key='location', value='weights.bin')
    return made


def holders(external: Any) -> dict[str, Any]:
    """
    A model for each place that a tensor can be in.
    """
    constant = helper.make_node('Constant', [], ['c'], value=tensor(external))
    inner = helper.make_graph([constant], 'inner', [], [])
    function = helper.make_function('d', 'f', [], ['c'], [constant], [helper.make_opsetid('', 18)])
    indices = numpy_helper.from_array(np.arange(300), 'i')
    return {
        'initializer': model_with([tensor(external)]),
        'constant': model_with(nodes=[constant]),
        'branch': model_with(nodes=[helper.make_node('If', ['x'], ['y'], then_branch=inner, else_branch=inner)]),
        'function': model_with(functions=[function]),
        'sparse': model_with(sparse=[helper.make_sparse_tensor(tensor(external), indices, [300])]),
    }


@pytest.mark.parametrize('place', ['initializer', 'constant', 'branch', 'function', 'sparse'])
def test_finds_weights_in_other_files_wherever_they_are_named(tmp_path: Path, place: str) -> None:
    path = tmp_path / 'model.onnx'
    path.write_bytes(holders(external=True)[place].SerializeToString())
    with pytest.raises(DataError, match=r'model.onnx: takes weights from other files'):
        read_onnx_file(path)


@pytest.mark.parametrize('place', ['initializer', 'constant', 'branch', 'function', 'sparse'])
def test_gives_the_bytes_of_a_file_that_holds_its_weights(tmp_path: Path, place: str) -> None:
    path = tmp_path / 'model.onnx'
    path.write_bytes(holders(external=False)[place].SerializeToString())
    assert read_onnx_file(path) == path.read_bytes()


def test_an_external_location_without_a_path_counts_too(tmp_path: Path) -> None:
    made = tensor()
    made.data_location = TensorProto.EXTERNAL
    path = tmp_path / 'model.onnx'
    path.write_bytes(model_with([made]).SerializeToString())
    with pytest.raises(DataError, match='other files'):
        read_onnx_file(path)


def test_refuses_a_file_that_ends_early(tmp_path: Path) -> None:
    path = tmp_path / 'model.onnx'
    path.write_bytes(model_with([tensor()]).SerializeToString()[:-40])
    with pytest.raises(DataError, match=r'model.onnx: found a damaged file or another format'):
        read_onnx_file(path)


@pytest.mark.parametrize('data', [b'\x00', b'PK\x03\x04 a zip file', b'\xff' * 40, b'\x0b\x0c'])
def test_refuses_other_formats(tmp_path: Path, data: Any) -> None:
    path = tmp_path / 'model.onnx'
    path.write_bytes(data)
    with pytest.raises(DataError, match='expected an ONNX model'):
        read_onnx_file(path)


def test_refuses_messages_nested_without_end(tmp_path: Path) -> None:
    data = b''
    for _ in range(400):  # graph > node > attribute > graph > ...
        for key in (b'\x32', b'\x2a', b'\x0a'):
            size, length = len(data), b''
            while size > 127:
                length += bytes([size & 127 | 128])
                size >>= 7
            data = key + length + bytes([size]) + data
    path = tmp_path / 'model.onnx'
    path.write_bytes(b'\x3a' + bytes([len(data) & 127 | 128, len(data) >> 7]) + data)
    with pytest.raises(DataError, match='damaged'):
        read_onnx_file(path)


def test_refuses_an_empty_and_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / 'empty.onnx').touch()
    with pytest.raises(DataError, match='found an empty file'):
        read_onnx_file(tmp_path / 'empty.onnx')
    with pytest.raises(DataError, match='cannot be read: No such file'):
        read_onnx_file(tmp_path / 'missing.onnx')
