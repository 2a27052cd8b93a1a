# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Location and score losses against loops over cells, by hand, and where nothing is left to compare.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from kp2d_ros.core.settings import build
from kp2d_ros.networks.network import KeypointMaps
from kp2d_ros.training.config import PAPER_LOSSES, LossConfig, ScoreLossConfig
from kp2d_ros.training.correspondence import CellPoints, Correspondence, cell_points, correspond
from kp2d_ros.training.losses.points import location_loss, score_consistency_loss, unsupervised_point_loss

ALONE = {'descriptor': {'type': 'none'}, 'inlier': {'weight': 0.0}}


def losses_of(slow: Any, views: Any, **settings: Any) -> dict[Any, Any]:
    config = build(LossConfig, {**ALONE, **settings})
    return {k: float(v) for k, v in slow.evaluate(views, config).losses.parts.items()}


def oracle_cells(slow: Any, views: Any) -> list[Any]:
    """
    For each pair of the batch and each cell: (visible, matched, distance, s_source, s_nearest, s_at_warped).
    """
    images = []
    rows, columns = views.source_score.shape[1:]
    for b in range(len(views.homography)):
        targets = slow.points(views.target_xy[b])
        target_scores = views.target_score[b].ravel()
        cells = []
        for i, point in enumerate(slow.points(views.source_xy[b])):
            row, column = divmod(i, columns)
            on_ring = row in (0, rows - 1) or column in (0, columns - 1)
            x, y, inside = slow.warp(point, views.homography[b], views.size)
            visible = inside and not on_ring
            apart = [np.hypot(x - tx, y - ty) for tx, ty in targets]
            nearest = int(np.argmin(apart))
            at_warped = slow.bilinear(views.target_score[b][None], (x, y), views.size)[0]
            source_score = views.source_score[b].ravel()[i]
            matched = visible and apart[nearest] < 4
            cells.append((visible, matched, apart[nearest], source_score, target_scores[nearest], at_warped))
        images.append(cells)
    return images


def oracle_losses(images: Any, *, paper: Any) -> Any:
    """
    Location, usp and consistency: means over the batch (public code), or sums over an image (paper).
    """
    matched = [cell for image in images for cell in image if cell[1]]
    visible = [cell for image in images for cell in image if cell[0]]
    mean_distance = sum(d for _, _, d, *_ in matched) / len(matched) if matched else 0.0
    location = [d for _, _, d, *_ in matched]
    usp = [(near + own) * (d - mean_distance) for _, _, d, own, near, _ in matched]
    if paper:
        consistency = [(near - own) ** 2 for *_, own, near, _ in matched]
        return sum(location) / len(images), 0.5 * sum(usp) / len(images), sum(consistency) / len(images)
    consistency = [(at_warped - own) ** 2 for *_, own, _, at_warped in visible]
    return tuple(sum(values) / max(len(values), 1) for values in (location, usp, consistency))


@pytest.mark.parametrize('paper', [False, True])
@pytest.mark.parametrize('seed', range(4))
def test_equal_the_loops_on_random_outputs(slow: SimpleNamespace, seed: int, paper: bool) -> None:
    views = slow.views(seed, batch=1 + seed % 3, shift=(0.0, 0.5, 1.2, -0.9)[seed])
    settings = {k: PAPER_LOSSES[k] for k in ('location', 'score')} if paper else {}
    found = losses_of(slow, views, **settings)
    expected = oracle_losses(oracle_cells(slow, views), paper=paper)
    assert [found[k] for k in ('location', 'usp', 'consistency')] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert expected[0] > 0


