# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Tests of the extractor of networks, and the contract that every extractor keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.errors import ConfigError, ShapeError
from kp2d_ros.inference.backend import BackendInfo
from kp2d_ros.inference.extractor import ExtractorConfig, Kp2dExtractor
from kp2d_ros.inference.pipeline import build_extractor

NAMES = ['sift', 'orb', 'torch', 'onnxruntime']


class FakeFeatures:
    """
    One keypoint per cell, a quarter of a pixel right of its first pixel; the score counts the cells.
    """

    def __init__(self, image: NDArray[Any]) -> None:
        rows, columns = image.shape[0] // 8, image.shape[1] // 8
        self.score = (np.arange(rows * columns, dtype=np.float32).reshape(rows, columns) + 1) / 10000
        x, y = np.meshgrid(np.arange(columns) * 8 + 0.25, np.arange(rows) * 8)
        self.xy = np.stack([x, y], axis=2).astype(np.float32)

    def describe(self, xy: NDArray[Any]) -> Any:
        return np.hstack([xy, np.ones_like(xy)]).astype(np.float32)


class FakeBackend:
    info = BackendInfo('fake:1', 'fake', 'cpu', 'fp32', 8, 4, 8, True)

    def __init__(self) -> None:
        self.shapes = []

    def infer(self, image: NDArray[Any]) -> FakeFeatures:
        self.shapes.append(image.shape)
        return FakeFeatures(image)


def plain(**settings: Any) -> ExtractorConfig:
    return ExtractorConfig(**{'border_px': 0.0, 'nms_radius_px': 0.0, 'max_keypoints': 5000} | settings)


def test_hands_the_network_a_padded_image_and_drops_points_in_the_padding() -> None:
    backend = FakeBackend()
    found = Kp2dExtractor(backend, plain()).extract(np.zeros((33, 41), np.uint8))
    assert backend.shapes == [(40, 48)]
    assert found.xy[:, 0].max() == 40 - 8 + 0.25 + 0  # the cell at x = 40.25 lies outside of 0 to 40
    assert found.xy[:, 1].max() == 32


def test_descriptors_are_sampled_where_the_network_saw_the_point() -> None:
    found = Kp2dExtractor(FakeBackend(), plain(max_side=40)).extract(np.zeros((64, 80), np.uint8))
    assert np.allclose(found.xy, (found.descriptors[:, :2] + 0.5) * 2 - 0.5)


def test_border_and_radius_are_pixels_of_the_input_image() -> None:
    config = plain(max_side=40, border_px=16.5, nms_radius_px=17.0)
    found = Kp2dExtractor(FakeBackend(), config).extract(np.zeros((64, 80), np.uint8))
    assert found.xy.min() >= 16.5
    distances = np.linalg.norm(found.xy[:, None] - found.xy, axis=2) + 1e9 * np.eye(len(found))
    assert distances.min() >= 17


def test_keeps_the_best_of_the_cells() -> None:
    found = Kp2dExtractor(FakeBackend(), plain(max_keypoints=3)).extract(np.zeros((32, 32), np.uint8))
    assert np.allclose(found.scores * 10000, [16, 15, 14])


def test_reconfigures_without_another_network() -> None:
    backend = FakeBackend()
    first = Kp2dExtractor(backend, plain())
    second = first.reconfigured(plain(max_keypoints=2))
    image = np.zeros((32, 32), np.uint8)
    assert (len(first.extract(image)), len(second.extract(image))) == (16, 2)
    assert second.info == first.info


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'name': 'surf'}, "name: found 'surf', expected one of 'kp2d', 'sift', 'orb'"),
        ({'max_keypoints': 0}, 'max_keypoints: found 0'),
        ({'nms_radius_px': float('nan')}, 'nms_radius_px: found nan'),
        ({'precision': 'int4'}, 'precision'),
    ],
)
def test_refuses_settings_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ExtractorConfig(**settings)


@pytest.fixture(params=NAMES)
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """
    A function of settings that gives an extractor, for each kind of extractor.
    """

    def build(**settings: Any) -> Any:
        if request.param in ('sift', 'orb'):
            return build_extractor(ExtractorConfig(name=request.param, **settings))
        model = (
            request.getfixturevalue('checkpoint_file')
            if request.param == 'torch'
            else request.getfixturevalue('exported').path
        )
        return build_extractor(ExtractorConfig(name='kp2d', model=str(model), device='cpu', **settings))

    return build


