# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Which of the networks that ship is taken.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.inference import shipped
from kp2d_ros.inference.extractor import ExtractorConfig
from kp2d_ros.inference.pipeline import build_backend, build_extractor, find_model
from kp2d_ros.inference.weights import untrained_checkpoint
from kp2d_ros.networks.checkpoint import load_checkpoint, save_checkpoint
from kp2d_ros.networks.inlier_net import load_inlier_net
from kp2d_ros.odometry.matching import MatchingConfig, match


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """
    A package with two networks, the small one also as ONNX.
    """
    monkeypatch.setattr(shipped, '_FOLDER', tmp_path)
    for name in ('kp2d-compact', 'kp2d-v4'):
        save_checkpoint(tmp_path / f'{name}.safetensors', untrained_checkpoint('compact-n'))
        (tmp_path / f'{name}_inlier.safetensors').touch()
    (tmp_path / 'kp2d-compact.onnx').touch()
    return tmp_path


@pytest.mark.parametrize(
    ('device', 'backend', 'file'),
    [
        ('cpu', 'auto', 'kp2d-compact.onnx'),
        ('cpu', 'onnxruntime', 'kp2d-compact.onnx'),
        ('cpu', 'torch', 'kp2d-compact.safetensors'),
        ('cuda', 'auto', 'kp2d-v4.safetensors'),
        ('cuda:1', 'torch', 'kp2d-v4.safetensors'),
    ],
)
def test_the_device_picks_the_model(folder, device, backend, file):
    pytest.importorskip('onnxruntime')
    assert find_model(ExtractorConfig(name='kp2d', device=device, backend=backend)) == str(folder / file)


def test_a_name_picks_the_model(folder):
    assert shipped.shipped_names() == ['kp2d-compact', 'kp2d-v4']
    assert find_model(ExtractorConfig(name='kp2d', device='cpu', model='kp2d-v4')) == str(
        folder / 'kp2d-v4.safetensors'
    )
    assert find_model(ExtractorConfig(name='kp2d', model='mine.ckpt')) == 'mine.ckpt'
    pytest.importorskip('torch')
    config = ExtractorConfig(name='kp2d', device='cpu', model='kp2d-v4', allow_untrained=True)
    assert build_backend(config).info.model_id.startswith('untrained-compact-n:')


def test_without_models_a_name_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, '_FOLDER', tmp_path)
    with pytest.raises(ConfigError, match='expected the path of a checkpoint'):
        find_model(ExtractorConfig(name='kp2d', device='cpu'))
    assert find_model(ExtractorConfig(name='kp2d', device='cpu', allow_untrained=True)) == 'compact-s'


@pytest.mark.parametrize('name', shipped.shipped_names())
def test_what_ships_belongs_together_and_is_described(name):
    pytest.importorskip('onnxruntime')
    path = shipped.shipped_file(name, 'cpu', 'torch')
    info = load_checkpoint(path).info
    assert info.is_trained and info.name == name and path.stat().st_size < 12e6
    assert load_inlier_net(path.with_name(f'{name}_inlier.safetensors')).model_id == info.model_id
    config = ExtractorConfig(name='kp2d', model=name, device='cpu', threads=1)
    assert build_backend(config).info.model_id == info.model_id
    card = path.with_suffix('.md').read_text(encoding='utf-8')
    assert info.model_id in card
    assert all(f'## {part}' in card for part in ('Data', 'Training', 'Figures', 'Limits'))


def test_the_default_network_matches_two_views_of_a_picture(rng):
    pytest.importorskip('onnxruntime')
    coarse = rng.integers(0, 256, (32, 40), np.uint8)
    picture = cv2.resize(coarse, (320, 256), interpolation=cv2.INTER_CUBIC)
    turn = cv2.getRotationMatrix2D((160, 128), 10.0, 1.05)
    extractor = build_extractor(ExtractorConfig(device='cpu', threads=1))
    first, second = (extractor.extract(image) for image in (picture, cv2.warpAffine(picture, turn, (320, 256))))
    matches = match(first, second, MatchingConfig())
    places = first.xy[matches.reference_index] @ turn[:, :2].T + turn[:, 2]
    error_px = np.linalg.norm(places - second.xy[matches.current_index], axis=1)
    assert len(error_px) > 150
    assert np.mean(error_px < 3.0) > 0.9
    assert np.median(error_px) < 1.2
