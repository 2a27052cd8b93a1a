# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Tests of finding the weights that a user names.
"""

import pytest

from kp2d_ros.core.errors import ConfigError, DataError

torch = pytest.importorskip('torch')

from kp2d_ros.inference.weights import find_checkpoint  # noqa: E402


def test_loads_a_file(checkpoint, checkpoint_file):
    assert find_checkpoint(str(checkpoint_file)).info == checkpoint.info


def test_a_file_of_the_home_folder_may_be_named_with_a_tilde(checkpoint, checkpoint_file, monkeypatch):
    monkeypatch.setenv('HOME', str(checkpoint_file.parent))
    assert find_checkpoint('~/tiny.safetensors').info == checkpoint.info


def test_an_untrained_network_is_the_same_each_time_and_leaves_the_random_stream():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, second = find_checkpoint('compact-s').info, find_checkpoint('compact-s').info
    assert first.model_id == second.model_id
    assert not first.is_trained
    assert first.name == 'untrained-compact-s'
    assert torch.equal(torch.rand(1), expected)


def test_refuses_what_is_neither_a_file_nor_a_network():
    with pytest.raises(ConfigError, match=r"model: found 'v9', which is neither a file nor one of kp2d-.*, v0, v1"):
        find_checkpoint('v9')


def test_refuses_an_exported_network():
    with pytest.raises(ConfigError, match='an exported network, expected a checkpoint'):
        find_checkpoint('some.onnx')


def test_refuses_a_file_of_another_kind(tmp_path):
    path = tmp_path / 'weights.ckpt'
    path.write_text('no weights')
    with pytest.raises(DataError, match=r'weights\.ckpt'):
        find_checkpoint(str(path))
