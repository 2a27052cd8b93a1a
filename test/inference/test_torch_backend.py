# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Tests of what is particular to PyTorch; the contract of every runtime is in test_backend.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.errors import BackendError, ConfigError, DataError
from kp2d_ros.inference.backend import RuntimeOptions
from kp2d_ros.inference.models import resolve

torch = pytest.importorskip('torch')

from kp2d_ros.inference.torch_backend import TorchBackend, find_device, open_checkpoint  # noqa: E402


def test_a_gray_network_takes_the_mean_of_the_channels(gray_checkpoint: Any) -> None:
    backend = TorchBackend(gray_checkpoint, RuntimeOptions(device='cpu'))
    rng = np.random.default_rng(0)
    gray = rng.integers(10, 240, (48, 64), dtype=np.uint8)
    coloured = np.stack([gray - 9, gray + 12, gray - 3], axis=2)
    assert np.allclose(backend.infer(coloured).score, backend.infer(gray).score, atol=1e-6)


@pytest.mark.parametrize(('precision', 'tolerance'), [('bf16', 0.05), ('fp16', 0.01)])
def test_half_formats_stay_close_and_keep_pixels_exact(
    checkpoint: Any, texture: Callable[..., NDArray[Any]], precision: str, tolerance: float
) -> None:
    exact = TorchBackend(checkpoint, RuntimeOptions(device='cpu', precision='fp32'))
    half = TorchBackend(checkpoint, RuntimeOptions(device='cpu', precision=precision))
    image = texture(1024, 8 * 3)
    first, second = exact.infer(image), half.infer(image)
    points = first.xy[1:-1, 1:-1].reshape(-1, 2)
    assert half.info.precision == precision
    assert np.abs(first.score - second.score).max() < tolerance
    assert np.abs(first.xy - second.xy).max() < 15 * tolerance  # half a pixel at x = 1000 if pixels were fp16
    assert (first.describe(points) * second.describe(points)).sum(axis=1).min() > 1 - tolerance


def test_fp32_is_what_auto_means_on_a_cpu(checkpoint: Any) -> None:
    assert TorchBackend(checkpoint, RuntimeOptions(device='cpu')).info.precision == 'fp32'


def test_sets_the_number_of_threads(checkpoint: Any) -> None:
    before = torch.get_num_threads()
    try:
        TorchBackend(checkpoint, RuntimeOptions(device='cpu', threads=1))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_the_map_is_kept_for_as_long_as_the_features(checkpoint: Any, texture: Callable[..., NDArray[Any]]) -> None:
    features = TorchBackend(checkpoint, RuntimeOptions(device='cpu')).infer(texture(64, 48))
    few, many = np.float32([[10, 12.5]]), np.tile(np.float32([[10, 12.5]]), (500, 1))
    assert np.allclose(features.describe(many), features.describe(few), atol=1e-5)


@pytest.mark.parametrize('name', ['gpu', 'cuda:x', 'tensorrt', ''])
def test_refuses_a_device_that_torch_does_not_know(name: str) -> None:
    with pytest.raises(BackendError, match='expected auto, cpu, cuda'):
        find_device(name)


def test_refuses_a_cuda_device_that_is_not_there() -> None:
    with pytest.raises(BackendError, match=r"found 'cuda:63', but torch .* sees \d+ CUDA devices"):
        find_device('cuda:63')


def test_auto_is_a_device_that_is_there() -> None:
    assert find_device('auto').type == ('cuda' if torch.cuda.is_available() else 'cpu')


def test_a_failing_device_is_a_backend_error(
    checkpoint: Any, texture: Callable[..., NDArray[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = TorchBackend(checkpoint, RuntimeOptions(device='cpu'))

    def fail(image: NDArray[Any]) -> None:
        raise torch.OutOfMemoryError('out of memory')

    monkeypatch.setattr(backend, '_run', fail)
    with pytest.raises(BackendError, match='on cpu at 64x48: out of memory'):
        backend.infer(texture(64, 48))


def test_a_file_of_weights_is_opened(checkpoint: Any, checkpoint_file: Any) -> None:
    assert open_checkpoint(resolve(str(checkpoint_file))).info == checkpoint.info


def test_an_untrained_network_is_the_same_each_time_and_leaves_the_random_stream() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, second = (open_checkpoint(resolve('untrained:compact-s')).info for _ in range(2))
    assert first.model_id == second.model_id
    assert not first.is_trained
    assert first.name == 'untrained-compact-s'
    assert torch.equal(torch.rand(1), expected)


def test_weights_that_are_none_are_refused(tmp_path: Path) -> None:
    for name in ('some.onnx', 'weights.ckpt'):
        (tmp_path / name).write_text('no weights')
    with pytest.raises(ConfigError, match='which runs on onnxruntime, expected a checkpoint'):
        open_checkpoint(resolve(str(tmp_path / 'some.onnx')))
    with pytest.raises(DataError, match=r'weights\.ckpt'):
        open_checkpoint(resolve(str(tmp_path / 'weights.ckpt')))
