# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a network in training says about pairs that it was not trained on, by the measures of the evaluation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kp2d_ros.core.records import Float32Array, Float64Array, ImageArray, Keypoints
from kp2d_ros.drawing.keypoints import draw_pair
from kp2d_ros.metrics.keypoint_scores import KeypointScores, mean_scores, score_keypoints
from kp2d_ros.networks.cells import points_from_map, sample_descriptors
from kp2d_ros.networks.network import KeypointMaps, KeypointNetwork
from kp2d_ros.pairs.pair_maker import PairBatch
from kp2d_ros.training.objective import network_input

_PICTURED = 3  # pairs in the picture of a validation


class Prediction(NamedTuple):
    """
    One image: all usable cells (score above 0) as keypoints, best first, and the scores of all cells (Hc, Wc).
    """

    keypoints: Keypoints
    score_map: Float32Array

    def on_photograph(self, valid: Tensor) -> Keypoints:
        """
        The keypoints that lie where ``valid`` (H, W), bool, says that the view shows its photograph.
        """
        xy, scores, descriptors = self.keypoints.xy, self.keypoints.scores, self.keypoints.descriptors
        column, row = np.round(xy).astype(np.intp).T
        shown = valid.cpu().numpy()[row, column]
        return Keypoints(xy[shown], scores[shown], descriptors[shown])


class Validation(NamedTuple):
    """
    The means over the pairs, by the name of their column (``val_matching_score``, ...), and an RGB picture of the first
    of them if one was asked for.
    """

    figures: dict[str, float]
    picture: ImageArray | None


def validate_network(network: KeypointNetwork, batches: Sequence[PairBatch], *, draw: bool = False) -> Validation:
    """
    Score a network in evaluation mode on pairs; points on the black around a photograph do not count.
    """
    scores: list[KeypointScores] = []
    pictures: list[ImageArray] = []
    for batch in batches:
        size = (batch.source.shape[-1], batch.source.shape[-2])
        views = zip(predict(network, batch.source), predict(network, batch.target), strict=True)
        for row, (source, target) in enumerate(views):
            found = (source.on_photograph(batch.source_valid[row, 0]), target.on_photograph(batch.target_valid[row, 0]))
            scores.append(score_keypoints(*found, pixel_homography(batch.target_from_source[row], *size), size))
            if draw and len(pictures) < _PICTURED:
                images = (_as_image(batch.source[row]), _as_image(batch.target[row]))
                pictures.append(draw_pair(images, found, (source.score_map, target.score_map)))
    figures = {f'val_{name}': value for name, value in dataclasses.asdict(mean_scores(scores)).items()}
    return Validation(figures, np.concatenate(pictures) if pictures else None)


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


def _as_image(view: Tensor) -> ImageArray:
    return np.ascontiguousarray((view * 255).round().byte().permute(1, 2, 0).cpu().numpy())
