# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Descriptor losses against loops over points, by hand, and where nothing is left to compare.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kp2d_ros.core.settings import build
from kp2d_ros.training.config import DescriptorLossConfig, LossConfig
from kp2d_ros.training.losses.descriptor import (
    decorrelation_loss,
    descriptor_loss,
    hinge_descriptor_loss,
)

SETTINGS = [
    {},
    {'relax_px': 8.0},
    {'relax_shape': 'circle', 'relax_px': 10.0},
    {'margin': 1.0},
    {'reduction': 'sum'},
    {'mining': 'semi_hard'},
    {'type': 'contrastive', 'contrastive_margin': 1.3},
    {'type': 'contrastive', 'mining': 'semi_hard'},
    {'type': 'infonce'},
    {'type': 'infonce', 'temperature': 0.3, 'relax_shape': 'circle', 'relax_px': 10.0},
]


def unit(rng: np.random.Generator, *shape: Any) -> Any:
    vectors = rng.normal(size=shape)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def is_near(first: Any, second: Any, config: Any) -> Any:
    dx, dy = abs(first[0] - second[0]), abs(first[1] - second[1])
    if config.relax_shape == 'box':
        return dx <= config.relax_px and dy <= config.relax_px
    return dx * dx + dy * dy <= config.relax_px**2


def oracle_negative(i: Any, anchor: Any, positive: Any, candidates: Any, config: Any) -> Any:
    """
    The candidate that is the negative of point i: the nearest one, or the nearest beyond the positive; None: none is.
    """
    if not candidates:
        return None
    apart = {j: np.sqrt(max(2 - 2 * float(anchor[i] @ positive[j]), 0)) for j in candidates}
    if config.mining == 'hardest':
        return min(apart, key=apart.get)
    own = np.sqrt(max(2 - 2 * float(anchor[i] @ positive[i]), 0))
    beyond = {j: d for j, d in apart.items() if d > own}
    return min(beyond, key=beyond.get) if beyond else max(apart, key=apart.get)


def oracle_image(anchor: Any, positive: Any, xy: Any, visible: Any, config: Any) -> Any:
    points = [i for i in range(len(xy)) if visible[i]]
    if len(points) < 20:
        return 0.0
    terms = []
    for i in points:
        candidates = [j for j in points if not is_near(xy[i], xy[j], config)]
        if config.type == 'infonce':
            forward = [float(anchor[i] @ positive[j]) for j in (i, *candidates)]
            backward = [float(positive[i] @ anchor[j]) for j in (i, *candidates)]
            shares = [np.exp(np.array(row) / config.temperature) for row in (forward, backward)]
            terms.append(-np.mean([np.log(share[0] / share.sum()) for share in shares]))
            continue
        n = oracle_negative(i, anchor, positive, candidates, config)
        to_positive = np.linalg.norm(anchor[i] - positive[i] + 1e-6)
        to_negative = None if n is None else np.linalg.norm(anchor[i] - positive[n] + 1e-6)
        if config.type == 'triplet':
            terms.append(0.0 if n is None else max(0.0, to_positive - to_negative + config.margin))
        else:
            push = 0.0 if n is None else max(0.0, config.contrastive_margin - to_negative) ** 2
            terms.append(to_positive**2 + push)
    return sum(terms) / (len(points) if config.reduction == 'mean' else 1)


def oracle_recall(anchor: Any, positive: Any, visible: Any) -> Any:
    """
    Share of the visible points of all images whose nearest candidate is their own partner.
    """
    found = []
    for a, p, seen in zip(anchor, positive, visible, strict=True):
        points = [i for i in range(len(a)) if seen[i]]
        similarity = a @ p.T
        found += [max(points, key=similarity[i].__getitem__) == i for i in points]
    return float(np.mean(found)) if found else 0.0


def call(anchor: Any, positive: Any, xy: Any, visible: Any, config: Any) -> Any:
    arrays = [torch.from_numpy(np.ascontiguousarray(part)) for part in (anchor, positive, xy, visible)]
    return descriptor_loss(*arrays, config)


