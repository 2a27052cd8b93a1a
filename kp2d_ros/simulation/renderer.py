# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Images of textured rectangles through a camera with a real lens: one ray per sample, met with every rectangle.

A rectangle seen by a camera is a homography of the ray (x, y, 1): with rows U, V and W, its coordinates are
(U r / W r, V r / W r), and W r is the inverse depth. So a ray costs three products per rectangle in front of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from kp2d_ros.core.cameras import CameraModel
from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.records import ImageArray
from kp2d_ros.core.se3 import invert_transform, transform_points
from kp2d_ros.simulation.layout import LAMP, Surface

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

_LEVELS = 6  # of the mip pyramid
_PADDING = 2  # texels around each picture of the atlas
_ATLAS_WIDTH = 4096
_NEAR = 0.05  # metres
_SHARP_FROM = 1.7  # metres: the distance at which a texel is as large as a pixel
_LATTICE_PX = 2  # pixels between the rays that the lens model gives itself
_BAND_ROWS = 64  # rows of samples that are worked on together and stay in the processor's cache


@dataclass(frozen=True, slots=True, eq=False)
class RayTable:
    """
    The rays (x, y, 1) of all samples of a camera, and the binary logarithm of a sample's size at z = 1.
    """

    x: Float32Array
    y: Float32Array
    log_size: Float32Array


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """
    All pictures of all surfaces at all levels in one image, and where they are.

    ``start_x``, ``start_y``, ``texels_x`` and ``texels_y`` are (surfaces * levels,): where a picture begins, and its
    texels per metre.
    """

    image: ImageArray
    start_x: Float32Array
    start_y: Float32Array
    texels_x: Float32Array
    texels_y: Float32Array


@dataclass(frozen=True, slots=True, eq=False)
class SeenSurfaces:
    """
    What the pixel centres of an image (H, W) meet: ``depth`` along the optical axis in metres, infinite where there is
    nothing, and ``cosine`` of the angle between the ray and the surface's normal, 0 there.
    """

    depth: Float32Array
    cosine: Float32Array


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """
    One surface from one pose: the homography from rays to metres along its edges and inverse depth (rows U, V, W), the
    box around it at z = 1, and the binary logarithm of the metres that a unit at z = 1 and depth 1 covers.
    """

    number: int
    rows: Float32Array
    size: tuple[float, float]
    low: Float64Array
    high: Float64Array
    log_metres: float


@dataclass(frozen=True, slots=True, eq=False)
class _Hits:
    """
    What each sample meets first: number of the surface, metres along its edges, inverse depth (0: nothing) and size of
    the sample on the surface as :class:`_View` has it.
    """

    number: npt.NDArray[np.intp]
    u: Float32Array
    v: Float32Array
    inverse_depth: Float32Array
    log_metres: Float32Array


def trace_lens(camera: CameraModel, samples: int) -> RayTable:
    """
    Rays of ``samples`` x ``samples`` points in each pixel.

    The lens model is asked on a lattice; between, rays are interpolated by cubics, which is exact to 1e-4 pixels.

    :raises ConfigError: if a pixel has no ray.
    """
    lattice_x, lattice_y = (
        np.arange(-_LATTICE_PX, n + 2 * _LATTICE_PX, _LATTICE_PX) for n in (camera.width, camera.height)
    )
    lattice = np.stack(np.meshgrid(lattice_x, lattice_y), axis=-1).reshape(-1, 2)
    rays = camera.unproject(lattice.astype(np.float64)).reshape(len(lattice_y), len(lattice_x), 2)
    if not np.isfinite(rays).all():
        raise ConfigError(
            'distortion: found pixels at the border that see nothing through this lens, expected a ray each'
        )
    rows = _interpolate(rays, camera.height * samples, samples)
    x, y = _interpolate(rows.transpose(1, 0, 2), camera.width * samples, samples).transpose(2, 1, 0)
    (xy, xx), (yy, yx) = np.gradient(x), np.gradient(y)
    log_size = 0.5 * np.log2(np.abs(xx * yy - xy * yx))
    return RayTable(*(np.ascontiguousarray(values, np.float32) for values in (x, y, log_size)))


