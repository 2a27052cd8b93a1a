# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Networks on disk: our own safetensors files, and the public KP2D checkpoints.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kp2d_ros.core.errors import BackendError, ConfigError, DataError
from kp2d_ros.core.settings import build
from kp2d_ros.networks.build import build_network
from kp2d_ros.networks.config import RESNET18, NetworkConfig, network_config
from kp2d_ros.networks.keypoint_resnet import KeypointResnet
from kp2d_ros.networks.network import KeypointNetwork
from kp2d_ros.networks.tensor_file import TensorFile, read_tensor_file, write_tensor_file
from kp2d_ros.networks.torch_file import read_torch_file

FORMAT_VERSION = 1
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_PUBLIC_SWITCHES = ('use_color', 'do_upsample', 'do_cross', 'with_drop')
_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._-]{0,63}')


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """
    Which network it is, without its weights.

    ``hash`` is the SHA-256 of the tensors as they are stored; ``is_trained`` is False for weights straight from the
    initialisation; ``metadata`` is whatever the writer added, as JSON values (training steps, data, ...).
    """

    name: str
    hash: str
    config: NetworkConfig
    is_trained: bool
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model_id(self) -> str:
        """
        Name and first eight digits of the hash: ``kp2d-v4:0f3a91c2``.
        """
        return f'{self.name}:{self.hash[:8]}'


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """
    A network's weights, as stored, and what they belong to; they fit ``info.config``.
    """

    info: CheckpointInfo
    state: Mapping[str, Tensor]


def hash_state(state: Mapping[str, Tensor]) -> str:
    """
    SHA-256 (hex) over the tensors in the order of their names: name, type, shape and bytes.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}\n'.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def checkpoint_from_network(
    network: KeypointNetwork,
    name: str,
    *,
    is_trained: bool,
    metadata: Mapping[str, Any] | None = None,
    half: bool = False,
) -> Checkpoint:
    """
    The weights of a network as they are now, copied to the CPU.

    :param half: keep the weights of the convolutions as float16; norms and biases stay as they are.
    :raises ConfigError: if the name has characters that a model id cannot have.
    :raises DataError: if a weight is not finite, in float16 if that is asked for.
    """
    check_name(name)
    state = {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}
    if half:
        state = {key: value.half() if value.dim() > 1 else value for key, value in state.items()}
    check_state(network.config, state)
    info = CheckpointInfo(name, hash_state(state), network.config, is_trained, dict(metadata or {}))
    return Checkpoint(info, state)


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """
    Write a safetensors file, in one piece or not at all.

    :raises DataError: if the folder cannot be written to, or the metadata are not JSON values.
    """
    document = {'version': FORMAT_VERSION} | dataclasses.asdict(checkpoint.info)
    write_tensor_file(path, TensorFile(dict(checkpoint.state), document))


def load_checkpoint(path: Path, config: NetworkConfig | None = None) -> Checkpoint:
    """
    Read our own files (.safetensors) or those of the public KP2D code (anything else); nothing in them is executed.

    :param config: the network of a bare state_dict without settings; files with settings do not need it.
    :raises DataError: if the file cannot be read as such, or its content was changed.
    :raises BackendError: if the weights do not fit the network.
    """
    checkpoint = _load_own(path) if path.suffix == '.safetensors' else _load_public(path, config)
    try:
        check_state(checkpoint.info.config, checkpoint.state)
    except (BackendError, DataError) as error:
        raise type(error)(f'{path}: {error}') from error
    return checkpoint


def network_from_checkpoint(checkpoint: Checkpoint, device: torch.device | str = 'cpu') -> KeypointNetwork:
    """
    The network with these weights in float32, in evaluation mode.

    :raises BackendError: if the device is not there.
    """
    with torch.device('meta'):  # no time for random weights that are thrown away
        network = build_network(checkpoint.info.config)
    network.load_state_dict({name: _copied(tensor) for name, tensor in checkpoint.state.items()}, assign=True)
    try:
        return network.to(device).eval()
    except (RuntimeError, AssertionError) as error:
        raise BackendError(f'device: found {str(device)!r}, expected one that torch can use: {error}') from error


def load_network(path: Path, device: torch.device | str = 'cpu') -> tuple[KeypointNetwork, CheckpointInfo]:
    """
    The network of a file, ready to run in float32, and what it is.

    :raises DataError: if the file cannot be read as such, or its content was changed.
    :raises BackendError: if the weights do not fit the network, or the device is not there.
    """
    checkpoint = load_checkpoint(path)
    return network_from_checkpoint(checkpoint, device), checkpoint.info


def load_encoder(network: KeypointNetwork, path: Path) -> None:
    """
    Start the encoder of a resnet18 from ImageNet weights in torchvision's form (``resnet18-*.pth``), in place.

    A gray network gets the sum of the three colours: the answer to a gray picture stays the same.

    :raises ConfigError: if the network is not a resnet18.
    :raises DataError: if the file cannot be read as such.
    :raises BackendError: if the weights do not fit the encoder.
    """
    if not isinstance(network, KeypointResnet):
        raise ConfigError(f'pretrained: found a {network.config.architecture}, expected a {RESNET18}')
    state = {k: v for k, v in read_torch_file(path).state.items() if not k.startswith('fc.')}
    if not network.config.use_color and 'conv1.weight' in state:
        state['conv1.weight'] = state['conv1.weight'].sum(dim=1, keepdim=True)
    encoder = network.encoderK.rn
    try:
        _check_tensors(encoder.state_dict(), state)
    except (BackendError, DataError) as error:
        raise type(error)(f'{path}: {error}') from error
    encoder.load_state_dict(state)


def check_name(name: str) -> None:
    """
    Refuse a name that cannot be the first part of a model id.

    :raises ConfigError: if it is empty, too long or has other characters.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f'name of a network: found {name!r}, expected up to 64 letters, digits, and . _ -')


