# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from kp2d_ros.core.errors import BackendError, ConfigError, DataError
from kp2d_ros.networks.build import build_network
from kp2d_ros.networks.checkpoint import (
    checkpoint_from_network,
    hash_state,
    load_checkpoint,
    load_encoder,
    load_network,
    network_from_checkpoint,
    save_checkpoint,
)
from kp2d_ros.networks.config import NetworkConfig

TINY = NetworkConfig(channels=(4, 4, 6, 8), head_channels=6, upsample_channels=4, tail_channels=5, descriptor_dim=7)


@pytest.fixture
def network() -> Any:
    torch.manual_seed(0)
    return build_network(TINY).eval()


@pytest.fixture
def cfg_node(monkeypatch: pytest.MonkeyPatch) -> Any:
    """
    A class that pickles like the settings of the public code: yacs.config.CfgNode, a dict with flags.
    """

    class CfgNode(dict[str, Any]):
        def __init__(self, values: Any) -> None:
            super().__init__({k: CfgNode(v) if isinstance(v, dict) else v for k, v in values.items()})
            self.__dict__['__immutable__'] = True
            self.__dict__['__deprecated_keys__'] = {'old'}
            self.__dict__['__renamed_keys__'] = {}

    CfgNode.__module__, CfgNode.__qualname__ = 'yacs.config', 'CfgNode'
    module = types.ModuleType('yacs.config')
    monkeypatch.setattr(module, 'CfgNode', CfgNode, raising=False)
    monkeypatch.setitem(sys.modules, 'yacs', types.ModuleType('yacs'))
    monkeypatch.setitem(sys.modules, 'yacs.config', module)
    return CfgNode


def save_public(path: Path, state: Any, cfg_node: Any, *, zipped: bool = True, **parameters: Any) -> None:
    settings = {
        'name': '',
        'arch': {'seed': 42, 'epochs': 50},
        'wandb': {'tags': [], 'dry_run': True},
        'model': {'optimizer': {'learning_rate': 0.001}, 'params': {'use_color': True, 'with_io': True} | parameters},
        'datasets': {'augmentation': {'image_shape': (240, 320), 'jittering': (0.5, 0.5, 0.2, 0.05)}},
    }
    content = {'state_dict': state, 'config': cfg_node(settings)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)


def outputs(network: Any) -> Any:
    with torch.no_grad():
        return network(torch.linspace(0, 1, 3 * 32 * 64).reshape(1, 3, 32, 64))


def assert_same_outputs(first: Any, second: Any) -> None:
    for one, other in zip(outputs(first), outputs(second), strict=True):
        assert torch.equal(one, other)


def test_round_trip_keeps_weights_settings_and_identity(network: Any, tmp_path: Path) -> None:
    saved = checkpoint_from_network(network, 'kp2d-tiny', is_trained=True, metadata={'training': {'steps': 300}})
    save_checkpoint(tmp_path / 'a.safetensors', saved)
    loaded, info = load_network(tmp_path / 'a.safetensors')
    assert info == saved.info
    assert info.model_id == f'kp2d-tiny:{hash_state(network.state_dict())[:8]}'
    assert info.metadata == {'training': {'steps': 300}}
    assert not loaded.training
    assert_same_outputs(loaded, network)
    assert [p.name for p in tmp_path.iterdir()] == ['a.safetensors']


def test_round_trip_keeps_how_keypoints_are_placed(network: Any, tmp_path: Path) -> None:
    sigmoid = build_network(dataclasses.replace(TINY, location='sigmoid')).eval()
    sigmoid.load_state_dict(network.state_dict())
    save_checkpoint(tmp_path / 'a.safetensors', checkpoint_from_network(sigmoid, 'tiny', is_trained=True))
    loaded, info = load_network(tmp_path / 'a.safetensors')
    assert info.config.location == 'sigmoid'
    assert_same_outputs(loaded, sigmoid)
    assert not torch.equal(outputs(loaded).xy, outputs(network).xy)


def test_half_precision_file_is_smaller_and_keeps_its_identity(network: Any, tmp_path: Path) -> None:
    for half in (False, True):
        checkpoint = checkpoint_from_network(network, 'tiny', is_trained=False, half=half)
        save_checkpoint(tmp_path / f'{half}.safetensors', checkpoint)
    assert (tmp_path / 'True.safetensors').stat().st_size < (tmp_path / 'False.safetensors').stat().st_size
    first = load_checkpoint(tmp_path / 'True.safetensors')
    assert first.info == checkpoint.info
    save_checkpoint(tmp_path / 'again.safetensors', first)
    assert load_checkpoint(tmp_path / 'again.safetensors').info.model_id == checkpoint.info.model_id
    loaded = network_from_checkpoint(first)
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    assert torch.allclose(outputs(loaded).descriptors, outputs(network).descriptors, atol=1e-3)


def test_training_a_loaded_network_leaves_the_checkpoint_alone(network: Any) -> None:
    checkpoint = checkpoint_from_network(network, 'tiny', is_trained=False)
    loaded = network_from_checkpoint(checkpoint)
    with torch.no_grad():
        for tensor in loaded.state_dict().values():
            tensor.add_(1)
    assert hash_state(checkpoint.state) == checkpoint.info.hash
    assert all(p.requires_grad for p in loaded.parameters())


