# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The contract that every network runtime keeps, held against the network itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.errors import BackendError, ShapeError
from kp2d_ros.inference.backend import RuntimeOptions, require_trained

torch = pytest.importorskip('torch')

from kp2d_ros.inference.torch_backend import TorchBackend  # noqa: E402
from kp2d_ros.networks.cells import sample_descriptors  # noqa: E402
from kp2d_ros.networks.checkpoint import network_from_checkpoint  # noqa: E402


@pytest.fixture(params=['torch', 'onnxruntime'])
def backend(request: pytest.FixtureRequest) -> Any:
    """
    The tiny colour network on each runtime, on the CPU in float32.
    """
    if request.param == 'torch':
        return TorchBackend(request.getfixturevalue('checkpoint'), RuntimeOptions(device='cpu'))
    report = request.getfixturevalue('exported')
    from kp2d_ros.inference.onnx_backend import OnnxBackend

    return OnnxBackend(report.path, RuntimeOptions(device='cpu'))


def test_contract_equals_the_network_itself(
    backend: Any, checkpoint: Any, texture: Callable[..., NDArray[Any]]
) -> None:
    image = texture(64, 48)
    features = backend.infer(image)
    with torch.inference_mode():
        maps = network_from_checkpoint(checkpoint)(torch.tensor(image).permute(2, 0, 1)[None] / 255)
        xy = features.xy.reshape(-1, 2)
        expected = sample_descriptors(maps.descriptors, torch.tensor(xy)[None], 64, 48)[0]
    assert features.score.shape == (6, 8)
    assert np.ptp(features.score[1:-1, 1:-1]) > 0.05
    assert np.allclose(features.score, maps.score[0, 0], atol=1e-5)
    assert np.allclose(features.xy, maps.xy[0].permute(1, 2, 0), atol=1e-3)
    assert np.allclose(features.describe(xy), expected, atol=1e-4)


def test_contract_takes_every_multiple_of_its_size(backend: Any, texture: Callable[..., NDArray[Any]]) -> None:
    for width, height in ((8, 8), (24, 8), (72, 104)):
        features = backend.infer(texture(width, height))
        assert features.xy.shape == (height // 8, width // 8, 2)
        assert features.score[0].max() == 0


def test_contract_gray_is_three_equal_channels(backend: Any, texture: Callable[..., NDArray[Any]]) -> None:
    gray = np.ascontiguousarray(texture(64, 48)[..., 1])
    first, second = backend.infer(gray), backend.infer(np.repeat(gray[..., None], 3, axis=2))
    assert np.allclose(first.score, second.score, atol=1e-6)


def test_contract_no_points_have_no_descriptors(backend: Any, texture: Callable[..., NDArray[Any]]) -> None:
    assert backend.infer(texture(64, 48)).describe(np.empty((0, 2), np.float32)).shape == (0, 16)


def test_contract_features_outlive_the_next_image(backend: Any, texture: Callable[..., NDArray[Any]]) -> None:
    points = np.float32([[9, 9], [30.5, 20.25]])
    first = backend.infer(texture(64, 48))
    score, descriptors = first.score.copy(), first.describe(points)
    backend.infer(texture(64, 48)[::-1].copy())
    assert np.array_equal(first.score, score)
    assert np.array_equal(first.describe(points), descriptors)


def test_contract_describes_itself(backend: Any, checkpoint: Any) -> None:
    info = backend.info
    assert info.model_id == checkpoint.info.model_id
    assert (info.device, info.precision, info.is_trained) == ('cpu', 'fp32', True)
    assert (info.stride, info.size_multiple, info.descriptor_dim) == (8, 8, 16)


@pytest.mark.parametrize('shape', [(48, 60, 3), (47, 64)])
def test_contract_refuses_sizes_between_the_multiples(backend: Any, shape: tuple[Any, ...]) -> None:
    with pytest.raises(ShapeError, match='multiples of 8'):
        backend.infer(np.zeros(shape, np.uint8))


def test_contract_refuses_other_types(backend: Any) -> None:
    with pytest.raises(ShapeError, match='found float32'):
        backend.infer(np.zeros((48, 64), np.float32))


def test_refuses_an_untrained_network_unless_it_is_wanted() -> None:
    require_trained('x:1', is_trained=True, allow_untrained=False)
    require_trained('x:1', is_trained=False, allow_untrained=True)
    with pytest.raises(BackendError, match='x:1, which was never trained'):
        require_trained('x:1', is_trained=False, allow_untrained=False)
