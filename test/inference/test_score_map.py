# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The map of scores at the size of the image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.inference.extractor import score_map

torch_backend = pytest.importorskip('kp2d_ros.inference.torch_backend', exc_type=ImportError)


def test_each_cell_covers_its_pixels_and_padding_is_cut_off(
    checkpoint: Any, texture: Callable[..., NDArray[Any]]
) -> None:
    backend = torch_backend.TorchBackend(checkpoint)
    image = texture(60, 44)
    padded = np.pad(image, ((0, 4), (0, 4), (0, 0)), mode='edge')
    cells = backend.infer(padded).score
    scores = score_map(backend, image)
    assert scores.shape == (44, 60)
    for y, x in ((0, 0), (17, 30), (43, 59), (24, 23)):
        assert scores[y, x] == cells[y // backend.info.stride, x // backend.info.stride]


def test_a_shrunk_image_gives_a_map_of_the_full_size(checkpoint: Any, texture: Callable[..., NDArray[Any]]) -> None:
    backend = torch_backend.TorchBackend(checkpoint)
    scores = score_map(backend, texture(96, 64), max_side=48)
    assert scores.shape == (64, 96)
    assert len(np.unique(scores)) <= 6 * 4
