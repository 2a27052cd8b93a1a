# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What an IO-Net is worth after training, on pairs under known homographies: as a classifier of matches, as a filter
before RANSAC, and as the guide of its samples (NG-RANSAC, Brachmann and Rother 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from kp2d_ros.core.records import BoolArray, Float32Array, Float64Array, Keypoints, Matches
from kp2d_ros.core.settings import setting, validate
from kp2d_ros.evaluation.inlier.guided_ransac import find_homography
from kp2d_ros.metrics.homography_estimate import corner_error, correctness
from kp2d_ros.metrics.keypoint_pair import KeypointPair, Size
from kp2d_ros.odometry.matching import MatchingConfig, match
from kp2d_ros.odometry.ransac import RansacConfig, usac_params

Judge = Callable[[Keypoints, Keypoints, Matches, tuple[int, int]], Float32Array]
THRESHOLDS_PX = (1.0, 3.0, 5.0)
_FEWEST = 4  # matches of a homography
_CONFIDENCE = 0.999999  # OpenCV shall use the samples that it may


@dataclass(frozen=True, slots=True)
class InlierProtocol:
    """
    How an IO-Net is evaluated.
    """

    width: int = setting(320, 'columns that every image is resized to, the aspect not kept', minimum=16, maximum=8192)
    height: int = setting(240, 'rows that every image is resized to', minimum=16, maximum=8192)
    keypoints: int = setting(300, 'best keypoints of an image that are matched', minimum=4, maximum=100_000)
    right_px: float = setting(3.0, 'largest error of a match that counts as right', minimum=0.1, maximum=100.0)
    threshold: float = setting(0.5, 'matches of this probability and more count as right', minimum=0.0, maximum=1.0)
    ransac_px: float = setting(3.0, 'largest error of a match that agrees with a homography', minimum=0.1, maximum=50.0)
    iterations: tuple[int, ...] = setting((10, 30, 100, 300), 'numbers of samples to compare at', minimum=10)
    runs: int = setting(5, 'estimates of each pair, with other samples', minimum=1, maximum=1000)
    seed: int = setting(0, 'of the samples', minimum=0, maximum=2**31)

    def __post_init__(self) -> None:
        validate(self)

    @property
    def size(self) -> Size:
        """
        Width and height of every image.
        """
        return self.width, self.height


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """
    The M matches of a pair: (M,) whether they are right, their probability, and their descriptor score.
    """

    pair: KeypointPair
    matches: Matches
    right: BoolArray
    probability: Float32Array

    @property
    def source_xy(self) -> Float32Array:
        """
        (M, 2) the matched points of the source.
        """
        return self.pair.source.xy[self.matches.reference_index]

    @property
    def target_xy(self) -> Float32Array:
        """
        (M, 2) the matched points of the target.
        """
        return self.pair.target.xy[self.matches.current_index]


@dataclass(frozen=True, slots=True)
class ClassifierScore:
    """
    How matches are told apart, all pairs together; shares in [0, 1], NaN where there is nothing to divide by.

    ``right_share`` is what a classifier reaches in precision that takes every match. The average precisions are the
    areas under the curves of precision over recall: by IO-Net's output and by the descriptor distance alone.
    ``best_threshold`` is where the harmonic mean of precision and recall, ``best_f1``, is largest on these very
    matches.
    """

    match_count: int
    right_share: float
    precision: float
    recall: float
    average_precision: float
    distance_average_precision: float
    best_threshold: float
    best_f1: float


@dataclass(frozen=True, slots=True)
class SamplingScore:
    """
    Homographies by one way of sampling: for each run the share of the pairs within each of :data:`THRESHOLDS_PX` at the
    corners.
    """

    method: str
    iterations: int
    runs: tuple[tuple[float, ...], ...]

    @property
    def correctness(self) -> tuple[float, ...]:
        """
        Means over the runs.
        """
        return tuple(float(np.mean(shares)) for shares in zip(*self.runs, strict=True))


@dataclass(frozen=True, slots=True)
class InlierReport:
    """
    What an IO-Net is worth on a set of pairs.
    """

    pair_count: int
    classifier: ClassifierScore
    sampling: tuple[SamplingScore, ...]


def evaluate_inlier(
    pairs: Iterable[KeypointPair], judge: Judge, matching: MatchingConfig, protocol: InlierProtocol | None = None
) -> InlierReport:
    """
    Match the best points of each pair, let IO-Net judge the matches, and see what its judgement is good for.

    :param matching: which matches there are to judge, as the frontend finds them; ``ratio=1`` leaves many wrong ones.
    """
    protocol = protocol or InlierProtocol()
    judged = [judge_pair(pair, judge, matching) for pair in pairs]
    return InlierReport(
        len(judged),
        score_classifier(judged, protocol.threshold),
        tuple(_score_sampling(judged, method, count, protocol) for count in protocol.iterations for method in _METHODS),
    )


def judge_pair(pair: KeypointPair, judge: Judge, matching: MatchingConfig) -> JudgedPair:
    """
    The matches of the best points of a pair, with the truth and with what IO-Net says of them.
    """
    best = pair.best()
    matches = match(best.source, best.target, matching)
    width, height = pair.size
    errors_px = best.errors_px(np.stack([matches.reference_index, matches.current_index], axis=1))
    right = np.asarray(errors_px <= pair.threshold_px)
    return JudgedPair(best, matches, right, judge(best.source, best.target, matches, (height, width)))


def score_classifier(judged: Sequence[JudgedPair], threshold: float) -> ClassifierScore:
    """
    How well the probabilities tell right matches from wrong ones.
    """
    right = np.concatenate([np.empty(0, np.bool_), *(pair.right for pair in judged)])
    probability = np.concatenate([np.empty(0, np.float32), *(pair.probability for pair in judged)])
    by_distance = np.concatenate([np.empty(0, np.float32), *(pair.matches.scores for pair in judged)])
    taken = probability >= threshold
    hits = int(np.count_nonzero(taken & right))
    best_threshold, best_f1 = _best_threshold(probability, right)
    return ClassifierScore(
        match_count=len(right),
        right_share=_share(int(right.sum()), len(right)),
        precision=_share(hits, int(taken.sum())),
        recall=_share(hits, int(right.sum())),
        average_precision=average_precision(probability, right),
        distance_average_precision=average_precision(by_distance, right),
        best_threshold=best_threshold,
        best_f1=best_f1,
    )


def average_precision(scores: Float32Array, right: BoolArray) -> float:
    """
    Sum over the distinct scores, from the highest, of the gain in recall times the precision there; NaN if nothing is
    right.
    """
    if not right.any():
        return float('nan')
    curve = _curve(scores, right)
    gains = np.diff(curve.hits, prepend=0) / curve.hits[-1]
    return float(np.sum(gains * curve.hits / curve.taken))


class _Curve(NamedTuple):
    """
    For each distinct score, from the highest: how many matches reach it, and how many of these are right.
    """

    scores: Float32Array
    taken: npt.NDArray[np.int64]
    hits: npt.NDArray[np.int64]


def _curve(scores: Float32Array, right: BoolArray) -> _Curve:
    order = np.argsort(-scores, kind='stable')
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of each group of equal scores
    return _Curve(scores[order][last], last + 1, np.cumsum(right[order])[last])


def _best_threshold(scores: Float32Array, right: BoolArray) -> tuple[float, float]:
    if not right.any():
        return float('nan'), float('nan')
    curve = _curve(scores, right)
    f1 = 2 * curve.hits / (curve.taken + curve.hits[-1])
    best = int(np.argmax(f1))
    return float(curve.scores[best]), float(f1[best])


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float('nan')


@dataclass(frozen=True, slots=True)
class _Trial:
    """
    One estimate: how many samples, drawn from which seed, and what agrees.
    """

    iterations: int
    seed: int
    protocol: InlierProtocol


Sampler = Callable[[JudgedPair, _Trial], Float64Array | None]


def _score_sampling(
    judged: Sequence[JudgedPair], method: str, iterations: int, protocol: InlierProtocol
) -> SamplingScore:
    runs = []
    for run in range(protocol.runs):
        errors = []
        for number, pair in enumerate(judged):
            seed = int(np.random.SeedSequence((protocol.seed, number, run)).generate_state(1)[0] >> 1)
            errors.append(corner_error(pair.pair, _METHODS[method](pair, _Trial(iterations, seed, protocol))))
        runs.append(tuple(correctness(errors, limit) if errors else float('nan') for limit in THRESHOLDS_PX))
    return SamplingScore(method, iterations, tuple(runs))


def _weighted(weights: Callable[[JudgedPair], npt.NDArray[np.floating] | None]) -> Sampler:
    """
    Exactly so many samples, drawn by weights.
    """

    def estimate(pair: JudgedPair, trial: _Trial) -> Float64Array | None:
        rng, limit_px = np.random.default_rng(trial.seed), trial.protocol.ransac_px
        return find_homography(pair.source_xy, pair.target_xy, weights(pair), trial.iterations, rng, limit_px)

    return estimate


def _filtered(pair: JudgedPair, trial: _Trial) -> Float64Array | None:
    """
    Uniform samples of the matches that IO-Net takes for right, of all if it leaves too few; only they are counted.
    """
    keep = pair.probability >= trial.protocol.threshold
    rows = np.flatnonzero(keep) if keep.sum() >= _FEWEST else np.arange(len(keep))
    rng, limit_px = np.random.default_rng(trial.seed), trial.protocol.ransac_px
    return find_homography(pair.source_xy[rows], pair.target_xy[rows], None, trial.iterations, rng, limit_px)


def _opencv(quality: Callable[[JudgedPair], npt.NDArray[np.floating]] | None) -> Sampler:
    """
    OpenCV's USAC, which refines good samples as it goes: uniform, or PROSAC (Chum and Matas 2005) by a quality.
    """

    def estimate(pair: JudgedPair, trial: _Trial) -> Float64Array | None:
        if len(pair.matches) < _FEWEST:
            return None
        config = RansacConfig(
            threshold_px=trial.protocol.ransac_px,
            confidence=_CONFIDENCE,
            max_iterations=trial.iterations,
            guided=quality is not None,
            seed=trial.seed,
        )
        params = usac_params(config, 1.0)
        order = np.arange(len(pair.matches)) if quality is None else np.argsort(-quality(pair), kind='stable')
        found, _ = cv2.findHomography(pair.source_xy[order], pair.target_xy[order], params)
        return None if found is None else np.asarray(found, np.float64)

    return estimate


_METHODS: dict[str, Sampler] = {
    'uniform': _weighted(lambda pair: None),
    'guided': _weighted(lambda pair: pair.probability),
    'filtered': _filtered,
    'opencv uniform': _opencv(None),
    'opencv prosac by distance': _opencv(lambda pair: pair.matches.scores),
    'opencv prosac by io-net': _opencv(lambda pair: pair.probability),
}
