# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
KeypointNet: the network of KP2D (Tang et al., ICLR 2020), versions V0 to V4, and narrower ones of the same form.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kp2d_ros.networks.config import NetworkConfig
from kp2d_ros.networks.network import Heads, KeypointNetwork, conv_norm, dropout, leaky


class KeypointNet(KeypointNetwork):
    """
    Four stages of two convolutions, and a head each for score (D), location (P) and descriptor (F).

    The layers have the names of the public KP2D checkpoints, so that those load unchanged. Without upsampling
    there is no ``convFb``: the public code keeps its unused parameters.
    """

    size_multiple = 8

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        c1, c2, c3, c4 = config.channels
        head, tail = config.head_channels, config.tail_channels
        self.descriptor_stride = 4 if config.do_upsample else 8
        self.conv1a = conv_norm(config.image_channels, c1)
        self.conv1b = conv_norm(c1, c1)
        self.conv2a = conv_norm(c1, c2)
        self.conv2b = conv_norm(c2, c2)
        self.conv3a = conv_norm(c2, c3)
        self.conv3b = conv_norm(c3, c3)
        self.conv4a = conv_norm(c3, c4)
        self.conv4b = conv_norm(c4, c4)
        self.convDa = conv_norm(c4, head)
        self.convDb = nn.Conv2d(head, 1, 3, padding=1)
        self.convPa = conv_norm(c4, head)
        self.convPb = nn.Conv2d(head, 2, 3, padding=1)
        self.convFa = conv_norm(c4, head)
        if config.do_upsample:
            self.convFb = conv_norm(head, 4 * config.upsample_channels)
        self.convFaa = conv_norm(config.upsample_channels + c3 if config.do_upsample else head, tail)
        self.convFbb = nn.Conv2d(tail, config.descriptor_dim, 3, padding=1)
        self.dropout = dropout(config)
        self.pool = nn.MaxPool2d(2)
        self.shuffle = nn.PixelShuffle(2)

    @property
    def last_layer(self) -> nn.Conv2d:
        """
        The 3x3 convolution from the penultimate map to the descriptors.
        """
        return self.convFbb

    def heads(self, image: Tensor) -> Heads:
        """
        Run the layers on a normalised image (B, C, H, W).
        """
        x = self.pool(self.dropout(leaky(self.conv1b(leaky(self.conv1a(image))))))
        x = self.pool(self.dropout(leaky(self.conv2b(leaky(self.conv2a(x))))))
        skip = self.dropout(leaky(self.conv3b(leaky(self.conv3a(x)))))
        x = self.dropout(leaky(self.conv4b(leaky(self.conv4a(self.pool(skip))))))
        score = self.convDb(self.dropout(leaky(self.convDa(x))))
        offset = self.convPb(self.dropout(leaky(self.convPa(x))))
        tail = self.dropout(leaky(self.convFa(x)))
        if self.config.do_upsample:
            tail = torch.cat([self.shuffle(self.convFb(tail)), skip], dim=1)
        return Heads(score, offset, leaky(self.convFaa(tail)))
