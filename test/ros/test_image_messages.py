# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Image messages to pixels and back.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.errors import DataError

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from sensor_msgs.msg import CompressedImage, Image  # noqa: E402

from kp2d_ros.ros.conversions import decode_message, header_from, image_message  # noqa: E402

HEADER = header_from(1, 'camera')


def make_message(pixels: Any, encoding: Any, padding: int = 0, **fields: Any) -> Image:
    rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    shape = {'height': pixels.shape[0], 'width': pixels.shape[1], 'step': rows.shape[1]}
    return Image(header=HEADER, encoding=encoding, **{**shape, 'data': rows.tobytes(), **fields})


@pytest.fixture
def rgb(rng: np.random.Generator) -> NDArray[Any]:
    return cv2.GaussianBlur(rng.integers(0, 256, (24, 32, 3), np.uint8), (0, 0), 2)


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize(('encoding', 'order'), [('rgb8', [0, 1, 2]), ('bgr8', [2, 1, 0]), ('bgra8', [2, 1, 0, 0])])
def test_colours_come_out_as_rgb(rgb: Any, encoding: str, order: list[int], padding: int) -> None:
    np.testing.assert_array_equal(decode_message(make_message(rgb[:, :, order], encoding, padding)), rgb)


@pytest.mark.parametrize('padding', [0, 3])
@pytest.mark.parametrize('encoding', ['mono8', '8UC1'])
def test_gray_stays_gray(rgb: Any, encoding: str, padding: int) -> None:
    gray = np.ascontiguousarray(rgb[:, :, 0])
    np.testing.assert_array_equal(decode_message(make_message(gray, encoding, padding)), gray)


def test_sixteen_bits_become_eight(rgb: Any) -> None:
    gray = rgb[:, :, 0].astype(np.uint16) * 257
    for order, big in (('<', 0), ('>', 1)):
        message = make_message(gray.astype(f'{order}u2'), 'mono16', is_bigendian=big)
        np.testing.assert_array_equal(decode_message(message), rgb[:, :, 0])


@pytest.mark.parametrize('order', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_bayer_mosaics_become_the_picture_they_were_made_of(rgb: Any, order: str) -> None:
    mosaic = np.empty(rgb.shape[:2], np.uint8)
    for place, letter in enumerate(order):
        mosaic[place // 2 :: 2, place % 2 :: 2] = rgb[place // 2 :: 2, place % 2 :: 2, 'rgb'.index(letter)]
    difference = decode_message(make_message(mosaic, f'bayer_{order}8')).astype(int) - rgb
    assert np.abs(difference[2:-2, 2:-2]).mean() < 3


@pytest.mark.parametrize('encoding', ['yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv'])
def test_packed_yuv_keeps_the_brightness(encoding: str) -> None:
    gray = np.tile(np.arange(16, 236, 10, np.uint8), (4, 1))
    pair = [np.full_like(gray, 128), gray] if encoding in ('yuv422', 'uyvy') else [gray, np.full_like(gray, 128)]
    decoded = decode_message(make_message(np.stack(pair, axis=2), encoding))
    assert decoded.shape == (*gray.shape, 3)
    np.testing.assert_allclose(decoded[:, :, 1], (gray.astype(float) - 16) * 255 / 219, atol=2)


@pytest.mark.parametrize(('suffix', 'tolerance'), [('.png', 0), ('.jpg', 12)])
def test_compressed_images_come_out_as_rgb(rgb: Any, suffix: str, tolerance: int) -> None:
    _, data = cv2.imencode(suffix, rgb[:, :, ::-1])
    kind = 'png' if suffix == '.png' else 'jpeg'
    message = CompressedImage(header=HEADER, format=f'rgb8; {kind} compressed bgr8', data=data.tobytes())
    np.testing.assert_allclose(decode_message(message).astype(int), rgb, atol=tolerance)


@pytest.mark.parametrize(
    ('fields', 'words'),
    [
        ({'encoding': 'h264'}, "encoding: found 'h264'"),
        ({'encoding': ''}, 'encoding'),
        ({'step': 10}, 'step: found 10'),
        ({'data': bytes(100)}, 'found 100 bytes'),
        ({'data': b''}, 'found 0 bytes'),
        ({'height': 0}, 'image size'),
        ({'width': 0}, 'image size'),
        ({'height': 2**32 - 1}, 'bytes'),
        ({'width': 2**32 - 1}, 'step'),
    ],
)
@pytest.mark.parametrize('encoding', ['mono8', 'rgb8', 'bayer_rggb8'])
def test_malformed_messages_are_refused_with_what_is_wrong(
    rgb: Any, encoding: str, fields: dict[str, Any], words: str
) -> None:
    message = make_message(rgb if encoding == 'rgb8' else rgb[:, :, 0], encoding)
    for name, value in fields.items():
        setattr(message, name, value)
    with pytest.raises(DataError, match=words):
        decode_message(message)


@pytest.mark.parametrize('data', [b'', b'\xff\xd8\xff', b'not an image at all'])
def test_broken_compressed_images_are_refused(data: bytes) -> None:
    with pytest.raises(DataError, match='compressed image'):
        decode_message(CompressedImage(header=HEADER, format='jpeg', data=data))


@pytest.mark.parametrize('shape', [(24, 32), (24, 32, 3)])
def test_images_survive_the_round_trip(rng: np.random.Generator, shape: tuple[Any, ...]) -> None:
    image = rng.integers(0, 256, shape, np.uint8)
    message = image_message(image[:, ::-1], HEADER)
    assert message.encoding == ('mono8' if len(shape) == 2 else 'rgb8')
    np.testing.assert_array_equal(decode_message(message), image[:, ::-1])
