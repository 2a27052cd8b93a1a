# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kp2d_ros.core.errors import DataError
from kp2d_ros.recordings import image_decoding
from kp2d_ros.recordings.depth_compression import decode_rvl
from kp2d_ros.recordings.image_decoding import decode_compressed_depth, decode_depth, decode_depth_file

HEADER = struct.pack('<i2f', 0, 0.0, 0.0)


@pytest.fixture
def stored(rng: np.random.Generator) -> Any:
    """
    Depths of 16 bits, in runs, a third of them holes.
    """
    depth = np.cumsum(rng.integers(-300, 300, 24 * 33)) % 65536
    depth[np.repeat(rng.random(24 * 11) < 0.33, 3)] = 0
    return depth.reshape(24, 33).astype(np.uint16)


def png(depth: Any) -> bytes:
    return cv2.imencode('.png', depth)[1].tobytes()


def rvl_numbers(values: list[int]) -> Iterator[int]:
    last, i = 0, 0
    while i < len(values):
        zeros = next((k for k, value in enumerate(values[i:]) if value), len(values) - i)
        others = next((k for k, value in enumerate(values[i + zeros :]) if not value), len(values) - i - zeros)
        yield from (zeros, others)
        i += zeros + others
        for value in values[i - others : i]:
            step, last = value - last, value
            yield 2 * step if step >= 0 else -2 * step - 1


def rvl(depth: Any) -> bytes:
    """
    Oracle: an encoder written after the paper, number by number.
    """
    groups = []
    for number in rvl_numbers(depth.ravel().tolist()):
        octal = [int(digit) for digit in reversed(f'{number:o}')]
        groups += [digit | 8 for digit in octal[:-1]] + octal[-1:]
    groups += [0] * (-len(groups) % 8)
    words = [sum(g << (28 - 4 * j) for j, g in enumerate(groups[i : i + 8])) for i in range(0, len(groups), 8)]
    return struct.pack(f'<2I{len(words)}I', depth.shape[1], depth.shape[0], *words)


@pytest.mark.parametrize('encoding', ['16UC1', 'mono16'])
@pytest.mark.parametrize('is_bigendian', [False, True])
def test_sixteen_bits_are_millimetres(stored: Any, encoding: str, is_bigendian: bool) -> None:
    rows = stored.astype('>u2' if is_bigendian else '<u2').view(np.uint8)
    data = np.pad(rows, ((0, 0), (0, 6))).tobytes()
    metres = decode_depth(encoding, 24, 33, 72, is_bigendian, data)
    assert metres.dtype == np.float32
    np.testing.assert_allclose(metres, stored / 1000.0, rtol=1e-6)


def test_floats_are_metres_and_what_was_not_measured_stays_so() -> None:
    depth = np.array([[1.5, np.nan], [np.inf, 0.0]], np.float32)
    np.testing.assert_array_equal(decode_depth('32FC1', 2, 2, 8, False, depth.tobytes()), depth)


def test_a_scale_replaces_the_unit_of_the_encoding(stored: Any) -> None:
    metres = decode_depth('16UC1', 24, 33, 66, False, stored.tobytes(), 1 / 5000)
    np.testing.assert_allclose(metres, stored / 5000.0, rtol=1e-6)
    floats = stored.astype(np.float32)
    metres = decode_depth('32FC1', 24, 33, 132, False, floats.tobytes(), 0.001)
    np.testing.assert_allclose(metres, stored / 1000.0, rtol=1e-6)


@pytest.mark.parametrize('encoding', ['rgb8', 'mono8', '', 'depth', '16SC1'])
def test_an_encoding_that_is_none_of_depth_is_refused(encoding: str) -> None:
    with pytest.raises(DataError, match='depth encoding: found'):
        decode_depth(encoding, 2, 2, 4, False, bytes(8))
    with pytest.raises(DataError, match='depth encoding: found'):
        decode_compressed_depth(f'{encoding}; compressedDepth png', HEADER + png(np.ones((2, 2), np.uint16)))


def test_depth_data_that_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match='found 7 bytes, expected 8'):
        decode_depth('16UC1', 2, 2, 4, False, bytes(7))
    with pytest.raises(DataError, match='step: found 3'):
        decode_depth('16UC1', 2, 2, 3, False, bytes(8))
    with pytest.raises(DataError, match='found 0x2'):
        decode_depth('16UC1', 2, 0, 4, False, b'')


