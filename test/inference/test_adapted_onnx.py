# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
ONNX models of others: small graphs that give constants or echo their input, behind adapters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from kp2d_ros.core.errors import BackendError, ConfigError, DataError
from kp2d_ros.inference.adapted_onnx import AdaptedModel, OnnxAdapter, load_adapter

XY = np.float32([[10, 5], [30, 20], [2, 1]])
SCORES = np.float32([0.2, 0.9, 0.5])
DESCRIPTORS = np.float32([[3, 0, 4, 0], [0, 2, 0, 0], [1, 1, 1, 1]])


def write_model(
    path: Path, outputs: Any, layout: tuple[int, int, str, str] = (1, 3, 'H', 'W'), kind: Any = TensorProto.FLOAT
) -> Path:
    """
    A model that takes an image and gives constants, whatever it shows.
    """
    nodes, infos = [], []
    for name, array in outputs.items():
        nodes.append(helper.make_node('Constant', [], [name], value=numpy_helper.from_array(array)))
        infos.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape))
    image = helper.make_tensor_value_info('image', kind, layout)
    graph = helper.make_graph(nodes, 'constant', [image], infos)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    onnx.save(model, path)
    return path


def write_echo(path: Path, layout: Any, kind: Any = TensorProto.FLOAT) -> None:
    """
    A model whose descriptor of the one point (0, 0) is its whole input.
    """
    image = helper.make_tensor_value_info('image', kind, layout)
    shape = helper.make_node('Constant', [], ['shape'], value=numpy_helper.from_array(np.int64([1, -1])))
    nodes = [
        shape,
        helper.make_node('Constant', [], ['keypoints'], value=numpy_helper.from_array(np.zeros((1, 2), np.float32))),
        helper.make_node('Cast', ['image'], ['number'], to=TensorProto.FLOAT),
        helper.make_node('Reshape', ['number', 'shape'], ['descriptors']),
    ]
    outputs = [
        helper.make_tensor_value_info('keypoints', TensorProto.FLOAT, (1, 2)),
        helper.make_tensor_value_info('descriptors', TensorProto.FLOAT, (1, 'D')),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, 'echo', [image], outputs), opset_imports=[helper.make_opsetid('', 17)], ir_version=8
    )
    onnx.save(model, path)


def adapt(folder: Path, text: str) -> AdaptedModel:
    path = folder / 'adapter.yaml'
    path.write_text(f'model: model.onnx\n{text}\n')
    return AdaptedModel(path)


@pytest.fixture
def image(rng: np.random.Generator) -> NDArray[Any]:
    return rng.integers(1, 256, (24, 40, 3), dtype=np.uint8)


def test_points_come_best_first_with_unit_descriptors(tmp_path: Path, image: Any) -> None:
    outputs = {'keypoints': XY[None], 'scores': SCORES[None], 'descriptors': DESCRIPTORS[None]}
    write_model(tmp_path / 'model.onnx', outputs)
    found = adapt(tmp_path, 'output: {scores: scores}').extract(image)
    assert found.xy.tolist() == [[30, 20], [2, 1], [10, 5]]
    assert found.scores.tolist() == pytest.approx([0.9, 0.5, 0.2])
    assert found.descriptors[2].tolist() == pytest.approx([0.6, 0, 0.8, 0])


def test_without_scores_the_order_of_the_model_stays(tmp_path: Path, image: Any) -> None:
    whole = {'points': XY.astype(np.int64)[None], 'descriptors': DESCRIPTORS.T[None].copy()}
    write_model(tmp_path / 'model.onnx', whole)
    found = adapt(tmp_path, 'output: {keypoints: points, descriptors_in: columns}').extract(image)
    assert found.xy.tolist() == XY.tolist() and (np.diff(found.scores) < 0).all()
    assert found.descriptors[1].tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ('output', 'expected'),
    [
        ('coordinates: pixels, origin: edge', (9.5, 4.5)),
        ('coordinates: pixels, order: yx', (5, 10)),
        ('coordinates: unit, origin: centre', (0.25 * 39, 0.5 * 23)),
        ('coordinates: unit, origin: edge', (0.25 * 40 - 0.5, 0.5 * 24 - 0.5)),
        ('coordinates: signed, origin: centre', (0.625 * 39, 0.75 * 23)),
        ('coordinates: signed, origin: edge', (0.625 * 40 - 0.5, 0.75 * 24 - 0.5)),
    ],
)
def test_coordinates_become_pixels(tmp_path: Path, image: Any, output: str, expected: tuple[Any, ...]) -> None:
    point = np.float32([[10, 5]]) if 'pixels' in output else np.float32([[0.25, 0.5]])
    write_model(tmp_path / 'model.onnx', {'keypoints': point, 'descriptors': DESCRIPTORS[:1]})
    found = adapt(tmp_path, f'output: {{{output}}}').extract(image)
    assert found.xy[0].tolist() == pytest.approx(expected)


