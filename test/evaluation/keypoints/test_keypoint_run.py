# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
All figures of a pair against the protocol written out in loops, and the run over a set.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Keypoints
from kp2d_ros.evaluation.keypoints.methods import Method, MethodRules, ModelConfig, build_methods
from kp2d_ros.evaluation.keypoints.run import EvaluationDesk, PredictionCache, evaluate_keypoints, pair_figures
from kp2d_ros.inference.models import resolve
from kp2d_ros.metrics.keypoint_pair import KeypointPair
from kp2d_ros.metrics.keypoint_protocol import KeypointProtocol
from kp2d_ros.pairs.homography_sets import SyntheticConfig, open_hpatches, open_synthetic

W, H = 80, 60
BENT = np.array([[0.95, 0.05, 3.0], [-0.04, 1.02, -2.0], [2e-4, -1e-4, 1.0]])
SMALL = KeypointProtocol(width=144, height=96, top_k=60, orders=2)


class Oracle:
    """
    The protocol in the words of its description, one point after the other; shares no code with the package.
    """

    def __init__(self, source: Any, target: Any, homography: NDArray[Any], count: int) -> None:
        self.homography, self.back = homography, np.linalg.inv(homography)
        # Lists of (score, point, descriptor), in the order of rising scores.
        self.a, self.b = (
            sorted(zip(k.scores.tolist(), k.xy.tolist(), k.descriptors.tolist(), strict=True), key=lambda row: row[0])
            for k in (source, target)
        )
        self.count = count

    @staticmethod
    def move(matrix: NDArray[Any], point: NDArray[Any]) -> Any:
        x, y, w = matrix @ np.array([point[0], point[1], 1.0])
        return (x / w, y / w) if abs(w) > 1e-12 else (math.nan, math.nan)

    @staticmethod
    def apart(p: Any, q: Any) -> Any:
        return math.hypot(p[0] - q[0], p[1] - q[1])

    @staticmethod
    def in_image(point: NDArray[Any]) -> Any:
        return 0 <= point[0] < W and 0 <= point[1] < H

    def top(self, rows: Any) -> Any:
        return rows[max(len(rows) - self.count, 0) :]

    def in_view(self) -> tuple[Any, Any]:
        a = self.top([row for row in self.a if self.in_image(self.move(self.homography, row[1]))])
        return a, self.top([row for row in self.b if self.in_image(self.move(self.back, row[1]))])

    def detector(self) -> tuple[Any, ...]:
        a, b = self.in_view()
        if len(a) + len(b) == 0:
            return -1.0, -1.0
        moved = [self.move(self.homography, row[1]) for row in a]
        near = [min((self.apart(p, row[1]) for row in b), default=math.inf) for p in moved]
        near += [min((self.apart(p, row[1]) for p in moved), default=math.inf) for row in b]
        hits = [distance for distance in near if distance <= 3]
        return len(hits) / (len(a) + len(b)), sum(hits) / len(hits) if hits else math.nan

    @staticmethod
    def unlike(p: Any, q: Any) -> Any:
        return math.sqrt(sum((x - y) ** 2 for x, y in zip(p, q, strict=True)))

    def nearest(self, descriptor: Any, rows: Any) -> Any:
        found = 0
        for i in range(1, len(rows)):
            if self.unlike(descriptor, rows[i][2]) < self.unlike(descriptor, rows[found][2]):
                found = i
        return found

    def mutual(self, a: Any, b: Any) -> list[Any]:
        if not a or not b:
            return []
        there = [self.nearest(row[2], b) for row in a]
        return [(i, j) for i, j in enumerate(there) if self.nearest(b[j][2], a) == i]

    def matching_score(self) -> Any:
        a, b = self.top(self.a), self.top(self.b)
        if not a or not b:
            return 0.0
        shares = []
        for queries, others, back in ((a, b, self.back), (b, a, self.homography)):
            visible = right = 0
            for _, point, descriptor in queries:
                place = self.move(back, others[self.nearest(descriptor, others)][1])
                if 0 <= place[0] <= W - 1 and 0 <= place[1] <= H - 1:
                    visible += 1
                    right += self.apart(place, point) < 3
            shares.append(right / max(visible, 1))
        return sum(shares) / 2

    def accuracy(self, threshold: Any) -> Any:
        a, b = self.top(self.a), self.top(self.b)
        errors = [self.apart(self.move(self.homography, a[i][1]), b[j][1]) for i, j in self.mutual(a, b)]
        return sum(error <= threshold for error in errors) / len(errors) if errors else 0.0

    def corner_error(self) -> Any:
        a, b = self.in_view()
        pairs = self.mutual(a, b)
        if len(pairs) < 4:
            return math.inf
        source, target = np.float32([a[i][1] for i, _ in pairs]), np.float32([b[j][1] for _, j in pairs])
        found, _ = cv2.findHomography(source, target, cv2.RANSAC, 3, maxIters=5000)
        if found is None:
            return math.inf
        corners = [(0, 0), (0, H - 1), (W - 1, 0), (W - 1, H - 1)]
        return sum(self.apart(self.move(self.homography, c), self.move(found, c)) for c in corners) / 4


