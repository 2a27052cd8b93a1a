# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Networks on PyTorch: any device that it knows, in the number format that pays there.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kp2d_ros.core.checks import check_shape
from kp2d_ros.core.errors import BackendError, ConfigError
from kp2d_ros.core.records import Float32Array, ImageArray
from kp2d_ros.inference.backend import BackendInfo, RuntimeOptions, check_network_image
from kp2d_ros.inference.models import ModelChoice
from kp2d_ros.networks.build import build_network, fold_batch_norms
from kp2d_ros.networks.checkpoint import (
    Checkpoint,
    checkpoint_from_network,
    load_checkpoint,
    network_from_checkpoint,
)
from kp2d_ros.networks.config import PRESETS
from kp2d_ros.networks.network import KeypointFeatures, KeypointNetwork

_SEED = 0
_DTYPES = {'fp32': torch.float32, 'fp16': torch.float16, 'bf16': torch.bfloat16}


class TorchFeatures:
    """
    Scores and points of one image, and the map that descriptors are sampled from, still on the device.
    """

    def __init__(self, network: KeypointNetwork, features: KeypointFeatures) -> None:
        self._network = network
        self._features = features
        grid = _array(torch.cat([features.score, features.xy], dim=1)[0])  # one transfer
        self.score: Float32Array = grid[0]
        self.xy = np.ascontiguousarray(grid[1:].transpose(1, 2, 0))

    def describe(self, xy: Float32Array) -> Float32Array:
        """
        (N, D) descriptors of unit norm at (N, 2) pixels of the image.
        """
        check_shape('xy', xy, ('N', 2))
        if len(xy) == 0:
            return np.empty((0, self._network.config.descriptor_dim), np.float32)
        with torch.inference_mode():
            points = torch.tensor(xy, device=self._features.penultimate.device)
            descriptors = self._network.describe(self._features, points[None])[0]
            return _array(descriptors)


class TorchBackend:
    """
    A network on PyTorch, its batch norms folded.

    Precision ``auto`` is fp16 on CUDA, else fp32, which half formats only slow down. ``threads`` are those of torch in
    the whole process. ``compiled`` lets torch.compile make code for each image size, in the first call with that size.

    :raises BackendError: if the device is not there or torch does not know it.
    """

    def __init__(self, checkpoint: Checkpoint, options: RuntimeOptions | None = None) -> None:
        options = options or RuntimeOptions()
        self._device = find_device(options.device)
        precision = options.precision
        if precision == 'auto':
            precision = 'fp16' if self._device.type == 'cuda' else 'fp32'
        if options.threads > 0:
            torch.set_num_threads(options.threads)
        network = _placed(fold_batch_norms(network_from_checkpoint(checkpoint)), self._device, _DTYPES[precision])
        self._network = network
        self._run = torch.compile(network.forward_features) if options.compiled else network.forward_features
        info = checkpoint.info
        self.info = BackendInfo(
            model_id=info.model_id,
            backend='torch',
            device=str(self._device),
            precision=precision,
            stride=network.stride,
            descriptor_dim=info.config.descriptor_dim,
            size_multiple=network.size_multiple,
            is_trained=info.is_trained,
        )

    def infer(self, image: ImageArray) -> TorchFeatures:
        """
        Run the network on a uint8 image, (H, W) gray or (H, W, 3) RGB, both sides multiples of ``size_multiple``.

        :raises ShapeError: if the image is not such an image.
        :raises BackendError: if the device fails, for instance for want of memory.
        """
        check_network_image(image, self.info.size_multiple)
        try:
            with torch.inference_mode():
                return TorchFeatures(self._network, self._run(self._batch(image)))
        except RuntimeError as error:
            height, width = image.shape[:2]
            raise BackendError(f'{self.info.model_id} on {self._device} at {width}x{height}: {error}') from error

    def _batch(self, image: ImageArray) -> Tensor:
        """
        The image as (1, C, H, W) in [0, 1] on the device; it travels there as bytes.
        """
        # A view of a message cannot be written to, which torch warns of.
        pixels = torch.from_numpy(image if image.flags.writeable else image.copy()).to(self._device).float() / 255
        if pixels.dim() == 2:
            return pixels.expand(1, self._network.config.image_channels, *pixels.shape)
        planes = pixels.permute(2, 0, 1)[None]
        return planes if self._network.config.use_color else planes.mean(dim=1, keepdim=True)


def open_checkpoint(choice: ModelChoice) -> Checkpoint:
    """
    The weights of a network that torch runs; those of a preset are straight from the initialisation, the same each
    time.

    :raises ConfigError: if torch does not run it.
    :raises DataError: if the file cannot be read as a checkpoint.
    :raises BackendError: if the weights do not fit the network.
    """
    if choice.runtime != 'torch':
        raise ConfigError(f'method: found {choice.word}, which runs on {choice.runtime}, expected a checkpoint')
    if choice.path is not None:
        return load_checkpoint(choice.path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        network = build_network(PRESETS[choice.preset])
    return checkpoint_from_network(network, f'untrained-{choice.preset}', is_trained=False)


def find_device(name: str) -> torch.device:
    """
    The device of a name; ``auto`` is CUDA where there is one, else the CPU.

    :raises BackendError: if torch does not know it or it is not there.
    """
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BackendError(
            f'device: found {name!r}, expected auto, cpu, cuda, cuda:0 or another one of torch'
        ) from error
    if device.type == 'cuda':
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            built = f'built for CUDA {torch.version.cuda}' if torch.version.cuda else 'built without CUDA'
            raise BackendError(
                f'device: found {name!r}, but torch {torch.__version__} ({built}) sees {count} CUDA devices'
            )
    return device


def _array(tensor: Tensor) -> Float32Array:
    return np.asarray(tensor.float().cpu().numpy(), np.float32)


def _placed(network: KeypointNetwork, device: torch.device, dtype: torch.dtype) -> KeypointNetwork:
    try:
        return network.to(device, dtype)
    except (RuntimeError, NotImplementedError) as error:
        raise BackendError(f'device: found {str(device)!r}, which torch cannot use: {error}') from error
