# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct
import tracemalloc
import zlib
from array import array
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kp2d_ros.core.checks import check_image
from kp2d_ros.core.errors import DataError
from kp2d_ros.recordings import image_decoding
from kp2d_ros.recordings.image_decoding import (
    MAX_PIXELS,
    SUPPORTED_ENCODINGS,
    decode_compressed,
    decode_image,
    read_image,
)


@pytest.fixture
def rgb(rng: np.random.Generator) -> Any:
    """
    A smooth colour picture (24, 32, 3), so that chroma at half the resolution loses little.
    """
    noise = cv2.GaussianBlur(rng.random((24, 32, 3)), (0, 0), 4)
    span = noise.max(axis=(0, 1)) - noise.min(axis=(0, 1))
    return np.rint((noise - noise.min(axis=(0, 1))) / span * 255).astype(np.uint8)


def padded(rows: Any, padding: Any, filler: int = 0xAB) -> tuple[Any, Any]:
    flat = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    return np.pad(flat, ((0, 0), (0, padding)), constant_values=filler).tobytes(), flat.shape[1] + padding


def mosaic(rgb: NDArray[Any], pattern: Any) -> NDArray[Any]:
    channel = {'r': 0, 'g': 1, 'b': 2}
    raw = np.empty(rgb.shape[:2], np.uint8)
    for i, letter in enumerate(pattern):
        raw[i // 2 :: 2, i % 2 :: 2] = rgb[i // 2 :: 2, i % 2 :: 2, channel[letter]]
    return raw


def pack_422(rgb: NDArray[Any], luma_first: Any) -> NDArray[Any]:
    yuv = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV)  # full range; the ROS encodings are video range: 16..235
    luma = np.rint(16 + yuv[..., 0] * (219 / 255)).astype(np.uint8)
    chroma = np.empty_like(luma)
    chroma[:, 0::2] = np.rint(128 + (yuv[:, 0::2, 1] - 128.0) * 1.02).clip(0, 255)
    chroma[:, 1::2] = np.rint(128 + (yuv[:, 0::2, 2] - 128.0) * 0.72).clip(0, 255)
    return np.stack([luma, chroma] if luma_first else [chroma, luma], axis=-1)


@pytest.mark.parametrize('padding', [0, 7])
@pytest.mark.parametrize(
    ('encoding', 'pack'),
    [
        ('rgb8', lambda rgb: rgb),
        ('bgr8', lambda rgb: rgb[..., ::-1]),
        ('8UC3', lambda rgb: rgb[..., ::-1]),
        ('rgba8', lambda rgb: np.dstack([rgb, rgb[..., 0]])),
        ('bgra8', lambda rgb: np.dstack([rgb[..., ::-1], rgb[..., 0]])),
        ('8UC4', lambda rgb: np.dstack([rgb[..., ::-1], rgb[..., 0]])),
        ('rgb16', lambda rgb: rgb * np.uint16(257)),
        ('bgr16', lambda rgb: rgb[..., ::-1] * np.uint16(257)),
        ('rgba16', lambda rgb: np.dstack([rgb, rgb[..., 0]]) * np.uint16(257)),
        ('bgra16', lambda rgb: np.dstack([rgb[..., ::-1], rgb[..., 0]]) * np.uint16(257)),
    ],
)
def test_colours_come_back_exactly(rgb: Any, encoding: str, pack: Callable[..., Any], padding: int) -> None:
    data, step = padded(pack(rgb), padding)
    np.testing.assert_array_equal(decode_image(encoding, 24, 32, step, False, data), rgb)


@pytest.mark.parametrize('encoding', ['mono8', '8UC1', 'MONO8'])
def test_gray_comes_back_exactly_and_shares_the_memory_of_the_message(rgb: Any, encoding: str) -> None:
    gray = np.ascontiguousarray(rgb[..., 1])
    decoded = decode_image(encoding, 24, 32, 32, False, gray)
    np.testing.assert_array_equal(decoded, gray)
    assert np.shares_memory(decoded, gray)


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
@pytest.mark.parametrize('depth', [8, 16])
def test_bayer_mosaics_give_back_the_colours(rgb: Any, pattern: str, depth: int) -> None:
    raw = mosaic(rgb, pattern) if depth == 8 else mosaic(rgb, pattern) * np.uint16(257)
    data, step = padded(raw, 6)
    decoded = decode_image(f'bayer_{pattern}{depth}', 24, 32, step, False, data)
    assert np.abs(decoded[2:-2, 2:-2].astype(int) - rgb[2:-2, 2:-2]).max() <= 6