def _interpolate(values: Float64Array, count: int, samples: int) -> Float64Array:
    """
    Values (count, ...) at samples, by cubics (Lagrange) through values (K, ...) on a lattice.

    The lattice begins one spacing before pixel 0.
    """
    points = (np.arange(count) + 0.5) / samples - 0.5
    first = np.clip((points // _LATTICE_PX).astype(int), 0, len(values) - 4)
    t = points / _LATTICE_PX + 1 - first
    total = np.zeros((count, *values.shape[1:]))
    for i in range(4):
        weight = np.prod([(t - j) / (i - j) for j in range(4) if j != i], axis=0)
        total += weight.reshape(-1, *(1,) * (values.ndim - 1)) * values[first + i]
    return total


def fitting_texels(camera: CameraModel) -> float:
    """
    Texels per metre of surfaces that a camera sees sharply.
    """
    return camera.focal_px / _SHARP_FROM


def build_atlas(surfaces: Sequence[Surface], texels: float, seed: int) -> Atlas:
    """
    Paint every surface at about ``texels`` texels per metre, light it, and pack the pyramids into one image.
    """
    pictures: list[ImageArray] = []
    for number, surface in enumerate(surfaces):
        unit = 2 ** (_LEVELS - 1)
        width, height = (unit * max(1, round(side * texels / unit)) for side in (surface.width, surface.height))
        picture = surface.paint(np.random.default_rng([seed, number]), height, width, texels)
        pictures.append(np.clip(picture * _light(surface, height, width) + 0.5, 0, 255).astype(np.uint8))
        for _ in range(1, _LEVELS):
            smaller = cv2.resize(pictures[-1], None, None, 0.5, 0.5, cv2.INTER_AREA)
            pictures.append(np.asarray(smaller, np.uint8))
    starts, size = _pack([picture.shape[:2] for picture in pictures])
    image = np.zeros((*size, 3), np.uint8)
    for (top, left), picture in zip(starts, pictures, strict=True):
        bordered = cv2.copyMakeBorder(picture, *(_PADDING,) * 4, cv2.BORDER_REPLICATE)
        image[top : top + bordered.shape[0], left : left + bordered.shape[1]] = bordered
    sides = np.array([(surface.height, surface.width) for surface in surfaces for _ in range(_LEVELS)])
    texels_y, texels_x = (np.array([p.shape[:2] for p in pictures]) / sides).T.astype(np.float32)
    # The centre of the first texel is half a texel from the edge.
    start_y, start_x = (np.array(starts).T + _PADDING - 0.5).astype(np.float32)
    return Atlas(image, start_x, start_y, texels_x, texels_y)


def _light(surface: Surface, height: int, width: int) -> Float32Array:
    """
    Brightness (height, width, 1) under a lamp and some light from everywhere.
    """
    down, right = np.meshgrid(np.linspace(0, surface.height, 24), np.linspace(0, surface.width, 24), indexing='ij')
    points = surface.origin + down[..., None] * surface.down + right[..., None] * surface.right
    to_lamp = np.array(LAMP) - points
    distance = np.linalg.norm(to_lamp, axis=-1)
    slant = np.clip(to_lamp @ surface.normal / distance, 0, None)
    brightness = 0.5 + 1.2 * slant / (1 + 0.3 * distance**2)
    return np.asarray(cv2.resize(brightness.astype(np.float32), (width, height))[..., None])


def _pack(sizes: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """
    Top-left corners of boxes put row by row, the tallest first, and the size (rows, columns) of the whole.
    """
    starts: list[tuple[int, int]] = [(0, 0)] * len(sizes)
    top = left = row_height = 0
    for index in sorted(range(len(sizes)), key=lambda i: -sizes[i][0]):
        height, width = (side + 2 * _PADDING for side in sizes[index])
        if left + width > _ATLAS_WIDTH:
            top, left, row_height = top + row_height, 0, 0
        starts[index] = (top, left)
        left, row_height = left + width, max(row_height, height)
    return starts, (top + row_height, _ATLAS_WIDTH)


def _view(number: int, surface: Surface, world_from_camera: Float64Array) -> _View | None:
    """
    None for a surface that is seen from behind, or not at all.
    """
    camera_from_world = invert_transform(world_from_camera)
    rotation = camera_from_world[:3, :3]
    right, down = rotation @ surface.right, rotation @ surface.down
    origin = transform_points(camera_from_world, surface.origin[None])[0]
    normal = np.cross(down, right)
    distance = float(normal @ origin)  # negative where the camera is on the viewer's side
    if distance > -1e-6:
        return None
    steps = ((0.0, 0.0), (surface.width, 0.0), (surface.width, surface.height), (0.0, surface.height))
    outline = _clip_near(np.array([origin + across * right + along * down for across, along in steps]))
    if len(outline) == 0:
        return None
    inverse_depth = normal / distance
    rows = np.stack([right - (right @ origin) * inverse_depth, down - (down @ origin) * inverse_depth, inverse_depth])
    flat = outline[:, :2] / outline[:, 2:]
    log_metres = 0.5 * float(np.log2(abs(np.linalg.det(rows))))
    size = (surface.width, surface.height)
    return _View(number, rows.astype(np.float32), size, flat.min(axis=0), flat.max(axis=0), log_metres)


def _clip_near(polygon: Float64Array) -> Float64Array:
    """
    The part of a polygon (N, 3) in front of the camera (Sutherland and Hodgman, one plane).
    """
    kept = []
    for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if start[2] >= _NEAR:
            kept.append(start)
        if (start[2] >= _NEAR) != (end[2] >= _NEAR):
            kept.append(start + (end - start) * ((_NEAR - start[2]) / (end[2] - start[2])))
    return np.array(kept).reshape(-1, 3)


def _meet(rays: RayTable, views: list[_View]) -> _Hits:
    """
    The nearest surface on each ray.
    """
    shape = rays.x.shape
    hits = _Hits(np.zeros(shape, np.intp), *(np.zeros(shape, np.float32) for _ in range(4)))
    left, right = rays.x.min(axis=0), rays.x.max(axis=0)
    top, bottom = float(rays.y.min()), float(rays.y.max())
    for view in views:
        columns = np.flatnonzero((right >= view.low[0]) & (left <= view.high[0]))
        if len(columns) == 0 or bottom < view.low[1] or top > view.high[1]:
            continue
        part = np.s_[:, columns[0] : columns[-1] + 1]
        x, y = rays.x[part], rays.y[part]
        across, along, inverse_depth = (row[0] * x + row[1] * y + row[2] for row in view.rows)
        met = inverse_depth > np.maximum(hits.inverse_depth[part], 0.0)
        # u and v within 0 and the size, without dividing: both sides times the inverse depth, positive where it counts.
        met &= (across >= 0) & (along >= 0)
        met &= (across <= view.size[0] * inverse_depth) & (along <= view.size[1] * inverse_depth)
        np.copyto(hits.inverse_depth[part], inverse_depth, where=met)
        np.copyto(hits.u[part], across, where=met)
        np.copyto(hits.v[part], along, where=met)
        np.copyto(hits.number[part], view.number, where=met)
    table = np.zeros(max((view.number for view in views), default=0) + 1, np.float32)
    for view in views:
        table[view.number] = view.log_metres
    seen = np.maximum(hits.inverse_depth, np.float32(1e-9))
    np.divide(hits.u, seen, out=hits.u)
    np.divide(hits.v, seen, out=hits.v)
    np.take(table, hits.number, out=hits.log_metres)
    return hits


class Renderer:
    """
    Draws surfaces as one camera sees them; rays are made once.
    """

    def __init__(
        self, surfaces: Sequence[Surface], atlas: Atlas, camera: CameraModel, *, samples: int, color: bool
    ) -> None:
        """
        :param atlas: the surfaces, painted as finely as :func:`fitting_texels` says.
        """
        self._surfaces = surfaces
        self._samples = samples
        self._rays = trace_lens(camera, samples)
        self._centre_rays = trace_lens(camera, 1)
        self._atlas = atlas
        self._log_texels = np.float32(np.log2(fitting_texels(camera)))
        self._picture = self._atlas.image if color else cv2.cvtColor(self._atlas.image, cv2.COLOR_RGB2GRAY)

    def render(self, world_from_camera: Float64Array) -> ImageArray:
        """
        The image (H, W, 3) RGB or (H, W) gray from a pose (4x4); black where there is no surface.
        """
        views = [view for i, s in enumerate(self._surfaces) if (view := _view(i, s, world_from_camera)) is not None]
        rays, samples = self._rays, self._samples
        height, width = rays.x.shape
        image = np.empty((height // samples, width // samples, *self._picture.shape[2:]), np.uint8)
        band = _BAND_ROWS // samples * samples
        for top in range(0, height, band):
            part = RayTable(*(a[top : top + band] for a in (rays.x, rays.y, rays.log_size)))
            drawn = self._shade(part, _meet(part, views))
            rows = slice(top // samples, (top + len(drawn)) // samples)
            image[rows] = cv2.resize(drawn, image[rows].shape[1::-1], interpolation=cv2.INTER_AREA)
        return image

    def render_depth(self, world_from_camera: Float64Array) -> Float32Array:
        """
        Depth (H, W) along the optical axis in metres at the pixel centres; infinite where there is no surface.
        """
        return self.render_surfaces(world_from_camera).depth

    def render_surfaces(self, world_from_camera: Float64Array) -> SeenSurfaces:
        """
        Depth, and how squarely each surface is met.
        """
        views = [view for i, s in enumerate(self._surfaces) if (view := _view(i, s, world_from_camera)) is not None]
        rays = self._centre_rays
        hits = _meet(rays, views)
        # The inverse depth is the product of a ray (x, y, 1) and a vector along the normal, the last of the rows.
        length = np.ones(len(self._surfaces), np.float32)
        for view in views:
            length[view.number] = np.linalg.norm(view.rows[2])
        cosine = hits.inverse_depth / (length[hits.number] * np.sqrt(rays.x**2 + rays.y**2 + 1))
        with np.errstate(divide='ignore'):
            return SeenSurfaces(np.asarray(1 / hits.inverse_depth), np.asarray(cosine, np.float32))

    def _shade(self, rays: RayTable, hits: _Hits) -> ImageArray:
        """
        The samples' colours, each from the level whose texels are as large as the sample.
        """
        with np.errstate(divide='ignore'):
            metres = hits.log_metres + rays.log_size - np.float32(1.5) * np.log2(hits.inverse_depth)
        level = np.clip(np.rint(metres + self._log_texels), 0, _LEVELS - 1)
        entry = hits.number * _LEVELS + level.astype(np.intp)
        map_x = self._atlas.start_x[entry] + hits.u * self._atlas.texels_x[entry]
        map_y = self._atlas.start_y[entry] + hits.v * self._atlas.texels_y[entry]
        map_x[hits.inverse_depth == 0] = -2.0  # outside: black
        return np.asarray(cv2.remap(self._picture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))
