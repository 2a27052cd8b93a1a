# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Training pairs: two views of one photograph and the homography between them, made in batches.

A photograph is seen by view T through a random affine map, and by view S through that map and a random homography:
S(p) = T(Hp). Each view is resampled once, straight from the photograph. All that is random about a pair is a function
of (seed, epoch, index), whatever else is in its batch and wherever the batch is made; only the noise of a pair is
another one on another kind of device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from kp2d_ros.core.errors import ConfigError, DataError, ShapeError
from kp2d_ros.core.records import BoolArray, Float64Array, ImageArray
from kp2d_ros.core.settings import section, setting, validate
from kp2d_ros.pairs.homography import (
    AFFINE_UNIFORMS,
    CORNERS,
    HOMOGRAPHY_NORMALS,
    HOMOGRAPHY_UNIFORMS,
    AffineConfig,
    HomographyConfig,
    quad_areas,
    sample_affines,
    sample_homographies,
    transform_points,
)
from kp2d_ros.pairs.photometric import (
    SHARED_UNIFORMS,
    VIEW_UNIFORMS,
    PhotometricConfig,
    SharedDraw,
    ViewDraw,
    augment,
    draw_shared,
    draw_view,
    to_gray,
)
from kp2d_ros.pairs.photos import IndexArray, Photos, PhotosConfig

_SLOTS = np.cumsum([AFFINE_UNIFORMS, HOMOGRAPHY_UNIFORMS, SHARED_UNIFORMS, VIEW_UNIFORMS, VIEW_UNIFORMS])
_EDGE = 1 + 1e-4  # normalised; the last pixel is still there if rounding moves it out
_REDUCE_FROM = 0.5  # log2 of the step in photograph pixels, per halving of the photograph
_HALVINGS = 3
_CPU_CHUNK = 8  # pairs made at a time on a CPU: what they take stays near its caches


@dataclass(frozen=True, slots=True)
class PairConfig:
    """
    How training pairs are made; the defaults are those of the public code, ``PAIR_PRESETS`` holds others.
    """

    height: int = setting(240, 'rows of both views', minimum=16, maximum=8192)
    width: int = setting(320, 'columns of both views', minimum=16, maximum=8192)
    photos: PhotosConfig = section(PhotosConfig)
    affine: AffineConfig = section(AffineConfig)
    homography: HomographyConfig = section(HomographyConfig)
    photometric: PhotometricConfig = section(PhotometricConfig)

    def __post_init__(self) -> None:
        validate(self)
        largest = max((*self.photometric.blur_sizes, int(self.photometric.motion_blur_px) + 1))
        if largest > min(self.height, self.width):
            raise ConfigError(f'blur: found {largest} pixels, expected less than a side of {self.width}x{self.height}')


# What differs from the defaults.
PAIR_PRESETS: dict[str, dict[str, Any]] = {
    'official_code': {},
    # arXiv 1912.10615, section 4.2: ranges are uniform; the magnitudes of rotation and perspective go both ways.
    'paper': {
        'affine': {
            'vertical_flip_probability': 0.0,
            'horizontal_flip_probability': 0.0,
            'max_angle_deg': 0.0,
            'translation': 0.0,
            'scale_amplitude': 0.0,
        },
        'homography': {'distribution': 'uniform', 'scale_amplitude': 0.2},
        'photometric': {
            'noise_sigma_min': 0.0,
            'noise_sigma_max': 0.3,
            'blur_sizes': [1, 3, 5],
            'brightness': 0.5,
            'contrast': 0.5,
            'saturation': 0.2,
            'hue': 0.2,
        },
    },
    # For robots: cameras that roll, come nearer, go away, shake and see other light.
    'wide': {
        'photos': {'keep_aspect': True, 'storage_scale': 1.5},
        'affine': {'vertical_flip_probability': 0.0},
        'homography': {'sampler': 'wide', 'max_angle_deg': 60.0, 'zoom_in': 2.0},
        'photometric': {
            'channel_shuffle_probability': 0.25,
            'gray_probability': 0.25,
            'noise_sigma_min': 0.0,
            'brightness': 0.5,
            'contrast': 0.5,
            'saturation': 0.2,
            'hue': 0.05,
            'motion_blur_probability': 0.2,
            'gamma_probability': 0.3,
            'vignette_probability': 0.2,
        },
    },
}


class PairBatch(NamedTuple):
    """
    B training pairs.

    ``source`` (view S) and ``target`` (view T) are (B, 3, H, W), float32 in [0, 1]. ``target_from_source`` is
    (B, 3, 3), float32, in normalised coordinates: S(p) = T(Hp). ``source_valid`` and ``target_valid`` are
    (B, 1, H, W), bool: False where a view shows nothing of the photograph but black. ``indices`` is (B,), int64, on
    the CPU: what each pair was made from.
    """

    source: torch.Tensor
    target: torch.Tensor
    target_from_source: torch.Tensor
    source_valid: torch.Tensor
    target_valid: torch.Tensor
    indices: torch.Tensor


