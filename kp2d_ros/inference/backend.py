# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a network runtime must offer; the extractor asks for nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kp2d_ros.core.checks import check_image
from kp2d_ros.core.errors import BackendError, ShapeError
from kp2d_ros.core.records import Float32Array, ImageArray


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """
    What runs, and where.

    ``model_id`` is the name and the first digits of the hash of the weights (``kp2d-v4:0f3a91c2``); ``backend`` is
    ``torch``, ``onnxruntime``, ...; ``device`` is ``cpu``, ``cuda:0``, ...; ``precision`` is ``fp32``, ``fp16`` or
    ``bf16``. ``stride`` is the side of a score cell in pixels; height and width of an image must be multiples of
    ``size_multiple``. ``is_trained`` is False for weights straight from the initialisation.
    """

    model_id: str
    backend: str
    device: str
    precision: str
    stride: int
    descriptor_dim: int
    size_multiple: int
    is_trained: bool


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """
    Where and how a network runs, as in the settings of the extractor; ``threads`` 0 leaves their number to the runtime.
    """

    device: str = 'auto'
    precision: str = 'auto'
    threads: int = 0
    compiled: bool = False


class DenseFeatures(Protocol):
    """
    What a network sees in one image; the descriptor map stays where it was computed.
    """

    @property
    def score(self) -> Float32Array:
        """
        (Hc, Wc) scores in [0, 1], one per cell; the outermost ring of cells is 0.
        """

    @property
    def xy(self) -> Float32Array:
        """
        (Hc, Wc, 2) keypoint of each cell in pixels of the image.
        """

    def describe(self, xy: Float32Array) -> Float32Array:
        """
        (N, D) descriptors of unit norm at (N, 2) pixels of the image, sampled bilinearly.
        """


class KeypointBackend(Protocol):
    """
    A network on a runtime and a device.
    """

    @property
    def info(self) -> BackendInfo:
        """
        What runs, and where.
        """

    def infer(self, image: ImageArray) -> DenseFeatures:
        """
        Run the network on a uint8 image, (H, W) gray or (H, W, 3) RGB, both sides multiples of ``size_multiple``.

        :raises ShapeError: if the image is not such an image.
        """


def check_network_image(image: ImageArray, size_multiple: int) -> None:
    """
    Refuse what is not a uint8 image, (H, W) gray or (H, W, 3) RGB, with both sides multiples of a number.

    :raises ShapeError: if the type, the shape or the size differs.
    """
    check_image(image)
    height, width = image.shape[:2]
    if height % size_multiple or width % size_multiple:
        raise ShapeError(
            f'image: found {width}x{height} pixels, expected both sides to be multiples of {size_multiple}'
        )


def require_trained(model_id: str, is_trained: bool, allow_untrained: bool) -> None:
    """
    Refuse a network that was never trained, unless that is wanted.

    :raises BackendError: if it was not trained.
    """
    if not is_trained and not allow_untrained:
        raise BackendError(
            f'model: found {model_id}, which was never trained: its keypoints mean nothing; expected a trained one, '
            'or untrained:NAME for tests and timing'
        )
