# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Photometric changes against OpenCV, the standard library's colour conversion and hand-made cases.
"""

from __future__ import annotations

import colorsys
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.pairs.photometric import (
    CHANNEL_ORDERS,
    SHARED_UNIFORMS,
    VIEW_UNIFORMS,
    PhotometricConfig,
    augment,
    blur_gaussian,
    blur_motion,
    darken_corners,
    draw_shared,
    draw_view,
    jitter_color,
    shift_hue,
    to_gray,
)

NOTHING = PhotometricConfig(0.0, 0.0, 0.0, blur_sizes=(0,))


def images_of(rng: np.random.Generator, batch: int = 1, height: int = 12, width: int = 16) -> Any:
    return torch.from_numpy(rng.random((batch, 3, height, width), np.float32))


def as_opencv(image: Any) -> Any:
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def draw_one(config: Any, **changes: Any) -> Any:
    values = draw_view(config, np.full((1, VIEW_UNIFORMS), 0.5))
    return replace(values, **{name: np.array([value]) for name, value in changes.items()})


@pytest.mark.parametrize('size', [3, 5, 7])
def test_gaussian_blur_equals_opencv_without_a_sigma(rng: np.random.Generator, size: int) -> None:
    image = images_of(rng)
    expected = cv2.GaussianBlur(as_opencv(image[0]), (size, size), 0)  # its default border
    np.testing.assert_allclose(as_opencv(blur_gaussian(image, size)[0]), expected, atol=1e-6)


def test_gray_equals_opencv(rng: np.random.Generator) -> None:
    image = images_of(rng)
    expected = cv2.cvtColor(as_opencv(image[0]), cv2.COLOR_RGB2GRAY)
    np.testing.assert_allclose(to_gray(image)[0, 0], expected, atol=1e-6)


def test_one_gray_channel_gets_what_turning_noisy_colour_gray_leaves(rng: np.random.Generator) -> None:
    config = replace(NOTHING, noise_probability=1.0, blur_sizes=(5,))
    draw = draw_view(config, rng.random((20, VIEW_UNIFORMS)))
    from_color = to_gray(augment(torch.full((20, 3, 40, 50), 0.5), draw))
    from_gray = augment(torch.full((20, 1, 40, 50), 0.5), draw)
    assert from_gray.mean().item() == pytest.approx(from_color.mean().item(), abs=1e-3)
    assert from_gray.std().item() == pytest.approx(from_color.std().item(), rel=0.03)


@pytest.mark.parametrize('shift', [-0.2, 0.05, 0.5])
def test_hue_shift_equals_the_standard_library(rng: np.random.Generator, shift: float) -> None:
    image = images_of(rng, height=3, width=4)
    image[0, :, 0, 0] = 0.25  # a gray pixel
    shifted = shift_hue(image, np.array([shift]))
    for pixel, found in zip(image[0].flatten(1).T.tolist(), shifted[0].flatten(1).T.tolist(), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        assert found == pytest.approx(colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value), abs=1e-5)


def test_brightness_scales_and_clips() -> None:
    image = torch.tensor([0.2, 0.4, 0.9]).view(1, 3, 1, 1)
    bright = jitter_color(image, draw_one(NOTHING, brightness=1.5))
    assert bright.flatten().tolist() == pytest.approx([0.3, 0.6, 1.0])


def test_contrast_blends_with_the_mean_luma() -> None:
    image = torch.tensor([[0.2, 0.6]]).expand(1, 3, 1, 2)
    assert jitter_color(image, draw_one(NOTHING, contrast=0.5))[0, 0, 0].tolist() == pytest.approx([0.3, 0.5])
    assert jitter_color(image, draw_one(NOTHING, contrast=0.0))[0, 0, 0].tolist() == pytest.approx([0.4, 0.4])


def test_saturation_blends_with_the_luma_of_the_pixel() -> None:
    image = torch.tensor([0.5, 0.3, 0.1]).view(1, 3, 1, 1)
    luma = 0.299 * 0.5 + 0.587 * 0.3 + 0.114 * 0.1
    found = jitter_color(image, draw_one(NOTHING, saturation=1.2)).flatten().tolist()
    assert found == pytest.approx([luma + 1.2 * (c - luma) for c in (0.5, 0.3, 0.1)])


def test_jitter_of_the_paper_changes_every_picture(rng: np.random.Generator) -> None:
    config = replace(NOTHING, brightness=0.5, contrast=0.5, saturation=0.2, hue=0.2)
    images = images_of(rng, batch=8)
    changed = augment(images.clone(), draw_view(config, rng.random((8, VIEW_UNIFORMS))))
    assert torch.all((changed - images).abs().amax(dim=(1, 2, 3)) > 0.02)
    assert changed.min() >= 0 and changed.max() <= 1


def test_jitter_factors_fill_their_ranges(rng: np.random.Generator) -> None:
    config = replace(NOTHING, brightness=0.5, saturation=0.2, hue=0.2)
    draw = draw_view(config, rng.random((2000, VIEW_UNIFORMS)))
    for values, low, high in ((draw.brightness, 0.5, 1.5), (draw.saturation, 0.8, 1.2), (draw.hue, -0.2, 0.2)):
        assert (values.min(), values.max()) == pytest.approx((low, high), abs=0.01)
    assert np.all(draw.contrast == 1)


def test_noise_has_its_sigma_in_half_of_the_views(rng: np.random.Generator) -> None:
    config = replace(NOTHING, noise_probability=0.5)
    draw = draw_view(config, rng.random((40, VIEW_UNIFORMS)))
    noisy = augment(torch.full((40, 3, 24, 32), 0.5), draw) - 0.5
    sigmas = noisy.flatten(1).std(dim=1)
    assert 10 <= int((sigmas > 0).sum()) <= 30
    assert sigmas[sigmas > 0].mean().item() == pytest.approx(0.05, rel=0.02)
    assert torch.equal(sigmas > 0, torch.from_numpy(draw.noise_sigma > 0))


def test_motion_blur_along_x_keeps_what_is_constant_along_x(rng: np.random.Generator) -> None:
    ramp = torch.linspace(0, 1, 20)[:, None].expand(1, 3, 20, 24).contiguous()
    length = np.array([6.5])
    np.testing.assert_allclose(blur_motion(ramp, length, np.zeros(1)), ramp, atol=1e-6)
    impulse = torch.zeros(1, 3, 15, 15)
    impulse[..., 7, 7] = 1
    along_x = blur_motion(impulse, length, np.zeros(1))[0, 0]
    assert along_x.sum().item() == pytest.approx(1)
    assert torch.count_nonzero(along_x.sum(dim=1)).item() == 1  # one row
    assert 6 <= torch.count_nonzero(along_x.sum(dim=0)).item() <= 8
    along_y = blur_motion(impulse, length, np.array([np.pi / 2]))[0, 0]
    np.testing.assert_allclose(along_y, along_x.T, atol=1e-6)


def test_vignette_darkens_the_corners_by_its_strength() -> None:
    dark = darken_corners(torch.ones(1, 3, 5, 7), np.array([0.4]))[0, 0]
    assert dark[2, 3].item() == pytest.approx(1)
    assert dark[0, 0].item() == pytest.approx(0.6) and dark[-1, -1].item() == pytest.approx(0.6)


def test_gamma_is_the_exponent() -> None:
    found = augment(torch.full((1, 3, 4, 4), 0.25), draw_one(NOTHING, gamma=2.0))
    assert found.unique().tolist() == pytest.approx([0.0625])


def test_options_that_are_off_change_nothing(rng: np.random.Generator) -> None:
    images = images_of(rng, batch=3)
    same = augment(images.clone(), draw_view(NOTHING, rng.random((3, VIEW_UNIFORMS))))
    assert torch.equal(same, images)


def test_a_sample_does_not_depend_on_its_batch(rng: np.random.Generator) -> None:
    config = PhotometricConfig(
        brightness=0.5, contrast=0.5, hue=0.1, gamma_probability=0.5, motion_blur_probability=0.5, noise_sigma_max=0.2
    )
    images, uniforms = images_of(rng, 6, 32, 40), rng.random((6, VIEW_UNIFORMS))
    together = augment(images.clone(), draw_view(config, uniforms))
    for i in range(6):
        alone = augment(images[i : i + 1].clone(), draw_view(config, uniforms[i : i + 1]))
        np.testing.assert_allclose(alone[0], together[i], atol=2e-6)  # sums of a convolution may be ordered differently


def test_shared_draws_have_their_frequencies(rng: np.random.Generator) -> None:
    draw = draw_shared(PhotometricConfig(), rng.random((6000, SHARED_UNIFORMS)))
    assert draw.gray.mean() == pytest.approx(0.5, abs=0.03)
    counts = [np.mean(np.all(draw.channel_order == order, axis=1)) for order in CHANNEL_ORDERS]
    assert counts == pytest.approx([0.5 + 0.5 / 6] + [0.5 / 6] * 5, abs=0.03)


def test_blur_sizes_are_equally_frequent(rng: np.random.Generator) -> None:
    sizes = draw_view(PhotometricConfig(), rng.random((4000, VIEW_UNIFORMS))).blur_size
    assert [np.mean(sizes == s) for s in (0, 1, 3, 5)] == pytest.approx([0.25] * 4, abs=0.03)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'blur_sizes': (2,)}, r'blur_sizes: found \[2\], expected 0 or odd numbers'),
        ({'blur_sizes': ()}, r'blur_sizes: found \[\]'),
        ({'noise_sigma_min': 0.1}, 'noise_sigma_min: found 0.1, expected at most noise_sigma_max'),
        ({'hue': 0.7}, 'hue: found 0.7, expected a number from 0 to 0.5'),
    ],
)
def test_refuses_settings_without_a_meaning(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PhotometricConfig(**changes)