def points(rng: np.random.Generator, count: int) -> Keypoints:
    descriptors = rng.normal(size=(count, 8))
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    return Keypoints(
        rng.uniform((0, 0), (W, H), (count, 2)).astype(np.float32),
        rng.permutation(count).astype(np.float32),
        descriptors.astype(np.float32),
    )


def seen_again(
    rng: np.random.Generator, keypoints: Any, homography: NDArray[Any], noise_px: Any, noise: Any
) -> Keypoints:
    """
    What another view sees of some points, with errors in place and descriptor, and a few points of its own.
    """
    moved = np.array([Oracle.move(homography, point) for point in keypoints.xy])
    moved += rng.normal(0, noise_px, moved.shape)
    descriptors = keypoints.descriptors + noise * rng.normal(size=keypoints.descriptors.shape)
    own = points(rng, 6)
    kept = (moved >= 0).all(axis=1) & (moved < (W, H)).all(axis=1)
    xy, descriptors = np.concatenate([moved[kept], own.xy]), np.concatenate([descriptors[kept], own.descriptors])
    scores = rng.permutation(len(xy)).astype(np.float32)
    return Keypoints(xy.astype(np.float32), scores, descriptors.astype(np.float32))


def check(source: Any, target: Any, homography: NDArray[Any], count: int) -> Any:
    protocol = KeypointProtocol(width=W, height=H, top_k=count, orders=1)
    found = pair_figures(KeypointPair(source, target, homography, (W, H), count), protocol)
    oracle = Oracle(source, target, homography, count)
    rep, loc = oracle.detector()
    assert found['repeatability'] == pytest.approx(rep, abs=1e-9)
    assert found['localisation_px'] == pytest.approx(loc, abs=1e-5, nan_ok=True)
    assert found['matching_score'] == pytest.approx(oracle.matching_score())
    for threshold in (1, 3, 10):
        assert found[f'accuracy_{threshold}'] == pytest.approx(oracle.accuracy(threshold))
    error = oracle.corner_error()
    for threshold in (1, 3, 5):
        assert found[f'correct_{threshold}_rising'] == float(error <= threshold)
    return found