def test_points_of_a_resized_image_come_back_to_the_input(tmp_path: Path, image: Any) -> None:
    write_model(tmp_path / 'model.onnx', {'keypoints': XY, 'descriptors': DESCRIPTORS}, (1, 3, 48, 80))
    found = adapt(tmp_path, 'input: {width: 80, height: 48}').extract(image)
    assert found.xy == pytest.approx((XY + 0.5) / 2 - 0.5)


def test_points_in_the_padding_and_without_a_number_are_dropped(tmp_path: Path, image: Any) -> None:
    xy = np.float32([[10, 5], [45, 5], [np.nan, 1], [5, 30]])
    write_model(tmp_path / 'model.onnx', {'keypoints': xy, 'descriptors': np.ones((4, 2), np.float32)})
    assert adapt(tmp_path, 'input: {size_multiple: 32}').extract(image).xy.tolist() == [[10, 5]]


def test_no_points_are_no_fault(tmp_path: Path, image: Any) -> None:
    nothing = {'keypoints': np.zeros((1, 0, 2), np.float32), 'descriptors': np.zeros((1, 0, 4), np.float32)}
    write_model(tmp_path / 'model.onnx', nothing)
    assert adapt(tmp_path, '').extract(image).descriptors.shape == (0, 4)


@pytest.mark.parametrize('channels', ['gray', 'rgb', 'bgr'])
@pytest.mark.parametrize('layout', ['nchw', 'nhwc'])
def test_images_go_in_as_the_adapter_says(tmp_path: Path, image: Any, channels: str, layout: str) -> None:
    count = 1 if channels == 'gray' else 3
    write_echo(tmp_path / 'model.onnx', (1, count, 24, 40) if layout == 'nchw' else (1, 24, 40, count))
    text = f'input: {{channels: {channels}, layout: {layout}, scale: 0.5, mean: [1], std: [2]}}'
    if channels == 'gray':
        picture = np.repeat(image[:, :, :1], 3, axis=2)
        planes = picture[:, :, :1].astype(np.float32)
    else:
        picture = image
        planes = image[:, :, ::-1] if channels == 'bgr' else image
    expected = (planes * np.float32(0.5) - 1) / 2
    expected = expected.transpose(2, 0, 1) if layout == 'nchw' else expected
    found = adapt(tmp_path, text).extract(picture).descriptors[0]
    assert found == pytest.approx(expected.ravel() / np.linalg.norm(expected), abs=1e-6)


def test_a_model_may_take_bytes(tmp_path: Path, image: Any) -> None:
    write_echo(tmp_path / 'model.onnx', (1, 24, 40, 3), TensorProto.UINT8)
    found = adapt(tmp_path, 'input: {layout: nhwc}').extract(image).descriptors[0]
    assert found == pytest.approx(image.ravel() / np.linalg.norm(image.astype(float)), abs=1e-6)


def test_bits_stay_bits(tmp_path: Path, image: Any) -> None:
    bits = np.arange(96, dtype=np.uint8).reshape(3, 32)
    write_model(tmp_path / 'model.onnx', {'keypoints': XY, 'descriptors': bits})
    found = adapt(tmp_path, 'output: {bits: true}').extract(image)
    assert found.is_binary and np.array_equal(found.descriptors, bits)


@pytest.mark.parametrize(
    ('text', 'error', 'words'),
    [
        ('output: {keypoints: points}', DataError, "found no output 'points', expected one of keypoints, descriptors"),
        ('input: {name: picture}', DataError, 'found inputs image, expected one alone, picture'),
        ('output: {cordinates: unit}', ConfigError, 'unknown setting output.cordinates, did you mean'),
        ('input: {channels: hsv}', ConfigError, "channels: found 'hsv', expected one of 'gray', 'rgb', 'bgr'"),
        ('input: {std: [1, 2]}', ConfigError, 'mean, std: .* one number or one for each channel'),
        ('input: {width: 10}', ConfigError, 'width, height: found 10 and 0, expected both or none'),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(tmp_path: Path, text: str, error: Any, words: str) -> None:
    write_model(tmp_path / 'model.onnx', {'keypoints': XY, 'descriptors': DESCRIPTORS})
    with pytest.raises(error, match=words):
        adapt(tmp_path, text)


def test_outputs_of_other_shapes_are_named(tmp_path: Path, image: Any) -> None:
    write_model(tmp_path / 'model.onnx', {'keypoints': XY, 'descriptors': DESCRIPTORS[:2]})
    with pytest.raises(
        BackendError, match=r'model\.onnx at 40x24: descriptors: found shape \(2, 4\), expected \(3, D\)'
    ):
        adapt(tmp_path, '').extract(image)


def test_a_model_that_is_missing_or_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'model\.onnx: cannot be read'):
        adapt(tmp_path, '')
    (tmp_path / 'none.yaml').write_text('input: {channels: gray}\n')
    with pytest.raises(ConfigError, match=r"none\.yaml: model: found '', expected the path of an \.onnx file"):
        load_adapter(tmp_path / 'none.yaml')
    assert OnnxAdapter('a.onnx').input.channels == 'rgb'
