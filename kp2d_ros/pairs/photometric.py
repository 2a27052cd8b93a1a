# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Photometric augmentation of image batches (B, C, H, W), float32 in [0, 1], on whatever device they are.

C is 3, or 1 for gray: a gray picture is made and changed as one channel. What a sample gets is decided on the host from
one row of random numbers, so nothing here waits for a device, and a sample depends on its own row only. The functions
return new tensors; :func:`augment` may write into its argument.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.records import BoolArray, Float64Array
from kp2d_ros.core.settings import setting, validate

# How many random numbers a view takes, and how many both views share, whatever the settings are.
VIEW_UNIFORMS = 16
SHARED_UNIFORMS = 3

# In the order of itertools.permutations, the identity first: the public code shuffles a list, which may stay as it is.
CHANNEL_ORDERS = np.array([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])

_LUMA = (0.299, 0.587, 0.114)
_LUMA_NOISE = sum(w * w for w in _LUMA) ** 0.5  # sigma of the luma of three channels whose noise has sigma 1
_MOTION_SAMPLES = 4  # per pixel of the path

_Change = Callable[[torch.Tensor, npt.NDArray[np.intp]], torch.Tensor]


@dataclass(frozen=True, slots=True)
class PhotometricConfig:
    """
    What changes the pixels of the two views; the defaults are those of the public code.

    The colours of both views are shuffled or turned gray alike; all else is drawn for each view on its own.
    """

    channel_shuffle_probability: float = setting(0.5, 'random order of the channels, both views', minimum=0, maximum=1)
    gray_probability: float = setting(0.5, 'gray in three equal channels, both views', minimum=0, maximum=1)
    noise_probability: float = setting(0.5, 'Gaussian noise per pixel and channel', minimum=0, maximum=1)
    noise_sigma_min: float = setting(0.05, 'smallest sigma, white is 1 (paper: 0)', minimum=0, maximum=1)
    noise_sigma_max: float = setting(0.05, 'largest sigma, white is 1 (paper: 0.3)', minimum=0, maximum=1)
    blur_sizes: tuple[int, ...] = setting(
        (0, 1, 3, 5), 'sides of the Gaussian kernel to choose from, 0 and 1 are no blur (paper: 1, 3, 5)'
    )
    brightness: float = setting(0.0, 'factor from 1 minus to 1 plus this (paper: 0.5)', minimum=0, maximum=1)
    contrast: float = setting(0.0, 'factor from 1 minus to 1 plus this (paper: 0.5)', minimum=0, maximum=1)
    saturation: float = setting(0.0, 'factor from 1 minus to 1 plus this (paper: 0.2)', minimum=0, maximum=1)
    hue: float = setting(0.0, 'largest shift, 1 is the whole circle (paper: 0.2)', minimum=0, maximum=0.5)
    motion_blur_probability: float = setting(0.0, 'blur along a line', minimum=0, maximum=1)
    motion_blur_px: float = setting(9.0, 'longest line, the shortest is 1', minimum=1, maximum=63)
    gamma_probability: float = setting(0.0, 'another gamma', minimum=0, maximum=1)
    gamma_max: float = setting(1.5, 'exponent from 1 over this to this', minimum=1, maximum=5)
    vignette_probability: float = setting(0.0, 'darker corners', minimum=0, maximum=1)
    vignette_strength: float = setting(0.5, 'largest loss of light in the corners', minimum=0, maximum=1)

    def __post_init__(self) -> None:
        validate(self)
        if not self.blur_sizes or any(s < 0 or s > 31 or (s > 0 and s % 2 == 0) for s in self.blur_sizes):
            raise ConfigError(f'blur_sizes: found {list(self.blur_sizes)}, expected 0 or odd numbers up to 31')
        if self.noise_sigma_min > self.noise_sigma_max:
            raise ConfigError(
                f'noise_sigma_min: found {self.noise_sigma_min:g}, expected at most noise_sigma_max '
                f'({self.noise_sigma_max:g})'
            )


@dataclass(frozen=True, slots=True)
class SharedDraw:
    """
    What both views of a pair have in common: the order of the channels (B, 3), and which pairs are gray (B,).
    """

    channel_order: npt.NDArray[np.int64]
    gray: BoolArray


@dataclass(frozen=True, slots=True)
class ViewDraw:
    """
    What one view gets, each (B,): 0 or the neutral factor 1 where nothing happens.

    ``motion_px`` and ``motion_angle`` (radians) are the line of the motion blur; ``noise_seed`` makes the noise.
    """

    noise_sigma: Float64Array
    noise_seed: npt.NDArray[np.int64]
    blur_size: npt.NDArray[np.int64]
    brightness: Float64Array
    contrast: Float64Array
    saturation: Float64Array
    hue: Float64Array
    motion_px: Float64Array
    motion_angle: Float64Array
    gamma: Float64Array
    vignette: Float64Array

    def at(self, rows: npt.NDArray[np.intp]) -> ViewDraw:
        """
        The same for some of the samples.
        """
        return ViewDraw(*(getattr(self, field.name)[rows] for field in fields(self)))


