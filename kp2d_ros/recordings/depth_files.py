# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Depth images as files: PNG of 16 bits, and arrays of NumPy.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Float32Array
from kp2d_ros.recordings.image_decoding import MAX_PIXELS, decode_depth_file

DEPTH_SUFFIXES = frozenset({'.npy', '.png'})
_MILLIMETRE = 1e-3


def read_depth(path: Path, depth_scale: float = 0.0) -> Float32Array:
    """
    Depth (H, W) in metres of a file.

    :param depth_scale: metres that a 1 stands for; 0: whole numbers are millimetres, others metres.
    :raises DataError: naming the file, if it is missing, no whole depth image, or larger than ``MAX_PIXELS``.
    """
    try:
        if path.suffix.lower() == '.npy':
            return _read_array(path, depth_scale)
        return decode_depth_file(path.read_bytes(), depth_scale or _MILLIMETRE)
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror or error}') from error
    except DataError as error:
        raise DataError(f'{path}: {error}') from error


def _read_array(path: Path, depth_scale: float) -> Float32Array:
    try:
        # Mapped: a header that promises gigabytes takes none.
        array = np.load(path, mmap_mode='r', allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f'cannot be read as an array: {error or "it is empty"}') from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise DataError('found several arrays, expected one')
    if array.ndim != 2 or not 0 < array.size <= MAX_PIXELS or array.dtype.kind not in 'fui':
        raise DataError(
            f'found an array of {array.dtype} of shape {array.shape}, expected numbers of shape (H, W), '
            f'1 to {MAX_PIXELS} of them'
        )
    unit = depth_scale or (1.0 if array.dtype.kind == 'f' else _MILLIMETRE)
    with np.errstate(over='ignore'):
        return np.asarray(np.asarray(array, np.float32) * np.float32(unit))