def test_contract_finds_ordered_keypoints_inside_the_image(make: Any, texture: Callable[..., NDArray[Any]]) -> None:
    found = make(max_keypoints=60, border_px=2.5).extract(texture(168, 130))
    assert 20 < len(found) <= 60
    assert (np.diff(found.scores) <= 0).all()
    assert ((found.xy >= 2.5) & (found.xy <= np.array([168, 130]) - 3.5)).all()
    assert (found.scores > 0).all()
    assert (found.scores <= 1).all()
    assert (found.xy.dtype, found.scores.dtype) == (np.float32, np.float32)


def test_contract_descriptors_are_unit_vectors_or_bits(make: Any, texture: Callable[..., NDArray[Any]]) -> None:
    found = make().extract(texture(168, 130))
    if found.is_binary:
        assert found.descriptors.shape[1] == 32
        assert len(np.unique(found.descriptors, axis=0)) > len(found) / 2
    else:
        assert np.allclose(np.linalg.norm(found.descriptors, axis=1), 1, atol=1e-5)


def test_contract_gives_the_same_again(make: Any, texture: Callable[..., NDArray[Any]]) -> None:
    image = texture(168, 130)
    extractor = make(max_keypoints=50)
    first, second, other = extractor.extract(image), extractor.extract(image), make(max_keypoints=50).extract(image)
    for again in (second, other):
        assert np.array_equal(first.xy, again.xy)
        assert np.array_equal(first.scores, again.scores)
        assert np.array_equal(first.descriptors, again.descriptors)


def test_contract_leaves_the_image_as_it_is_and_takes_one_that_cannot_be_written(
    make: Any, texture: Callable[..., NDArray[Any]]
) -> None:
    image = texture(168, 130)
    copy = image.copy()
    image.setflags(write=False)
    make().extract(image)
    assert np.array_equal(image, copy)


def test_contract_an_rgb_image_without_colour_is_a_gray_image(make: Any, texture: Callable[..., NDArray[Any]]) -> None:
    gray = np.ascontiguousarray(texture(168, 130)[..., 0])
    extractor = make(max_keypoints=50)
    first, second = extractor.extract(gray), extractor.extract(np.repeat(gray[..., None], 3, axis=2))
    assert np.allclose(first.xy, second.xy, atol=1e-3)
    assert np.allclose(first.descriptors, second.descriptors, atol=1e-4)


@pytest.mark.parametrize('spread_grid', [0, 4])
@pytest.mark.parametrize('value', [0, 128, 255])
def test_contract_a_blank_image_is_no_error(make: Any, value: int, spread_grid: int) -> None:
    found = make(max_keypoints=30, spread_grid=spread_grid).extract(np.full((120, 160), value, np.uint8))
    assert len(found) <= 30
    assert found.descriptors.shape[1] in (16, 32, 128)
    assert np.isfinite(found.xy).all()


@pytest.mark.parametrize('shape', [(1, 1), (1, 200), (7, 5, 3), (9, 16), (23, 40, 3), (67, 71)])
def test_contract_small_and_odd_images_are_no_error(
    make: Any, shape: tuple[Any, ...], rng: np.random.Generator
) -> None:
    found = make().extract(rng.integers(0, 256, shape, dtype=np.uint8))
    assert ((found.xy >= 0) & (found.xy <= np.array(shape[1::-1]) - 1)).all()


def test_contract_a_scene_of_twice_the_size_has_its_points_at_twice_the_pixel_edges(
    make: Any, texture: Callable[..., NDArray[Any]]
) -> None:
    small = texture(168, 130)
    large = small.repeat(2, axis=0).repeat(2, axis=1)
    one = make(border_px=2, nms_radius_px=4, max_keypoints=50).extract(small)
    two = make(border_px=4.5, nms_radius_px=8, max_keypoints=50, max_side=168).extract(large)
    assert np.allclose((one.xy + 0.5) * 2 - 0.5, two.xy, atol=1e-4)
    assert np.allclose(one.descriptors, two.descriptors, atol=1e-6)


def test_contract_refuses_what_is_not_an_image(make: Any) -> None:
    for image in (np.zeros((8, 8), np.float32), np.zeros((8, 8, 4), np.uint8), np.zeros((0, 8), np.uint8)):
        with pytest.raises(ShapeError, match='image: found'):
            make().extract(image)


def test_contract_says_what_made_the_keypoints(make: Any) -> None:
    info = make().info
    assert info.model_id
    assert info.device == 'cpu'
    assert info.backend in ('opencv', 'torch', 'onnxruntime')
