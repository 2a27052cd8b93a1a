# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.inference.extractor import ExtractorConfig
from kp2d_ros.inference.named_extractor import (
    classical_names,
    configure_extractor,
    short_name,
    weights_file,
)

CONFIG = ExtractorConfig(name='sift', max_keypoints=321)


def test_names_presets_and_files_are_told_apart(tmp_path: Path) -> None:
    model = tmp_path / 'net.onnx'
    model.touch()
    orb = configure_extractor('orb', CONFIG)
    untrained = configure_extractor('untrained:compact-s', CONFIG)
    network = configure_extractor(str(model), CONFIG)
    assert (orb.name, orb.max_keypoints) == ('orb', 321)
    assert (untrained.name, untrained.model, untrained.allow_untrained) == ('kp2d', 'compact-s', True)
    assert (network.name, network.model, network.allow_untrained) == ('kp2d', str(model), False)


@pytest.mark.parametrize(
    ('word', 'message'),
    [
        ('sifd', "method: found 'sifd', which is no file, did you mean sift"),
        ('compact-s', 'did you mean untrained:compact-s'),
        ('untrained:compakt-s', "found 'compakt-s', did you mean compact-s"),
        ('nowhere.onnx', "'nowhere.onnx', which is no file, expected"),
    ],
)
def test_what_is_neither_is_refused_with_what_there_is(word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configure_extractor(word, CONFIG)


def test_networks_that_ship_are_known_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('kp2d_ros.inference.shipped._FOLDER', tmp_path)
    file = tmp_path / 'kp2d-x.safetensors'
    file.touch()
    config = configure_extractor('kp2d-x', CONFIG)
    assert (config.name, config.model, short_name('kp2d-x')) == ('kp2d', 'kp2d-x', 'kp2d-x')
    assert weights_file(config) == file
    assert weights_file(CONFIG) is None


def test_networks_are_no_classical_ones() -> None:
    assert {'sift', 'orb'} <= set(classical_names())
    assert 'kp2d' not in classical_names()


def test_short_names_fit_into_a_folder(tmp_path: Path) -> None:
    assert short_name('sift') == 'sift'
    assert short_name('untrained:compact-s') == 'untrained_compact-s'
    assert short_name(str(tmp_path / 'a b.onnx')) == 'a_b'
    assert short_name('runs/first/best.safetensors') == 'first_best'