@pytest.mark.parametrize(
    ('encoding', 'luma_first'), [('yuv422', False), ('uyvy', False), ('yuv422_yuy2', True), ('yuyv', True)]
)
def test_yuv422_gives_back_the_colours(rgb: Any, encoding: str, luma_first: bool) -> None:
    data, step = padded(pack_422(rgb, luma_first), 4)
    decoded = decode_image(encoding, 24, 32, step, False, data)
    assert np.median(np.abs(decoded.astype(int) - rgb)) <= 6


@pytest.mark.parametrize(('encoding', 'blue_first'), [('nv12', True), ('nv21', False)])
def test_planar_yuv_gives_back_the_colours(rgb: Any, encoding: str, blue_first: bool) -> None:
    packed = pack_422(rgb, luma_first=True)
    chroma = packed[0::2, :, 1].reshape(12, 16, 2)
    planes = np.vstack([packed[..., 0], (chroma if blue_first else chroma[..., ::-1]).reshape(12, 32)])
    data, step = padded(planes, 5)
    decoded = decode_image(encoding, 24, 32, step, False, data)
    assert np.median(np.abs(decoded.astype(int) - rgb)) <= 6


@pytest.mark.parametrize('is_bigendian', [False, True])
def test_mono16_is_scaled_over_its_whole_range_in_either_byte_order(is_bigendian: bool) -> None:
    levels = np.array([[0, 128, 129, 257 * 100, 65535]], '>u2' if is_bigendian else '<u2')
    data, step = padded(levels, 3)
    assert decode_image('mono16', 1, 5, step, is_bigendian, data).tolist() == [[0, 0, 1, 100, 255]]


def test_16uc1_is_stretched_between_its_extremes() -> None:
    counts = np.array([[29000, 29500, 30000]], np.uint16)
    assert decode_image('16UC1', 1, 3, 6, False, counts.tobytes()).tolist() == [[0, 128, 255]]


def test_32fc1_is_stretched_and_what_is_not_finite_becomes_black() -> None:
    values = np.array([[0.5, 1.5, np.nan, 2.5, np.inf, -np.inf]], '>f4')
    assert decode_image('32FC1', 1, 6, 24, True, values.tobytes()).tolist() == [[0, 128, 0, 255, 0, 0]]


@pytest.mark.parametrize('value', [0.0, 7.5, np.nan])
def test_a_constant_float_image_is_black(value: Any) -> None:
    values = np.full((2, 3), value, np.float32)
    assert not decode_image('32FC1', 2, 3, 12, False, values.tobytes()).any()


