# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Training pairs: the two views correspond, the masks are true, and the random stream is what it says it is.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kp2d_ros.core.errors import ConfigError, DataError, ShapeError
from kp2d_ros.core.settings import build, merge
from kp2d_ros.pairs.homography import (
    HOMOGRAPHY_NORMALS,
    HOMOGRAPHY_UNIFORMS,
    AffineConfig,
    HomographyConfig,
    sample_homographies,
)
from kp2d_ros.pairs.pair_maker import PAIR_PRESETS, PairConfig, PairMaker, draw_numbers, view_photographs
from kp2d_ros.pairs.photometric import PhotometricConfig
from kp2d_ros.pairs.photos import open_photos

SIZE = {'height': 48, 'width': 64, 'photos': {'min_side_px': 8}}
UNCHANGED = PhotometricConfig(0.0, 0.0, 0.0, blur_sizes=(0,))
UNMOVED = AffineConfig(0.0, 0.0, 0.0, 0.0, 0.0)


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    """
    Eight smooth pictures, without black in them.
    """
    for i in range(8):
        noise = rng.integers(30, 256, (5, 6, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f'{i}.png'), cv2.resize(noise, (160, 120), interpolation=cv2.INTER_LINEAR))
    return tmp_path


def maker_of(folder: Path, seed: int = 0, preset: str = 'official_code', **changes: Any) -> PairMaker:
    config = replace(build(PairConfig, merge(PAIR_PRESETS[preset], SIZE)), **changes)
    return PairMaker(open_photos([folder], config.photos, config.height, config.width), config, seed)


def grid_of(matrices: Any, height: int, width: int) -> Any:
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing='ij')
    points = torch.stack([x, y, torch.ones_like(x)], dim=-1).view(1, -1, 3) @ matrices.transpose(1, 2)
    return (points[..., :2] / points[..., 2:]).view(-1, height, width, 2)


@pytest.mark.parametrize('preset', ['official_code', 'paper', 'wide'])
def test_source_is_the_target_seen_through_the_homography(folder: Any, preset: str) -> None:
    batch = maker_of(folder, preset=preset, photometric=UNCHANGED).make(np.arange(24), 0)
    grid = grid_of(batch.target_from_source, 48, 64)
    seen = F.grid_sample(batch.target, grid, align_corners=True)
    wholly_valid = F.grid_sample(batch.target_valid.float(), grid, align_corners=True) > 0.999
    both = wholly_valid & batch.source_valid
    assert both.float().mean() > 0.5
    difference = (seen - batch.source).abs()[both.expand_as(seen)]
    assert difference.mean() < 0.006 and difference.quantile(0.99) < 0.04
    shifted = (seen.roll(1, dims=-1) - batch.source).abs()[both.expand_as(seen)]
    assert shifted.mean() > 2 * difference.mean()  # one pixel off would be seen


def test_batch_has_the_documented_shapes_and_ranges(folder: Any) -> None:
    batch = maker_of(folder).make(np.array([5, 2, 13]), 0)
    assert batch.source.shape == batch.target.shape == (3, 3, 48, 64)
    assert batch.source_valid.shape == batch.target_valid.shape == (3, 1, 48, 64)
    assert batch.target_from_source.shape == (3, 3, 3)
    assert batch.source.dtype == batch.target_from_source.dtype == torch.float32
    assert batch.source_valid.dtype == torch.bool
    assert batch.indices.tolist() == [5, 2, 13]
    assert batch.source.min() >= 0 and batch.target.max() <= 1


def test_public_source_shows_nothing_outside_the_target(folder: Any) -> None:
    batch = maker_of(folder, affine=UNMOVED).make(np.arange(16), 0)
    assert batch.source_valid.all() and batch.target_valid.all()


@pytest.mark.parametrize('preset', ['official_code', 'wide'])
def test_what_is_not_valid_is_black_and_what_is_valid_is_not(folder: Any, preset: str) -> None:
    batch = maker_of(folder, preset=preset, photometric=UNCHANGED).make(np.arange(16), 0)
    for view, valid in ((batch.source, batch.source_valid), (batch.target, batch.target_valid)):
        assert 0.02 < (~valid).float().mean() < 0.5
        assert torch.all((view.amax(dim=1, keepdim=True) > 0.05) == valid)


def test_identity_gives_the_photograph_back(folder: Any) -> None:
    maker = maker_of(folder, affine=UNMOVED, photometric=UNCHANGED)
    batch = maker.make(np.arange(8), 0)
    np.testing.assert_allclose(batch.target, maker.photos.read(np.arange(8)) / 255, atol=1e-5)