def draw_shared(config: PhotometricConfig, uniforms: Float64Array) -> SharedDraw:
    """
    What both views share, of numbers (B, SHARED_UNIFORMS) uniform in [0, 1).
    """
    shuffled = uniforms[:, 0] < config.channel_shuffle_probability
    order = np.where(shuffled, (uniforms[:, 1] * len(CHANNEL_ORDERS)).astype(np.int64), 0)
    return SharedDraw(CHANNEL_ORDERS[order], uniforms[:, 2] < config.gray_probability)


def draw_view(config: PhotometricConfig, uniforms: Float64Array) -> ViewDraw:
    """
    What one view gets, of numbers (B, VIEW_UNIFORMS) uniform in [0, 1).
    """
    u = uniforms.T
    sigma = config.noise_sigma_min + (config.noise_sigma_max - config.noise_sigma_min) * u[1]
    sizes = np.asarray(config.blur_sizes)
    return ViewDraw(
        noise_sigma=np.where(u[0] < config.noise_probability, sigma, 0.0),
        noise_seed=(u[2] * 2**53).astype(np.int64),
        blur_size=sizes[(u[3] * len(sizes)).astype(np.int64)],
        brightness=1 + config.brightness * (2 * u[4] - 1),
        contrast=1 + config.contrast * (2 * u[5] - 1),
        saturation=1 + config.saturation * (2 * u[6] - 1),
        hue=config.hue * (2 * u[7] - 1),
        motion_px=np.where(u[8] < config.motion_blur_probability, 1 + (config.motion_blur_px - 1) * u[9], 0.0),
        motion_angle=np.pi * u[10],
        gamma=np.where(u[11] < config.gamma_probability, config.gamma_max ** (2 * u[12] - 1), 1.0),
        vignette=np.where(u[13] < config.vignette_probability, config.vignette_strength * u[14], 0.0),
    )


def augment(images: torch.Tensor, draw: ViewDraw) -> torch.Tensor:
    """
    One view of every pair: vignette, motion blur, noise, blur, colour jitter, gamma.

    The order from noise to jitter is that of the public code; vignette and motion come before the noise as they do in
    a camera. The jitter always goes brightness, contrast, saturation, hue. The public code turns noisy colour gray;
    one channel gets the noise that this leaves.
    """
    images = _on_rows(images, draw.vignette > 0, lambda x, rows: darken_corners(x, draw.vignette[rows]))
    images = _on_rows(
        images, draw.motion_px > 1, lambda x, rows: blur_motion(x, draw.motion_px[rows], draw.motion_angle[rows])
    )
    _add_noise(images, draw.noise_sigma * (_LUMA_NOISE if images.shape[1] == 1 else 1), draw.noise_seed)
    for size in np.unique(draw.blur_size[draw.blur_size > 1]):
        images = _on_rows(images, draw.blur_size == size, partial(_blur_rows, size=int(size)))
    images = jitter_color(images, draw)
    return _on_rows(images, draw.gamma != 1, lambda x, rows: x.pow(_per_sample(x, draw.gamma[rows])))


