# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Where the edges of a depth image lie on the image.

Most of what ends in depth ends in the image as well. The edges of depth are laid over those of the image, shifted and
zoomed; where they fit best tells how the two are registered. Zoomed, because depth that was not registered was seen by
another lens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from kp2d_ros.core.records import BoolArray, Float32Array, Float64Array, ImageArray

_SIDE_PX = 320  # of the longer side, at which edges are compared
_REACH = 20  # shifts to each side that are tried, in pixels of that size
_CELL = 40  # within a cell a zoom is as good as a shift
_DEPTH_STEP = 0.05  # share of the depth by which it jumps at an edge
_CONTRAST_REACH = 2  # pixels to each side of an edge whose means are compared
_LARGEST_CONTRAST = 40.0  # gray levels; a window frame weighs no more than a chair
_FEWEST_EDGES = 150  # pixels
_ZOOMS = tuple(0.02 * i for i in range(-8, 9))
_ZOOM_GAIN = 1.03  # by which edges must fit better with a zoom than without


@dataclass(frozen=True, slots=True, eq=False)
class EdgeMatch:
    """
    How well the edges of an image fit those of depth: ``surfaces`` (cells, 2 R + 1, 2 R + 1) for each shift (rows: y)
    of each cell, whose middles lie at ``centres`` (cells, 2) from the middle of the image. All of it in pixels that are
    ``px`` pixels of the image large. ``near_edges`` (H, W) is where edges are of depth, roughly.
    """

    surfaces: Float32Array
    centres: Float64Array
    px: float
    near_edges: BoolArray


@dataclass(frozen=True, slots=True)
class Registration:
    """
    The edges of the image lie ``shift_px`` (2,) beside those of depth, and further out by ``zoom`` times their distance
    from the middle of the image.
    """

    shift_px: Float64Array
    zoom: float


def depth_steps(metres: Float32Array, axis: int) -> BoolArray:
    """
    (H, W) whether depth jumps towards the next pixel along an axis, both measured.
    """
    with np.errstate(invalid='ignore', divide='ignore'):
        logs = np.log(np.where((metres > 0) & np.isfinite(metres), metres, np.nan))
        return np.asarray(np.abs(np.diff(logs, axis=axis, append=np.nan)) > _DEPTH_STEP)


def match_edges(image: ImageArray, metres: Float32Array) -> EdgeMatch | None:
    """
    Compare the edges of an image, gray or RGB, with those of depth (H, W); None if there are hardly any of depth.
    """
    stride = max(1, round(max(metres.shape) / _SIDE_PX))
    metres = np.ascontiguousarray(metres[::stride, ::stride])
    height, width = metres.shape
    steps = [depth_steps(metres, axis) for axis in (0, 1)]
    if sum(int(step.sum()) for step in steps) < _FEWEST_EDGES:
        return None
    small = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    contrasts = [_contrast(small, axis) for axis in (0, 1)]
    tops, lefts = _cuts(height), _cuts(width)
    surfaces, centres = [], []
    for top, bottom in pairwise(tops):
        for left, right in pairwise(lefts):
            surface = np.zeros((2 * _REACH + 1, 2 * _REACH + 1), np.float32)
            for step, contrast in zip(steps, contrasts, strict=True):
                edges = step[top:bottom, left:right].astype(np.float32)
                if edges.any():
                    around = contrast[top : bottom + 2 * _REACH, left : right + 2 * _REACH]
                    surface += cv2.matchTemplate(around, edges, cv2.TM_CCORR)
            surfaces.append(surface)
            centres.append((0.5 * (left + right - width), 0.5 * (top + bottom - height)))
    near = cv2.dilate((steps[0] | steps[1]).astype(np.uint8), np.ones((9, 9), np.uint8))
    return EdgeMatch(np.array(surfaces), np.array(centres), image.shape[1] / width, near.astype(np.bool_))


def register_edges(matches: Sequence[EdgeMatch], zooms: Sequence[float] = _ZOOMS) -> Registration:
    """
    The shift and zoom at which the edges of some images (at least one) fit best together.
    """
    surfaces = np.sum([each.surfaces for each in matches], axis=0)
    centres, px = matches[0].centres, matches[0].px
    best = max((_fit(surfaces, centres, zoom) for zoom in zooms), key=lambda fit: fit.score)
    if 0.0 in zooms and best.zoom != 0.0:
        plain = _fit(surfaces, centres, 0.0)
        best = plain if best.score < _ZOOM_GAIN * plain.score else best
    return Registration(best.shift * px, best.zoom)


@dataclass(frozen=True, slots=True)
class _ZoomedFit:
    """
    How well edges fit at one zoom, and the shift (2,) at which they do.
    """

    score: float
    shift: Float64Array
    zoom: float


def _fit(surfaces: Float32Array, centres: Float64Array, zoom: float) -> _ZoomedFit:
    moved = [_shifted(surface, -zoom * centre) for surface, centre in zip(surfaces, centres, strict=True)]
    total = np.sum(moved, axis=0)
    row, column = (int(i) for i in np.unravel_index(int(total.argmax()), total.shape))
    peak = np.array([_peak(total[row], column), _peak(total[:, column], row)])
    return _ZoomedFit(float(total.max()), peak - _REACH, zoom)


def _contrast(image: Float32Array, axis: int) -> Float32Array:
    """
    (H + 2 R, W + 2 R) by how much the image differs before and behind each pixel along an axis, less the mean, with a
    margin of zeros; means of some pixels, which takes out fine texture.
    """
    reach = _CONTRAST_REACH
    size = (2 * reach + 1, reach) if axis == 0 else (reach, 2 * reach + 1)
    before = (reach, reach - 1) if axis == 0 else (reach - 1, reach)
    behind = (reach, 0) if axis == 0 else (0, reach)
    differences = []
    for channel in cv2.split(image):
        ahead = np.roll(cv2.boxFilter(channel, -1, size, anchor=behind), -1, axis)
        differences.append(np.abs(ahead - cv2.boxFilter(channel, -1, size, anchor=before)))
    contrast = np.minimum(np.max(differences, axis=0), _LARGEST_CONTRAST)
    return np.pad(contrast - contrast.mean(), _REACH).astype(np.float32)


def _cuts(length: int) -> list[int]:
    count = max(1, round(length / _CELL))
    return [round(length * i / count) for i in range(count + 1)]


def _shifted(surface: Float32Array, shift: Float64Array) -> Float32Array:
    """
    A surface moved by (x, y); zero where nothing is known.
    """
    affine = np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])
    return np.asarray(cv2.warpAffine(surface, affine, (surface.shape[1], surface.shape[0])), np.float32)


def _peak(values: Float64Array, place: int) -> float:
    """
    Where a parabola through the largest value and its neighbours has its top.
    """
    if not 0 < place < len(values) - 1:
        return float(place)
    before, here, after = values[place - 1 : place + 2]
    curvature = before - 2.0 * here + after
    return place + 0.5 * float((before - after) / curvature) if curvature < 0 else float(place)
