# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a keypoint network says about a batch of images.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


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