@pytest.mark.parametrize('compress', [png, rvl])
def test_compressed_millimetres(stored: Any, compress: Any) -> None:
    metres = decode_compressed_depth(f'16UC1; compressedDepth {compress.__name__}', HEADER + compress(stored))
    np.testing.assert_allclose(metres, stored / 1000.0, rtol=1e-6)


@pytest.mark.parametrize('compress', [png, rvl])
def test_compressed_metres_are_quantised_inverse_depths(compress: Any) -> None:
    a, b = 100.0 * 101.0, 1.0 - 101.0 / 10.0  # as the transport chooses them for 10 m at most and 100 at that depth
    depth = np.array([[0.5, 1.0, 2.0], [5.0, 9.0, 0.0]])
    with np.errstate(divide='ignore'):
        inverse = np.where(depth > 0, a / depth + b, 0).astype(np.uint16)
    content = struct.pack('<i2f', 0, a, b) + compress(inverse)
    metres = decode_compressed_depth(f'32FC1; compressedDepth {compress.__name__}', content)
    np.testing.assert_allclose(metres[depth > 0], depth[depth > 0], rtol=1e-2)
    assert np.isnan(metres[depth == 0]).all()


def test_a_sixteen_bit_png_without_the_header_is_depth_too(stored: Any) -> None:
    np.testing.assert_allclose(decode_compressed_depth('16UC1; png compressed ', png(stored)), stored / 1e3, rtol=1e-6)
    np.testing.assert_allclose(decode_depth_file(png(stored), 1 / 256), stored / 256, rtol=1e-6)


@pytest.mark.parametrize('shape', [(1, 1), (1, 9), (7, 1)])
@pytest.mark.parametrize('value', [0, 1, 65535])
def test_rvl_of_one_value(shape: Any, value: int) -> None:
    depth = np.full(shape, value, np.uint16)
    np.testing.assert_array_equal(decode_rvl(rvl(depth), 100), depth)


def test_rvl_of_numbers_known_from_the_paper() -> None:
    # Two zeros, two others: 5 (+5: 10 as zigzag, groups 2 and 1) and 4 (-1: 1); nibbles 2 2 A 1 1 from the high end.
    np.testing.assert_array_equal(
        decode_rvl(struct.pack('<3I', 4, 1, 0x22A11000), 100), np.array([[0, 0, 5, 4]], np.uint16)
    )


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'found 0 bytes'),
        (struct.pack('<2I', 0, 5), 'found 0x5 pixels'),
        (struct.pack('<2I', 2**31, 2**31), 'expected 1 to'),
        (struct.pack('<2I', 4, 1), 'found 0 pixels, expected 4x1: it is cut short'),
        (struct.pack('<3I', 4, 1, 0x15000000), 'expected fewer'),
        (struct.pack('<3I', 4, 1, 0), 'a run of no pixels'),
        (struct.pack('<5I', 4, 1, *[0xFFFFFFFF] * 2, 0), 'more than 32 bits'),
    ],
)
def test_rvl_that_does_not_fill_its_image_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decode_rvl(content, 100)


def test_a_huge_size_is_refused_before_memory_is_taken() -> None:
    tracemalloc.start()
    with pytest.raises(DataError, match='expected 1 to'):
        decode_compressed_depth('16UC1; compressedDepth rvl', HEADER + struct.pack('<2I', 60000, 60000))
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


@settings(max_examples=150, deadline=None)
@given(
    position=st.integers(0, 10**6),
    patch=st.binary(max_size=6),
    form=st.sampled_from(['16UC1; compressedDepth png', '32FC1; compressedDepth rvl', '16UC1; compressedDepth rvl']),
)
def test_damaged_depth_gives_depth_or_a_data_error(position: int, patch: bytes, form: str) -> None:
    depth = (np.arange(20, dtype=np.uint16).reshape(4, 5) * 100) % 700
    content = HEADER + (rvl(depth) if 'rvl' in form else png(depth))
    start = position % len(content)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(image_decoding, 'MAX_PIXELS', 2**16)
        try:
            metres = decode_compressed_depth(form, content[:start] + patch + content[start + len(patch) :])
        except DataError:
            return
    assert metres.dtype == np.float32
    assert metres.ndim == 2


@given(data=st.binary(max_size=64), form=st.sampled_from(['png', 'rvl', '']))
def test_arbitrary_bytes_are_no_png_depth(data: bytes, form: str) -> None:
    try:
        decode_compressed_depth(f'32FC1; compressedDepth {form}', data)
    except DataError:
        return
    assert form == 'rvl'  # whose few bytes may happen to be an image
