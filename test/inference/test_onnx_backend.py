# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Tests of what is particular to ONNX Runtime; the contract of every runtime is in test_backend.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kp2d_ros.core.errors import BackendError, DataError, ShapeError
from kp2d_ros.inference.backend import RuntimeOptions
from kp2d_ros.networks.config import NetworkConfig

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

from onnx import TensorProto, helper  # noqa: E402

from kp2d_ros.inference.onnx_backend import OnnxBackend, find_providers  # noqa: E402
from kp2d_ros.inference.onnx_file import METADATA_KEY, OnnxMetadata, format_metadata  # noqa: E402

CPU = RuntimeOptions(device='cpu')
METADATA = OnnxMetadata('small:1', True, NetworkConfig(descriptor_dim=3, use_color=False), 8)


def pooled_model(
    path: Path, metadata: Any = METADATA, outputs: tuple[str, str, str] = ('score', 'xy', 'descriptors'), dim: int = 3
) -> Path:
    """
    Write a graph of our form that only averages cells of the image: score once, xy twice, descriptors dim times.
    """
    nodes = [helper.make_node('AveragePool', ['image'], ['mean'], kernel_shape=[8, 8], strides=[8, 8])]
    made = []
    for name, count in zip(outputs, (1, 2, dim), strict=True):
        nodes.append(helper.make_node('Concat', ['mean'] * count, [name], axis=1))
        made.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, count, None, None]))
    taken = [helper.make_tensor_value_info('image', TensorProto.FLOAT, [1, 1, None, None])]
    graph = helper.make_graph(nodes, 'graph', taken, made)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=9)
    if metadata is not None:
        model.metadata_props.add(key=METADATA_KEY, value=format_metadata(metadata))
    path.write_bytes(model.SerializeToString())
    return path


def test_a_gray_network_takes_the_mean_of_the_channels_in_0_to_1(tmp_path: Path) -> None:
    backend = OnnxBackend(pooled_model(tmp_path / 'm.onnx'), CPU)
    image = np.zeros((16, 24, 3), np.uint8)
    image[:] = (255, 51, 0)
    assert np.allclose(backend.infer(image).score, 0.4)
    assert np.allclose(backend.infer(np.full((16, 24), 51, np.uint8)).score, 0.2)


def test_reads_what_it_is_from_the_file(tmp_path: Path) -> None:
    info = OnnxBackend(pooled_model(tmp_path / 'm.onnx'), CPU).info
    assert (info.model_id, info.backend, info.device, info.descriptor_dim) == ('small:1', 'onnxruntime', 'cpu', 3)


def test_refuses_a_file_that_kp2d_did_not_export_naming_what_is_in_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'm.onnx: found inputs image tensor\(float\).* and outputs a .*b .*c '):
        OnnxBackend(pooled_model(tmp_path / 'm.onnx', outputs=('a', 'b', 'c')), CPU)
    with pytest.raises(DataError, match='expected image and score, xy, descriptors of a file written by kp2d export'):
        OnnxBackend(pooled_model(tmp_path / 'm.onnx', metadata=None), CPU)


def test_refuses_an_output_of_another_shape_than_the_file_says(tmp_path: Path) -> None:
    backend = OnnxBackend(pooled_model(tmp_path / 'm.onnx', dim=4), CPU)
    with pytest.raises(BackendError, match=r'small:1 on cpu at 8x8: descriptors: found shape \(1, 4, 1, 1\)'):
        backend.infer(np.zeros((8, 8), np.uint8))


def test_a_file_for_one_size_refuses_the_others(tmp_path: Path) -> None:
    metadata = dataclasses.replace(METADATA, height=16, width=24)
    backend = OnnxBackend(pooled_model(tmp_path / 'm.onnx', metadata), CPU)
    assert backend.infer(np.zeros((16, 24), np.uint8)).score.shape == (2, 3)
    with pytest.raises(ShapeError, match='found 24x24 pixels, expected 24x16, the exported size'):
        backend.infer(np.zeros((24, 24), np.uint8))


def test_refuses_a_graph_that_the_runtime_cannot_open(tmp_path: Path) -> None:
    path = pooled_model(tmp_path / 'm.onnx')
    model = onnx.load(path)
    model.graph.node[0].op_type = 'NoSuchOperator'
    path.write_bytes(model.SerializeToString())
    with pytest.raises(BackendError, match=r'm.onnx: ONNX Runtime .* cannot open it'):
        OnnxBackend(path, CPU)


def test_refuses_weights_in_another_file(tmp_path: Path) -> None:
    path = pooled_model(tmp_path / 'm.onnx')
    model = onnx.load(path)
    model.graph.initializer.append(helper.make_tensor('w', TensorProto.FLOAT, [2], [1, 2]))
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key='location', value='../secret')
    path.write_bytes(model.SerializeToString())
    with pytest.raises(DataError, match='takes weights from other files'):
        OnnxBackend(path, CPU)


ALL = ['TensorrtExecutionProvider', 'CUDAExecutionProvider', 'CPUExecutionProvider']


@pytest.mark.parametrize(
    ('device', 'available', 'names'),
    [
        ('auto', ALL[2:], ALL[2:]),
        ('auto', ALL, ALL[1:]),
        ('cpu', ALL, ALL[2:]),
        ('cuda:1', ALL, ALL[1:]),
        ('tensorrt', ALL, ALL),
        ('tensorrt', [ALL[0], ALL[2]], [ALL[0], ALL[2]]),
    ],
)
def test_chooses_the_providers_of_a_device(device: str, available: Any, names: Any) -> None:
    assert [name for name, _ in find_providers(RuntimeOptions(device), available)] == names


def test_hands_over_the_number_of_the_device() -> None:
    assert find_providers(RuntimeOptions('cuda:1'), ALL)[0][1] == {'device_id': 1}


def test_tensorrt_keeps_its_engines_and_may_use_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', '/cache')
    settings = find_providers(RuntimeOptions('tensorrt', 'fp16'), ALL)[0][1]
    assert settings['trt_fp16_enable'] is True
    assert settings['trt_engine_cache_path'] == '/cache/kp2d_ros/tensorrt'


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (RuntimeOptions('cuda'), "device: found 'cuda', expected one that ONNX Runtime .* has: CPUExecutionProvider"),
        (RuntimeOptions('gpu'), "device: found 'gpu', expected auto, cpu"),
        (RuntimeOptions('cpu:1'), "device: found 'cpu:1'"),
        (RuntimeOptions('cuda:-1'), "device: found 'cuda:-1'"),
        (RuntimeOptions('cpu', 'fp16'), "precision: found 'fp16' for ONNX Runtime on cpu"),
    ],
)
def test_refuses_devices_and_formats_that_are_not_there(options: RuntimeOptions, message: str) -> None:
    with pytest.raises(BackendError, match=message):
        find_providers(options, ALL[2:])


def test_the_runtime_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    code = (
        'from kp2d_ros.inference.pipeline import ExtractorConfig, build_extractor\n'
        "build_extractor(ExtractorConfig(device='cpu', model='kp2d-compact-m', threads=1))\n"
    )
    hidden = ('ORT_DISABLE_TELEMETRY', 'XDG_CACHE_HOME')
    environment = {key: value for key, value in os.environ.items() if key not in hidden} | {'HOME': str(tmp_path)}
    subprocess.run([sys.executable, '-B', '-c', code], env=environment, check=True)
    assert list(tmp_path.rglob('*')) == []