def test_total_is_the_weighted_sum_of_the_parts(slow: SimpleNamespace) -> None:
    views = slow.views(1)
    config = build(LossConfig, {**ALONE, 'location': {'weight': 3.0}, 'score': {'weight': 0.5}})
    losses = slow.evaluate(views, config).losses
    parts = {k: float(v) for k, v in losses.parts.items()}
    expected = 3 * parts['location'] + 0.5 * (parts['usp'] + 2 * parts['consistency'])
    assert losses.total.item() == pytest.approx(expected)


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
def test_batch_equals_its_pairs_weighed_by_what_they_match(slow: SimpleNamespace, reduction: str) -> None:
    views = slow.views(3, batch=3)
    settings = {'location': {'reduction': reduction}, 'score': {'consistency_partner': 'nearest'}}
    singles = [losses_of(slow, views.image(b), **settings)['location'] for b in range(3)]
    counts = [sum(cell[1] for cell in image) for image in oracle_cells(slow, views)]
    weights = counts if reduction == 'mean' else [1, 1, 1]
    assert losses_of(slow, views, **settings)['location'] == pytest.approx(np.average(singles, weights=weights))


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
@pytest.mark.parametrize('case', ['nothing visible', 'nothing matched', 'identical points', 'behind the horizon'])
def test_degenerate_outputs_give_finite_values_and_gradients(slow: SimpleNamespace, case: str, reduction: str) -> None:
    views = slow.views(2)
    if case == 'nothing visible':
        views.homography[:, 0, 2] = 5.0
    elif case == 'nothing matched':
        views.target_xy[:] = 0.0
        views.source_xy[:] = np.array([40.0, 30.0])[:, None, None]
    elif case == 'identical points':
        views.homography[:] = np.eye(3)
        views.target_xy[:] = views.source_xy
    else:
        views.homography[:, 2, :] = (0.0, 0.0, -1.0)
    config = build(LossConfig, {**ALONE, 'location': {'reduction': reduction}, 'score': {'reduction': reduction}})
    spoken = slow.evaluate(views, config)
    spoken.losses.total.backward()
    assert torch.isfinite(spoken.losses.total)
    assert all(leaf.grad is None or leaf.grad.isfinite().all() for leaf in spoken.leaves)
    if case != 'identical points':
        assert spoken.losses.parts['location'] == 0 and spoken.losses.parts['usp'] == 0
    if case in ('nothing visible', 'behind the horizon'):
        assert spoken.losses.parts['consistency'] == 0


def by_hand() -> tuple[CellPoints, CellPoints, Correspondence]:
    """
    Four cells: two matched at 1 and 3 pixels, one visible but far, one not visible.
    """
    everywhere = torch.ones(1, 4, dtype=torch.bool)
    source = CellPoints(torch.zeros(1, 4, 2), torch.tensor([[0.9, 0.1, 0.4, 0.7]]), everywhere, everywhere)
    target = CellPoints(torch.zeros(1, 4, 2), torch.tensor([[0.5, 0.3, 0.2, 0.6]]), everywhere, everywhere)
    pairs = Correspondence(
        warped_xy=torch.zeros(1, 4, 2),
        visible=torch.tensor([[True, True, True, False]]),
        nearest=torch.tensor([[1, 0, 3, 2]]),
        distance_px=torch.tensor([[1.0, 3.0, 9.0, 2.0]]),
        matched=torch.tensor([[True, True, False, False]]),
    )
    return source, target, pairs


def test_location_by_hand() -> None:
    *_, pairs = by_hand()
    assert float(location_loss(pairs)) == 2.0
    assert float(location_loss(pairs, 'sum')) == 4.0


def test_scores_by_hand() -> None:
    source, target, pairs = by_hand()
    # (0.3 + 0.9)(1 - 2) + (0.5 + 0.1)(3 - 2) = -0.6, over two pairs
    assert float(unsupervised_point_loss(source, target, pairs, ScoreLossConfig())) == pytest.approx(-0.3)
    at_warped = torch.tensor([[0.7, 0.2, 0.4, 9.0]])
    mean_of_visible = (0.2**2 + 0.1**2 + 0.0) / 3
    found = score_consistency_loss(source, target, at_warped, pairs, ScoreLossConfig())
    assert float(found) == pytest.approx(mean_of_visible)


# Each of these discrepancies between the public code and the paper is one setting, with a value by hand.
@pytest.mark.parametrize(
    ('setting', 'usp', 'consistency'),
    [
        ({'usp_factor': 0.5}, -0.15, 0.05 / 3),
        ({'reduction': 'sum'}, -0.6, 0.05),
        ({'consistency_partner': 'nearest'}, -0.3, (0.6**2 + 0.4**2 + 0.2**2) / 3),
        ({'consistency_domain': 'matched'}, -0.3, 0.05 / 2),
    ],
)
def test_score_settings_by_hand(setting: dict[str, Any], usp: float, consistency: float) -> None:
    source, target, pairs = by_hand()
    config = build(ScoreLossConfig, setting)
    at_warped = torch.tensor([[0.7, 0.2, 0.4, 9.0]])
    assert float(unsupervised_point_loss(source, target, pairs, config)) == pytest.approx(usp)
    found = score_consistency_loss(source, target, at_warped, pairs, config)
    assert float(found) == pytest.approx(consistency)