def random_points(
    rng: np.random.Generator, count: int = 40, batch: int = 2, noise: float = 0.6
) -> tuple[NDArray[Any], ...]:
    anchor = unit(rng, batch, count, 12)
    positive = anchor + noise * rng.normal(size=anchor.shape)
    positive /= np.linalg.norm(positive, axis=-1, keepdims=True)
    return anchor, positive, rng.uniform(0, 60, (batch, count, 2)), rng.random((batch, count)) < 0.8


@pytest.mark.parametrize('setting', SETTINGS, ids=str)
def test_equals_the_loops_on_random_points(rng: np.random.Generator, setting: Any) -> None:
    config = build(DescriptorLossConfig, setting)
    for noise in (0.1, 0.6, 3.0):
        points = random_points(rng, noise=noise)
        expected = np.mean([oracle_image(*image, config) for image in zip(*points, strict=True)])
        found = call(*points, config)
        assert found.loss.item() == pytest.approx(expected, rel=1e-9)
        assert found.recall.item() == pytest.approx(oracle_recall(points[0], points[1], points[3]))
    assert expected > 0


@pytest.mark.parametrize('setting', SETTINGS, ids=str)
def test_batch_is_the_mean_of_its_images(rng: np.random.Generator, setting: Any) -> None:
    config = build(DescriptorLossConfig, setting)
    points = random_points(rng, batch=3)
    singles = [call(*(part[b : b + 1] for part in points), config).loss.item() for b in range(3)]
    assert call(*points, config).loss.item() == pytest.approx(np.mean(singles))


@pytest.mark.parametrize('count', [0, 1, 19, 20, 21])
@pytest.mark.parametrize('setting', SETTINGS, ids=str)
def test_images_with_fewer_than_twenty_points_count_as_zero(rng: np.random.Generator, setting: Any, count: int) -> None:
    config = build(DescriptorLossConfig, setting)
    anchor, positive, xy, visible = random_points(rng, batch=2)
    visible[0] = np.arange(40) < count
    expected = np.mean([oracle_image(*image, config) for image in zip(anchor, positive, xy, visible, strict=True)])
    assert call(anchor, positive, xy, visible, config).loss.item() == pytest.approx(expected)
    alone = call(anchor[:1], positive[:1], xy[:1], visible[:1], config).loss.item()
    assert (alone > 0) == (count >= 20)


def degenerate_points(rng: np.random.Generator, case: Any) -> tuple[Any, Any, Any, Any]:
    anchor, positive, xy, visible = random_points(rng)
    if case == 'nothing visible':
        visible[:] = False
    elif case == 'no negatives':
        xy[:] = 30.0
    elif case == 'identical descriptors':
        anchor[:] = positive[:] = anchor[0, 0]
    elif case == 'zero descriptors':
        anchor[:] = positive[:] = 0.0
    else:
        positive[:] = anchor
    return anchor, positive, xy, visible


@pytest.mark.parametrize(
    'case', ['nothing visible', 'no negatives', 'identical descriptors', 'zero descriptors', 'perfect descriptors']
)
@pytest.mark.parametrize('setting', SETTINGS, ids=str)
def test_degenerate_points_give_finite_values_and_gradients(rng: np.random.Generator, setting: Any, case: str) -> None:
    config = build(DescriptorLossConfig, setting)
    anchor, positive, xy, visible = (torch.from_numpy(part) for part in degenerate_points(rng, case))
    leaves = [anchor.requires_grad_(), positive.requires_grad_()]
    loss = descriptor_loss(*leaves, xy, visible, config).loss
    loss.backward()
    assert loss.isfinite()
    assert all(leaf.grad.isfinite().all() for leaf in leaves)
    if case == 'nothing visible':
        assert loss == 0 and not any(leaf.grad.any() for leaf in leaves)
    if case == 'identical descriptors' and config.type == 'triplet' and config.reduction == 'mean':
        assert loss.item() == pytest.approx(config.margin)


