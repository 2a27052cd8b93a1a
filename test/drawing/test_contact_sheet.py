# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The contact sheet marks the same spot of the scene in both views.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kp2d_ros.drawing.contact_sheet import draw_contact_sheet
from kp2d_ros.pairs.pair_maker import PairBatch

HEIGHT, WIDTH = 181, 241  # the points fall on whole pixels
PANEL, TOP = WIDTH + 4, 18


def batch_of(matrix: NDArray[Any], target_valid: Any = None) -> PairBatch:
    gray = torch.full((1, 3, HEIGHT, WIDTH), 0.5)
    valid = torch.ones(1, 1, HEIGHT, WIDTH, dtype=torch.bool)
    seen = valid if target_valid is None else target_valid
    return PairBatch(gray, gray, torch.tensor([matrix]), valid, seen, torch.zeros(1, dtype=torch.int64))


def panels_of(sheet: Any) -> list[Any]:
    return [sheet[TOP : TOP + HEIGHT, 4 + i * PANEL : 4 + i * PANEL + WIDTH] for i in range(3)]


def test_points_of_one_colour_are_joined_by_the_homography() -> None:
    shift = [[1.0, 0.0, 0.1], [0.0, 1.0, -0.2], [0.0, 0.0, 1.0]]  # 12 pixels right, 18 up
    source, target, _ = panels_of(draw_contact_sheet(batch_of(shift), ['shifted']))
    for x in (40, 80, 120, 160, 200):
        for y in (36, 72, 108, 144):
            color = source[y, x].astype(int)
            assert np.ptp(color) > 100
            np.testing.assert_allclose(target[y - 18, x + 12], color, atol=40)
            assert target[y, x].tolist() == [128, 128, 128]


def test_sheet_has_a_row_for_each_pair_and_hides_what_is_not_valid() -> None:
    invalid = torch.ones(1, 1, HEIGHT, WIDTH, dtype=torch.bool)
    invalid[..., :60] = False
    sheet = draw_contact_sheet(batch_of(torch.eye(3).tolist(), invalid), ['identity'])
    assert sheet.shape == (TOP + HEIGHT, 3 * PANEL + 4, 3) and sheet.dtype == np.uint8
    _, target, board = panels_of(sheet)
    assert target[5, 5].tolist() == target[-5, 50].tolist() == [90, 0, 90]
    assert target[5, 70].tolist() == [128, 128, 128]
    assert board[5, 5].tolist() == [128, 128, 128]  # of S
    assert board[5, 50].tolist() == [90, 0, 90]  # of T