class PairMaker:
    """
    Makes training pairs from photographs on a device; safe to use from several threads.

    :param photos: opened for the height and width of the views.
    :param seed: from 0 on; with epoch and index it determines a pair.
    :raises DataError: if there is no photograph.
    """

    def __init__(self, photos: Photos, config: PairConfig, seed: int, device: torch.device | None = None) -> None:
        if len(photos) == 0:
            raise DataError('photographs: found none, expected at least one')
        if not 0 <= seed < 2**63:
            raise ConfigError(f'seed: found {seed}, expected a number from 0 to 2^63 - 1')
        self.photos = photos
        self.config = config
        self.seed = seed
        self.device = device or torch.device('cpu')

    def make(self, indices: IndexArray, epoch: int) -> PairBatch:
        """
        One pair for each index; index i + k N is the k-th other look at photograph i of N.

        :param indices: (B,), from 0 on.
        """
        if indices.ndim != 1 or len(indices) == 0 or indices.min() < 0:
            raise ShapeError(f'indices: found {indices.tolist()}, expected a list of at least one number from 0 on')
        draw = draw_pairs(self.config, self.seed, epoch, indices)
        count, height, width = len(indices), self.config.height, self.config.width
        mask = torch.empty((count, 1, height, width), dtype=torch.bool, device=self.device)
        images = torch.empty((count, 3, height, width), device=self.device)
        batch = PairBatch(
            source=images,
            target=torch.empty_like(images),
            target_from_source=torch.from_numpy(draw.target_from_source.astype(np.float32)).to(self.device),
            source_valid=mask,
            target_valid=torch.empty_like(mask),
            indices=torch.from_numpy(indices.astype(np.int64)),
        )
        chunk = _CPU_CHUNK if self.device.type == 'cpu' else count
        for rows in (np.flatnonzero(draw.shared.gray), np.flatnonzero(~draw.shared.gray)):
            for first in range(0, len(rows), chunk):
                self._fill(batch, draw, rows[first : first + chunk])
        return batch

    def _fill(self, batch: PairBatch, draw: PairDraw, rows: npt.NDArray[np.intp]) -> None:
        """
        Make some of the pairs of a batch, either all in colour or all gray.
        """
        stored = self.photos.read(batch.indices.numpy()[rows] % len(self.photos))
        order = draw.shared.channel_order[rows]
        for row in np.flatnonzero(np.any(order != np.arange(3), axis=1)):
            stored[row] = stored[row, order[row]]
        photographs = self._upload(stored).float().mul_(1 / 255)
        if draw.shared.gray[rows[0]]:
            photographs = to_gray(photographs)
        index = torch.from_numpy(rows).to(self.device, non_blocking=True)
        views = (
            (draw.stored_from_source, draw.source, batch.source, batch.source_valid),
            (draw.stored_from_target, draw.target, batch.target, batch.target_valid),
        )
        for matrices, changes, images, masks in views:
            view, valid = view_photographs(photographs, matrices[rows], (self.config.height, self.config.width))
            images.index_copy_(0, index, augment(view, changes.at(rows)).expand(-1, 3, -1, -1))
            masks.index_copy_(0, index, valid)

    def _upload(self, images: ImageArray) -> torch.Tensor:
        tensor = torch.from_numpy(images)
        if self.device.type == 'cuda':  # only pinned memory is copied while the device works on something else
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)


@dataclass(frozen=True, slots=True)
class PairDraw:
    """
    All that is random about B pairs: three kinds of matrices (B, 3, 3), and what changes the pixels.
    """

    target_from_source: Float64Array
    stored_from_source: Float64Array
    stored_from_target: Float64Array
    shared: SharedDraw
    source: ViewDraw
    target: ViewDraw


def draw_pairs(config: PairConfig, seed: int, epoch: int, indices: IndexArray) -> PairDraw:
    """
    What happens to each pair.
    """
    aspect = config.height / config.width
    uniforms, normals = draw_numbers(seed, epoch, indices)
    affine, homography, shared, source, target = np.split(uniforms, _SLOTS[:-1], axis=1)
    stored_from_target = sample_affines(config.affine, aspect, affine)
    target_from_source = sample_homographies(config.homography, aspect, homography, normals)
    return PairDraw(
        target_from_source=target_from_source,
        stored_from_source=stored_from_target @ target_from_source,
        stored_from_target=stored_from_target,
        shared=draw_shared(config.photometric, shared),
        source=draw_view(config.photometric, source),
        target=draw_view(config.photometric, target),
    )


