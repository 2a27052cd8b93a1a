# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Which of the networks that ship is taken.
"""

from __future__ import annotations

import pytest

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.inference import shipped
from kp2d_ros.inference.extractor import ExtractorConfig
from kp2d_ros.inference.pipeline import build_backend, find_model
from kp2d_ros.inference.weights import untrained_checkpoint
from kp2d_ros.networks.checkpoint import save_checkpoint


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