def test_view_equals_opencvs_warp(rng: np.random.Generator) -> None:
    photograph = cv2.resize(rng.random((6, 8, 3), np.float32), (80, 60))
    config = HomographyConfig(sampler='wide', zoom_out=1.0)
    matrix = sample_homographies(
        config, 48 / 64, rng.random((1, HOMOGRAPHY_UNIFORMS)), np.zeros((1, HOMOGRAPHY_NORMALS))
    )
    view, valid = view_photographs(torch.from_numpy(photograph).permute(2, 0, 1)[None], matrix, (48, 64))
    from_pixels = np.array([[2 / 63, 0, -1], [0, 2 / 47, -1], [0, 0, 1]])
    to_pixels = np.array([[79 / 2, 0, 79 / 2], [0, 59 / 2, 59 / 2], [0, 0, 1]])
    expected = cv2.warpPerspective(
        photograph, to_pixels @ matrix[0] @ from_pixels, (64, 48), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    inner = cv2.erode(valid[0, 0].numpy().astype(np.uint8), np.ones((3, 3))) > 0
    assert inner.mean() > 0.4
    np.testing.assert_allclose(view[0].permute(1, 2, 0).numpy()[inner], expected[inner], atol=0.01)


@pytest.mark.parametrize('sides', [(120, 160), (119, 157)])
def test_reduced_photographs_stay_in_place_and_lose_no_pixel(sides: tuple[int, int]) -> None:
    height, width = sides
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing='ij')
    ramps = torch.stack([x, y, torch.arange(height * width).view(height, width) % 2])[None]  # and a fine pattern
    out = (height // 4, width // 4)
    view, valid = view_photographs(ramps, np.eye(3)[None], out)
    expected_y, expected_x = torch.meshgrid(torch.linspace(0, 1, out[0]), torch.linspace(0, 1, out[1]), indexing='ij')
    inside = np.s_[1:-1, 1:-1]  # at the border the means of 4x4 pixels lie further in
    np.testing.assert_allclose(view[0, 0][inside], expected_x[inside], atol=1e-3)
    np.testing.assert_allclose(view[0, 1][inside], expected_y[inside], atol=1e-3)
    if sides == (120, 160):
        np.testing.assert_allclose(view[0, 2], torch.full(out, 0.5), atol=1e-5)
    assert valid.all()


def test_a_pair_is_the_same_in_any_batch(folder: Any) -> None:
    maker = maker_of(folder, preset='paper')
    together = maker.make(np.array([3, 9, 0, 7, 1, 12]), 4)
    alone = maker.make(np.array([7]), 4)
    for whole, single in zip(together, alone, strict=True):
        assert torch.equal(whole[3:4], single)


@pytest.mark.parametrize('change', [{'seed': 1}, {'epoch': 1}, {'index': 8}])
def test_seed_epoch_and_look_each_make_another_pair(folder: Any, change: dict[str, int]) -> None:
    first = maker_of(folder).make(np.array([0]), 0)
    other = maker_of(folder, change.get('seed', 0)).make(np.array([change.get('index', 0)]), change.get('epoch', 0))
    assert not torch.allclose(first.target_from_source, other.target_from_source, atol=1e-3)


def test_random_numbers_are_independent_between_neighbours() -> None:
    uniforms, normals = draw_numbers(0, 0, np.arange(2000))
    assert uniforms.mean(axis=0) == pytest.approx(np.full(uniforms.shape[1], 0.5), abs=0.03)
    assert normals.std(axis=0) == pytest.approx(np.ones(normals.shape[1]), abs=0.07)
    assert len(np.unique(uniforms)) == uniforms.size  # no two streams overlap
    neighbours = np.corrcoef(uniforms[:-1, 0], uniforms[1:, 0])[0, 1]
    epochs = np.corrcoef(uniforms[:, 0], draw_numbers(0, 1, np.arange(2000))[0][:, 0])[0, 1]
    assert abs(neighbours) < 0.08 and abs(epochs) < 0.08


def test_colours_are_changed_alike_in_both_views(folder: Any) -> None:
    config = PhotometricConfig(1.0, 0.5, 0.0, blur_sizes=(0,))
    batch = maker_of(folder, photometric=config, affine=UNMOVED).make(np.arange(16), 0)
    for source, target in zip(batch.source, batch.target, strict=True):
        assert torch.equal(source[0], source[1]) == torch.equal(target[0], target[1])
    plain = maker_of(folder, photometric=UNCHANGED, affine=UNMOVED).make(np.arange(16), 0)
    gray = torch.tensor([torch.equal(t[0], t[1]) for t in batch.target])
    assert 2 <= int(gray.sum()) <= 14
    for changed, original in ((batch.source[~gray], plain.source[~gray]), (batch.target[~gray], plain.target[~gray])):
        np.testing.assert_array_equal(changed.sort(dim=1)[0], original.sort(dim=1)[0])


def test_presets_are_settings_that_fit() -> None:
    paper = build(PairConfig, PAIR_PRESETS['paper'])
    assert paper.photometric.blur_sizes == (1, 3, 5) and paper.homography.scale_amplitude == 0.2
    assert build(PairConfig, PAIR_PRESETS['official_code']) == PairConfig()
    assert build(PairConfig, PAIR_PRESETS['wide']).homography.sampler == 'wide'


def test_refuses_what_cannot_make_a_pair(folder: Any) -> None:
    maker = maker_of(folder)
    for indices in (np.array([], np.int64), np.array([-1]), np.zeros((1, 1), np.int64)):
        with pytest.raises(ShapeError, match='indices: found'):
            maker.make(indices, 0)
    with pytest.raises(DataError, match='photographs: found none'):
        PairMaker(maker.photos.take(np.array([], np.int64)), maker.config, 0)
    with pytest.raises(ConfigError, match='seed: found -1'):
        PairMaker(maker.photos, maker.config, -1)
    with pytest.raises(ConfigError, match='blur: found 17 pixels, expected less than a side of 64x16'):
        PairConfig(height=16, width=64, photometric=PhotometricConfig(motion_blur_px=16.0))
