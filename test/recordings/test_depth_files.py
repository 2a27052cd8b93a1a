# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kp2d_ros.core.errors import DataError
from kp2d_ros.recordings.depth_files import read_depth

STORED = np.array([[0, 1500, 65535], [20, 7, 3000]])


@pytest.mark.parametrize(
    ('name', 'content', 'scale', 'metres'),
    [
        ('a.png', STORED.astype(np.uint16), 0.0, STORED / 1000),
        ('a.png', STORED.astype(np.uint16), 1 / 256, STORED / 256),
        ('a.npy', STORED.astype(np.uint16), 0.0, STORED / 1000),
        ('a.npy', STORED.astype(np.float64), 0.0, STORED),
        ('a.npy', (STORED // 2).astype(np.float16)[:, ::-1], 0.01, (STORED // 2)[:, ::-1] / 100),
        ('a.npy', STORED.astype('>f4'), 0.0, STORED),
    ],
)
def test_whole_numbers_are_millimetres_others_metres_unless_it_is_said(
    tmp_path: Path, name: str, content: Any, scale: float, metres: Any
) -> None:
    path = tmp_path / name
    cv2.imwrite(str(path), content) if name.endswith('png') else np.save(path, content)
    depth = read_depth(path, scale)
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, metres, rtol=1e-3)


def saved(array: Any) -> Any:
    def write(path: Path) -> None:
        with path.open('wb') as file:
            np.save(file, array, allow_pickle=True)

    return write


def header_only(path: Path) -> None:
    saved(np.zeros((2, 2), np.float32))(path)
    path.write_bytes(path.read_bytes().replace(b'(2, 2)', b'(4000, 4000)').replace(b'      \n', b'\n'))


def archive(path: Path) -> None:
    with path.open('wb') as file:
        np.savez(file, a=STORED, b=STORED)


@pytest.mark.parametrize(
    ('write', 'message'),
    [
        (lambda path: None, 'cannot be read: No such file'),
        (lambda path: path.write_bytes(b''), 'cannot be read as an array'),
        (lambda path: path.write_bytes(b'rubbish'), 'cannot be read as an array'),
        (saved(np.array([{}, {}])), 'cannot be read as an array'),
        (saved(np.zeros((2, 2, 3))), r'float64 of shape \(2, 2, 3\), expected numbers of shape \(H, W\)'),
        (saved(np.zeros((0, 2))), r'shape \(0, 2\)'),
        (saved(np.zeros((2, 2), np.complex64)), 'complex64'),
        (saved(np.array([['a']])), '<U1'),
        (header_only, 'cannot be read as an array'),
        (archive, 'found several arrays'),
    ],
)
def test_an_array_that_is_no_depth_is_refused_by_name(tmp_path: Path, write: Any, message: str) -> None:
    path = tmp_path / 'depth.npy'
    write(path)
    with pytest.raises(DataError, match=rf'depth\.npy: .*{message}'):
        read_depth(path)


def test_a_header_that_promises_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / 'depth.npy'
    with path.open('wb') as file:
        np.lib.format.write_array_header_1_0(file, {'descr': '<f4', 'fortran_order': False, 'shape': (60000, 60000)})
        file.truncate(60000 * 60000 * 4 + 128)  # a hole, which takes no space either
    tracemalloc.start()
    with pytest.raises(DataError, match='expected numbers of shape'):
        read_depth(path)
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_an_image_of_eight_bits_is_no_depth(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'a.png'), STORED.astype(np.uint8))
    with pytest.raises(DataError, match=r'a\.png: depth image .* found uint8 .* expected 16 bit gray'):
        read_depth(tmp_path / 'a.png')
