# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.evaluation.fingerprint import (
    hash_code,
    hash_file,
    hash_image,
    hash_source,
    hash_trajectory,
    hash_values,
    read_versions,
)


def test_values_are_known_by_what_they_are_and_not_by_their_order() -> None:
    assert hash_values({'a': 1, 'b': [2]}) == hash_values({'b': [2], 'a': 1})
    assert hash_values({'a': 1, 'b': [2]}) != hash_values({'a': 1, 'b': [3]})


def test_a_file_has_the_hash_that_others_find(tmp_path: Path) -> None:
    (tmp_path / 'weights').write_bytes(b'w' * 3_000_000)
    assert hash_file(tmp_path / 'weights') == hashlib.sha256(b'w' * 3_000_000).hexdigest()
    with pytest.raises(DataError, match='nothing: cannot be read'):
        hash_file(tmp_path / 'nothing')


def test_a_source_changes_with_names_sizes_and_times(tmp_path: Path) -> None:
    source, out = tmp_path / 'source', tmp_path / 'out'
    source.mkdir()
    file = source / 'a.png'
    file.write_bytes(b'1')
    os.utime(file, ns=(10**18, 10**18))
    first = hash_source(source, out)
    assert hash_source(source, out) == first
    os.utime(file, ns=(10**18, 10**18 + 1))
    assert hash_source(source, out) != first
    os.utime(file, ns=(10**18, 10**18))
    file.rename(source / 'b.png')
    assert hash_source(source, out) != first
    assert hash_source(source / 'b.png', out) != first


def test_trajectories_are_told_apart() -> None:
    poses = np.tile(np.eye(4), (2, 1, 1))
    first = hash_trajectory(Trajectory(np.array([0, 1], np.int64), poses))
    assert first != hash_trajectory(Trajectory(np.array([0, 2], np.int64), poses))
    assert first != hash_trajectory(Trajectory(np.array([0, 1], np.int64), 2 * poses))
    assert hash_trajectory(None) == ''


def test_versions_name_the_code_and_the_libraries() -> None:
    versions = read_versions()
    assert versions['numpy'] == np.__version__
    assert hash_code() in versions['kp2d_ros']


def test_fingerprints_tell_pixels_and_sizes_apart() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert hash_image(image) == hash_image(image.copy())
    assert hash_image(image) != hash_image(image.reshape(4, 3))
    assert hash_image(image) != hash_image(image + 1)
    assert hash_image(np.asfortranarray(image)) == hash_image(image)