def test_triplet_by_hand() -> None:
    # 20 points far apart, along one axis each but the first two, which look the same: the hardest negative of each of
    # those two is the other one, at distance 0 like the positive; all others have sqrt(2).
    descriptors = np.eye(20)
    descriptors[1] = descriptors[0]
    xy = np.stack([10.0 * np.arange(20), np.zeros(20)], axis=1)
    batch = (descriptors[None], descriptors[None].copy(), xy[None], np.ones((1, 20), bool))
    found = call(*batch, DescriptorLossConfig())
    assert found.loss.item() == pytest.approx(2 * 0.2 / 20)
    assert found.recall.item() == pytest.approx(19 / 20)  # of two equal candidates the first one is taken
    assert call(*batch, DescriptorLossConfig(relax_px=10.0)).loss.item() == pytest.approx(0.0)
    assert call(*batch, DescriptorLossConfig(reduction='sum')).loss.item() == pytest.approx(0.4)


def test_infonce_by_hand() -> None:
    # Each of 20 orthogonal points has its partner at similarity 1 and 19 negatives at 0.
    descriptors = np.eye(20)
    xy = np.stack([10.0 * np.arange(20), np.zeros(20)], axis=1)
    batch = (descriptors[None], descriptors[None].copy(), xy[None], np.ones((1, 20), bool))
    found = call(*batch, DescriptorLossConfig(type='infonce', temperature=0.5))
    assert found.loss.item() == pytest.approx(np.log(1 + 19 * np.exp(-2.0)))


def test_relaxation_field_is_a_box_or_a_circle() -> None:
    # Points 0 and 1 look the same and are (3, 3) apart: within the box of 4, outside the circle of 4.
    descriptors = np.eye(20)
    descriptors[1] = descriptors[0]
    xy = np.stack([100.0 * np.arange(20), np.zeros(20)], axis=1)
    xy[1] = xy[0] + 3.0
    batch = (descriptors[None], descriptors[None].copy(), xy[None], np.ones((1, 20), bool))
    assert call(*batch, DescriptorLossConfig(relax_shape='box')).loss.item() == pytest.approx(0.0)
    assert call(*batch, DescriptorLossConfig(relax_shape='circle')).loss.item() == pytest.approx(2 * 0.2 / 20)


def test_gradients_are_right(rng: np.random.Generator) -> None:
    anchor, positive, xy, visible = random_points(rng, count=21, batch=1, noise=2.0)
    leaves = [torch.from_numpy(part[..., :3].copy()).requires_grad_() for part in (anchor, positive)]
    fixed = torch.from_numpy(xy), torch.from_numpy(np.ones_like(visible))
    for setting in ({'margin': 1.0}, {'type': 'contrastive'}, {'type': 'infonce', 'temperature': 0.5}):
        config = build(DescriptorLossConfig, setting)
        assert torch.autograd.gradcheck(lambda a, p, c=config: descriptor_loss(a, p, *fixed, c).loss, leaves)


