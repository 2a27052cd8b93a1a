# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Hashes that tell whether a result still belongs to what it was made from.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kp2d_ros
from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import ImageArray
from kp2d_ros.core.resources import read_version
from kp2d_ros.core.trajectories import Trajectory

_LENGTH = 16  # hexadecimal digits: enough to tell a few million things apart
_CODE = ('core', 'inference', 'networks', 'odometry', 'recordings', 'simulation')  # what the poses depend on
_PACKAGES = ('numpy', 'opencv-python-headless', 'opencv-python', 'evo', 'torch', 'onnxruntime', 'rosbags')


def hash_bytes(*parts: bytes, digits: int = _LENGTH) -> str:
    """
    The first digits of the SHA-256 (hex) of some bytes, one part after the other.
    """
    return hashlib.sha256(b''.join(parts)).hexdigest()[:digits]


def hash_values(values: Mapping[str, Any]) -> str:
    """
    A hash of JSON values, whatever the order of their names.
    """
    return hash_bytes(json.dumps(values, sort_keys=True).encode())


def hash_image(image: ImageArray) -> str:
    """
    A hash of the pixels and the size of an image.
    """
    return hash_bytes(repr(image.shape).encode(), image.tobytes(), digits=2 * _LENGTH)


def hash_file(path: Path) -> str:
    """
    SHA-256 (hex) of a file.

    :raises DataError: if it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open('rb') as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror or error}') from error
    return digest.hexdigest()


def hash_source(path: Path, output: Path) -> str:
    """
    A hash of a recording: names, sizes and times of its files; their content is not read.

    :param output: a folder that is left out, should it lie within the recording.
    """
    inside = [path] if path.is_file() else sorted(file for file in path.rglob('*') if file.is_file())
    files = [file for file in inside if output.resolve() not in file.resolve().parents]
    lines = [f'{file.relative_to(path.parent)} {file.stat().st_size} {file.stat().st_mtime_ns}' for file in files]
    return hash_bytes('\n'.join(lines).encode('utf-8', 'surrogateescape'))


def hash_trajectory(trajectory: Trajectory | None) -> str:
    """
    A hash of times and poses; empty without a trajectory.
    """
    if trajectory is None:
        return ''
    return hash_bytes(trajectory.stamps_ns.tobytes(), trajectory.world_from_camera.tobytes())


@functools.cache
def hash_code() -> str:
    """
    A hash of the source of this package, as far as a run depends on it.
    """
    root = Path(kp2d_ros.__file__).parent
    files = sorted(file for folder in _CODE for file in (root / folder).rglob('*.py'))
    return hash_bytes(*(part for f in files for part in (f'{f.relative_to(root)}\n'.encode(), f.read_bytes())))


def describe_machine() -> str:
    """
    What times were taken on: system, kind of processor, number of cores.
    """
    return f'{platform.system()} {platform.machine()}, {os.cpu_count()} cores'


def read_versions() -> dict[str, str]:
    """
    Versions of everything that takes part, by name: this package and a hash of its source, Python, libraries.
    """
    versions = {'kp2d_ros': f'{read_version()} (source {hash_code()})', 'python': platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
