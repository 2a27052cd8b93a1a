# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a training run shows: the progress bar, metrics.csv, TensorBoard, and the figures and pictures of its validation.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence

import numpy as np
from tqdm import tqdm

from kp2d_ros.core.records import ImageArray
from kp2d_ros.drawing.keypoints import draw_pair
from kp2d_ros.metrics.keypoint_scores import KeypointScores, mean_scores, score_keypoints
from kp2d_ros.networks.network import KeypointNetwork
from kp2d_ros.pairs.pair_maker import PairBatch
from kp2d_ros.training.prediction import (
    image_from_tensor,
    pixel_homography,
    points_on_photograph,
    predict,
)
from kp2d_ros.training.run_log import RunLog

_PICTURED = 3  # pairs in the picture of a validation


class TrainReporter:
    """
    Shows and writes down what the loop hands over.

    :param pairs: the batches to validate on.
    :param steps: of the whole run.
    :param step: that the run starts or goes on with.
    """

    def __init__(self, log: RunLog, pairs: Sequence[PairBatch], steps: int, step: int) -> None:
        self._log = log
        self._pairs = pairs
        self._step = step
        self._picture: ImageArray | None = None
        self._bar = tqdm(total=steps, initial=step, unit='step', mininterval=1.0)

    def close(self) -> None:
        """
        End the bar and the log.
        """
        self._bar.close()
        self._log.close()

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """
        Write the figures of a step, and show the most telling ones.
        """
        self._log.add(step, figures)
        if 'total' in figures:
            recall = f', recall {figures["recall"]:.2f}' if 'recall' in figures else ''
            self._bar.set_postfix_str(f'loss {figures["total"]:.3f}{recall}, {figures["pairs_per_second"]:.1f} pairs/s')
        if 'val_matching_score' in figures:
            self._bar.write(
                f'step {step}: repeatability {figures["val_repeatability"]:.3f}, '
                f'localisation {figures["val_localisation_px"]:.2f} px, '
                f'matching score {figures["val_matching_score"]:.3f}, recall {figures["val_recall"]:.3f}',
                file=sys.stderr,
            )
        if self._picture is not None:
            self._log.add_image(step, 'validation', self._picture)
            self._picture = None
        self._bar.update(step - self._step)
        self._step = step

    def validate(self, network: KeypointNetwork) -> dict[str, float]:
        """
        Means over the pairs held out; the first of them are drawn where a picture can be kept.

        Points on the black around a photograph do not count.
        """
        scores: list[KeypointScores] = []
        pictures: list[ImageArray] = []
        for batch in self._pairs:
            size = (batch.source.shape[-1], batch.source.shape[-2])
            views = zip(predict(network, batch.source), predict(network, batch.target), strict=True)
            for row, (source, target) in enumerate(views):
                homography = pixel_homography(batch.target_from_source[row], *size)
                found = (
                    points_on_photograph(source.keypoints, batch.source_valid[row, 0]),
                    points_on_photograph(target.keypoints, batch.target_valid[row, 0]),
                )
                scores.append(score_keypoints(*found, homography, size))
                if self._log.has_tensorboard and len(pictures) < _PICTURED:
                    images = (image_from_tensor(batch.source[row]), image_from_tensor(batch.target[row]))
                    pictures.append(draw_pair(images, found, (source.score_map, target.score_map)))
        self._picture = np.concatenate(pictures) if pictures else None
        return {f'val_{name}': value for name, value in dataclasses.asdict(mean_scores(scores)).items()}
