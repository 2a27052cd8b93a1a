# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Pixels of ROS image messages and image files: any encoding in, 8-bit gray or RGB out, or depth in metres.

The fields are taken one by one, not as a message: the node and the bag reader use the same functions. What is not a
whole image is refused; nothing is guessed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Float32Array, ImageArray
from kp2d_ros.recordings.depth_compression import decode_rvl

MAX_PIXELS = 2**25  # of a compressed image, read from its header before anything is unpacked: 8K video (100 MB)
_SHOWN = 40  # characters of a name that a message brings

_PNG_START = b'\x89PNG\r\n\x1a\n'
_JPEG_START, _JPEG_END = b'\xff\xd8', b'\xff\xd9'
_JPEG_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, slots=True)
class _PixelFormat:
    """
    How the bytes of one encoding are laid out, and what makes gray or RGB of them.

    ``color`` is the OpenCV conversion to RGB, None if there is nothing to convert. ``planar``: half as many rows again
    follow, with the colour (4:2:0). ``stretch``: the numbers have no agreed range.
    """

    samples: str
    channels: int
    color: int | None = None
    block: tuple[int, int] = (1, 1)  # rows and columns come in multiples of this
    smallest: int = 1  # rows and columns below which OpenCV gives a black image
    planar: bool = False
    stretch: bool = False


_PIXEL_FORMATS = {
    'mono8': _PixelFormat('u1', 1),
    'mono16': _PixelFormat('u2', 1),
    'rgb8': _PixelFormat('u1', 3),
    'rgb16': _PixelFormat('u2', 3),
    'bgr8': _PixelFormat('u1', 3, cv2.COLOR_BGR2RGB),
    'bgr16': _PixelFormat('u2', 3, cv2.COLOR_BGR2RGB),
    'rgba8': _PixelFormat('u1', 4, cv2.COLOR_RGBA2RGB),
    'rgba16': _PixelFormat('u2', 4, cv2.COLOR_RGBA2RGB),
    'bgra8': _PixelFormat('u1', 4, cv2.COLOR_BGRA2RGB),
    'bgra16': _PixelFormat('u2', 4, cv2.COLOR_BGRA2RGB),
    # OpenCV's own names: channels without a meaning, by its habit in the order blue, green, red.
    '8uc1': _PixelFormat('u1', 1),
    '8uc3': _PixelFormat('u1', 3, cv2.COLOR_BGR2RGB),
    '8uc4': _PixelFormat('u1', 4, cv2.COLOR_BGRA2RGB),
    '16uc1': _PixelFormat('u2', 1, stretch=True),
    '32fc1': _PixelFormat('f4', 1, stretch=True),
    'uyvy': _PixelFormat('u1', 2, cv2.COLOR_YUV2RGB_UYVY, block=(1, 2)),
    'yuv422': _PixelFormat('u1', 2, cv2.COLOR_YUV2RGB_UYVY, block=(1, 2)),
    'yuyv': _PixelFormat('u1', 2, cv2.COLOR_YUV2RGB_YUY2, block=(1, 2)),
    'yuv422_yuy2': _PixelFormat('u1', 2, cv2.COLOR_YUV2RGB_YUY2, block=(1, 2)),
    'nv12': _PixelFormat('u1', 1, cv2.COLOR_YUV2RGB_NV12, block=(2, 2), planar=True),
    'nv21': _PixelFormat('u1', 1, cv2.COLOR_YUV2RGB_NV21, block=(2, 2), planar=True),
}
# ROS names the first two pixels of the first two rows, OpenCV those one row and one column further on.
for _ros, _opencv in (
    ('rggb', cv2.COLOR_BayerBG2RGB),
    ('bggr', cv2.COLOR_BayerRG2RGB),
    ('gbrg', cv2.COLOR_BayerGR2RGB),
    ('grbg', cv2.COLOR_BayerGB2RGB),
):
    _PIXEL_FORMATS[f'bayer_{_ros}8'] = _PixelFormat('u1', 1, _opencv, smallest=3)
    _PIXEL_FORMATS[f'bayer_{_ros}16'] = _PixelFormat('u2', 1, _opencv, smallest=3)

_UNPACKED_NAMES = {  # by samples and channels, what OpenCV's decoder returns
    ('u1', 1): 'mono8',
    ('u2', 1): 'mono16',
    ('f4', 1): '32fc1',
    ('u1', 3): 'bgr8',
    ('u2', 3): 'bgr16',
    ('u1', 4): 'bgra8',
    ('u2', 4): 'bgra16',
}

SUPPORTED_ENCODINGS = tuple(_PIXEL_FORMATS)

