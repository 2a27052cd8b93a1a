# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Runs methods over pairs of images under known homographies: figures for each pair, and the time for each image.

What methods find is kept on disk, so that an evaluation that was interrupted, or that is widened, goes on from there.
"""

from __future__ import annotations

import math
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from kp2d_ros.core.errors import DataError, ShapeError
from kp2d_ros.core.files import atomic_path
from kp2d_ros.core.records import BoolArray, ImageArray, Keypoints
from kp2d_ros.evaluation.fingerprint import hash_image, read_versions
from kp2d_ros.evaluation.keypoints.methods import Method
from kp2d_ros.metrics.homography_estimate import area_under_curve, correctness, homography_errors
from kp2d_ros.metrics.keypoint_pair import KeypointPair, Size
from kp2d_ros.metrics.keypoint_protocol import (
    ACCURACY_PX,
    CORNER_PX,
    KeypointProtocol,
    resize_for,
    scale_homography,
)
from kp2d_ros.metrics.keypoint_scores import (
    match_errors,
    matching_accuracy,
    matching_recall,
    matching_score,
    score_detector,
)
from kp2d_ros.pairs.homography_sets import HomographyPair, HomographySet, set_fingerprint

_DAMAGED = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, ShapeError)
_KEPT_IMAGES = 8  # a sequence has six


@dataclass(frozen=True, slots=True)
class DataFacts:
    """
    What an evaluation of pairs ran on, and with which versions of everything.

    ``fingerprint`` is a hash over the images as they were seen and over the homographies.
    """

    name: str
    fingerprint: str
    pairs: int
    images: int
    sequences: int
    versions: Mapping[str, str]

    def report_head(self, kind: str, version: int, settings: Mapping[str, Any]) -> dict[str, Any]:
        """
        What every report of such an evaluation begins with, as JSON values.
        """
        dataset = {name: value for name, value in asdict(self).items() if name != 'versions'}
        return {
            'kind': kind,
            'version': version,
            'dataset': dataset,
            'settings': dict(settings),
            'versions': dict(self.versions),
        }


@dataclass(frozen=True, slots=True)
class Prediction:
    """
    What a method found in one image, and how long that took.
    """

    keypoints: Keypoints
    milliseconds: float


@dataclass(frozen=True, slots=True)
class PairResult:
    """
    What one pair says of a method: figures by name, NaN where it says nothing.

    See :data:`kp2d_ros.evaluation.keypoints.summary.FIGURES` for what they mean.
    """

    pair: HomographyPair
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class MethodResult:
    """
    What all pairs say of a method.

    ``milliseconds`` and ``keypoint_counts`` are by image; ``reused_count`` of the images came from the cache, with the
    time that they once took.
    """

    name: str
    facts: Mapping[str, Any]
    fingerprint: str
    pairs: Sequence[PairResult]
    milliseconds: Sequence[float]
    keypoint_counts: Sequence[int]
    reused_count: int


@dataclass(frozen=True, slots=True, eq=False)
class PreparedImage:
    """
    An image at the size of the protocol, its size before, and where it shows the scene (None: everywhere).
    """

    image: ImageArray
    original_size: Size
    valid: BoolArray | None


class PredictionCache:
    """
    One file for each method and image: ``FOLDER/METHOD/IMAGE.npz``, plain arrays, never pickles.

    Both are named by hashes: another version of OpenCV, other weights, another size of the image are other files.
    Nothing is ever out of date; the folder may be deleted at any time.

    :param folder: None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def load(self, method: str, image: str) -> Prediction | None:
        """
        What was kept for the fingerprints of a method and an image; None if there is nothing, or it is damaged.
        """
        if self._folder is None:
            return None
        try:
            with np.load(self._folder / method / f'{image}.npz', allow_pickle=False) as stored:
                keypoints = Keypoints(stored['xy'], stored['scores'], stored['descriptors'])
                return Prediction(keypoints, float(stored['milliseconds']))
        except _DAMAGED:
            return None

    def store(self, method: str, image: str, prediction: Prediction) -> None:
        """
        Keep a prediction.

        :raises DataError: if the folder cannot be written.
        """
        if self._folder is None:
            return
        found, took = prediction.keypoints, np.float64(prediction.milliseconds)
        with atomic_path(self._folder / method / f'{image}.npz') as part:
            np.savez(part, xy=found.xy, scores=found.scores, descriptors=found.descriptors, milliseconds=took)


