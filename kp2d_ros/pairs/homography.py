# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Random homographies and affine maps of training images: batched, float64, from given random numbers.

Every matrix maps normalised coordinates to normalised coordinates: x and y are in [-1, 1] between the centres of the
outermost pixels (``align_corners=True`` of PyTorch). Angles and lengths hold where x is in [-1, 1] and y in
[-aspect, aspect], with aspect = height / width. The random numbers are arguments, one row per sample, so that a sample
depends on its own row only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.records import Float64Array
from kp2d_ros.core.settings import Settings, setting, validate

# How many random numbers a sample takes, whatever the settings are: switching an option moves no other draw.
AFFINE_UNIFORMS = 6
HOMOGRAPHY_UNIFORMS = 12
HOMOGRAPHY_NORMALS = 5

CORNERS = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])

_UNSCALED_SHARE = 0.01  # the public code picks among 99 drawn scales and one that is exactly 1
_LARGEST_PATCH = 1 - 1e-9  # of the image: the translation and angle 0 then always stay inside


@dataclass(frozen=True, slots=True)
class HomographyConfig:
    """
    The homography between the two views; the defaults are those of the public code.

    ``inside`` is its sampler: view S shows a part of view T, nothing outside. ``wide`` turns by any angle up to the
    largest one, zooms in and out and moves every corner on its own; what falls outside is marked invalid.
    """

    sampler: str = setting(
        'inside', 'inside: S lies within T (public code); wide: any view, with masks', choices=('inside', 'wide')
    )
    max_angle_deg: float = setting(45.0, 'largest rotation, both ways', minimum=0, maximum=180)
    patch_ratio: float = setting(0.7, 'inside: side of the patch over that of T', minimum=0.05, maximum=1)
    distribution: str = setting(
        'clipped_normal',
        'inside: perspective and scale, clipped_normal (sigma = amplitude; public code) or uniform (paper)',
        choices=('clipped_normal', 'uniform'),
    )
    perspective_amplitude: float = setting(
        0.2, 'inside: largest move of a side, as part of half the image', minimum=0, maximum=0.9
    )
    scale_amplitude: float = setting(0.1, 'inside: largest change of scale (paper: 0.2)', minimum=0, maximum=0.9)
    angle_count: int = setting(100, 'inside: angles to choose from, beside 0', minimum=1, maximum=10000)
    zoom_in: float = setting(1.5, 'wide: S shows T enlarged by up to this', minimum=1, maximum=8)
    zoom_out: float = setting(1.5, 'wide: S shows T reduced by up to this', minimum=1, maximum=8)
    corner_shift: float = setting(0.15, 'wide: largest move of a corner, as part of half S', minimum=0, maximum=0.45)
    translation: float = setting(0.2, 'wide: largest translation, as part of half of T', minimum=0, maximum=2)
    angle_exponent: float = setting(
        1.0, 'wide: 1: angles are uniform; n: the n-th power of a uniform number, most are small', minimum=1, maximum=10
    )
    zoom_exponent: float = setting(1.0, 'wide: the same for the logarithm of the zoom', minimum=1, maximum=10)

    def __post_init__(self) -> None:
        validate(self)
        if self.patch_ratio <= self.perspective_amplitude:
            raise ConfigError(
                f'patch_ratio: found {self.patch_ratio:g}, expected more than perspective_amplitude '
                f'({self.perspective_amplitude:g}): the patch would fold over'
            )


@dataclass(frozen=True, slots=True)
class AffineConfig(Settings):
    """
    Flips and the affine map from the photograph to view T; the defaults are those of the public code.

    Paper differs: it has none of these.
    """

    vertical_flip_probability: float = setting(0.5, 'upside down (paper: 0)', minimum=0, maximum=1)
    horizontal_flip_probability: float = setting(0.5, 'left for right (paper: 0)', minimum=0, maximum=1)
    max_angle_deg: float = setting(15.0, 'largest rotation, both ways (paper: 0)', minimum=0, maximum=180)
    translation: float = setting(0.1, 'largest translation, as part of the image (paper: 0)', minimum=0, maximum=1)
    scale_amplitude: float = setting(0.1, 'scale from 1 minus to 1 plus this (paper: 0)', minimum=0, maximum=0.9)


