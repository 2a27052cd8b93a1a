# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
IO-Net's loss against loops over points, by hand, and where nothing is left to compare.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from kp2d_ros.core.settings import build
from kp2d_ros.networks.inlier_net import InlierConfig, InlierNet
from kp2d_ros.training.config import InlierLossConfig, LossConfig
from kp2d_ros.training.losses.inlier import PointSet, inlier_loss, inlier_pairs, lowest_scores

ALONE = {'location': {'weight': 0.0}, 'score': {'weight': 0.0}, 'descriptor': {'type': 'none'}}
NET = np.array((0.3, -0.7, 0.2, 0.9, -1.1))  # the linear IO-Net of the fixture


def lowest(scores: Any, count: int) -> Any:
    """
    The cells of the lowest scores, in raster order.
    """
    return sorted(sorted(range(len(scores)), key=lambda i: (scores[i], i))[:count])


def oracle_features(slow: Any, views: Any, config: Any) -> list[Any]:
    """
    For each image a list of (the five inputs of IO-Net, error in pixels).
    """
    width, height = views.size
    images = []
    for b in range(len(views.homography)):
        source, target = slow.points(views.source_xy[b]), slow.points(views.target_xy[b])
        u = [slow.descriptor(views.source_map[b], p, views.size) for p in source]
        v = [slow.descriptor(views.target_map[b], p, views.size) for p in target]
        s, t = views.source_score[b].ravel(), views.target_score[b].ravel()
        separate = config.selection == 'separate'
        rows = lowest(s, config.pair_count) if separate else range(len(source))
        columns = lowest(t, config.pair_count) if separate else range(len(target))
        pairs = []
        for i in rows:
            apart = [math.sqrt(max(2 - 2 * float(u[i] @ v[j]), 0.0)) for j in columns]
            best = int(np.argmin(apart))
            (x, y), (x2, y2) = source[i], target[columns[best]]
            wx, wy, _ = slow.warp((x, y), views.homography[b], views.size)
            place = [2 * c / (side - 1) - 1 for c, side in ((x, width), (y, height), (x2, width), (y2, height))]
            pairs.append((np.array([*place, apart[best]]), math.hypot(wx - x2, wy - y2), s[i] + t[columns[best]]))
        if not separate:
            pairs = [pairs[k] for k in lowest([score for *_, score in pairs], config.pair_count)]
        images.append([(features, error) for features, error, _ in pairs])
    return images


def oracle_regression(images: Any, config: Any) -> Any:
    terms, inliers = [], 0
    for image in images:
        for features, error in image:
            is_inlier = error < config.threshold_px
            inliers += is_inlier
            target = 1.0 if is_inlier == config.inlier_target_positive else -1.0
            terms.append((float(features @ NET) + 0.1 - target) ** 2)
    if inliers <= config.minimum_inliers:
        return 0.0
    return config.factor * sum(terms) / (len(terms) if config.reduction == 'mean' else len(images))


def make_similar(views: Any, seed: int) -> Any:
    """
    Views whose descriptors agree where the homography puts them, so that there are inliers.
    """
    noise = 0.3 * np.random.default_rng(seed).normal(size=views.source_map.shape)
    views.target_map[:] = views.source_map + noise
    views.homography[:] = np.eye(3) + 0.1 * (views.homography - np.eye(3))
    views.target_xy[:] = np.clip(views.source_xy + 1.5, 0, np.array(views.size)[:, None, None] - 1.0)
    return views


@pytest.mark.parametrize(
    'setting',
    [
        {'pair_count': 30},
        {'pair_count': 300},
        {'pair_count': 30, 'selection': 'pairs'},
        {'pair_count': 30, 'inlier_target_positive': False},
        {'pair_count': 30, 'factor': 0.5, 'reduction': 'sum'},
        {'pair_count': 30, 'threshold_px': 9.0},
    ],
    ids=str,
)
def test_equals_the_loops_on_random_outputs(slow: SimpleNamespace, setting: dict[str, Any]) -> None:
    config = build(LossConfig, {**ALONE, 'inlier': setting})
    for seed in range(2):
        views = make_similar(slow.views(seed, batch=1 + seed), seed)
        images = oracle_features(slow, views, config.inlier)
        spoken = slow.evaluate(views, config)
        expected = oracle_regression(images, config.inlier)
        assert spoken.features.detach().numpy() == pytest.approx(np.array([[f for f, _ in image] for image in images]))
        assert spoken.losses.parts['inlier'].item() == pytest.approx(expected, rel=1e-9)
        assert expected > 0