DEPTH_UNITS = {'16uc1': 1e-3, 'mono16': 1e-3, '32fc1': 1.0}  # metres by encoding (REP-118)
_DEPTH_HEADER = struct.Struct('<i2f')  # of compressed_depth_image_transport: format, quantisation A and B


def decode_image(encoding: str, height: int, width: int, step: int, is_bigendian: bool, data: Any) -> ImageArray:
    """
    Gray (H, W) or RGB (H, W, 3) uint8 of the fields of a ``sensor_msgs/Image``.

    16-bit samples of a named range (mono16, rgb16, bayer_*16) are scaled from 0..65535. 16UC1 and 32FC1 have no agreed
    range: the smallest finite value of the image becomes 0, the largest 255, what is not finite 0.

    :param step: bytes from one row to the next; more than the row needs is padding.
    :param data: bytes, or anything with a contiguous buffer; the result may share its memory.
    :raises DataError: if the encoding is unknown, or size, step and data do not fit each other.
    """
    pixel_format = _PIXEL_FORMATS.get(encoding.strip().lower())
    if pixel_format is None:
        raise DataError(f'encoding: found {encoding[:_SHOWN]!r}, expected one of {", ".join(SUPPORTED_ENCODINGS)}')
    rows = height * 3 // 2 if pixel_format.planar else height
    _check_size(encoding, pixel_format, height, width)
    samples = _samples_of(pixel_format, (rows, width), step, is_bigendian, data)
    return _to_picture(samples, pixel_format)


def decode_depth(  # noqa: PLR0913 - the six fields of a message, and one setting
    encoding: str, height: int, width: int, step: int, is_bigendian: bool, data: Any, depth_scale: float = 0.0
) -> Float32Array:
    """
    Depth (H, W) in metres of the fields of a ``sensor_msgs/Image``; what was not measured is no positive finite number.

    16UC1 (or mono16, which does not say that it is depth) counts millimetres, 32FC1 metres (REP-118).

    :param depth_scale: metres that a 1 stands for; 0: as the encoding says.
    :raises DataError: as :func:`decode_image`, or if the encoding is none of depth.
    """
    unit = _depth_unit(encoding)
    pixel_format = _PIXEL_FORMATS[encoding.strip().lower()]
    _check_size(encoding, pixel_format, height, width)
    return _to_metres(_samples_of(pixel_format, (height, width), step, is_bigendian, data), depth_scale or unit)


def decode_compressed(format_name: str, data: Any) -> ImageArray:
    """
    Gray (H, W) or RGB (H, W, 3) uint8 of the fields of a ``sensor_msgs/CompressedImage``: JPEG or PNG.

    :param format_name: as image_transport writes it, ``rgb8; jpeg compressed bgr8``, or any other text: the data
        itself says what it is, the text only tells raw Bayer mosaics and swapped colours.
    :param data: bytes, or anything with a contiguous buffer.
    :raises DataError: if it is no whole JPEG or PNG image, larger than ``MAX_PIXELS``, or a compressed depth image.
    """
    if 'compresseddepth' in format_name.lower():
        format_name = format_name[:_SHOWN]
        raise DataError(f'compressed image: found the depth format {format_name!r}, expected jpeg or png')
    content = _checked(bytes(data), format_name)
    return _unpack(content, format_name, f'compressed image {format_name[:_SHOWN]!r}')


def decode_compressed_depth(format_name: str, data: Any, depth_scale: float = 0.0) -> Float32Array:
    """
    Depth (H, W) in metres of the fields of a ``sensor_msgs/CompressedImage`` of compressed_depth_image_transport.

    Twelve bytes, then a PNG of 16 bits, or RVL with its width and height before it. 32FC1 is stored as a quantised
    inverse depth, ``A / (stored - B)`` metres. A 16-bit PNG without those bytes is read as well: so does the plain
    compressed transport send depth.

    :param format_name: ``16UC1; compressedDepth png``, ``32FC1; compressedDepth rvl``.
    :param depth_scale: as for :func:`decode_depth`.
    :raises DataError: if it is no whole depth image, larger than ``MAX_PIXELS``.
    """
    encoding, content = format_name.partition(';')[0], bytes(data)
    unit = depth_scale or _depth_unit(encoding)
    if content.startswith(_PNG_START):
        return _to_metres(_unpack_depth(content, format_name), unit)
    if len(content) < _DEPTH_HEADER.size:
        raise DataError(f'compressed depth: found {len(content)} bytes, expected a header of {_DEPTH_HEADER.size}')
    _, quantum_a, quantum_b = _DEPTH_HEADER.unpack_from(content)
    content = content[_DEPTH_HEADER.size :]
    is_rvl = 'rvl' in format_name.lower()
    stored = decode_rvl(content, MAX_PIXELS) if is_rvl else _unpack_depth(content, format_name)
    if encoding.strip().lower() != '32fc1':
        return _to_metres(stored, unit)
    with np.errstate(all='ignore'):  # a damaged header is no reason for a warning
        metres = np.float32(quantum_a) / (stored.astype(np.float32) - np.float32(quantum_b))
    return _to_metres(np.where(stored > 0, metres, np.float32(np.nan)), unit)