def sample_homographies(
    config: HomographyConfig, aspect: float, uniforms: Float64Array, normals: Float64Array
) -> Float64Array:
    """
    Homographies target_from_source (B, 3, 3) with element (2, 2) equal to 1: S(p) = T(Hp).

    :param aspect: height / width of the views.
    :param uniforms: (B, HOMOGRAPHY_UNIFORMS), uniform in [0, 1).
    :param normals: (B, HOMOGRAPHY_NORMALS), standard normal.
    """
    if config.sampler == 'inside':
        quads = _quads_inside(config, aspect, uniforms, normals)
    else:
        quads = _quads_wide(config, aspect, uniforms)
    return homographies_to_quads(quads / (1.0, aspect))


def sample_affines(config: AffineConfig, aspect: float, uniforms: Float64Array) -> Float64Array:
    """
    Affine maps stored_from_target (B, 3, 3): where in the photograph a point of view T is seen.

    T shows the photograph flipped, then turned about its centre, scaled and translated, as torchvision's RandomAffine
    does it, though with translations that are not rounded to whole pixels.

    :param uniforms: (B, AFFINE_UNIFORMS), uniform in [0, 1).
    """
    flip_y = np.where(uniforms[:, 0] < config.vertical_flip_probability, -1.0, 1.0)
    flip_x = np.where(uniforms[:, 1] < config.horizontal_flip_probability, -1.0, 1.0)
    spread = 2 * uniforms[:, 2:] - 1
    angle = np.deg2rad(config.max_angle_deg) * spread[:, 0]
    shift = 2 * config.translation * spread[:, 1:3]  # the image is 2 wide here
    scale = 1 + config.scale_amplitude * spread[:, 3]
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    matrix = np.zeros((len(uniforms), 3, 3))
    matrix[:, 0, 0], matrix[:, 0, 1] = flip_x * cos, flip_x * sin * aspect
    matrix[:, 1, 0], matrix[:, 1, 1] = -flip_y * sin / aspect, flip_y * cos
    matrix[:, :2, 2] = -np.einsum('bij,bj->bi', matrix[:, :2, :2], shift)
    matrix[:, 2, 2] = 1
    return matrix


def homographies_to_quads(quads: Float64Array) -> Float64Array:
    """
    The homographies (B, 3, 3) that map ``CORNERS`` to the corners (B, 4, 2), with element (2, 2) equal to 1.

    Each solves the eight equations of the four-point direct linear transform.
    """
    system = np.zeros((len(quads), 4, 2, 8))
    system[:, :, 0, 0:2] = system[:, :, 1, 3:5] = CORNERS
    system[:, :, 0, 2] = system[:, :, 1, 5] = 1
    system[:, :, :, 6:8] = -CORNERS[None, :, None, :] * quads[:, :, :, None]
    solution = np.linalg.solve(system.reshape(-1, 8, 8), quads.reshape(-1, 8, 1))
    matrices = np.ones((len(quads), 9))
    matrices[:, :8] = solution[..., 0]
    return matrices.reshape(-1, 3, 3)


def transform_points(matrices: Float64Array, xy: Float64Array) -> Float64Array:
    """
    Points (B, N, 2) mapped by 3x3 matrices (B, 3, 3) of the same coordinates.
    """
    mapped = np.einsum('bij,bnj->bni', matrices[:, :, :2], xy) + matrices[:, None, :, 2]
    return np.asarray(mapped[..., :2] / mapped[..., 2:])


def quad_areas(quads: Float64Array) -> Float64Array:
    """
    Areas (B,) of quadrilaterals (B, 4, 2) with the corners in the order of ``CORNERS``.
    """
    diagonals = quads[:, 3] - quads[:, 0], quads[:, 1] - quads[:, 2]
    cross = diagonals[0][:, 0] * diagonals[1][:, 1] - diagonals[0][:, 1] * diagonals[1][:, 0]
    return np.asarray(np.abs(cross) / 2)