def check_state(config: NetworkConfig, state: Mapping[str, Tensor]) -> None:
    """
    Refuse weights that do not fit a network.

    :raises BackendError: if a tensor is missing, left over, or has another shape or kind.
    :raises DataError: if a weight is not finite.
    """
    with torch.device('meta'):
        expected = build_network(config).state_dict()
    _check_tensors(expected, state)


def _check_tensors(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    missing, unexpected = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing or unexpected:
        raise BackendError(
            f'weights: found {_listed("missing", missing)}, {_listed("unexpected", unexpected)}, '
            f'expected the {len(expected)} tensors of this network'
        )
    for name, wanted in expected.items():
        found = state[name]
        types = _FLOATS if wanted.is_floating_point() else (wanted.dtype,)
        if found.shape != wanted.shape or found.dtype not in types:
            raise BackendError(
                f'{name}: found {found.dtype} of shape {tuple(found.shape)}, '
                f'expected {wanted.dtype} of shape {tuple(wanted.shape)}'
            )
        if not found.isfinite().all():
            raise DataError(f'{name}: found a number that is not finite')


def _copied(tensor: Tensor) -> Tensor:
    return tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)


def _listed(title: str, names: list[str]) -> str:
    more = ', ...' if len(names) > 3 else ''
    return f'{len(names)} {title}' + (f' ({", ".join(n[:100] for n in names[:3])}{more})' if names else '')


def _load_own(path: Path) -> Checkpoint:
    file = read_tensor_file(path)
    document = file.document
    if document.get('version') != FORMAT_VERSION:
        raise DataError(f'{path}: found version {document.get("version")!r} of the format, expected {FORMAT_VERSION}')
    try:
        config = build(NetworkConfig, document.get('config', {}))
    except ConfigError as error:
        raise DataError(f'{path}: {error}') from error
    name, stored_hash, metadata = document.get('name'), document.get('hash'), document.get('metadata')
    if not isinstance(name, str) or not _NAME.fullmatch(name) or not isinstance(metadata, dict):
        raise DataError(f'{path}: found no name or no metadata, expected a file written by this package')
    if stored_hash != hash_state(file.tensors):
        raise DataError(f'{path}: the weights differ from the hash that was saved with them')
    info = CheckpointInfo(name, stored_hash, config, document.get('is_trained') is True, metadata)
    return Checkpoint(info, file.tensors)


def _load_public(path: Path, config: NetworkConfig | None) -> Checkpoint:
    file = read_torch_file(path)
    try:
        config = config or _public_config(file.config)
    except ConfigError as error:
        raise DataError(f'{path}: {error}') from error
    # Parameters that the public code has, and never uses in such a network.
    unused = 'encoderK.rn.fc.' if config.architecture == RESNET18 else '' if config.do_upsample else 'convFb.'
    state = {key: value for key, value in file.state.items() if not (unused and key.startswith(unused))}
    name = re.sub(r'[^A-Za-z0-9._-]', '-', path.stem)[:64].lstrip('._-') or 'kp2d'
    return Checkpoint(CheckpointInfo(name, hash_state(state), config, is_trained=True), state)


def _public_config(settings: Mapping[str, Any]) -> NetworkConfig:
    """
    The network of the settings in a public checkpoint (``config.model.params``).
    """
    model = settings.get('model')
    parameters = model.get('params') if isinstance(model, dict) else None
    if not isinstance(parameters, dict):
        raise ConfigError('found no settings config.model.params, expected those of the public KP2D code')
    kind = parameters.get('keypoint_net_type', 'KeypointNet')
    presets = {'KeypointNet': 'v4', 'KeypointResnet': 'resnet18'}
    if not isinstance(kind, str) or kind not in presets:
        raise ConfigError(f'keypoint_net_type: found {str(kind)[:100]!r}, expected one of {", ".join(presets)}')
    preset = network_config(presets[kind])
    if kind == 'KeypointResnet':
        return preset  # the public code has no switches for it
    switches = {name: parameters[name] for name in _PUBLIC_SWITCHES if name in parameters}
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise ConfigError(f'{name}: found a {type(value).__name__}, expected True or False')
    return dataclasses.replace(preset, **switches)