def test_threshold_decides_what_is_matched(slow: SimpleNamespace) -> None:
    views = slow.views(4)
    distances = [cell[2] for image in oracle_cells(slow, views) for cell in image if cell[0]]
    for threshold in (2.0, 4.0, 7.0):
        below = [d for d in distances if d < threshold]
        found = losses_of(slow, views, location={'threshold_px': threshold})['location']
        assert found == pytest.approx(np.mean(below))


def correspondence_of(views: Any, threshold: float = 4.0, valid: Any = None) -> tuple[Any, Any, Any]:
    maps = [
        KeypointMaps(torch.from_numpy(score)[:, None], torch.from_numpy(xy), torch.zeros(1))
        for score, xy in ((views.source_score, views.source_xy), (views.target_score, views.target_xy))
    ]
    source, target = cell_points(maps[0], valid), cell_points(maps[1])
    return source, target, correspond(source, target, torch.from_numpy(views.homography), views.size, threshold)


def test_cells_that_show_fill_are_not_visible(slow: SimpleNamespace) -> None:
    views = slow.views(5)
    views.homography[:] = np.eye(3)
    width, height = views.size
    valid = torch.zeros(2, 1, height, width, dtype=torch.bool)
    valid[0, :, :, : width // 2] = True
    source, _, pairs = correspondence_of(views, valid=valid)
    left = torch.from_numpy(views.source_xy[:, 0]).flatten(1).round() < width // 2
    assert pairs.visible[0].any() and not pairs.visible[1].any()
    assert torch.equal(source.shown[0], left[0])
    assert not (pairs.visible[0] & ~left[0]).any()


def test_gradients_of_location_and_scores_are_right(slow: SimpleNamespace) -> None:
    views = slow.views(6, batch=2, rows=4, columns=5)
    source, target, pairs = correspondence_of(views)
    assert pairs.matched.any()

    def both(distance: Any, own: Any, other: Any, at_warped: Any, reduction: Any) -> tuple[Any, Any, Any]:
        moved = pairs._replace(distance_px=distance)
        mine, theirs = source._replace(score=own), target._replace(score=other)
        config = ScoreLossConfig(reduction=reduction)
        return (
            location_loss(moved, reduction),
            unsupervised_point_loss(mine, theirs, moved, config),
            score_consistency_loss(mine, theirs, at_warped, moved, config),
        )

    inputs = [t.clone().requires_grad_() for t in (pairs.distance_px, source.score, target.score, target.score)]
    for reduction in ('mean', 'sum'):
        assert torch.autograd.gradcheck(lambda *x, r=reduction: both(*x, r), inputs)


def test_location_reaches_both_views_and_scores_do_not_move_the_sampling(slow: SimpleNamespace) -> None:
    views = slow.views(7)
    config = build(LossConfig, {**ALONE, 'score': {'usp_factor': 0.0}})
    spoken = slow.evaluate(views, config)
    spoken.losses.total.backward()
    source_xy, target_xy = spoken.leaves[2], spoken.leaves[3]
    assert source_xy.grad.abs().sum() > 0 and target_xy.grad.abs().sum() > 0
    config = build(LossConfig, {**ALONE, 'location': {'weight': 0.0}, 'score': {'usp_factor': 0.0}})
    only_scores = slow.evaluate(views, config)
    only_scores.losses.total.backward()
    source_score, target_score, source_xy, target_xy = only_scores.leaves[:4]
    assert source_score.grad.abs().sum() > 0 and target_score.grad.abs().sum() > 0
    assert all(leaf.grad is None or leaf.grad.abs().sum() == 0 for leaf in (source_xy, target_xy))


def test_usp_keeps_the_gradient_of_the_distance(slow: SimpleNamespace) -> None:
    views = slow.views(8)
    config = build(LossConfig, {**ALONE, 'location': {'weight': 0.0}, 'score': {'consistency_weight': 0.0}})
    spoken = slow.evaluate(views, config)
    spoken.losses.total.backward()
    assert spoken.leaves[2].grad.abs().sum() > 0