@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('count', [12, 300])
def test_equals_the_protocol_in_loops(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    source = points(rng, 40)
    target = seen_again(rng, source, BENT, 0.3 * (seed + 1), 0.05 * (seed + 1))
    found = check(source, target, BENT, count)
    assert 0 < found['repeatability'] < 1


@pytest.mark.parametrize('counts', [(0, 0), (0, 3), (3, 0), (1, 1), (3, 3), (4, 4), (5, 1)])
def test_equals_the_protocol_with_hardly_any_points(rng: np.random.Generator, counts: tuple[int, int]) -> None:
    source, target = (points(rng, count) for count in counts)
    check(source, target, BENT, 300)


def test_equals_the_protocol_where_descriptors_are_alike(rng: np.random.Generator) -> None:
    source = points(rng, 20)
    alike = Keypoints(source.xy, source.scores, np.repeat(source.descriptors[:4], 5, axis=0))
    target = seen_again(rng, alike, BENT, 0.5, 0.0)
    check(alike, target, BENT, 15)


def test_equals_the_protocol_for_points_on_a_line_and_at_infinity(rng: np.random.Generator) -> None:
    line = np.stack([np.linspace(1, 70, 12), np.full(12, 20)], axis=1).astype(np.float32)
    source = points(rng, 12)
    source = Keypoints(line, source.scores, source.descriptors)
    check(source, source, np.eye(3), 300)
    horizon = np.array([[1.0, 0, 0], [0, 1, 0], [1 / 20, 0, -1]])
    exact = Keypoints(np.concatenate([line[:11], np.float32([[20, 20]])]), source.scores, source.descriptors)
    check(exact, exact, horizon, 300)


def test_the_same_image_is_perfect(rng: np.random.Generator) -> None:
    keypoints = points(rng, 30)
    found = pair_figures(KeypointPair(keypoints, keypoints, np.eye(3), (W, H)), KeypointProtocol(width=W, height=H))
    for name in ('repeatability', 'one_to_one', 'matching_score', 'recall', 'correct_1', 'accuracy_1'):
        assert found[name] == 1.0, name
    assert found['localisation_px'] == 0.0 and found['auc_1'] == pytest.approx(1, abs=1e-3)


def test_disjoint_views_count_as_the_setting_says(rng: np.random.Generator) -> None:
    keypoints = points(rng, 30)
    away = np.array([[1.0, 0, 500], [0, 1, 0], [0, 0, 1]])
    pair = KeypointPair(keypoints, keypoints, away, (W, H))
    public = pair_figures(pair, KeypointProtocol(width=W, height=H))
    assert public['repeatability'] == public['localisation_px'] == -1.0
    assert public['matching_score'] == public['correct_5'] == public['auc_5'] == public['accuracy_10'] == 0.0
    assert math.isinf(public['corner_error_px']) and math.isnan(public['one_to_one'])
    mended = pair_figures(pair, KeypointProtocol(width=W, height=H, average_empty=False))
    assert math.isnan(mended['repeatability']) and math.isnan(mended['localisation_px'])


def test_binary_descriptors_are_compared_by_their_bits(rng: np.random.Generator) -> None:
    keypoints = points(rng, 25)
    bits = Keypoints(keypoints.xy, keypoints.scores, rng.integers(0, 256, (25, 4), dtype=np.uint8))
    found = pair_figures(KeypointPair(bits, bits, np.eye(3), (W, H)), KeypointProtocol(width=W, height=H))
    assert found['matching_score'] == found['accuracy_1'] == found['correct_1'] == 1.0


def run(
    images: NDArray[Any],
    protocol: Any = SMALL,
    folder: Any = None,
    names: tuple[str, str] = ('opencv-orb', 'opencv-sift'),
) -> Any:
    methods = build_methods(names, MethodRules(protocol.candidates), ModelConfig())
    desk = EvaluationDesk(images, protocol, PredictionCache(folder))
    seen = []
    results = evaluate_keypoints(desk, methods, seen.append)
    assert seen == [name for name in names for _ in results[0].pairs]
    return results


def test_a_set_with_known_shifts_is_nearly_perfect(hpatches: Path) -> None:
    for result in run(open_hpatches(hpatches)):
        flat, shifted = result.pairs[:5], result.pairs[5:]
        for pair in flat:
            assert pair.figures['repeatability'] == pair.figures['correct_1'] == pair.figures['accuracy_1'] == 1
        assert np.mean([pair.figures['accuracy_1'] for pair in shifted]) > 0.8
        if result.name == 'opencv-sift':  # ORB finds nothing near the edges of such small images
            assert np.mean([pair.figures['correct_3'] for pair in shifted]) > 0.7
        assert len(result.milliseconds) == 12 and min(result.milliseconds) > 0


def test_homographies_are_scaled_with_the_images(hpatches: Path) -> None:
    halved = KeypointProtocol(width=72, height=96, top_k=60, orders=1)
    desk = EvaluationDesk(open_hpatches(hpatches), halved, PredictionCache(None))
    (method,) = build_methods(['opencv-sift'], MethodRules(60), ModelConfig())
    pair = desk.keypoint_pair(method, desk.pairs[-1])
    assert pair.target_from_source.tolist() == [[1, 0, -10], [0, 1, 0], [0, 0, 1]]


def test_an_interrupted_run_goes_on_from_what_was_kept(hpatches: Path, tmp_path: Path) -> None:
    images, folder = open_hpatches(hpatches), tmp_path / 'cache'
    calls = []

    def make(limit: Any) -> Method:
        (sift,) = build_methods(['opencv-sift'], MethodRules(SMALL.candidates), ModelConfig())

        def detect(image: NDArray[Any]) -> Any:
            calls.append(1)
            if len(calls) > limit:
                raise KeyboardInterrupt
            return sift.detect(image)

        return Method('opencv-sift', sift.facts, detect, sift.choice)

    with pytest.raises(KeyboardInterrupt):
        evaluate_keypoints(EvaluationDesk(images, SMALL, PredictionCache(folder)), [make(5)])
    kept = len(list(folder.rglob('*.npz')))
    assert kept == 4  # of five calls the first one warms up; i_flat has one image six times, so nothing is seen twice
    calls.clear()
    again = evaluate_keypoints(EvaluationDesk(images, SMALL, PredictionCache(folder)), [make(99)])[0]
    fresh = run(images, names=('opencv-sift',))[0]
    assert [pair.figures for pair in again.pairs] == [pair.figures for pair in fresh.pairs]
    assert again.reused_count >= kept


def test_points_beside_the_photograph_do_not_count(tmp_path: Path, rng: np.random.Generator) -> None:
    noise = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / 'one.png'), cv2.resize(noise, (240, 160), interpolation=cv2.INTER_CUBIC))
    images = open_synthetic(tmp_path, (144, 96), SyntheticConfig(pairs=12))
    desk = EvaluationDesk(images, SMALL, PredictionCache(None))
    everywhere = np.stack(np.meshgrid(np.arange(144), np.arange(96)), axis=-1).reshape(-1, 2).astype(np.float32)
    count = len(everywhere)
    keypoints = Keypoints(everywhere, np.ones(count, np.float32), np.ones((count, 1), np.float32))
    method = Method('all', {}, lambda image: keypoints, resolve('sift'))
    reaching_out = [p for p in images.pairs if images.read(p.target).valid is not None]
    assert reaching_out
    for pair in reaching_out:
        valid = images.read(pair.target).valid
        assert len(desk.predict(method, pair.target).keypoints) == np.count_nonzero(valid)


def test_sequences_are_left_out_by_name(hpatches: Path) -> None:
    images = open_hpatches(hpatches)
    left = EvaluationDesk(images, KeypointProtocol(exclude=('i_flat', 'large')), PredictionCache(None)).pairs
    assert {pair.sequence for pair in left} == {'v_shift'}
    with pytest.raises(DataError, match='every sequence is left out'):
        EvaluationDesk(images, KeypointProtocol(exclude=('i_flat', 'v_shift')), PredictionCache(None))
