# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
KeypointResnet: a ResNet18 encoder and a U-Net decoder (the network of KP3D, Tang et al., 2019).
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kp2d_ros.networks.config import NetworkConfig
from kp2d_ros.networks.network import LEAKY_SLOPE, Heads, KeypointNetwork, conv_norm, dropout


class BasicBlock(nn.Module):
    """
    Two 3x3 convolutions and a shortcut (He et al., 2016); layer names as in torchvision.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample: nn.Sequential | None = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))
        else:
            self.downsample = None

    def forward(self, x: Tensor) -> Tensor:
        """
        (B, inputs, H, W) to (B, outputs, H / stride, W / stride).
        """
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(x)) + shortcut, inplace=True)


class ResNet18(nn.Module):
    """
    The layers of torchvision's resnet18 without its classifier, under the same names.
    """

    def __init__(self, image_channels: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        c1, c2, c3, c4 = channels
        self.conv1 = nn.Conv2d(image_channels, c1, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(c1)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(BasicBlock(c1, c1, 1), BasicBlock(c1, c1, 1))
        self.layer2 = nn.Sequential(BasicBlock(c1, c2, 2), BasicBlock(c2, c2, 1))
        self.layer3 = nn.Sequential(BasicBlock(c2, c3, 2), BasicBlock(c3, c3, 1))
        self.layer4 = nn.Sequential(BasicBlock(c3, c4, 2), BasicBlock(c4, c4, 1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')


class KeypointEncoder(nn.Module):
    """
    The ResNet18 with channel dropout after each of its layers.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.rn = ResNet18(config.image_channels, config.channels)
        self.dropout = dropout(config)

    def forward(self, image: Tensor) -> list[Tensor]:
        """
        The five maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of the image.
        """
        stem = F.relu(self.rn.bn1(self.rn.conv1(image)), inplace=True)
        layer1 = self.dropout(self.rn.layer1(self.rn.maxpool(stem)))
        layer2 = self.dropout(self.rn.layer2(layer1))
        layer3 = self.dropout(self.rn.layer3(layer2))
        return [stem, layer1, layer2, layer3, self.dropout(self.rn.layer4(layer3))]


class ConvNormLeaky(nn.Module):
    """
    A 3x3 convolution, batch norm and leaky ReLU; one module deep, for the names of the public checkpoints.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(*conv_norm(inputs, outputs), nn.LeakyReLU(LEAKY_SLOPE, inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """
        (B, inputs, H, W) to (B, outputs, H, W).
        """
        out: Tensor = self.conv(x)
        return out


def _head(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        *conv_norm(inputs, inputs),
        nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
        nn.ReflectionPad2d(1),
        nn.Conv2d(inputs, outputs, 3),
    )


class KeypointDecoder(nn.Module):
    """
    From the deepest map upwards, joined by the encoder's maps; the heads branch off at 1/8 and 1/2.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        c1, c2, c3, c4 = config.channels
        head = config.head_channels
        self.upconv4_0 = ConvNormLeaky(c4, head)
        self.upconv4_1 = ConvNormLeaky(head + c3, head)
        self.upconv3_0 = ConvNormLeaky(head, head)
        self.upconv3_1 = ConvNormLeaky(head + c2, head)
        self.upconv2_0 = ConvNormLeaky(head, c2)
        self.upconv2_1 = ConvNormLeaky(c2 + c1, c2)
        self.upconv1_0 = ConvNormLeaky(c2, c1)
        self.upconv1_1 = ConvNormLeaky(c1 + c1, c1)
        self.scoreconv = _head(head, 1)
        self.locconv = _head(head, 2)
        self.featconv = _head(c1, config.descriptor_dim)

    def forward(self, maps: list[Tensor]) -> Heads:
        """
        The heads of the five maps of the encoder.
        """
        stem, layer1, layer2, layer3, x = maps
        x = self.upconv4_1(_join(self.upconv4_0(x), layer3))
        x = self.upconv3_1(_join(self.upconv3_0(x), layer2))
        score, offset = self.scoreconv(x), self.locconv(x)
        x = self.upconv2_1(_join(self.upconv2_0(x), layer1))
        x = self.upconv1_1(_join(self.upconv1_0(x), stem))
        return Heads(score, offset, self.featconv[:-1](x))


def _join(coarse: Tensor, fine: Tensor) -> Tensor:
    return torch.cat([F.interpolate(coarse, scale_factor=2, mode='nearest'), fine], dim=1)


class KeypointResnet(KeypointNetwork):
    """
    The encoder and decoder, under the names of the public checkpoints.

    The public code samples descriptors with one convention in training and another in evaluation; here both use
    that of training (:func:`kp2d_ros.networks.cells.sample_descriptors`).
    """

    size_multiple = 32
    descriptor_stride = 2

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.encoderK = KeypointEncoder(config)
        self.decoderK = KeypointDecoder(config)

    @property
    def last_layer(self) -> nn.Conv2d:
        """
        The 3x3 convolution from the penultimate map (already padded) to the descriptors.
        """
        return cast(nn.Conv2d, self.decoderK.featconv[-1])

    def heads(self, image: Tensor) -> Heads:
        """
        Run the layers on a normalised image (B, C, H, W).
        """
        heads: Heads = self.decoderK(self.encoderK(image))
        return heads
