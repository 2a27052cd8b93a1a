# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from kp2d_ros.core.errors import BackendError, ConfigError, DataError
from kp2d_ros.evaluation.keypoints.methods import MethodRules, ModelConfig, build_methods

RULES = MethodRules(200)
MODELS = ModelConfig(device='cpu', threads=1)


@pytest.fixture
def image(rng: np.random.Generator) -> NDArray[Any]:
    noise = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    return cv2.resize(noise, (160, 120), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize('name', ['opencv-orb', 'opencv-sift', 'orb', 'sift', 'untrained:compact-n'])
def test_every_method_gives_the_best_candidates_first_and_no_more(name: str, image: Any) -> None:
    method = build_methods([name], RULES, MODELS)[0]
    found = method.detect(image)
    assert method.name == name and 0 < len(found) <= RULES.candidates
    assert (np.diff(found.scores) <= 0).all()
    assert found.is_binary == name.endswith('orb')
    again = method.detect(image)
    assert np.array_equal(found.xy, again.xy) and np.array_equal(found.descriptors, again.descriptors)


@pytest.mark.parametrize('name', ['opencv-orb', 'opencv-sift', 'untrained:compact-n'])
def test_a_black_image_is_no_fault(name: str) -> None:
    found = build_methods([name], RULES, MODELS)[0].detect(np.zeros((96, 128, 3), np.uint8))
    assert len(found) == 0 or name.startswith('untrained')
    assert found.descriptors.shape[1] > 0


def test_orb_and_sift_are_opencv_as_it_is(image: Any) -> None:
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    points, descriptors = cv2.SIFT.create(200).detectAndCompute(gray, None)
    order = np.argsort([-p.response for p in points], kind='stable')[:200]
    found = build_methods(['opencv-sift'], RULES, MODELS)[0].detect(image)
    assert np.array_equal(found.xy, np.float32([points[i].pt for i in order]))
    assert np.array_equal(found.descriptors, descriptors[order])


def test_networks_give_every_cell_within_the_ring(image: Any) -> None:
    many = build_methods(['untrained:compact-n'], MethodRules(10_000), MODELS)[0].detect(image)
    assert len(many) == (160 // 8 - 2) * (120 // 8 - 2)


def test_networks_are_handed_the_channels_in_the_order_of_the_rules(image: Any) -> None:
    rgb = build_methods(['untrained:compact-n'], MethodRules(50, 'rgb'), MODELS)[0]
    bgr = build_methods(['untrained:compact-n'], MethodRules(50, 'bgr'), MODELS)[0]
    assert np.array_equal(rgb.detect(image[:, :, ::-1].copy()).xy, bgr.detect(image).xy)
    assert not np.array_equal(rgb.detect(image).xy, bgr.detect(image).xy)
    assert rgb.fingerprint != bgr.fingerprint


def test_fingerprints_follow_what_the_keypoints_depend_on() -> None:
    few, many = (build_methods(['opencv-orb', 'opencv-sift'], MethodRules(n), MODELS) for n in (100, 200))
    prints = [method.fingerprint for method in (*few, *many)]
    assert len(set(prints)) == 4
    assert prints[:2] == [m.fingerprint for m in build_methods(['opencv-orb', 'opencv-sift'], MethodRules(100), MODELS)]


def test_what_is_not_known_is_refused_with_what_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"found 'surf', which is no file, expected kp2d, sift, orb, opencv-sift"):
        build_methods(['surf'], RULES, MODELS)
    with pytest.raises(ConfigError, match='did you mean untrained:compact-s'):
        build_methods(['compact-s'], RULES, MODELS)
    with pytest.raises(ConfigError, match='did you mean compact-s'):
        build_methods(['untrained:compact-x'], RULES, MODELS)
    with pytest.raises(ConfigError, match='expected some methods, each once'):
        build_methods(['orb', 'orb'], RULES, MODELS)
    with pytest.raises(ConfigError, match='found none, expected some methods'):
        build_methods([], RULES, MODELS)


def test_an_opencv_without_akaze_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('AKAZE', 'AKAZE_create'):
        monkeypatch.delattr(cv2, name, raising=False)
    monkeypatch.setattr(cv2, 'xfeatures2d', types.SimpleNamespace(), raising=False)
    with pytest.raises(BackendError, match=rf'akaze: found OpenCV {cv2.__version__}, whose Python module has no AKAZE'):
        build_methods(['opencv-akaze'], RULES, MODELS)


def test_akaze_is_taken_from_wherever_opencv_has_it(monkeypatch: pytest.MonkeyPatch, image: Any) -> None:
    for name in ('AKAZE', 'AKAZE_create'):
        monkeypatch.delattr(cv2, name, raising=False)
    module = types.SimpleNamespace(AKAZE=types.SimpleNamespace(create=lambda: cv2.ORB.create(300)))
    monkeypatch.setattr(cv2, 'xfeatures2d', module, raising=False)
    found = build_methods(['opencv-akaze'], RULES, MODELS)[0].detect(image)
    assert 0 < len(found) <= RULES.candidates and found.is_binary


def test_a_model_of_others_comes_with_its_adapter(tmp_path: Path, image: Any) -> None:
    path = write_model(tmp_path / 'points.onnx')
    with pytest.raises(DataError, match=r'for a model of others name its adapter \(\.yaml\)'):
        build_methods([str(path)], RULES, MODELS)
    (tmp_path / 'points.yaml').write_text('model: points.onnx\n')
    method = build_methods([str(tmp_path / 'points.yaml')], MethodRules(3), MODELS)[0]
    assert method.name == 'points' and method.facts['kind'] == 'adapted'
    assert method.detect(image).xy.tolist() == [[0, 0], [1, 2], [2, 4]]  # the best three of its five


def write_model(path: Path) -> Path:
    arrays = {
        'keypoints': np.arange(5, dtype=np.float32)[:, None] * np.float32([1, 2]),
        'descriptors': np.eye(5, dtype=np.float32),
    }
    nodes = [helper.make_node('Constant', [], [n], value=numpy_helper.from_array(a)) for n, a in arrays.items()]
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in arrays.items()]
    image = helper.make_tensor_value_info('image', TensorProto.FLOAT, (1, 3, 'H', 'W'))
    graph = helper.make_graph(nodes, 'constant', [image], outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8), path)
    return path
