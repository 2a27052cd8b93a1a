# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
One contract for every decoder of image messages: the one of this package, and cv_bridge where it is installed.
"""

import importlib.util

import cv2
import numpy as np
import pytest

from kp2d_ros.core.errors import DataError

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from sensor_msgs.msg import CompressedImage, Image  # noqa: E402

from kp2d_ros.ros import image_messages  # noqa: E402
from kp2d_ros.ros.conversions import header_from  # noqa: E402
from kp2d_ros.ros.image_messages import decode_message, decoder_from_cv_bridge, image_message  # noqa: E402

HEADER = header_from(1, 'camera')
BAYER = {'rggb': 'BG', 'bggr': 'RG', 'gbrg': 'GR', 'grbg': 'GB'}  # by the name OpenCV has for it


class ModelOfCvBridge:
    """
    What cv_bridge does with 8-bit images, by its documentation.
    """

    def imgmsg_to_cv2(self, message, wanted):
        channels = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4}.get(message.encoding, 1)
        rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
        pixels = rows[:, : message.width * channels].reshape(message.height, message.width, channels)
        if message.encoding == wanted:
            return pixels[:, :, 0] if channels == 1 else pixels
        name = message.encoding.removesuffix('8').upper()
        if name.startswith('BAYER_'):
            name = f'Bayer{BAYER[name.removeprefix("BAYER_").lower()]}'
        return cv2.cvtColor(pixels, getattr(cv2, f'COLOR_{name}2RGB'))


def installed_cv_bridge():
    from cv_bridge import CvBridge

    return CvBridge()


def decoders():
    missing = importlib.util.find_spec('cv_bridge') is None or not image_messages._cv_bridge_works()
    skip = pytest.mark.skipif(missing, reason='cv_bridge is not installed, or does not work here')
    return [
        pytest.param(lambda: decode_message, id='own'),
        pytest.param(lambda: decoder_from_cv_bridge(ModelOfCvBridge()), id='model_of_cv_bridge'),
        pytest.param(lambda: decoder_from_cv_bridge(installed_cv_bridge()), id='cv_bridge', marks=skip),
    ]


@pytest.fixture(params=decoders())
def decode(request):
    return request.param()


def make_message(pixels, encoding, padding=0, **fields):
    rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    shape = {'height': pixels.shape[0], 'width': pixels.shape[1], 'step': rows.shape[1]}
    return Image(header=HEADER, encoding=encoding, **{**shape, 'data': rows.tobytes(), **fields})


@pytest.fixture
def rgb(rng):
    return cv2.GaussianBlur(rng.integers(0, 256, (24, 32, 3), np.uint8), (0, 0), 2)


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize(('encoding', 'order'), [('rgb8', [0, 1, 2]), ('bgr8', [2, 1, 0]), ('bgra8', [2, 1, 0, 0])])
def test_colours_come_out_as_rgb(decode, rgb, encoding, order, padding):
    np.testing.assert_array_equal(decode(make_message(rgb[:, :, order], encoding, padding)), rgb)


@pytest.mark.parametrize('padding', [0, 3])
@pytest.mark.parametrize('encoding', ['mono8', '8UC1'])
def test_gray_stays_gray(decode, rgb, encoding, padding):
    gray = np.ascontiguousarray(rgb[:, :, 0])
    np.testing.assert_array_equal(decode(make_message(gray, encoding, padding)), gray)


def test_sixteen_bits_become_eight(decode, rgb):
    gray = rgb[:, :, 0].astype(np.uint16) * 257
    for order, big in (('<', 0), ('>', 1)):
        message = make_message(gray.astype(f'{order}u2'), 'mono16', is_bigendian=big)
        np.testing.assert_array_equal(decode(message), rgb[:, :, 0])


@pytest.mark.parametrize('order', sorted(BAYER))
def test_bayer_mosaics_become_the_picture_they_were_made_of(decode, rgb, order):
    mosaic = np.empty(rgb.shape[:2], np.uint8)
    for place, letter in enumerate(order):
        mosaic[place // 2 :: 2, place % 2 :: 2] = rgb[place // 2 :: 2, place % 2 :: 2, 'rgb'.index(letter)]
    difference = decode(make_message(mosaic, f'bayer_{order}8')).astype(int) - rgb
    assert np.abs(difference[2:-2, 2:-2]).mean() < 3


@pytest.mark.parametrize('encoding', ['yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv'])
def test_packed_yuv_keeps_the_brightness(decode, encoding):
    gray = np.tile(np.arange(16, 236, 10, np.uint8), (4, 1))
    pair = [np.full_like(gray, 128), gray] if encoding in ('yuv422', 'uyvy') else [gray, np.full_like(gray, 128)]
    decoded = decode(make_message(np.stack(pair, axis=2), encoding))
    assert decoded.shape == (*gray.shape, 3)
    np.testing.assert_allclose(decoded[:, :, 1], (gray.astype(float) - 16) * 255 / 219, atol=2)


@pytest.mark.parametrize(('suffix', 'tolerance'), [('.png', 0), ('.jpg', 12)])
def test_compressed_images_come_out_as_rgb(decode, rgb, suffix, tolerance):
    _, data = cv2.imencode(suffix, rgb[:, :, ::-1])
    kind = 'png' if suffix == '.png' else 'jpeg'
    message = CompressedImage(header=HEADER, format=f'rgb8; {kind} compressed bgr8', data=data.tobytes())
    np.testing.assert_allclose(decode(message).astype(int), rgb, atol=tolerance)


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
def test_malformed_messages_are_refused_with_what_is_wrong(decode, rgb, encoding, fields, words):
    message = make_message(rgb if encoding == 'rgb8' else rgb[:, :, 0], encoding)
    for name, value in fields.items():
        setattr(message, name, value)
    with pytest.raises(DataError, match=words):
        decode(message)


@pytest.mark.parametrize('data', [b'', b'\xff\xd8\xff', b'not an image at all'])
def test_broken_compressed_images_are_refused(decode, data):
    with pytest.raises(DataError, match='compressed image'):
        decode(CompressedImage(header=HEADER, format='jpeg', data=data))


@pytest.mark.parametrize('shape', [(24, 32), (24, 32, 3)])
def test_images_survive_the_round_trip(decode, rng, shape):
    image = rng.integers(0, 256, shape, np.uint8)
    message = image_message(image[:, ::-1], HEADER)
    assert message.encoding == ('mono8' if len(shape) == 2 else 'rgb8')
    np.testing.assert_array_equal(decode(message), image[:, ::-1])


def test_errors_of_cv_bridge_are_data_errors(rgb):
    class Broken:
        def imgmsg_to_cv2(self, message, wanted):
            raise TypeError('no conversion')

    with pytest.raises(DataError, match='cv_bridge cannot convert it: no conversion'):
        decoder_from_cv_bridge(Broken())(make_message(rgb, 'rgb8'))


def test_cv_bridge_that_ends_the_process_is_not_used(tmp_path, monkeypatch):
    (tmp_path / 'cv_bridge.py').write_text('import os; os.abort()')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path), prepend=':')
    assert importlib.util.find_spec('cv_bridge') is not None
    assert not image_messages._cv_bridge_works()