def _quads_inside(
    config: HomographyConfig, aspect: float, uniforms: Float64Array, normals: Float64Array
) -> Float64Array:
    """
    Where in T the corners of S are seen (B, 4, 2), by the public sampler.
    """
    image = np.array([1.0, aspect])
    if config.distribution == 'uniform':
        unit = 2 * uniforms[:, 4 : 4 + HOMOGRAPHY_NORMALS] - 1
    else:
        unit = np.clip(normals, -1, 1)  # sigma is the amplitude
    left_right = config.perspective_amplitude * unit[:, [1, 0, 1, 0]] * np.sign(CORNERS[:, 0])
    up_down = config.perspective_amplitude * unit[:, [3, 3, 2, 2]] * np.sign(CORNERS[:, 1])
    quads = (config.patch_ratio * CORNERS + np.stack([left_right, up_down], axis=-1)) * image

    scale = 1 + config.scale_amplitude * unit[:, 4]
    if config.distribution == 'clipped_normal':
        scale = np.where(uniforms[:, 0] < _UNSCALED_SHARE, 1.0, scale)
    extent = np.abs(quads / image).max(axis=(1, 2))
    quads = quads * np.minimum(scale, _LARGEST_PATCH / extent)[:, None, None]  # they are centred on the origin

    room_low, room_high = quads.min(axis=1) + image, image - quads.max(axis=1)
    quads = quads + ((room_low + room_high) * uniforms[:, 1:3] - room_low)[:, None]
    return _rotate_inside(config, image, quads, uniforms[:, 3])


def _rotate_inside(
    config: HomographyConfig, image: Float64Array, quads: Float64Array, uniform: Float64Array
) -> Float64Array:
    """
    Quadrilaterals turned about their means, each by one of the angles that leave it within the image.
    """
    limit = np.deg2rad(config.max_angle_deg)
    angles = np.concatenate([[0.0], np.linspace(-limit, limit, config.angle_count)])
    centre = quads.mean(axis=1, keepdims=True)
    turned = _turn(quads[:, None] - centre[:, None], angles[None]) + centre[:, None]
    inside = np.all((turned >= -image) & (turned < image), axis=(2, 3))
    inside[:, 0] |= ~inside.any(axis=1)  # a patch that touches the border by rounding: leave it as it is
    nth = np.floor(uniform * inside.sum(axis=1))
    chosen = np.argmax(np.cumsum(inside, axis=1) > nth[:, None], axis=1)
    return np.asarray(turned[np.arange(len(quads)), chosen])


def _quads_wide(config: HomographyConfig, aspect: float, uniforms: Float64Array) -> Float64Array:
    """
    Where in T the corners of S are seen (B, 4, 2), by the wide sampler.
    """
    spread = 2 * uniforms - 1
    angle = np.deg2rad(config.max_angle_deg) * _concentrated(spread[:, 0], config.angle_exponent)
    if config.zoom_exponent == 1:
        log_side = -np.log(config.zoom_in) + uniforms[:, 1] * np.log(config.zoom_in * config.zoom_out)
    else:
        zoom = _concentrated(spread[:, 1], config.zoom_exponent)
        log_side = zoom * np.log(np.where(zoom < 0, config.zoom_in, config.zoom_out))
    corners = CORNERS + config.corner_shift * spread[:, 4:12].reshape(-1, 4, 2)
    quads = corners * (1.0, aspect) * np.exp(log_side)[:, None, None]
    shift = config.translation * spread[:, 2:4] * (1.0, aspect)
    return np.asarray(_turn(quads[:, None], angle[:, None])[:, 0] + shift[:, None])


def _concentrated(spread: Float64Array, exponent: float) -> Float64Array:
    """
    Numbers in [-1, 1] drawn towards 0 by a power, with their signs.
    """
    return np.asarray(np.sign(spread) * np.abs(spread) ** exponent)


def _turn(quads: Float64Array, angles: Float64Array) -> Float64Array:
    """
    Quadrilaterals (B, 1, 4, 2) turned about the origin by each angle (B or 1, A): (B, A, 4, 2).
    """
    cos, sin = np.cos(angles)[..., None], np.sin(angles)[..., None]
    x, y = quads[..., 0], quads[..., 1]
    return np.stack([x * cos - y * sin, x * sin + y * cos], axis=-1)