def test_loss_is_zero_until_the_batch_has_more_inliers_than_asked_for(slow: SimpleNamespace) -> None:
    views = make_similar(slow.views(0, batch=2), 0)
    settings = InlierLossConfig(pair_count=30)
    count = sum(error < 4 for image in oracle_features(slow, views, settings) for _, error in image)
    for minimum, is_zero in ((count - 1, False), (count, True)):
        config = build(LossConfig, {**ALONE, 'inlier': {'pair_count': 30, 'minimum_inliers': minimum}})
        assert (slow.evaluate(views, config).losses.parts['inlier'].item() == 0) == is_zero


def test_gradient_reaches_descriptors_and_locations_of_both_views(slow: SimpleNamespace) -> None:
    views = make_similar(slow.views(1), 1)
    spoken = slow.evaluate(views, build(LossConfig, {**ALONE, 'inlier': {'pair_count': 30}}))
    spoken.losses.total.backward()
    assert all(leaf.grad.any() and leaf.grad.isfinite().all() for leaf in spoken.leaves[2:6])


def test_cells_that_show_fill_are_chosen_last(slow: SimpleNamespace) -> None:
    views = make_similar(slow.views(2), 2)
    width, height = views.size
    valid = np.zeros((2, height, width), bool)
    valid[:, :, : width // 2] = True
    for ignore, expected in ((True, True), (False, False)):
        config = build(LossConfig, {**ALONE, 'ignore_fill': ignore, 'inlier': {'pair_count': 20}})
        x = slow.evaluate(views, config, valid=valid).features[..., [0, 2]]
        assert bool((x < 0.05).all()) == expected


@pytest.mark.parametrize('kind', ['regression', 'balanced_bce', 'sampling'])
@pytest.mark.parametrize('case', ['no inliers', 'all inliers', 'few inliers', 'huge numbers'])
def test_degenerate_pairs_give_finite_values_and_gradients(rng: np.random.Generator, kind: str, case: str) -> None:
    logits = torch.from_numpy(rng.normal(size=(2, 30))).requires_grad_()
    error = torch.from_numpy(rng.uniform(0, 8, (2, 30)))
    if case == 'no inliers':
        error[:] = 50.0
    elif case == 'all inliers':
        error[:] = 0.0
    elif case == 'few inliers':
        error[:] = 50.0
        error[0, 0] = 0.0
    else:
        logits = (1e4 * logits.detach()).requires_grad_()
    for minimum in (0, 10):
        loss = inlier_loss(logits, error, InlierLossConfig(type=kind, minimum_inliers=minimum))
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.isfinite() and gradient.isfinite().all()
        if case == 'no inliers' or (case == 'few inliers' and minimum == 10):
            assert loss == 0 and not gradient.any()


def test_equal_and_zero_descriptors_give_finite_gradients(slow: SimpleNamespace) -> None:
    config = build(LossConfig, {**ALONE, 'inlier': {'pair_count': 30, 'minimum_inliers': 0}})
    for value in (1.0, 0.0):
        views = make_similar(slow.views(3), 3)
        views.source_map[:] = views.target_map[:] = value
        spoken = slow.evaluate(views, config)
        spoken.losses.total.backward()
        assert spoken.losses.total.isfinite()
        assert all(leaf.grad is None or leaf.grad.isfinite().all() for leaf in spoken.leaves)


def test_regression_by_hand() -> None:
    logits, error = torch.tensor([[1.0, 0.0, -1.0, 0.5]]), torch.tensor([[0.0, 3.9, 4.0, 9.0]])
    terms = [0.0, 1.0, 0.0, 2.25]
    assert inlier_loss(logits, error, InlierLossConfig(minimum_inliers=1)).item() == pytest.approx(sum(terms) / 4)
    paper = InlierLossConfig(minimum_inliers=0, inlier_target_positive=False, factor=0.5, reduction='sum')
    assert inlier_loss(logits, error, paper).item() == pytest.approx(0.5 * (4.0 + 1.0 + 4.0 + 0.25))


def test_balanced_bce_gives_both_classes_the_same_weight() -> None:
    logits, error = torch.tensor([[2.0, -1.0, 0.0, 1.0]]), torch.tensor([[0.0, 9.0, 9.0, 9.0]])

    def cross_entropy(logit: Any, truth: Any) -> Any:
        p = 1 / (1 + math.exp(-logit))
        return -math.log(p if truth else 1 - p)

    outliers = [cross_entropy(x, False) for x in (-1.0, 0.0, 1.0)]
    expected = 0.5 * (cross_entropy(2.0, True) + sum(outliers) / 3)
    config = InlierLossConfig(type='balanced_bce', minimum_inliers=0)
    assert inlier_loss(logits, error, config).item() == pytest.approx(expected, rel=1e-6)


def test_sampling_is_the_cross_entropy_with_uniform_sampling_of_the_inliers() -> None:
    logits, error = torch.tensor([[1.0, 2.0, 0.5], [3.0, 0.0, 1.0]]), torch.tensor([[0.0, 1.0, 9.0], [9.0, 9.0, 9.0]])
    total = sum(math.exp(x) for x in (1.0, 2.0, 0.5))
    expected = -0.5 * (math.log(math.exp(1.0) / total) + math.log(math.exp(2.0) / total))
    config = InlierLossConfig(type='sampling', minimum_inliers=0)  # the second image has no inlier: it does not count
    assert inlier_loss(logits, error, config).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize('kind', ['regression', 'balanced_bce', 'sampling'])
def test_gradients_are_right_and_batches_equal_their_images(rng: np.random.Generator, kind: str) -> None:
    config = InlierLossConfig(type=kind, minimum_inliers=0)
    logits = torch.from_numpy(rng.normal(size=(3, 12))).requires_grad_()
    error = torch.from_numpy(np.stack([rng.permutation(np.linspace(0, 8, 12)) for _ in range(3)]))
    assert torch.autograd.gradcheck(lambda x: inlier_loss(x, error, config), logits)
    singles = [inlier_loss(logits[b : b + 1], error[b : b + 1], config).item() for b in range(3)]
    assert inlier_loss(logits, error, config).item() == pytest.approx(np.mean(singles))


def test_gradient_through_the_features_is_right(rng: np.random.Generator) -> None:
    def points(xy: Any, descriptors: Any) -> PointSet:
        score = torch.arange(xy.shape[1], dtype=torch.float64).expand(xy.shape[:2])
        return PointSet(score, xy, torch.nn.functional.normalize(descriptors, dim=-1), 10 * xy)

    leaves = [torch.from_numpy(rng.uniform(-1, 1, (1, 6, n))).requires_grad_() for n in (2, 2, 4, 4)]
    for selection in ('separate', 'pairs'):
        config = InlierLossConfig(pair_count=4, selection=selection)
        assert torch.autograd.gradcheck(
            lambda a, b, u, v, c=config: inlier_pairs(points(a, u), points(b, v), c).features, leaves
        )


def test_lowest_scores_are_in_raster_order() -> None:
    score = torch.tensor([[0.5, 0.1, 0.9, 0.3], [0.1, torch.inf, 0.2, 0.0]])
    assert lowest_scores(score, 2).tolist() == [[1, 3], [0, 3]]
    assert lowest_scores(score, 9).tolist() == [[0, 1, 2, 3]] * 2


def test_log_weights_of_the_network_are_the_sampling_weights() -> None:
    torch.manual_seed(0)
    network = InlierNet(InlierConfig(channels=8, blocks=1, log_weights=True)).eval()
    features, error = torch.randn(2, 10, 5), torch.rand(2, 10) * 8
    logits = network(features)
    assert torch.allclose(logits.exp().sum(dim=-1), torch.ones(2))
    inlier = error < 4
    expected = torch.stack([-logits[b][inlier[b]].mean() for b in range(2)]).mean()
    found = inlier_loss(logits, error, InlierLossConfig(type='sampling', minimum_inliers=0))
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
