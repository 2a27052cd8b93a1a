# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a network in training says about a batch of images, as keypoints that the metrics understand.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kp2d_ros.core.records import Float32Array, Float64Array, ImageArray, Keypoints
from kp2d_ros.networks.cells import points_from_map, sample_descriptors
from kp2d_ros.networks.network import KeypointMaps, KeypointNetwork


def network_input(images: Tensor, *, use_color: bool) -> Tensor:
    """
    RGB images (B, 3, H, W) as a network wants them: as they are, or their mean as one channel, as in inference.
    """
    return images if use_color else images.mean(dim=1, keepdim=True)


class Prediction(NamedTuple):
    """
    One image: all usable cells (score above 0) as keypoints, best first, and the scores of all cells (Hc, Wc).
    """

    keypoints: Keypoints
    score_map: Float32Array


@torch.no_grad()
def predict(network: KeypointNetwork, images: Tensor) -> list[Prediction]:
    """
    What the network sees in each image of a batch (B, 3, H, W) in [0, 1].
    """
    height, width = images.shape[-2:]
    maps: KeypointMaps = network(network_input(images, use_color=network.config.use_color))
    xy = points_from_map(maps.xy)
    descriptors = sample_descriptors(maps.descriptors, xy, width, height)
    predictions = []
    for score_map, points, described in zip(maps.score[:, 0].float(), xy, descriptors, strict=True):
        score = score_map.flatten()
        order = torch.argsort(score, descending=True, stable=True)
        order = order[score[order] > 0]
        keypoints = Keypoints(*(t[order].float().cpu().numpy() for t in (points, score, described)))
        predictions.append(Prediction(keypoints, score_map.cpu().numpy()))
    return predictions


def pixel_homography(normalised: Tensor, width: int, height: int) -> Float64Array:
    """
    A (3, 3) homography between normalised coordinates as one between pixels of images of this size.
    """
    half = np.array([(width - 1) / 2, (height - 1) / 2, 1.0])
    pixels_from_normalised = np.diag(half) @ np.array([[1.0, 0, 1], [0, 1, 1], [0, 0, 1]])
    matrix = normalised.detach().cpu().double().numpy()
    return np.asarray(pixels_from_normalised @ matrix @ np.linalg.inv(pixels_from_normalised))


def points_on_photograph(keypoints: Keypoints, valid: Tensor) -> Keypoints:
    """
    The keypoints that lie where ``valid`` (H, W), bool, says that the view shows its photograph.
    """
    column, row = np.round(keypoints.xy).astype(np.intp).T
    shown = valid.cpu().numpy()[row, column]
    return Keypoints(keypoints.xy[shown], keypoints.scores[shown], keypoints.descriptors[shown])


def image_from_tensor(image: Tensor) -> ImageArray:
    """
    A view (3, H, W) in [0, 1] as an RGB image (H, W, 3).
    """
    return np.ascontiguousarray((image * 255).round().byte().permute(1, 2, 0).cpu().numpy())
