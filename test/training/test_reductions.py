# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from kp2d_ros.training.reductions import (
    batch_mean,
    descriptor_distance,
    global_sum,
    masked_mean,
    masked_reduce,
    safe_norm,
    safe_sqrt,
)


def test_means_and_sums_by_hand() -> None:
    values, mask = torch.tensor([[1.0, 2.0], [6.0, 9.0]]), torch.tensor([[True, True], [True, False]])
    assert masked_mean(values, mask) == 3.0
    assert masked_reduce(values, mask, 'mean') == 3.0
    assert masked_reduce(values, mask, 'sum') == 4.5  # (3 + 6) / 2 images
    assert batch_mean(values[:, 0]) == 3.5
    assert global_sum(values) == 18.0


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
def test_nothing_left_is_zero_whatever_is_masked_out(reduction: str) -> None:
    values = torch.tensor([[torch.nan, torch.inf]], requires_grad=True)
    loss = masked_reduce(values, torch.zeros(1, 2, dtype=torch.bool), reduction)
    loss.backward()
    assert loss == 0 and not values.grad.any()


def test_roots_have_no_infinite_slope() -> None:
    squares = torch.tensor([0.0, -1.0, 4.0], requires_grad=True)
    root = safe_sqrt(squares)
    root.sum().backward()
    assert root.tolist() == [0, 0, 2] and squares.grad.tolist() == [0, 0, 0.25]
    vectors = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    safe_norm(vectors).sum().backward()
    assert vectors.grad.tolist() == [[0, 0], [pytest.approx(0.6), pytest.approx(0.8)]]


def test_distance_of_unit_vectors_stays_in_its_range() -> None:
    similarity = torch.tensor([1.0000001, 1.0, 0.0, -1.0, -1.0000001], requires_grad=True)
    distance = descriptor_distance(similarity)
    distance.sum().backward()
    assert distance.tolist() == pytest.approx([0, 0, 2**0.5, 2, 2])
    assert similarity.grad.isfinite().all()
