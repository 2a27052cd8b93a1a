# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Image messages to pixels and back: cv_bridge where it works, the decoder of this package otherwise.

Both give the same pixels and the same errors; one contract test holds them together.
"""

from __future__ import annotations

import array
import functools
import importlib.util
import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import ImageArray
from kp2d_ros.recordings.image_decoding import decode_compressed, decode_image

ImageDecoder = Callable[[Any], ImageArray]

# What cv_bridge of every distribution converts without a decision of its own (ranges, YUV names); by wanted encoding.
_CV_BRIDGE_ENCODINGS = {
    'mono8': 'mono8',
    **dict.fromkeys(('rgb8', 'bgr8', 'rgba8', 'bgra8'), 'rgb8'),
    **dict.fromkeys((f'bayer_{order}8' for order in ('rggb', 'bggr', 'gbrg', 'grbg')), 'rgb8'),
}
# cv_bridge built against NumPy 1 ends the whole process beside NumPy 2, so it is tried in one of its own.
_CV_BRIDGE_PROBE = """
import numpy
from cv_bridge import CvBridge
from sensor_msgs.msg import Image
message = Image(height=1, width=2, step=6, encoding='bgr8', data=bytes(range(6)))
pixels = CvBridge().imgmsg_to_cv2(message, 'rgb8')
raise SystemExit(pixels.tolist() != [[[2, 1, 0], [5, 4, 3]]])
"""
_PROBE_SECONDS = 20.0


def decode_message(message: Image | CompressedImage) -> ImageArray:
    """
    Gray (H, W) or RGB (H, W, 3) uint8 of an image message of any supported encoding, without cv_bridge.

    :raises DataError: if the message is not a whole image.
    """
    if isinstance(message, CompressedImage):
        return decode_compressed(message.format, message.data)
    return decode_image(
        message.encoding, message.height, message.width, message.step, bool(message.is_bigendian), message.data
    )


def decoder_from_cv_bridge(bridge: Any) -> ImageDecoder:
    """
    As :func:`decode_message`, with the conversions of a ``cv_bridge.CvBridge`` for the usual 8-bit encodings.
    """

    def decode(message: Image | CompressedImage) -> ImageArray:
        wanted = None if isinstance(message, CompressedImage) else _CV_BRIDGE_ENCODINGS.get(message.encoding)
        if wanted is None or min(message.height, message.width) < 3 or not _is_whole(message):
            return decode_message(message)  # which has the better words for what is wrong
        try:
            return np.ascontiguousarray(bridge.imgmsg_to_cv2(message, wanted), np.uint8)
        except (cv2.error, TypeError, ValueError, RuntimeError) as error:  # CvBridgeError is a TypeError
            raise DataError(f'image of {message.encoding}: cv_bridge cannot convert it: {error}') from error

    return decode


@functools.cache
def image_decoder() -> ImageDecoder:
    """
    The decoder of this machine, chosen once.
    """
    if not _cv_bridge_works():
        return decode_message
    from cv_bridge import CvBridge

    return decoder_from_cv_bridge(CvBridge())


def image_message(image: ImageArray, header: Any) -> Image:
    """
    ``sensor_msgs/Image`` (mono8 or rgb8) of a gray (H, W) or RGB (H, W, 3) image.
    """
    height, width = image.shape[:2]
    data = array.array('B')
    data.frombytes(np.ascontiguousarray(image).data)  # an ndarray assigned as it is would be checked byte by byte
    return Image(
        header=header,
        height=height,
        width=width,
        encoding='mono8' if image.ndim == 2 else 'rgb8',
        step=width * (1 if image.ndim == 2 else 3),
        data=data,
    )


def _is_whole(message: Image) -> bool:
    channels = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4}.get(message.encoding, 1)
    return bool(message.step >= message.width * channels and len(message.data) >= message.height * message.step)


def _cv_bridge_works() -> bool:
    if importlib.util.find_spec('cv_bridge') is None:
        return False
    try:
        probe = subprocess.run(
            [sys.executable, '-c', _CV_BRIDGE_PROBE], capture_output=True, timeout=_PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    if probe.returncode != 0:
        logging.getLogger(__name__).info(
            'cv_bridge is installed but does not work here (often: built for another NumPy); not using it'
        )
    return probe.returncode == 0
