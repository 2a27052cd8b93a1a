# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A tiny network as a checkpoint and as an ONNX file, made once, and images to run it on.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from kp2d_ros.networks.config import NetworkConfig

TINY = NetworkConfig(
    channels=(4, 4, 8, 8), head_channels=8, upsample_channels=4, tail_channels=8, descriptor_dim=16, input_scale=4.0
)


def tiny_checkpoint(name: str = 'tiny', config: Any = TINY, is_trained: bool = True) -> Any:
    torch = pytest.importorskip('torch')
    from kp2d_ros.networks.build import build_network
    from kp2d_ros.networks.checkpoint import checkpoint_from_network

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(config)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):  # as after training: far from the identity
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.05, 0.2)
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, 0, 0.1)
    return checkpoint_from_network(network, name, is_trained=is_trained)


@pytest.fixture(scope='module', autouse=True)
def one_thread() -> Iterator[None]:
    """
    Layers as small as these only wait for each other on several threads.
    """
    torch = sys.modules.get('torch')
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='session')
def checkpoint() -> Any:
    """
    The weights of a tiny colour network that counts as trained.
    """
    return tiny_checkpoint()


@pytest.fixture(scope='session')
def gray_checkpoint() -> Any:
    """
    The same for gray images.
    """
    return tiny_checkpoint('tiny-gray', dataclasses.replace(TINY, use_color=False, do_upsample=False))


@pytest.fixture(scope='session')
def checkpoint_file(checkpoint: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """
    The colour network as a file of ours.
    """
    from kp2d_ros.networks.checkpoint import save_checkpoint

    path = tmp_path_factory.mktemp('weights') / 'tiny.safetensors'
    save_checkpoint(path, checkpoint)
    return path


@pytest.fixture(scope='session')
def exported(checkpoint: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """
    The report of the colour network's export to a file that takes any size.
    """
    pytest.importorskip('onnxscript')
    from kp2d_ros.inference.export import export_onnx

    return export_onnx(checkpoint, tmp_path_factory.mktemp('exported') / 'tiny.onnx')


@pytest.fixture(scope='session')
def texture() -> Callable[..., Any]:
    """
    A function: a smooth random RGB image of a width and height, the same each time.
    """

    def make(width: int, height: int) -> Any:
        noise = np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)
        blurred = cv2.GaussianBlur(noise, (0, 0), 1.6).astype(np.float32)
        return np.clip((blurred - 127.5) * 4 + 127.5, 0, 255).astype(np.uint8)

    return make