def draw_numbers(seed: int, epoch: int, indices: IndexArray) -> tuple[Float64Array, Float64Array]:
    """
    The random numbers of each pair: (B, U) uniform in [0, 1) and (B, HOMOGRAPHY_NORMALS) standard normal.

    Philox is a function of key and counter: (seed, epoch) is the key, and the index says where the counter begins.
    """
    uniforms, normals = np.empty((len(indices), _SLOTS[-1])), np.empty((len(indices), HOMOGRAPHY_NORMALS))
    for row, index in enumerate(indices.tolist()):
        stream = np.random.Generator(np.random.Philox(key=(seed << 64) | epoch, counter=index << 64))
        stream.random(out=uniforms[row])
        stream.standard_normal(out=normals[row])
    return uniforms, normals


def view_photographs(
    photographs: torch.Tensor, stored_from_view: Float64Array, size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    What a view sees of photographs (B, C, h, w), bilinear, black outside; and where it sees them (B, 1, H, W).

    A photograph that is reduced is halved first as often as it takes for no pixel to be stepped over.

    :param stored_from_view: (B, 3, 3), from normalised coordinates of the view to those of the photograph.
    :param size: rows and columns of the view.
    """
    quads = transform_points(stored_from_view, np.broadcast_to(CORNERS, (len(stored_from_view), 4, 2)))
    grid = _view_grid(torch.from_numpy(stored_from_view.astype(np.float32)).to(photographs.device), size)
    halvings = _count_halvings(quads, photographs.shape[-2:], size)
    if not halvings.any():
        views = F.grid_sample(photographs, grid, padding_mode='border', align_corners=True)
    else:
        views = photographs.new_empty((*photographs.shape[:2], *size))
        for level in np.unique(halvings).tolist():
            rows = torch.from_numpy(np.flatnonzero(halvings == level)).to(photographs.device)
            reduced, factor, offset = _halve(photographs[rows], level)
            views[rows] = F.grid_sample(
                reduced, grid[rows] * factor + offset, padding_mode='border', align_corners=True
            )
    return _blacken_outside(views, grid, np.abs(quads).max(axis=(1, 2)) > _EDGE)


def _view_grid(matrices: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """
    Where the pixels of a view lie in the photograph (B, H, W, 2), normalised.
    """
    y = torch.linspace(-1, 1, size[0], device=matrices.device)
    x = torch.linspace(-1, 1, size[1], device=matrices.device)
    columns = matrices[:, :, 0, None] * x  # (B, 3, W)
    rows = matrices[:, :, 1, None] * y + matrices[:, :, 2, None]  # (B, 3, H)
    weight = (rows[:, 2, :, None] + columns[:, 2, None]).reciprocal_()
    grid = matrices.new_empty((len(matrices), *size, 2))
    for axis in range(2):
        torch.mul(rows[:, axis, :, None] + columns[:, axis, None], weight, out=grid[..., axis])
    return grid


def _blacken_outside(
    views: torch.Tensor, grid: torch.Tensor, reaches_out: BoolArray
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    The views, black where they see no photograph, and where they see it; only some of them reach out of it at all.
    """
    valid = torch.ones((len(views), 1, *views.shape[-2:]), dtype=torch.bool, device=views.device)
    for row in np.flatnonzero(reaches_out):
        x, y = grid[row].unbind(dim=-1)
        torch.logical_and(x.abs() <= _EDGE, y.abs() <= _EDGE, out=valid[row, 0])
        views[row] *= valid[row]
    return views, valid


def _count_halvings(quads: Float64Array, stored_size: tuple[int, ...], size: tuple[int, int]) -> IndexArray:
    pixels = (stored_size[0] - 1) * (stored_size[1] - 1) / ((size[0] - 1) * (size[1] - 1))
    step = np.sqrt(quad_areas(quads) / 4 * pixels)  # photograph pixels from one pixel of the view to the next
    halvings = np.ceil(np.log2(np.maximum(step, 1e-9)) - _REDUCE_FROM)
    return np.asarray(np.clip(halvings, 0, _HALVINGS), np.int64)


def _halve(photographs: torch.Tensor, times: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """
    Photographs reduced by averaging 2x2 pixels, and the factor and offset (x, y) of normalised coordinates there.

    They change because the outermost pixel centres move inwards; an odd last row or column is repeated.
    """
    sides = np.array(photographs.shape[:-3:-1])  # width, height
    for _ in range(times):
        height, width = photographs.shape[-2:]
        photographs = F.avg_pool2d(F.pad(photographs, (0, width % 2, 0, height % 2), mode='replicate'), 2)
    reduced = 2**times * (np.array(photographs.shape[:-3:-1]) - 1)
    factor, offset = (sides - 1) / reduced, (sides - 2**times) / reduced - 1
    return photographs, *torch.from_numpy(np.stack([factor, offset])).to(photographs)