class EvaluationDesk:
    """
    Hands out resized images, what methods find in them, and pairs ready to be compared; the latest ones are kept.

    ``pairs`` are those that the protocol does not leave out; ``reused`` counts, by method, the images whose keypoints
    came from the cache.

    :raises DataError: if the protocol leaves out all pairs.
    """

    def __init__(self, images: HomographySet, protocol: KeypointProtocol, cache: PredictionCache) -> None:
        self._images = images
        self._cache = cache
        self._warm: set[str] = set()
        self._fingerprints: dict[str, str] = {}  # of the images seen so far, by name
        self.protocol = protocol
        self.pairs = [pair for pair in images.pairs if not protocol.leaves_out(pair.sequence)]
        if not self.pairs:
            raise DataError(f'{images.name}: every sequence is left out by exclude={",".join(protocol.exclude)}')
        self.reused: Counter[str] = Counter()
        self.prepare = lru_cache(maxsize=_KEPT_IMAGES)(self._prepare)
        self.predict = lru_cache(maxsize=_KEPT_IMAGES)(self._predict)

    def keypoint_pair(self, method: Method, pair: HomographyPair) -> KeypointPair:
        """
        What a method finds in both images of a pair, as far as they show the scene.
        """
        source, target = self.prepare(pair.source), self.prepare(pair.target)
        return KeypointPair(
            source=self.predict(method, pair.source).keypoints,
            target=self.predict(method, pair.target).keypoints,
            target_from_source=scale_homography(
                self.protocol, pair.target_from_source, source.original_size, target.original_size
            ),
            size=self.protocol.size,
            count=self.protocol.keypoints,
            threshold_px=self.protocol.threshold_px,
        )

    def facts(self) -> DataFacts:
        """
        What was evaluated, once all pairs were seen.
        """
        return DataFacts(
            name=self._images.name,
            fingerprint=set_fingerprint(self.pairs, self._fingerprints),
            pairs=len(self.pairs),
            images=len(self._fingerprints),
            sequences=len({pair.sequence for pair in self.pairs}),
            versions=read_versions(),
        )

    def _prepare(self, name: str) -> PreparedImage:
        view = self._images.read(name)
        resized = resize_for(self.protocol, view.image)
        self._fingerprints[name] = hash_image(resized)
        return PreparedImage(resized, (view.image.shape[1], view.image.shape[0]), view.valid)

    def _predict(self, method: Method, name: str) -> Prediction:
        prepared = self.prepare(name)
        kept = self._cache.load(method.fingerprint, self._fingerprints[name])
        if kept is None:
            kept = self._detect(method, prepared.image)
            self._cache.store(method.fingerprint, self._fingerprints[name], kept)
        else:
            self.reused[method.name] += 1
        return Prediction(_shown(kept.keypoints, prepared.valid), kept.milliseconds)

    def _detect(self, method: Method, image: ImageArray) -> Prediction:
        if method.name not in self._warm:  # the first image of a network waits for its runtime
            method.detect(image)
            self._warm.add(method.name)
        start = time.perf_counter()
        keypoints = method.detect(image)
        return Prediction(keypoints, 1e3 * (time.perf_counter() - start))


def evaluate_keypoints(
    desk: EvaluationDesk, methods: Sequence[Method], on_pair: Callable[[str], None] = lambda method: None
) -> list[MethodResult]:
    """
    Run every method over every pair.

    :param on_pair: called after each pair with the name of the method, for a progress bar.
    :raises DataError: if an image cannot be read, or a prediction not be kept.
    """
    results = []
    for method in methods:
        found: dict[str, Prediction] = {}
        scored = []
        for pair in desk.pairs:
            scored.append(PairResult(pair, pair_figures(desk.keypoint_pair(method, pair), desk.protocol)))
            found |= {name: desk.predict(method, name) for name in (pair.source, pair.target)}
            on_pair(method.name)
        results.append(
            MethodResult(
                name=method.name,
                facts=method.facts,
                fingerprint=method.fingerprint,
                pairs=scored,
                milliseconds=[prediction.milliseconds for prediction in found.values()],
                keypoint_counts=[len(prediction.keypoints) for prediction in found.values()],
                reused_count=desk.reused[method.name],
            )
        )
    return results


def pair_figures(pair: KeypointPair, protocol: KeypointProtocol) -> dict[str, float]:
    """
    All figures of one pair by name; NaN where the pair says nothing.
    """
    detector = score_detector(pair)
    errors = homography_errors(pair, protocol)
    matches = match_errors(pair)
    left_out = detector.is_empty and not protocol.average_empty
    figures = {
        'repeatability': math.nan if left_out else detector.repeatability,
        'one_to_one': detector.one_to_one,
        'localisation_px': math.nan if left_out else detector.localisation_px,
        'matching_score': matching_score(pair.in_common_view() if protocol.covisible_matching else pair),
        'recall': matching_recall(pair),
        'corner_error_px': float(np.median(errors.shuffled_px)),
        'in_view': (detector.source_count + detector.target_count) / 2,
        'matches': float(len(matches)),
    }
    for threshold in CORNER_PX:
        figures[f'correct_{threshold}'] = correctness(errors.shuffled_px, threshold)
        figures[f'correct_{threshold}_rising'] = correctness([errors.rising_px], threshold)
        figures[f'auc_{threshold}'] = area_under_curve(errors.shuffled_px, threshold)
    accuracy = matching_accuracy(matches, ACCURACY_PX)
    return figures | {f'accuracy_{t}': share for t, share in zip(ACCURACY_PX, accuracy, strict=True)}


def _shown(keypoints: Keypoints, valid: BoolArray | None) -> Keypoints:
    """
    The keypoints on pixels that show the scene.
    """
    if valid is None or len(keypoints) == 0:
        return keypoints
    limit = np.array(valid.shape[::-1]) - 1
    column, row = np.clip(np.rint(keypoints.xy), 0, limit).astype(np.intp).T
    return keypoints.take(valid[row, column])