def test_agrees_with_rosbags_image_where_that_reads_an_encoding_too(rng: np.random.Generator) -> None:
    message_to_cvimage = pytest.importorskip('rosbags.image').message_to_cvimage
    for encoding in ('mono8', 'bgr8', 'rgba8', 'bgra8', 'bayer_rggb8', 'bayer_gbrg8', 'yuv422', 'yuv422_yuy2'):
        channels = {'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'yuv422': 2, 'yuv422_yuy2': 2}.get(encoding, 1)
        data = rng.integers(0, 256, 6 * 8 * channels, np.uint8)
        message = SimpleNamespace(encoding=encoding, height=6, width=8, step=8 * channels, is_bigendian=0, data=data)
        expected = message_to_cvimage(message, 'mono8' if encoding == 'mono8' else 'rgb8')
        np.testing.assert_array_equal(decode_image(encoding, 6, 8, 8 * channels, False, data), expected, encoding)


def test_takes_every_kind_of_buffer(rgb: Any) -> None:
    content = rgb.tobytes()
    for data in (content, bytearray(content), memoryview(content), array('B', content), rgb, rgb.ravel()):
        np.testing.assert_array_equal(decode_image('rgb8', 24, 32, 96, False, data), rgb)


@pytest.mark.parametrize(
    ('fields', 'complaint'),
    [
        (('rgb9', 2, 4, 12, False, bytes(24)), "encoding: found 'rgb9', expected one of mono8"),
        (('', 2, 4, 12, False, bytes(24)), "encoding: found ''"),
        (('rgb8', 2, 4, 11, False, bytes(24)), 'step: found 11, expected at least 12'),
        (('mono8', 2, 4, 0, False, bytes(24)), 'step: found 0'),
        (('mono8', 2, 4, -4, False, bytes(24)), 'step: found -4'),
        (('rgb8', 2, 4, 12, False, bytes(23)), 'found 23 bytes, expected 24'),
        (('rgb8', 2, 4, 12, False, b''), 'found 0 bytes'),
        (('rgb8', 0, 4, 12, False, b''), 'image size: found 4x0'),
        (('rgb8', 2, 0, 0, False, b''), 'image size: found 0x2'),
        (('mono8', 2**32 - 1, 2**32 - 1, 2**32 - 1, False, bytes(24)), 'found 24 bytes'),
        (('yuv422', 2, 3, 6, False, bytes(12)), 'expected a multiple of 2x1'),
        (('nv12', 3, 4, 4, False, bytes(24)), 'expected a multiple of 2x2'),
        (('nv12', 4, 4, 4, False, bytes(23)), 'found 23 bytes, expected 24'),
        (('bayer_rggb8', 2, 4, 4, False, bytes(8)), 'at least 3x3'),
    ],
)
def test_refuses_fields_that_do_not_fit(fields: tuple[str, int, int, int, bool, bytes], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        decode_image(*fields)


def test_the_data_of_a_message_may_be_longer_than_needed() -> None:
    assert decode_image('mono8', 1, 2, 2, False, bytes([1, 2, 3, 4])).tolist() == [[1, 2]]


@settings(max_examples=300, deadline=None)
@given(
    encoding=st.sampled_from([*SUPPORTED_ENCODINGS, 'bogus', '']),
    size=st.tuples(st.integers(-1, 9), st.integers(-1, 9)),
    extra_step=st.integers(-3, 40),
    is_bigendian=st.booleans(),
    data=st.binary(max_size=600),
)
def test_any_fields_give_an_image_of_that_size_or_a_data_error(
    encoding: Any, size: Any, extra_step: Any, is_bigendian: Any, data: Any
) -> None:
    height, width = size
    try:
        image = decode_image(encoding, height, width, width + extra_step, is_bigendian, data)
    except DataError:
        return
    check_image(image)
    assert image.shape[:2] == size
    assert image.flags.c_contiguous


@pytest.mark.parametrize('format_name', ['png', 'bgr8; png compressed bgr8', 'rgb8; png compressed bgr8', '', 'x'])
def test_a_png_comes_back_exactly(rgb: Any, format_name: str) -> None:
    data = cv2.imencode('.png', rgb[..., ::-1])[1]
    np.testing.assert_array_equal(decode_compressed(format_name, data), rgb)


@pytest.mark.parametrize('format_name', ['jpeg', 'bgr8; jpeg compressed bgr8', 'jpg'])
def test_a_jpeg_comes_back_nearly(rgb: Any, format_name: str) -> None:
    data = cv2.imencode('.jpg', rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    assert np.abs(decode_compressed(format_name, data).astype(int) - rgb).mean() < 4


def test_colours_that_image_transport_packed_the_other_way_round_are_not_swapped_again(rgb: Any) -> None:
    data = cv2.imencode('.png', rgb)[1]  # OpenCV was told this is BGR
    np.testing.assert_array_equal(decode_compressed('rgb8; png compressed ', data), rgb)


def test_compressed_gray_alpha_and_16_bit_come_back(rgb: Any) -> None:
    gray = rgb[..., 0]
    np.testing.assert_array_equal(decode_compressed('mono8; png compressed ', cv2.imencode('.png', gray)[1]), gray)
    alpha = cv2.imencode('.png', np.dstack([rgb[..., ::-1], gray]))[1]
    np.testing.assert_array_equal(decode_compressed('png', alpha), rgb)
    deep = cv2.imencode('.png', gray * np.uint16(257))[1]
    np.testing.assert_array_equal(decode_compressed('mono16; png compressed ', deep), gray)


def test_a_compressed_bayer_mosaic_is_decoded_like_a_raw_one(rgb: Any) -> None:
    raw = mosaic(rgb, 'grbg')
    decoded = decode_compressed('bayer_grbg8; png compressed ', cv2.imencode('.png', raw)[1])
    np.testing.assert_array_equal(decoded, decode_image('bayer_grbg8', 24, 32, 32, False, raw))


@pytest.mark.parametrize('extension', ['.png', '.jpg'])
@pytest.mark.parametrize('kept', [0, 1, 7, 20, 30, 0.5, -12, -1])
def test_refuses_an_image_that_is_cut_short(rgb: Any, extension: str, kept: float) -> None:
    data = cv2.imencode(extension, rgb)[1].tobytes()
    with pytest.raises(DataError, match='compressed image'):
        decode_compressed('jpeg', data[: int(len(data) * kept if kept == 0.5 else kept)])


def test_refuses_compressed_depth_and_unknown_formats() -> None:
    with pytest.raises(DataError, match='depth format'):
        decode_compressed(
            '16UC1; compressedDepth png', bytes(12) + cv2.imencode('.png', np.ones((3, 3), np.uint16))[1].tobytes()
        )
    with pytest.raises(DataError, match="'h264' and 8 bytes that begin with 00 00 00 01, expected a JPEG or PNG"):
        decode_compressed('h264', b'\x00\x00\x00\x01\x67\x42\x00\x1f')


def png_chunk(kind: Any, content: Any) -> Any:
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))


@pytest.mark.parametrize('size', [(30000, 30000), (8192, 8192), (0, 4), (2**31 - 1, 1)])
def test_refuses_a_decompression_bomb_by_its_header(size: tuple[int, int]) -> None:
    header = struct.pack('>IIBBBBB', *size, 8, 0, 0, 0, 0)
    chunks = png_chunk(b'IHDR', header) + png_chunk(b'IDAT', zlib.compress(bytes(10**6))) + png_chunk(b'IEND', b'')
    with pytest.raises(DataError, match=f'{size[0]}x{size[1]} pixels, expected 1 to {MAX_PIXELS}'):
        decode_compressed('png', b'\x89PNG\r\n\x1a\n' + chunks)


def test_12_megapixels_are_read_in_little_more_memory_than_they_need(tmp_path: Path) -> None:
    path = tmp_path / 'large.jpg'
    cv2.imwrite(str(path), np.zeros((3000, 4000, 3), np.uint8))
    tracemalloc.start()
    assert read_image(path).shape == (3000, 4000, 3)
    assert tracemalloc.get_traced_memory()[1] < 3 * 36_000_000
    tracemalloc.stop()


def test_a_name_of_any_length_is_shown_by_its_beginning() -> None:
    for decode in (lambda name: decode_image(name, 1, 1, 1, False, b'0'), lambda name: decode_compressed(name, b'0')):
        with pytest.raises(DataError) as refused:
            decode('x' * 100_000)
        assert len(str(refused.value)) < 600


def test_a_jpeg_bomb_is_refused_by_its_header(rgb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_decoding, 'MAX_PIXELS', 24 * 32 - 1)
    with pytest.raises(DataError, match='32x24 pixels'):
        decode_compressed('jpeg', cv2.imencode('.jpg', rgb)[1])


@settings(max_examples=150, deadline=None)
@given(
    position=st.integers(0, 10**6),
    patch=st.binary(max_size=6),
    extension=st.sampled_from(['.png', '.jpg']),
    format_name=st.sampled_from(['', 'rgb8; jpeg compressed rgb8', 'bayer_rggb8; png compressed ', 'nv12; png']),
    gray=st.booleans(),
)
def test_damaged_images_give_an_image_of_that_size_or_a_data_error(
    position: Any, patch: Any, extension: Any, format_name: Any, gray: Any
) -> None:
    picture = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    content = cv2.imencode(extension, picture[..., 0] if gray else picture)[1].tobytes()
    start = position % len(content)
    damaged = content[:start] + patch + content[start + len(patch) :]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(image_decoding, 'MAX_PIXELS', 2**16)  # a size changed by the damage costs time
        try:
            image = decode_compressed(format_name, damaged)
        except DataError:
            return
    check_image(image)


@given(data=st.binary(max_size=64), start=st.sampled_from([b'', b'\xff\xd8', b'\x89PNG\r\n\x1a\n']))
def test_arbitrary_bytes_are_a_data_error(data: Any, start: Any) -> None:
    with pytest.raises(DataError):
        decode_compressed('jpeg', start + data)


@pytest.mark.parametrize('extension', ['.png', '.bmp', '.ppm', '.tif'])
def test_reads_image_files(tmp_path: Path, rgb: Any, extension: str) -> None:
    path = tmp_path / f'a{extension}'
    cv2.imwrite(str(path), rgb[..., ::-1])
    np.testing.assert_array_equal(read_image(path), rgb)


def test_names_the_file_that_is_missing_or_broken(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'no\.png: cannot be read: No such file'):
        read_image(tmp_path / 'no.png')
    for content in (b'', b'not an image', b'\x89PNG\r\n\x1a\n'):
        (tmp_path / 'bad.png').write_bytes(content)
        with pytest.raises(DataError, match=r'bad\.png: '):
            read_image(tmp_path / 'bad.png')


def test_a_png_chunk_longer_than_the_file_is_refused_before_memory_is_reserved_for_it(rgb: Any) -> None:
    content = cv2.imencode('.png', rgb)[1].tobytes()
    length_at = content.index(b'IDAT') - 4
    with pytest.raises(DataError, match='cut short'):
        decode_compressed('png', content[:length_at] + b'\xf0\x00\x00\x00' + content[length_at + 4 :])