def oracle_from_maps(slow: Any, views: Any, config: Any) -> Any:
    images = []
    for b in range(len(views.homography)):
        rows, columns = views.source_score.shape[1:]
        points = slow.points(views.source_xy[b])
        warped = [slow.warp(point, views.homography[b], views.size) for point in points]
        ring = [i // columns in (0, rows - 1) or i % columns in (0, columns - 1) for i in range(len(points))]
        visible = [inside and not on_ring for (_, _, inside), on_ring in zip(warped, ring, strict=True)]
        anchor = np.array([slow.descriptor(views.source_map[b], point, views.size) for point in points])
        positive = np.array([slow.descriptor(views.target_map[b], (x, y), views.size) for x, y, _ in warped])
        images.append(oracle_image(anchor, positive, [w[:2] for w in warped], visible, config))
    return np.mean(images)


@pytest.mark.parametrize('seed', range(3))
def test_objective_samples_anchors_and_positives_where_the_loops_do(slow: SimpleNamespace, seed: int) -> None:
    views = slow.views(seed, batch=2, shift=0.1 * seed)
    config = build(LossConfig, {'inlier': {'weight': 0.0}})
    spoken = slow.evaluate(views, config)
    assert spoken.losses.parts['descriptor'].item() == pytest.approx(oracle_from_maps(slow, views, config.descriptor))
    alone = build(LossConfig, {'location': {'weight': 0}, 'score': {'weight': 0}, 'inlier': {'weight': 0}})
    spoken = slow.evaluate(views, alone)
    spoken.losses.total.backward()
    assert spoken.leaves[4].grad.any() and spoken.leaves[5].grad.any()
    assert not any(leaf.grad is not None and leaf.grad.any() for leaf in spoken.leaves[2:4])  # positions are detached


def test_hinge_equals_the_loops(rng: np.random.Generator) -> None:
    config = DescriptorLossConfig(type='hinge')
    anchor, positive = unit(rng, 2, 15, 6), unit(rng, 2, 12, 6)
    warped, target = rng.uniform(0, 40, (2, 15, 2)), rng.uniform(0, 40, (2, 12, 2))
    totals = []
    for b in range(2):
        total = 0.0
        for i in range(15):
            for j in range(12):
                similarity = float(anchor[b, i] @ positive[b, j])
                if np.hypot(*(warped[b, i] - target[b, j])) <= 8:
                    total += 250 * max(0.0, 1 - similarity)
                else:
                    total += max(0.0, similarity - 0.2)
        totals.append(total)
    arrays = [torch.from_numpy(part) for part in (anchor, positive, warped, target)]
    assert hinge_descriptor_loss(*arrays, config).item() == pytest.approx(np.mean(totals))
    leaves = [part.clone().requires_grad_() for part in arrays[:2]]
    assert torch.autograd.gradcheck(lambda a, p: hinge_descriptor_loss(a, p, *arrays[2:], config), leaves)


def test_hinge_compares_the_own_points_of_both_views(slow: SimpleNamespace) -> None:
    views = slow.views(0, batch=1, rows=3, columns=4)
    config = build(LossConfig, {'descriptor': {'type': 'hinge'}, 'inlier': {'weight': 0.0}})
    own, other = slow.points(views.source_xy[0]), slow.points(views.target_xy[0])
    total = 0.0
    for p in own:
        x, y, _ = slow.warp(p, views.homography[0], views.size)
        for q in other:
            described = slow.descriptor(views.source_map[0], p, views.size)
            similarity = float(described @ slow.descriptor(views.target_map[0], q, views.size))
            corresponds = np.hypot(x - q[0], y - q[1]) <= 8
            total += 250 * max(0.0, 1 - similarity) if corresponds else max(0.0, similarity - 0.2)
    assert slow.evaluate(views, config).losses.parts['descriptor'].item() == pytest.approx(total)


def test_hinge_margins_and_radius_by_hand() -> None:
    anchor = torch.tensor([[[1.0, 0.0]]])
    positive = torch.tensor([[[0.6, 0.8]]])
    at, near, far = torch.zeros(1, 1, 2), torch.tensor([[[8.0, 0.0]]]), torch.tensor([[[8.1, 0.0]]])
    config = DescriptorLossConfig(type='hinge', hinge_balance=10.0)
    assert hinge_descriptor_loss(anchor, positive, at, near, config).item() == pytest.approx(4.0)
    assert hinge_descriptor_loss(anchor, positive, at, far, config).item() == pytest.approx(0.4)


def test_decorrelation_equals_numpy_and_is_finite_for_constant_descriptors(rng: np.random.Generator) -> None:
    descriptors = rng.normal(size=(2, 30, 5))
    totals = []
    for image in descriptors:
        correlation = np.corrcoef(image, rowvar=False)
        totals.append(sum(correlation[i, j] ** 2 for i in range(5) for j in range(5) if i != j) / 20)
    leaf = torch.from_numpy(descriptors).requires_grad_()
    assert decorrelation_loss(leaf).item() == pytest.approx(np.mean(totals))
    assert torch.autograd.gradcheck(decorrelation_loss, leaf)
    constant = torch.ones(1, 30, 5, requires_grad=True)
    loss = decorrelation_loss(constant)
    loss.backward()
    assert loss == 0 and constant.grad.isfinite().all()
    assert decorrelation_loss(torch.ones(1, 4, 1)) == 0
