# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What every keypoint network has: checked and normalised input, heads mapped to scores and pixels, descriptors.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kp2d_ros.core.errors import ShapeError
from kp2d_ros.networks import cells
from kp2d_ros.networks.config import NetworkConfig

LEAKY_SLOPE = 0.01
DROP_RATE = 0.2
_DENSE_SHARE = 4  # measured: with fewer points than a quarter of the map, the last layer costs less at the points


class KeypointMaps(NamedTuple):
    """
    The outputs of a keypoint network, with the same meaning in training and evaluation mode.

    :param score: (B, 1, Hc, Wc) in [0, 1], one per cell; the outermost ring of cells is 0. At least float32.
    :param xy: (B, 2, Hc, Wc) pixels of the image, x first, inside the image. At least float32.
    :param descriptors: (B, D, Hd, Wd) in the network's own type, not normalised; sample them with
        :func:`kp2d_ros.networks.cells.sample_descriptors`.
    """

    score: Tensor
    xy: Tensor
    descriptors: Tensor


class KeypointFeatures(NamedTuple):
    """
    Like :class:`KeypointMaps`, but before the last descriptor layer.

    That layer is linear, so it can be left to the few points that are kept (``KeypointNetwork.describe``).

    :param penultimate: the (B, C, H, W) input of the last descriptor layer.
    """

    score: Tensor
    xy: Tensor
    penultimate: Tensor


class Heads(NamedTuple):
    """
    The raw output of a network's layers.

    :param score: (B, 1, Hc, Wc) before the sigmoid.
    :param offset: (B, 2, Hc, Wc) before the tanh or the sigmoid.
    :param penultimate: the input of the last descriptor layer.
    """

    score: Tensor
    offset: Tensor
    penultimate: Tensor


class KeypointNetwork(nn.Module):
    """
    From images to keypoints: one score, one location and a dense descriptor map per image.

    Height and width must be multiples of ``size_multiple``; a score cell is ``stride`` pixels wide, a descriptor cell
    ``descriptor_stride``. A network adds its layers, :meth:`heads` and :attr:`last_layer`.
    """

    size_multiple: int
    descriptor_stride: int

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.stride = config.cell

    def heads(self, image: Tensor) -> Heads:
        """
        Run the layers on a normalised image (B, C, H, W).
        """
        raise NotImplementedError

    @property
    def last_layer(self) -> nn.Conv2d:
        """
        The 3x3 convolution from the penultimate map to the descriptors.
        """
        raise NotImplementedError

    def forward(self, image: Tensor) -> KeypointMaps:
        """
        Keypoints of a batch of float images (B, C, H, W) in [0, 1], C = 3 (RGB) or 1 (gray).

        :raises ShapeError: if the image is not such an image, or a side is not a multiple of ``size_multiple``.
        """
        features = self.forward_features(image)
        return KeypointMaps(features.score, features.xy, self.last_layer(features.penultimate))

    def forward_features(self, image: Tensor) -> KeypointFeatures:
        """
        As :meth:`forward`, without the last descriptor layer.
        """
        self._check_image(image)
        config = self.config
        normalised = (image - 0.5) * config.input_scale
        heads = self.heads(normalised.to(next(self.parameters()).dtype))
        score = cells.at_least_float32(heads.score).sigmoid()
        return KeypointFeatures(
            score * cells.border_mask(score.shape[-2], score.shape[-1], like=score),
            cells.pixels_from_logits(heads.offset, config.cell, config.cross_ratio, config.location),
            heads.penultimate,
        )

    def describe(self, features: KeypointFeatures, xy: Tensor) -> Tensor:
        """
        Descriptors (B, N, D) of unit length at pixels (B, N, 2) of the image that the features are of.

        The same as sampling the dense map of :meth:`forward`, but for few points a fifth of V4's time is saved.
        """
        layer = self.last_layer
        rows, columns = cells.convolved_size(features.penultimate, layer)
        height, width = rows * self.descriptor_stride, columns * self.descriptor_stride
        if xy.shape[1] * _DENSE_SHARE > rows * columns:
            return cells.sample_descriptors(layer(features.penultimate), xy, width, height)
        return cells.unit_length(cells.sample_convolved(features.penultimate, layer, xy, width, height))

    def _check_image(self, image: Tensor) -> None:
        channels, multiple = self.config.image_channels, self.size_multiple
        if image.dim() != 4 or image.shape[1] != channels or not image.is_floating_point():
            raise ShapeError(
                f'image: found {image.dtype} of shape {tuple(image.shape)}, '
                f'expected floating point in [0, 1] of shape (B, {channels}, H, W)'
            )
        height, width = image.shape[-2:]
        if height % multiple or width % multiple or height == 0 or width == 0:
            raise ShapeError(f'image: found {width}x{height} pixels, expected both sides to be multiples of {multiple}')


def conv_norm(inputs: int, outputs: int) -> nn.Sequential:
    """
    A 3x3 convolution and its batch norm.
    """
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs))


def leaky(values: Tensor) -> Tensor:
    """
    Leaky ReLU in place: neither a convolution nor a batch norm needs its own output for the gradient.
    """
    return torch.nn.functional.leaky_relu(values, LEAKY_SLOPE, inplace=True)


def dropout(config: NetworkConfig) -> nn.Module:
    """
    Channel dropout, or nothing.
    """
    return nn.Dropout2d(DROP_RATE) if config.with_drop else nn.Identity()
