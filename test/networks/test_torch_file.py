# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import os
import pickle
import zipfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kp2d_ros.core.errors import DataError
from kp2d_ros.networks import torch_file
from kp2d_ros.networks.torch_file import read_torch_file

FORMATS = pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'before torch 1.6'])


class Command:
    """
    Pickles into a call of the shell.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f'touch {self.path}',)


def save(path: Path, content: Any, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def zip_with(path: Path, pickled: Any, compression: Any = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, 'w', compression) as archive:
        archive.writestr('archive/data.pkl', pickled)
    return path


@FORMATS
def test_every_type_and_view_is_read_as_torch_reads_it(tmp_path: Path, zipped: Any) -> None:
    base = torch.arange(24).reshape(4, 6)
    state = {
        'double': torch.rand(2, 3, dtype=torch.float64),
        'half': torch.rand(3).half(),
        'bfloat16': torch.rand(3).bfloat16(),
        'long': base,
        'shared view': base[1:, ::2],
        'transposed': base.T,
        'scalar': torch.tensor(3.5),
        'bool': torch.tensor([True, False]),
        'empty': torch.empty(0, 3),
        'int8': torch.tensor([-1, 2], dtype=torch.int8),
        'parameter': torch.nn.Parameter(torch.rand(2)),
    }
    found = read_torch_file(save(tmp_path / 'a.pth', state, zipped))
    assert found.config == {}
    assert found.state.keys() == state.keys()
    for name, tensor in state.items():
        assert found.state[name].dtype == tensor.dtype
        assert torch.equal(found.state[name], tensor.detach())


@FORMATS
@pytest.mark.parametrize('protocol', [2, 3])
def test_settings_are_read_for_the_pickle_protocols_of_torch(tmp_path: Path, zipped: Any, protocol: int) -> None:
    config = {'a': [1, 2.5, True, None, -7, 2**40], 'b': {'c': ('x', (), 'ü' * 300)}, 's': {'only'}}
    torch.save(
        {'state_dict': {'w': torch.ones(1)}, 'config': config},
        tmp_path / 'a.pth',
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=zipped,
    )
    assert read_torch_file(tmp_path / 'a.pth').config == config


@pytest.mark.parametrize('protocol', [4, 5])
def test_other_pickle_protocols_are_refused_with_what_is_read(tmp_path: Path, protocol: int) -> None:
    torch.save({'w': torch.ones(1)}, tmp_path / 'a.pth', pickle_protocol=protocol)
    with pytest.raises(DataError, match=f'found protocol {protocol}, expected 2 .the default of torch.save. or 3'):
        read_torch_file(tmp_path / 'a.pth')


@FORMATS
@pytest.mark.parametrize('place', ['weights', 'settings', 'whole'])
def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path, zipped: Any, place: str) -> None:
    victim = tmp_path / 'victim'
    content = {
        'weights': {'state_dict': {'w': Command(victim)}},
        'settings': {'state_dict': {'w': torch.ones(1)}, 'config': {'x': [Command(victim)]}},
        'whole': Command(victim),
    }[place]
    path = save(tmp_path / 'a.ckpt', content, zipped)
    with pytest.raises(DataError, match=r'a\.ckpt: pickle: found \w+\.system'):
        read_torch_file(path)
    assert not victim.exists()


@FORMATS
@pytest.mark.parametrize('thing', [Namespace(a=1), np.float64(1), torch.nn.Linear(1, 1), print], ids=str)
def test_things_that_are_no_data_are_refused(tmp_path: Path, zipped: Any, thing: Any) -> None:
    path = save(tmp_path / 'a.ckpt', {'state_dict': {'w': torch.ones(1)}, 'config': {'x': thing, 'y': {}}}, zipped)
    try:
        found = read_torch_file(path)
    except DataError:
        return
    assert not callable(found.config['x'])  # a name alone stays text


@pytest.mark.parametrize(
    'pickled',
    [
        b'\x80\x02cos\nsystem\nU\x02lsR.',  # call without a tuple
        b'\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.',
        b'(i__builtin__\neval\n.',  # INST
        b'\x80\x02ccollections\nOrderedDict\n)R}X\x08\x00\x00\x00__dict__}sb0.',  # attributes
        b'\x80\x02ccollections\nOrderedDict\n}b.',  # attributes of a class
        b'\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.',
        b'\x82\x01.',  # EXT1
        b'Pkey\n.',  # a reference by text
        b'\x80\x02]q\x00h\x01.',  # a memo that is not there
        b'\x80\x02t.',
        b'.',
        b'',
        b'\x80\x02}',
        b'\x80\x02}]K\x01s.',  # a list as a key
        b'\x80\x02KK\x85Q.',
    ],
)
def test_broken_and_foreign_pickles_are_refused(tmp_path: Path, pickled: bytes) -> None:
    with pytest.raises(DataError, match=r'a\.pth: '):
        read_torch_file(zip_with(tmp_path / 'a.pth', pickled))
    (tmp_path / 'a.pth').write_bytes(pickled)
    with pytest.raises(DataError, match=r'a\.pth: '):
        read_torch_file(tmp_path / 'a.pth')


def test_small_files_cannot_ask_for_much_memory_or_time(tmp_path: Path) -> None:
    nested: tuple[Any, ...] = ()
    for _ in range(60):
        nested = (nested, nested)  # hashing it would take 2**60 steps
    plain = pickle.dumps(nested, 2)[:-1]
    with pytest.raises(DataError, match='repeats'):
        read_torch_file(zip_with(tmp_path / 'a.pth', b'\x80\x02}' + plain[2:] + b'K\x01s.'))
    copies = b'\x80\x02]q\x00(' + b'K\x01' * 1000 + b'eq\x00' + b'cbuiltins\nset\nq\x010' + b'h\x01h\x00\x85R0' * 5000
    copies = copies.replace(b'q\x010h\x01', b'q\x01h\x01', 1).replace(b'R0', b'R')
    with pytest.raises(DataError, match='repeats'):
        read_torch_file(zip_with(tmp_path / 'b.pth', copies + b'.'))
    with pytest.raises(DataError, match='more than are in the file'):
        read_torch_file(save(tmp_path / 'c.pth', {'w': torch.zeros(1).expand(10**6, 10**6)}))
    with pytest.raises(DataError, match='compressed or encrypted'):
        read_torch_file(zip_with(tmp_path / 'd.pth', b'0' * 10**6, zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize(
    'name', ['builtins\nbytearray', 'torch\nTensor', 'torch._utils\n_rebuild_meta_tensor_no_storage', '_codecs\nencode']
)
def test_what_torch_would_call_but_weights_do_not_need_is_refused(tmp_path: Path, name: str) -> None:
    pickled = b'\x80\x02c' + name.encode() + b'\n\x8a\x06' + (2**40).to_bytes(6, 'little') + b'\x85R.'
    with pytest.raises(DataError, match=f'found {name.replace(chr(10), ".")}, expected tensors and settings only'):
        read_torch_file(zip_with(tmp_path / 'a.pth', pickled))


def test_a_storage_said_to_be_longer_than_the_file_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    torch.save({'w': torch.rand(5)}, stream)
    with zipfile.ZipFile(stream) as saved, zipfile.ZipFile(tmp_path / 'a.pth', 'w') as changed:
        for entry in saved.namelist():
            content = saved.read(entry).replace(b'K\x05tq', b'M\xff\xfftq').replace(b'K\x05\x85', b'M\xff\xff\x85')
            changed.writestr(entry, content)
    with pytest.raises(DataError, match='broken or cut short'):
        read_torch_file(tmp_path / 'a.pth')


def test_shared_tensors_and_settings_are_read(tmp_path: Path) -> None:
    weight, size = torch.ones(2), (240, 320)
    content = {'state_dict': {'a': weight, 'b': weight}, 'config': {'train': size, 'test': size}}
    found = read_torch_file(save(tmp_path / 'a.pth', content))
    assert torch.equal(found.state['a'], found.state['b']) and found.config == {'train': size, 'test': size}


def test_an_entry_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / 'a.pth', {'w': torch.ones(1)})
    with zipfile.ZipFile(path, 'a') as archive, pytest.warns(UserWarning, match='Duplicate'):
        archive.writestr('a/version', b'3')
    with pytest.raises(DataError, match='found a zip archive'):
        read_torch_file(path)


def test_oversized_files_are_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / 'a.pth').open('wb') as stream:
        stream.truncate(torch_file.MAX_BYTES + 1)
    with pytest.raises(DataError, match='expected a file of at most'):
        read_torch_file(tmp_path / 'a.pth')


def test_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='cannot be read'):
        read_torch_file(tmp_path / 'missing.pth')
    with pytest.raises(DataError, match='expected a file'):
        read_torch_file(tmp_path)
    (tmp_path / 'a.pth').write_bytes(pickle.dumps({'w': 1}, 2))
    with pytest.raises(DataError, match='is neither a safetensors file nor'):
        read_torch_file(tmp_path / 'a.pth')
    with zipfile.ZipFile(tmp_path / 'b.pth', 'w') as archive:
        archive.writestr('word/document.xml', 'text')
    with pytest.raises(DataError, match=r'0 data\.pkl'):
        read_torch_file(tmp_path / 'b.pth')
    for content in ({}, [1], {'state_dict': 3}, {'epoch': 3}, {3: torch.zeros(1)}):
        with pytest.raises(DataError, match='found'):
            read_torch_file(save(tmp_path / 'c.pth', content))


@FORMATS
def test_every_truncation_gives_one_clear_error(tmp_path: Path, zipped: Any) -> None:
    path = save(tmp_path / 'a.pth', {'w': torch.rand(20), 'v': torch.rand(30)}, zipped)
    data = path.read_bytes()
    for length in range(0, len(data) - 1, max(1, len(data) // 97)):
        path.write_bytes(data[:length])
        with pytest.raises(DataError, match=r'a\.pth: '):
            read_torch_file(path)


@FORMATS
def test_damaged_files_never_give_another_error(tmp_path: Path, rng: np.random.Generator, zipped: Any) -> None:
    stream = io.BytesIO()
    torch.save({'state_dict': {'w': torch.rand(5)}, 'config': {'a': 1}}, stream, _use_new_zipfile_serialization=zipped)
    refused = 0
    for _ in range(300):
        data = bytearray(stream.getvalue())
        for place in rng.integers(0, len(data), 3):
            data[place] = rng.integers(256)
        (tmp_path / 'a.pth').write_bytes(data)
        try:
            read_torch_file(tmp_path / 'a.pth')
        except DataError:
            refused += 1
    assert refused > 50