def to_gray(images: torch.Tensor) -> torch.Tensor:
    """
    Luma of ITU-R BT.601, (B, 1, H, W); gray stays as it is.
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = (images[:, i : i + 1] for i in range(3))
    return (red * _LUMA[0]).add_(green, alpha=_LUMA[1]).add_(blue, alpha=_LUMA[2])


def blur_gaussian(images: torch.Tensor, size: int) -> torch.Tensor:
    """
    Gaussian blur with OpenCV's kernel of an odd side when no sigma is given (3: 1 2 1, 5: 1 4 6 4 1), reflected border.
    """
    taps = [float(t) for t in cv2.getGaussianKernel(size, 0)[:, 0]]
    radius, (height, width) = size // 2, images.shape[-2:]
    padded = F.pad(images, (radius, radius, radius, radius), mode='reflect')
    rows = padded[..., :width] * taps[0]  # shifted sums: several times faster than a convolution of so few channels
    for i, tap in enumerate(taps[1:], 1):
        rows.add_(padded[..., i : i + width], alpha=tap)
    blurred = rows[..., :height, :] * taps[0]
    for i, tap in enumerate(taps[1:], 1):
        blurred.add_(rows[..., i : i + height, :], alpha=tap)
    return blurred


def blur_motion(images: torch.Tensor, length_px: Float64Array, angle: Float64Array) -> torch.Tensor:
    """
    Blur along a straight line of a length (B,) and angle (B,), centred on the pixel, reflected border.

    Each kernel holds the bilinear weights of points along its line and sums to 1.
    """
    batch, channels, height, width = images.shape
    radius = int(np.ceil(max(float(length_px.max()) - 1, 0) / 2))
    kernels = np.stack([_line_kernel(float(n), float(a), radius) for n, a in zip(length_px, angle, strict=True)])
    weights = torch.from_numpy(kernels).to(images).repeat_interleave(channels, dim=0)[:, None]
    padded = F.pad(images, (radius, radius, radius, radius), mode='reflect')
    blurred = F.conv2d(padded.reshape(1, batch * channels, *padded.shape[-2:]), weights, groups=batch * channels)
    return blurred.reshape(batch, channels, height, width)


def darken_corners(images: torch.Tensor, strength: Float64Array) -> torch.Tensor:
    """
    Light that falls off with the square of the distance from the centre, by ``strength`` (B,) in the corners.
    """
    y = torch.linspace(-1, 1, images.shape[-2], device=images.device)[:, None]
    x = torch.linspace(-1, 1, images.shape[-1], device=images.device)
    return images * (1 - _per_sample(images, strength) * ((x * x + y * y) / 2))


def jitter_color(images: torch.Tensor, draw: ViewDraw) -> torch.Tensor:
    """
    Brightness, contrast, saturation and hue by the factors of PIL and torchvision, clipped to [0, 1] after each.

    Contrast blends with the mean luma of the image, saturation with the luma of the pixel. Gray has neither
    saturation nor hue.
    """
    if np.any(draw.brightness != 1):
        images = (images * _per_sample(images, draw.brightness)).clamp_(0, 1)
    if np.any(draw.contrast != 1):
        mean = to_gray(images).mean(dim=(-2, -1), keepdim=True)
        images = torch.lerp(mean, images, _per_sample(images, draw.contrast)).clamp_(0, 1)
    if images.shape[1] == 1:
        return images
    if np.any(draw.saturation != 1):
        images = torch.lerp(to_gray(images), images, _per_sample(images, draw.saturation)).clamp_(0, 1)
    return shift_hue(images, draw.hue) if np.any(draw.hue != 0) else images


def shift_hue(images: torch.Tensor, shift: Float64Array) -> torch.Tensor:
    """
    The hue of the HSV hexagon turned by ``shift`` (B,), 1 is the whole circle; value and saturation stay.
    """
    red, green, blue = images.unbind(dim=1)
    value, which = images.max(dim=1)
    chroma = value - images.amin(dim=1)
    divisor = chroma.clamp(min=1e-12)  # gray has no hue: any will do
    sextant = torch.where(
        which == 0,
        (green - blue) / divisor,
        torch.where(which == 1, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    sextant = sextant + 6 * _per_sample(images, shift)[:, 0]
    turned = torch.empty_like(images)
    for channel, offset in enumerate((5, 3, 1)):
        k = torch.remainder(sextant + offset, 6)
        turned[:, channel] = value - chroma * torch.minimum(k, 4 - k).clamp_(0, 1)
    return turned


def _on_rows(images: torch.Tensor, mask: BoolArray, change: _Change) -> torch.Tensor:
    rows = np.flatnonzero(mask)
    if rows.size == 0:
        return images
    if rows.size == len(images):
        return change(images, rows).contiguous()
    index = torch.from_numpy(rows).to(images.device, non_blocking=True)
    images[index] = change(images[index], rows)
    return images


def _blur_rows(images: torch.Tensor, _: npt.NDArray[np.intp], size: int) -> torch.Tensor:
    return blur_gaussian(images, size)


def _add_noise(images: torch.Tensor, sigma: Float64Array, seeds: npt.NDArray[np.int64]) -> None:
    rows = np.flatnonzero(sigma > 0)
    if rows.size == 0:
        return
    generator = torch.Generator(images.device)
    noise = torch.empty_like(images[0])
    for row in rows:  # seeded by the sample, so that its noise does not depend on what else is in the batch
        noise.normal_(generator=generator.manual_seed(int(seeds[row])))
        images[row].add_(noise, alpha=float(sigma[row])).clamp_(0, 1)


def _line_kernel(length_px: float, angle: float, radius: int) -> npt.NDArray[np.float32]:
    half = (length_px - 1) / 2
    along = np.linspace(-half, half, max(2, round(_MOTION_SAMPLES * length_px)))
    x, y = radius + along * np.cos(angle), radius + along * np.sin(angle)
    grid = np.arange(2 * radius + 1)
    weight_x = np.clip(1 - np.abs(x[:, None] - grid), 0, None)
    weight_y = np.clip(1 - np.abs(y[:, None] - grid), 0, None)
    kernel = weight_y.T @ weight_x
    return np.asarray(kernel / kernel.sum(), np.float32)


def _per_sample(images: torch.Tensor, values: Float64Array) -> torch.Tensor:
    return torch.from_numpy(values).to(images.device, images.dtype, non_blocking=True)[:, None, None, None]