def test_hash_depends_on_names_types_shapes_and_values() -> None:
    states = [
        {'a': torch.zeros(2, 3)},
        {'b': torch.zeros(2, 3)},
        {'a': torch.zeros(3, 2)},
        {'a': torch.zeros(2, 3, dtype=torch.float16)},
        {'a': torch.tensor([[0, 0, 0], [0, 0, 1.0]])},
    ]
    assert len({hash_state(state) for state in states}) == len(states)
    one, zero = torch.ones(1), torch.zeros(())
    assert hash_state({'a': one, 'b': zero}) == hash_state({'b': zero, 'a': one})


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'before torch 1.6'])
def test_public_checkpoint_gives_identical_outputs(
    cfg_node: Any, tmp_path: Path, zipped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = build_network(NetworkConfig()).eval()
    path = tmp_path / 'v4.ckpt'
    switches = {'do_upsample': True, 'do_cross': True, 'keypoint_net_type': 'KeypointNet'}
    save_public(path, network.state_dict(), cfg_node, zipped=zipped, **switches)
    monkeypatch.delitem(sys.modules, 'yacs.config')  # the file must not need the package
    loaded, info = load_network(path)
    assert_same_outputs(loaded, network)
    assert info.config == NetworkConfig()
    assert info.model_id == f'v4:{hash_state(network.state_dict())[:8]}'
    assert info.is_trained


def test_unused_layers_of_the_public_code_are_dropped(cfg_node: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    full = build_network(NetworkConfig())  # the public code keeps convFb in V0, too
    save_public(tmp_path / 'v0.ckpt', full.state_dict(), cfg_node, do_upsample=False, do_cross=False)
    network, info = load_network(tmp_path / 'v0.ckpt')
    assert sum(p.numel() for p in network.parameters()) == 4_131_555
    assert (info.config.do_upsample, info.config.do_cross) == (False, False)


def test_public_resnet_is_loaded_without_its_classifier(network: Any, cfg_node: Any, tmp_path: Path) -> None:
    config = NetworkConfig(architecture='resnet18', channels=(4, 4, 4, 4), head_channels=4, descriptor_dim=5)
    state = build_network(config).state_dict()
    classifier = {'encoderK.rn.fc.weight': torch.zeros(3, 4), 'encoderK.rn.fc.bias': torch.zeros(3)}
    torch.save(state | classifier, tmp_path / 'a.pth')
    assert hash_state(load_checkpoint(tmp_path / 'a.pth', config).state) == hash_state(state)
    save_public(tmp_path / 'b.ckpt', network.state_dict(), cfg_node, keypoint_net_type='KeypointResnet')
    with pytest.raises(BackendError, match=r'missing \(decoderK'):
        load_checkpoint(tmp_path / 'b.ckpt')


def test_bare_state_dict_needs_to_know_its_network(network: Any, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / 'a.pth')
    with pytest.raises(DataError, match=r'a\.pth: found no settings config\.model\.params'):
        load_checkpoint(tmp_path / 'a.pth')
    assert_same_outputs(network_from_checkpoint(load_checkpoint(tmp_path / 'a.pth', TINY)), network)


def test_wrong_keys_and_shapes_are_named(network: Any, tmp_path: Path) -> None:
    def refused(state: Any, message: Any) -> None:
        torch.save(state, tmp_path / 'a.pth')
        with pytest.raises(BackendError, match=message):
            load_checkpoint(tmp_path / 'a.pth', TINY)

    state = dict(network.state_dict())
    refused(state | {'extra': torch.zeros(1)}, r'0 missing, 1 unexpected \(extra\)')
    refused({k: v for k, v in state.items() if 'conv4a' not in k}, r'6 missing \(conv4a.0.weight, .*\.\.\.\)')
    refused(state | {'convDb.bias': torch.zeros(2)}, r'convDb.bias: found torch.float32 of shape \(2,\), expected')
    refused(state | {'convDb.bias': torch.zeros(1, dtype=torch.int64)}, 'convDb.bias: found torch.int64')
    refused(state | {'conv1a.1.num_batches_tracked': torch.tensor(1.0)}, 'num_batches_tracked: found torch.float32')


def test_weights_that_are_not_finite_are_refused(network: Any, tmp_path: Path) -> None:
    state = dict(network.state_dict()) | {'convDb.bias': torch.tensor([float('nan')])}
    torch.save(state, tmp_path / 'a.pth')
    with pytest.raises(DataError, match=r'convDb\.bias: found a number that is not finite'):
        load_checkpoint(tmp_path / 'a.pth', TINY)
    with torch.no_grad():
        network.conv1a[0].weight[0, 0, 0, 0] = 1e6
    with pytest.raises(DataError, match='not finite'):
        checkpoint_from_network(network, 'tiny', is_trained=True, half=True)


@pytest.mark.parametrize('parameters', [{'keypoint_net_type': 'Other'}, {'do_cross': 'yes'}, {'use_color': [[]]}])
def test_public_settings_of_another_kind_are_refused(
    network: Any, cfg_node: Any, tmp_path: Path, parameters: dict[str, Any]
) -> None:
    save_public(tmp_path / 'a.ckpt', network.state_dict(), cfg_node, **parameters)
    with pytest.raises(DataError, match=f'{next(iter(parameters))}: found'):
        load_checkpoint(tmp_path / 'a.ckpt')


def test_names_that_break_a_model_id_are_refused(network: Any) -> None:
    for name in ('', 'a b', 'a:b', 'x' * 65, '../a'):
        with pytest.raises(ConfigError, match='name of a network'):
            checkpoint_from_network(network, name, is_trained=False)


def test_changed_weights_are_noticed(network: Any, tmp_path: Path) -> None:
    path = tmp_path / 'a.safetensors'
    save_checkpoint(path, checkpoint_from_network(network, 'tiny', is_trained=False))
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match='differ from the hash'):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'version': 99}, 'version 99'),
        ({'config': {'channel': [1]}}, 'did you mean channels'),
        ({'config': {'channels': [10**9] * 4}}, 'channels'),
        ({'config': 3}, 'expected keys and values'),
        ({'name': 'a b'}, 'no name'),
        ({'metadata': None}, 'no metadata'),
    ],
)
def test_foreign_descriptions_are_refused(network: Any, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    checkpoint = checkpoint_from_network(network, 'tiny', is_trained=False)
    document = {'version': 1} | dataclasses.asdict(checkpoint.info) | change
    data = safetensors.torch.save(dict(checkpoint.state), {'kp2d_ros': json.dumps(document)})
    (tmp_path / 'a.safetensors').write_bytes(data)
    with pytest.raises(DataError, match=message):
        load_checkpoint(tmp_path / 'a.safetensors')


@pytest.mark.parametrize('document', [None, {'kp2d_ros': '[' * 10**5}, {'kp2d_ros': '3'}, {'other': 'x'}])
def test_safetensors_without_a_description_are_refused(tmp_path: Path, document: dict[str, Any] | None) -> None:
    (tmp_path / 'a.safetensors').write_bytes(safetensors.torch.save({'a': torch.zeros(1)}, document))
    with pytest.raises(DataError, match=r'a\.safetensors'):
        load_checkpoint(tmp_path / 'a.safetensors')


def test_missing_truncated_and_empty_safetensors_are_refused(network: Any, tmp_path: Path) -> None:
    path = tmp_path / 'a.safetensors'
    with pytest.raises(DataError, match='cannot be read'):
        load_checkpoint(path)
    save_checkpoint(path, checkpoint_from_network(network, 'tiny', is_trained=False))
    data = path.read_bytes()
    with path.open('ab') as stream:
        stream.truncate(2**30)
    with pytest.raises(DataError, match='expected at most'):
        load_checkpoint(path)
    for length in (0, 4, 8, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(DataError, match=r'a\.safetensors'):
            load_checkpoint(path)


def test_a_failed_save_leaves_the_old_file(network: Any, tmp_path: Path) -> None:
    path = tmp_path / 'a.safetensors'
    checkpoint = checkpoint_from_network(network, 'tiny', is_trained=False)
    save_checkpoint(path, checkpoint)
    before = path.read_bytes()
    with pytest.raises(DataError, match='description of the weights is not JSON'):
        broken = checkpoint_from_network(network, 'tiny', is_trained=True, metadata={'not JSON': object()})
        save_checkpoint(path, broken)
    assert path.read_bytes() == before
    with pytest.raises(DataError, match='cannot be written'):
        save_checkpoint(path / 'a.safetensors', checkpoint)
    assert list(tmp_path.iterdir()) == [path]


def test_a_device_that_is_not_there_is_refused(network: Any) -> None:
    checkpoint = checkpoint_from_network(network, 'tiny', is_trained=False)
    with pytest.raises(BackendError, match="device: found 'warp:0'"):
        network_from_checkpoint(checkpoint, 'warp:0')


@pytest.mark.parametrize('use_color', [True, False])
def test_imagenet_weights_of_torchvision_fill_the_encoder(tmp_path: Path, use_color: bool) -> None:
    config = NetworkConfig(
        architecture='resnet18', channels=(4, 6, 8, 10), head_channels=8, descriptor_dim=5, use_color=use_color
    )
    torch.manual_seed(0)
    donor = build_network(dataclasses.replace(config, use_color=True)).encoderK.rn.state_dict()
    torch.save(donor | {'fc.weight': torch.zeros(3, 10), 'fc.bias': torch.zeros(3)}, tmp_path / 'resnet18.pth')
    network = build_network(config).eval()
    load_encoder(network, tmp_path / 'resnet18.pth')
    found = network.encoderK.rn.state_dict()
    assert all(torch.equal(found[k], v) for k, v in donor.items() if k != 'conv1.weight')
    assert torch.allclose(found['conv1.weight'].sum(dim=1), donor['conv1.weight'].sum(dim=1), atol=1e-6)


def test_imagenet_weights_are_for_a_resnet_only(network: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='resnet18'):
        load_encoder(network, tmp_path / 'resnet18.pth')
