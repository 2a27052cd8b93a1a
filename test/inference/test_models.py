# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the words for methods mean: every word on every device with every runtime.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from kp2d_ros.core.errors import BackendError, ConfigError
from kp2d_ros.inference import models
from kp2d_ros.inference.classical import ClassicalExtractor, OpenCvExtractor
from kp2d_ros.inference.extractor import ExtractorConfig, Kp2dExtractor
from kp2d_ros.inference.models import CLASSICAL, OPENCV, MethodKind, method_names, resolve, shipped_names
from kp2d_ros.inference.pipeline import build_extractor, choose_model, configure_method, load_extractor
from kp2d_ros.odometry.matching import MatchingConfig, match

BOTH = {'torch', 'safetensors', 'onnxruntime'}
DEVICES = ('auto', 'cpu', 'cuda', 'cuda:1', 'tensorrt', 'mps')


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    A package with two networks, the small one also as ONNX, on a machine without CUDA.
    """
    place = tmp_path / 'models'
    place.mkdir()
    for name in ('kp2d-compact.safetensors', 'kp2d-compact.onnx', 'kp2d-v4.safetensors', 'kp2d-v4_inlier.safetensors'):
        (place / name).touch()
    monkeypatch.setattr(models, '_FOLDER', place)
    monkeypatch.setattr(models, '_torch_finds_cuda', lambda: False)
    return place


def install(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    monkeypatch.setattr(models, 'is_installed', lambda *modules: set(modules) <= {*packages, 'cv2'})


# What is installed, device, backend, and which form of the compact network is taken.
@pytest.mark.parametrize(
    ('installed', 'device', 'backend', 'suffix'),
    [
        *((BOTH, device, 'auto', '.onnx') for device in ('auto', 'cpu', 'tensorrt', 'tensorrt:1')),
        *((BOTH, device, 'auto', '.safetensors') for device in ('cuda', 'cuda:1', 'mps')),
        *((BOTH, device, 'onnxruntime', '.onnx') for device in DEVICES),
        *((BOTH, device, 'torch', '.safetensors') for device in DEVICES),
        *(({'onnxruntime'}, device, 'auto', '.onnx') for device in DEVICES),
        *(({'torch', 'safetensors'}, device, 'auto', '.safetensors') for device in DEVICES if device != 'tensorrt'),
        ({'torch'}, 'cpu', 'auto', '.onnx'),  # torch alone reads no file of weights
        (set(), 'cpu', 'auto', '.onnx'),
        (set(), 'cuda', 'auto', '.safetensors'),
    ],
)
@pytest.mark.parametrize('word', ['', 'kp2d', 'kp2d-compact'])
def test_the_device_and_the_runtime_pick_the_file_of_a_network_that_ships(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    word: str,
    installed: set[str],
    device: str,
    backend: str,
    suffix: str,
) -> None:
    install(monkeypatch, *installed)
    choice = resolve(word, device, backend)
    assert choice.path == folder / f'kp2d-compact{suffix}'
    assert choice.runtime == {'.onnx': 'onnxruntime', '.safetensors': 'torch'}[suffix]
    assert (choice.kind, choice.allow_untrained, choice.preset) == (MethodKind.NETWORK, False, '')
    assert choice.is_default == (word != 'kp2d-compact')
    assert choice.has_runtime == (len(installed) > 0 and installed != {'torch'})


def test_on_a_machine_with_cuda_auto_means_torch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, *BOTH)
    monkeypatch.setattr(models, '_torch_finds_cuda', lambda: True)
    assert resolve('kp2d').path == folder / 'kp2d-compact.safetensors'
    assert resolve('kp2d', 'cpu').path == folder / 'kp2d-compact.onnx'


@pytest.mark.parametrize('device', DEVICES)
def test_a_network_without_an_onnx_file_runs_on_torch_or_says_how_to_make_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    install(monkeypatch, *BOTH)
    message = r'kp2d-v4: ships no \.onnx file.*kp2d export --method kp2d-v4 --out kp2d-v4\.onnx'
    with pytest.raises(ConfigError, match=message):
        resolve('kp2d-v4', device, 'onnxruntime')
    if device == 'tensorrt':
        with pytest.raises(ConfigError, match=message):
            resolve('kp2d-v4', device)
    else:
        assert resolve('kp2d-v4', device).runtime == 'torch'
    assert resolve('kp2d-v4', device, 'torch').path == folder / 'kp2d-v4.safetensors'


@pytest.mark.parametrize('backend', ['auto', 'torch', 'onnxruntime'])
@pytest.mark.parametrize('device', DEVICES)
def test_detectors_of_opencv_are_the_same_everywhere(device: str, backend: str) -> None:
    for word in (*CLASSICAL, *OPENCV):
        choice = resolve(word, device, backend)
        assert (choice.runtime, choice.path, choice.inlier_path, choice.is_default) == ('opencv', None, None, False)
        assert choice.kind is (MethodKind.CLASSICAL if word in CLASSICAL else MethodKind.OPENCV)


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize(
    ('name', 'runtime', 'kind'),
    [
        ('net.safetensors', 'torch', MethodKind.NETWORK),
        ('v4.ckpt', 'torch', MethodKind.NETWORK),
        ('net.onnx', 'onnxruntime', MethodKind.NETWORK),
        ('others.yaml', 'onnxruntime', MethodKind.ADAPTED),
    ],
)
def test_the_suffix_of_a_file_says_what_runs_it(
    tmp_path: Path, device: str, name: str, runtime: str, kind: MethodKind
) -> None:
    path = tmp_path / name
    path.touch()
    for backend in ('auto', runtime):
        choice = resolve(str(path), device, backend)
        assert (choice.runtime, choice.kind, choice.path) == (runtime, kind, path)
    (other,) = {'torch', 'onnxruntime'} - {runtime}
    with pytest.raises(ConfigError, match=f"backend: found '{other}' for .*{name}, expected '{runtime}'"):
        resolve(str(path), device, other)


@pytest.mark.parametrize('device', DEVICES)
def test_networks_without_training_are_asked_for_by_name(tmp_path: Path, device: str) -> None:
    choice = resolve('untrained:compact-s', device)
    assert (choice.preset, choice.path, choice.runtime, choice.allow_untrained) == ('compact-s', None, 'torch', True)
    path = tmp_path / 'step_0.onnx'
    path.touch()
    file = resolve(f'untrained:{path}', device)
    assert (file.path, file.runtime, file.allow_untrained) == (path, 'onnxruntime', True)
    with pytest.raises(ConfigError, match="found 'onnxruntime' for untrained:compact-s, expected 'torch'"):
        resolve('untrained:compact-s', device, 'onnxruntime')


def test_a_file_of_the_home_folder_may_be_named_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'net.onnx').touch()
    choice = resolve('~/net.onnx')
    assert (choice.path, choice.inlier_path) == (tmp_path / 'net.onnx', tmp_path / 'net_inlier.safetensors')


@pytest.mark.parametrize(
    ('word', 'message'),
    [
        ('sifd', "method: found 'sifd', which is no file, did you mean sift"),
        ('frontend-sift', "found 'frontend-sift', which is no file"),
        ('compact-s', 'did you mean untrained:compact-s'),
        ('untrained:compakt-s', "found 'compakt-s', did you mean compact-s"),
        ('nowhere.onnx', "'nowhere.onnx', which is no file, expected"),
    ],
)
def test_what_is_neither_is_refused_with_what_there_is(word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(word)


def test_an_unknown_runtime_is_refused() -> None:
    with pytest.raises(ConfigError, match="backend: found 'onnx', expected one of auto, torch, onnxruntime"):
        resolve('kp2d', backend='onnx')


def test_without_models_a_path_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, '_FOLDER', tmp_path)
    with pytest.raises(ConfigError, match='expected those that ship with the package; name the path of one, or sift'):
        resolve('kp2d')


def test_names_in_reports_are_short_and_distinct() -> None:
    words = ['sift', 'untrained:compact-s', 'a b.onnx', 'runs/first/best.safetensors', 'x/n.ckpt', 'y/n.ckpt']
    assert method_names(words) == ['sift', 'untrained:compact-s', 'a_b', 'first_best', 'n_5', 'n_6']
    for wrong in ([], ['sift', 'sift']):
        with pytest.raises(ConfigError, match='expected some methods, each once'):
            method_names(wrong)


def test_a_method_becomes_settings_of_the_extractor(tmp_path: Path) -> None:
    config = ExtractorConfig(name='sift', max_keypoints=321)
    orb = configure_method('orb', config)
    untrained = configure_method('untrained:compact-s', config)
    assert (orb.name, orb.max_keypoints) == ('orb', 321)
    assert (untrained.name, untrained.model) == ('kp2d', 'untrained:compact-s')
    assert choose_model(untrained).preset == 'compact-s' and choose_model(orb).word == 'orb'
    assert configure_method('kp2d', ExtractorConfig(model='mine.ckpt')).model == 'mine.ckpt'
    with pytest.raises(ConfigError, match='only for evaluating and drawing keypoints, expected sift or another one'):
        configure_method('opencv-sift', config)


def test_without_a_runtime_the_default_is_sift_and_a_network_that_was_asked_for_an_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install(monkeypatch)
    monkeypatch.setattr('sys.prefix', '/an/environment')
    extractor = build_extractor(ExtractorConfig(device='cpu'))
    assert extractor.info.model_id == 'rootsift'
    assert extractor.reconfigured(ExtractorConfig(max_keypoints=5)).info.model_id == 'rootsift'
    (line,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert line.message.endswith('are those of SIFT; for the network: pip install onnxruntime')
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    monkeypatch.delitem(sys.modules, 'kp2d_ros.inference.onnx_backend', raising=False)
    with pytest.raises(BackendError, match=r'compact-m: needs the Python package onnxruntime, .* pip install onnx'):
        build_extractor(ExtractorConfig(device='cpu', model='kp2d-compact-m'))


@pytest.mark.parametrize('word', [*CLASSICAL, *OPENCV[:2]])
def test_detectors_are_loaded_by_their_word(word: str) -> None:
    extractor = load_extractor(resolve(word), ExtractorConfig(max_keypoints=7))
    assert isinstance(extractor, ClassicalExtractor if word in CLASSICAL else OpenCvExtractor)
    assert extractor.info.backend == 'opencv'


@pytest.mark.parametrize('name', shipped_names())
def test_what_ships_belongs_together_and_is_described(name: str) -> None:
    pytest.importorskip('onnxruntime')
    pytest.importorskip('torch')
    from kp2d_ros.networks.checkpoint import load_checkpoint
    from kp2d_ros.networks.inlier_net import load_inlier_net

    choice = resolve(name, 'cpu', 'torch')
    assert choice.path is not None and choice.inlier_path is not None
    info = load_checkpoint(choice.path).info
    assert info.is_trained and info.name == name and choice.path.stat().st_size < 12e6
    assert load_inlier_net(choice.inlier_path).model_id == info.model_id
    extractor = build_extractor(ExtractorConfig(model=name, device='cpu', threads=1))
    assert isinstance(extractor, Kp2dExtractor) and extractor.info.model_id == info.model_id
    card = choice.path.with_suffix('.md').read_text(encoding='utf-8')
    assert info.model_id in card
    assert all(f'## {part}' in card for part in ('Data', 'Training', 'Figures', 'Limits'))


def test_the_default_network_matches_two_views_of_a_picture(rng: np.random.Generator) -> None:
    pytest.importorskip('onnxruntime')
    coarse = rng.integers(0, 256, (32, 40), np.uint8)
    picture = np.asarray(cv2.resize(coarse, (320, 256), interpolation=cv2.INTER_CUBIC), np.uint8)
    turn = cv2.getRotationMatrix2D((160, 128), 10.0, 1.05)
    extractor = build_extractor(ExtractorConfig(device='cpu', threads=1))
    views = picture, np.asarray(cv2.warpAffine(picture, turn, (320, 256)), np.uint8)
    first, second = (extractor.extract(view) for view in views)
    matches = match(first, second, MatchingConfig())
    places = first.xy[matches.reference_index] @ turn[:, :2].T + turn[:, 2]
    error_px = np.linalg.norm(places - second.xy[matches.current_index], axis=1)
    assert len(error_px) > 150
    assert np.mean(error_px < 3.0) > 0.9
    assert np.median(error_px) < 1.2
