# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Tests of SIFT and ORB: where their points are, and what their descriptors are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.inference.classical import ClassicalExtractor
from kp2d_ros.inference.extractor import ExtractorConfig


def extractor(name: str, **settings: Any) -> ClassicalExtractor:
    return ClassicalExtractor(ExtractorConfig(name=name, **{'nms_radius_px': 0.0, 'border_px': 0.0} | settings))


def blobs(rng: np.random.Generator, size: int = 240, pitch: int = 40) -> tuple[Any, Any]:
    """
    An image of Gaussian blobs of many sizes, and the (N, 2) centres of them.
    """
    grid = np.arange(pitch / 2, size, pitch)
    centres = np.stack(np.meshgrid(grid, grid), axis=2).reshape(-1, 2) + rng.uniform(-2, 2, (len(grid) ** 2, 2))
    y, x = np.mgrid[:size, :size]
    image = np.full((size, size), 110.0)
    for (cx, cy), sigma, sign in zip(centres, rng.uniform(1.2, 6, len(centres)), [1, -1] * len(centres), strict=False):
        image += sign * 90 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
    return np.clip(image, 0, 255).astype(np.uint8), centres


def test_sift_points_lie_on_the_centres_of_blobs(rng: np.random.Generator) -> None:
    image, centres = blobs(rng)
    found = extractor('sift').extract(image)
    offsets = found.xy[None] - centres[:, None]
    nearest = np.linalg.norm(offsets, axis=2).argmin(axis=1)
    errors = offsets[np.arange(len(centres)), nearest]
    assert np.abs(np.median(errors, axis=0)).max() < 0.05  # 0.25 as OpenCV gives them
    assert np.median(np.linalg.norm(errors, axis=1)) < 0.1


def test_sift_gives_one_point_per_location(texture: Callable[..., NDArray[Any]]) -> None:
    image = texture(200, 160)
    points = cv2.SIFT.create().detect(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None)
    locations = {p.pt for p in points}
    assert len(locations) < len(points)
    found = extractor('sift', max_keypoints=5000).extract(image)
    assert len(np.unique(found.xy, axis=0)) == len(found) == len(locations)


def test_root_sift_is_the_square_root_of_normalised_histograms(texture: Callable[..., NDArray[Any]]) -> None:
    image = texture(200, 160)
    plain, root = extractor('sift', root_sift=False).extract(image), extractor('sift').extract(image)
    sums = plain.descriptors.sum(axis=1, keepdims=True)
    assert np.allclose(root.descriptors, np.sqrt(plain.descriptors / sums), atol=1e-6)


def test_root_sift_and_sift_have_different_ids() -> None:
    assert extractor('sift').info.model_id == 'rootsift'
    assert extractor('sift', root_sift=False).info.model_id == 'sift'
    assert extractor('orb').info.model_id == 'orb'


@pytest.mark.parametrize('name', ['sift', 'orb'])
def test_points_of_an_image_upside_down_are_the_same_points(texture: Callable[..., NDArray[Any]], name: str) -> None:
    image = texture(260, 220)
    first = extractor(name, max_keypoints=3000).extract(image)
    second = extractor(name, max_keypoints=3000).extract(np.ascontiguousarray(image[::-1, ::-1]))
    offsets = np.subtract([259, 219], second.xy)[None] - first.xy[:, None]
    distances = np.linalg.norm(offsets, axis=2)
    near = distances.min(axis=1) < 2
    assert near.mean() > 0.7
    shift = offsets[np.flatnonzero(near), distances.argmin(axis=1)[near]].mean(axis=0)
    assert np.abs(shift).max() < 0.1  # twice the bias; 0.5 for SIFT and 0.6 for ORB as OpenCV gives them


def test_orb_points_are_not_whole_pixels(texture: Callable[..., NDArray[Any]]) -> None:
    found = extractor('orb').extract(texture(260, 220))
    assert (np.abs(found.xy - np.rint(found.xy)) > 0.05).any(axis=1).mean() > 0.8


def test_orb_finds_the_corner_of_a_square_between_pixels() -> None:
    image = cv2.warpAffine(
        np.pad(np.full((60, 60), 200, np.uint8), 70), np.float32([[1, 0, 0.4], [0, 1, -0.3]]), (200, 200)
    )
    found = extractor('orb', nms_radius_px=4.0).extract(image)
    corners = np.array([[x + 0.4, y - 0.3] for x in (69.5, 129.5) for y in (69.5, 129.5)])
    distances = np.linalg.norm(found.xy[None] - corners[:, None], axis=2).min(axis=1)
    assert distances.max() < 0.3  # FAST itself is more than a pixel off


def test_radius_and_border_hold_after_the_points_were_refined(texture: Callable[..., NDArray[Any]]) -> None:
    found = extractor('orb', nms_radius_px=5.0, border_px=33.0).extract(texture(260, 220))
    distances = np.linalg.norm(found.xy[:, None] - found.xy, axis=2) + 1e9 * np.eye(len(found))
    assert distances.min() >= 5
    assert found.xy.min() >= 33
    assert (found.xy <= np.array([260, 220]) - 34).all()


def test_a_threshold_leaves_the_stronger_points(texture: Callable[..., NDArray[Any]]) -> None:
    image = texture(200, 160)
    every = extractor('sift').extract(image)
    middle = float(np.median(every.scores))
    strong = extractor('sift', score_threshold=middle).extract(image)
    assert np.array_equal(strong.xy, every.xy[every.scores > middle])