def decode_depth_file(content: bytes, metres_per_unit: float) -> Float32Array:
    """
    Depth (H, W) in metres of a 16-bit PNG file.

    :raises DataError: if it is none, or one of more than ``MAX_PIXELS``.
    """
    return _to_metres(_unpack_depth(content, 'depth file'), metres_per_unit)


def decode_file(content: bytes) -> ImageArray:
    """
    Gray (H, W) or RGB (H, W, 3) uint8 of the content of an image file, its pixels as they are stored: no rotation
    after EXIF, alpha dropped, 16 bits scaled.

    :raises DataError: if it is no whole image, or one of more than ``MAX_PIXELS``.
    """
    if content.startswith((_PNG_START, _JPEG_START)):
        return decode_compressed('', content)
    image = _unpack(content, '', 'image file')
    if image.shape[0] * image.shape[1] > MAX_PIXELS:
        raise DataError(f'image file: found {image.shape[1]}x{image.shape[0]} pixels, expected at most {MAX_PIXELS}')
    return image


def read_image(path: Path) -> ImageArray:
    """
    The image of a file, as :func:`decode_file` gives it.

    :raises DataError: naming the file, if it is missing or no whole image.
    """
    try:
        return decode_file(path.read_bytes())
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror}') from error
    except DataError as error:
        raise DataError(f'{path}: {error}') from error


def _check_size(encoding: str, pixel_format: _PixelFormat, height: int, width: int) -> None:
    if min(height, width) < pixel_format.smallest:
        least = pixel_format.smallest
        raise DataError(f'image size: found {width}x{height}, expected at least {least}x{least} for {encoding}')
    if height % pixel_format.block[0] or width % pixel_format.block[1]:
        rows, columns = pixel_format.block
        raise DataError(f'image size: found {width}x{height}, expected a multiple of {columns}x{rows} for {encoding}')


def _samples_of(
    pixel_format: _PixelFormat, size: tuple[int, int], step: int, is_bigendian: bool, data: Any
) -> npt.NDArray[Any]:
    """
    Contiguous samples (H, W) or (H, W, channels) of so many rows and columns.
    """
    rows, width = size
    sample_type = np.dtype(pixel_format.samples).newbyteorder('>' if is_bigendian else '<')
    pixel_bytes = pixel_format.channels * sample_type.itemsize
    if step < width * pixel_bytes:
        least = width * pixel_bytes
        raise DataError(f'step: found {step}, expected at least {least}: {width} pixels of {pixel_bytes} bytes')
    found = memoryview(data).nbytes
    if found < rows * step:
        raise DataError(f'image data: found {found} bytes, expected {rows * step}: {rows} rows with a step of {step}')
    shape, strides = (rows, width, pixel_format.channels), (step, pixel_bytes, sample_type.itemsize)
    samples = np.ndarray(shape, sample_type, np.frombuffer(data, np.uint8), strides=strides)
    if pixel_format.channels == 1:
        samples = samples[:, :, 0]
    return np.ascontiguousarray(samples, sample_type.newbyteorder('='))


def _depth_unit(encoding: str) -> float:
    """
    Metres that a 1 stands for.
    """
    unit = DEPTH_UNITS.get(encoding.strip().lower())
    if unit is None:
        found = encoding.strip()[:_SHOWN]
        raise DataError(f'depth encoding: found {found!r}, expected 16UC1 (millimetres), 32FC1 (metres) or mono16')
    return unit


def _to_metres(samples: npt.NDArray[Any], unit: float) -> Float32Array:
    if samples.dtype == np.float32 and unit == 1.0:
        return samples
    with np.errstate(over='ignore'):
        return np.asarray(samples.astype(np.float32) * np.float32(unit), np.float32)


def _unpack_depth(content: bytes, format_name: str) -> npt.NDArray[np.uint16]:
    """
    The numbers of a PNG of 16-bit gray.
    """
    what = f'depth image {format_name[:_SHOWN]!r}'
    if not content.startswith(_PNG_START):
        raise DataError(f'{what}: found {content[:4].hex(" ") or "nothing"} at its beginning, expected a PNG')
    samples = _unpack_samples(_checked(content, format_name), what)
    if samples.dtype != np.uint16 or samples.ndim != 2:
        raise DataError(f'{what}: found {samples.dtype} of shape {samples.shape}, expected 16 bit gray')
    return samples


