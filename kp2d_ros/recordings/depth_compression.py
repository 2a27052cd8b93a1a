# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
RVL, the compression of depth images that compressed_depth_image_transport offers beside PNG.

Wilson: Fast lossless depth image compression, ISS 2017.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.errors import DataError

_SIZE = struct.Struct('<2I')  # columns and rows, before the code
_LONGEST = 11  # groups of three bits that one number of 32 bits takes


def decode_rvl(content: bytes, max_pixels: int) -> npt.NDArray[np.uint16]:
    """
    Depth (H, W), 0 where nothing was measured, of a width and a height (uint32 each) and their RVL code.

    The code is a row of numbers: how many zeros, how many others, and for each of these by how much it exceeds the
    last one that is not zero; and so on to the last pixel.

    :raises DataError: if the size is not 1 to ``max_pixels`` pixels, or the numbers do not fill it.
    """
    if len(content) < _SIZE.size:
        raise DataError(f'RVL depth: found {len(content)} bytes, expected a width and a height at least')
    width, height = _SIZE.unpack_from(content)
    if not 0 < width * height <= max_pixels:
        raise DataError(f'RVL depth: found {width}x{height} pixels, expected 1 to {max_pixels}')
    numbers = _numbers_of(content[_SIZE.size :])
    is_step = np.zeros(len(numbers), np.bool_)
    measured = np.zeros(width * height, np.bool_)
    pixel = place = 0
    while pixel < len(measured):
        if place + 2 > len(numbers):
            raise DataError(f'RVL depth: found {pixel} pixels, expected {width}x{height}: it is cut short')
        zeros, others = (int(number) for number in numbers[place : place + 2])
        first, place = pixel + zeros, place + 2
        pixel = first + others
        if pixel > len(measured) or place + others > len(numbers):
            raise DataError(f'RVL depth: found a run of {zeros} and {others} pixels, expected fewer: it is damaged')
        if zeros == others == 0:
            raise DataError('RVL depth: found a run of no pixels, expected some: it is damaged')
        measured[first:pixel] = is_step[place : place + others] = True
        place += others
    zigzag = numbers[is_step]  # 0, -1, 1, -2, 2 are stored as 0, 1, 2, 3, 4
    steps = (zigzag >> 1) ^ -(zigzag & 1)
    depth = np.zeros(width * height, np.uint16)
    depth[measured] = np.cumsum(steps).astype(np.uint16)  # modulo 2**16, as the encoder counts
    return depth.reshape(height, width)


def _numbers_of(code: bytes) -> npt.NDArray[np.int64]:
    """
    Numbers in groups of three bits, the least first, each in four bits of which the highest says that another follows;
    eight of them fill a little-endian word from its highest end.
    """
    words = np.frombuffer(code[: len(code) // 4 * 4], np.uint8).reshape(-1, 4)[:, ::-1].reshape(-1)
    groups = np.stack([words >> 4, words & 15], axis=1).ravel()
    last = np.flatnonzero(groups < 8)
    if not len(last):
        return np.empty(0, np.int64)
    groups = groups[: last[-1] + 1]
    first = np.concatenate([[0], last[:-1] + 1])
    if (last - first >= _LONGEST).any():
        raise DataError('RVL depth: found a number of more than 32 bits, expected fewer: it is damaged')
    place = np.arange(len(groups)) - np.repeat(first, last - first + 1)
    parts = (groups & 7).astype(np.int64) << (3 * place)
    return np.asarray(np.add.reduceat(parts, first), np.int64)