def _to_picture(samples: npt.NDArray[Any], pixel_format: _PixelFormat) -> ImageArray:
    """
    8-bit gray or RGB of contiguous samples (H, W) or (H, W, channels).
    """
    if pixel_format.stretch:
        return _stretch(samples)
    picture = samples if samples.dtype == np.uint8 else cv2.convertScaleAbs(samples, alpha=255 / 65535)
    if pixel_format.color is not None:
        picture = cv2.cvtColor(picture, pixel_format.color)
    return np.asarray(picture, np.uint8)


def _stretch(samples: npt.NDArray[Any]) -> ImageArray:
    values = samples.astype(np.float64)
    finite = np.isfinite(values)
    low, high = np.min(values, where=finite, initial=np.inf), np.max(values, where=finite, initial=-np.inf)
    if not low < high:
        return np.zeros(values.shape, np.uint8)
    return np.asarray(np.rint(np.where(finite, values - low, 0.0) * (255.0 / (high - low))), np.uint8)


def _checked(content: bytes, format_name: str) -> bytes:
    """
    The same bytes, of a JPEG or PNG that has an end and is not too large to be unpacked.
    """
    width, height = _compressed_size(content, format_name)
    if not 0 < width * height <= MAX_PIXELS:
        raise DataError(f'compressed image: found {width}x{height} pixels, expected 1 to {MAX_PIXELS}')
    return content


def _compressed_size(content: bytes, format_name: str) -> tuple[int, int]:
    """
    Width and height in the header of a JPEG or PNG that has an end.
    """
    if content.startswith(_PNG_START) and content[12:16] == b'IHDR' and len(content) >= 24:
        width, height = struct.unpack('>II', content[16:24])
        if _png_is_whole(content):
            return int(width), int(height)
    elif content.startswith(_JPEG_START):
        size = _jpeg_size(content)
        if size is not None:
            return size
    else:
        raise DataError(
            f'compressed image: found format {format_name[:_SHOWN]!r} and {len(content)} bytes that begin with '
            f'{content[:4].hex(" ") or "nothing"}, expected a JPEG or PNG image'
        )
    raise DataError(f'compressed image: found {len(content)} bytes that are cut short, expected a whole image')


def _png_is_whole(content: bytes) -> bool:
    """
    Whether the chunks follow each other to the last one; a damaged length makes OpenCV 5 reserve up to 4 GiB.
    """
    position = len(_PNG_START)
    while position + 12 <= len(content):
        length, kind = struct.unpack('>I4s', content[position : position + 8])
        position += 12 + length
        if kind == b'IEND':
            return bool(position <= len(content))
    return False


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    position = 2
    while position + 9 <= len(content):
        if content[position] != 0xFF:
            return None
        marker = content[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _JPEG_FRAME_MARKERS:
            height, width = struct.unpack('>HH', content[position + 5 : position + 9])
            return (int(width), int(height)) if content.find(_JPEG_END, position) > 0 else None
        position += 2 + int.from_bytes(content[position + 2 : position + 4], 'big')
    return None


def _unpack(content: bytes, format_name: str, what: str) -> ImageArray:
    samples = _unpack_samples(content, what)
    pixel_format = _unpacked_format(format_name.lower(), samples)
    if pixel_format is None:
        raise DataError(f'{what}: found {samples.dtype} of shape {samples.shape}, expected 8 or 16 bit gray or colour')
    return _to_picture(samples, pixel_format)


def _unpack_samples(content: bytes, what: str) -> npt.NDArray[Any]:
    try:
        samples = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    except cv2.error:  # OpenCV's own limits, or an assertion on a malformed header
        samples = None
    if samples is None:
        raise DataError(f'{what}: cannot be decoded, expected a whole image')
    return samples


def _unpacked_format(format_name: str, samples: npt.NDArray[Any]) -> _PixelFormat | None:
    """
    What OpenCV's decoder returned: blue before red, unless image_transport packed the pixels in another order.
    """
    key = (samples.dtype.str[1:], samples.shape[2] if samples.ndim == 3 else 1)
    by_default = _PIXEL_FORMATS.get(_UNPACKED_NAMES.get(key, ''))
    original, separator, how = format_name.partition(';')
    packed = _PIXEL_FORMATS.get(original.strip()) if separator else None
    if packed is None or packed.planar or (packed.samples, packed.channels) != key:
        return by_default
    if packed.channels == 1:
        return packed if min(samples.shape) >= packed.smallest else by_default
    return packed if original.strip().startswith('rgb') and 'compressed bgr' not in how else by_default
