# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Procedural textures of the simulated scene: RGB uint8 pictures with corners at many scales.

Every painter takes a random stream, the size in texels and the texels per metre, and returns (height, width, 3).
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from kp2d_ros.core.records import ImageArray

Painter = Callable[[np.random.Generator, int, int, float], ImageArray]
_Float32Array = npt.NDArray[np.float32]

_LETTERS = np.array(list('ABCDEFGHKLMNPRSTUVXYZ23456789'))
_INK = ((35, 40, 60), (190, 40, 45), (30, 90, 160), (40, 130, 70), (225, 170, 40), (235, 232, 220), (110, 60, 120))


def fade(paint: Painter, contrast: float) -> Painter:
    """
    A painter whose pictures have a share of their contrast, around their mean colour.
    """

    def painted(rng: np.random.Generator, height: int, width: int, texels: float) -> ImageArray:
        picture = paint(rng, height, width, texels)
        mean = picture.mean(axis=(0, 1))
        return np.asarray(np.rint(mean + contrast * (picture - mean)), np.uint8)

    return painted


def grain(rng: np.random.Generator, height: int, width: int, texels: float, coarsest: float = 0.5) -> _Float32Array:
    """
    Noise (height, width) around 0 with spread 1 and equal strength at every scale from ``coarsest`` metres to a texel.
    """
    total = np.zeros((height, width), np.float32)
    cell = max(coarsest * texels, 1.0)
    count = 0
    while cell >= 1.0:
        size = (int(np.ceil(width / cell)) + 2, int(np.ceil(height / cell)) + 2)
        coarse = rng.standard_normal((size[1], size[0]), np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        cell /= 2.5
        count += 1
    return np.asarray(total / np.sqrt(count), np.float32)


def tint(color: tuple[int, int, int], brightness: _Float32Array) -> ImageArray:
    """
    A colour under a brightness (height, width), 1 for the colour itself.
    """
    return np.asarray(np.clip(brightness[..., None] * np.array(color, np.float32), 0, 255), np.uint8)


def paint_plaster(rng: np.random.Generator, height: int, width: int, texels: float) -> ImageArray:
    """
    A painted wall: faint stains, scratches and filled holes.
    """
    picture = tint((196, 188, 170), 1.0 + 0.035 * grain(rng, height, width, texels))
    for _ in range(int(18 * height * width / texels**2)):
        x, y = rng.uniform((0, 0), (width, height))
        length, angle = rng.uniform(0.02, 0.25) * texels, rng.uniform(0, np.pi)
        end = (int(x + length * np.cos(angle)), int(y + length * np.sin(angle)))
        shade = int(rng.integers(110, 235))
        if rng.random() < 0.5:
            cv2.line(picture, (int(x), int(y)), end, (shade, shade, shade - 8), 1, cv2.LINE_AA)
        else:
            radius = max(1, int(rng.uniform(0.004, 0.02) * texels))
            cv2.circle(picture, (int(x), int(y)), radius, (shade, shade - 4, shade - 12), -1, cv2.LINE_AA)
    return picture


def paint_bricks(rng: np.random.Generator, height: int, width: int, texels: float) -> ImageArray:
    """
    A brick wall in running bond, each brick of its own colour.
    """
    brightness = 1.0 + 0.10 * grain(rng, height, width, texels, 0.2)
    picture = tint((172, 164, 152), brightness)
    brick_height, brick_width, joint = 0.085 * texels, 0.25 * texels, max(1.0, 0.012 * texels)
    for row in range(int(height / brick_height) + 1):
        top = round(row * brick_height)
        for column in range(-1, int(width / brick_width) + 1):
            left = round((column + 0.5 * (row % 2)) * brick_width)
            jitter = rng.normal(0, 0.004 * texels, 4)
            box = np.array([left, top, left + brick_width - joint, top + brick_height - joint]) + jitter
            x0, y0, x1, y1 = np.clip(box, 0, [width, height, width, height]).astype(int)
            color = np.array((158, 84, 62)) * rng.uniform(0.6, 1.25) + rng.normal(0, 8, 3)
            patch = brightness[y0:y1, x0:x1, None] * color
            picture[y0:y1, x0:x1] = np.clip(patch, 0, 255)
    return picture


def paint_planks(rng: np.random.Generator, height: int, width: int, texels: float) -> ImageArray:
    """
    A wooden floor: planks of several lengths, their grain along x.
    """
    fibres = cv2.resize(grain(rng, height, max(1, width // 10), texels, 0.3), (width, height))
    brightness = 1.0 + 0.10 * fibres + 0.05 * grain(rng, height, width, texels, 0.1)
    picture = tint((168, 122, 78), brightness)
    plank = 0.14 * texels
    for row in range(int(height / plank) + 1):
        top, bottom = int(row * plank), min(height, int((row + 1) * plank))
        left = -int(rng.uniform(0, 1.2) * texels)
        while left < width and top < bottom:
            right = left + int(rng.uniform(0.5, 1.6) * texels)
            part = picture[top:bottom, max(0, left) : max(0, right)]
            part[:] = np.clip(part * rng.uniform(0.62, 1.2), 0, 255)
            cv2.rectangle(picture, (left, top), (right, bottom), (52, 36, 24), max(1, int(0.004 * texels)))
            for _ in range(int(rng.integers(0, 3))):
                knot = (int(rng.uniform(left, right)), int(rng.uniform(top, bottom)))
                axes = (max(2, int(0.02 * texels)), max(1, int(0.01 * texels)))
                cv2.ellipse(picture, knot, axes, 0, 0, 360, (70, 44, 26), -1, cv2.LINE_AA)
            left = right
    return picture


def paint_tiles(rng: np.random.Generator, height: int, width: int, texels: float) -> ImageArray:
    """
    A ceiling of mineral tiles with holes.
    """
    picture = tint((206, 206, 200), 1.0 + 0.03 * grain(rng, height, width, texels))
    side = 0.6 * texels
    for line in np.arange(0, width, side).astype(int):
        cv2.line(picture, (line, 0), (line, height), (120, 120, 118), max(1, int(0.012 * texels)))
    for line in np.arange(0, height, side).astype(int):
        cv2.line(picture, (0, line), (width, line), (120, 120, 118), max(1, int(0.012 * texels)))
    for x, y in rng.uniform((0, 0), (width, height), (int(90 * height * width / texels**2), 2)):
        cv2.circle(picture, (int(x), int(y)), max(1, int(rng.uniform(0.004, 0.012) * texels)), (138, 136, 130), -1)
    return picture


def paint_poster(rng: np.random.Generator, height: int, width: int, texels: float) -> ImageArray:
    """
    A framed picture of overlapping shapes with some words on it.
    """
    paper = _INK[int(rng.integers(len(_INK)))]
    picture = tint(paper, 1.0 + 0.08 * grain(rng, height, width, texels, 0.3))
    scale = float(min(height, width))
    for _ in range(34):
        size = scale * 0.35 * rng.uniform(0.1, 1.0) ** 2
        corners = rng.uniform((0, 0), (width, height)) + size * _polygon(rng)
        color = tuple(
            int(v) for v in np.clip(np.array(_INK[int(rng.integers(len(_INK)))]) + rng.normal(0, 15, 3), 0, 255)
        )
        cv2.fillPoly(picture, [corners.astype(np.int32)], color, cv2.LINE_AA)
    for _ in range(4):
        _write(rng, picture, scale * rng.uniform(0.04, 0.13))
    cv2.rectangle(picture, (0, 0), (width - 1, height - 1), (40, 30, 24), max(2, int(0.03 * texels)))
    worn = 1.0 + 0.05 * grain(rng, height, width, texels, 0.1)
    return np.asarray(np.clip(picture * worn[..., None], 0, 255), np.uint8)


def paint_books(rng: np.random.Generator, height: int, width: int, texels: float) -> ImageArray:
    """
    A shelf full of books, their titles along the backs.
    """
    picture = tint((46, 32, 22), 1.0 + 0.15 * grain(rng, height, width, texels, 0.2))
    shelf = height / max(1, round(height / (0.34 * texels)))
    for row in range(round(height / shelf)):
        floor = int((row + 1) * shelf)
        cv2.rectangle(picture, (0, floor - int(0.02 * texels)), (width, floor), (142, 100, 62), -1)
        left = 0.0
        while left < width:
            thick, tall = rng.uniform(0.018, 0.06) * texels, shelf * rng.uniform(0.6, 0.9)
            x0, x1 = int(left), min(width, int(left + thick))
            y0, y1 = int(floor - 0.02 * texels - tall), int(floor - 0.02 * texels)
            back = picture[y0:y1, x0:x1]
            color = np.array(_INK[int(rng.integers(len(_INK)))]) * rng.uniform(0.5, 1.1)
            back[:] = np.clip(color + rng.normal(0, 4, (*back.shape[:2], 1)), 0, 255)
            for band in rng.uniform(0.05, 0.95, 3):
                y = int(y0 + band * tall)
                cv2.line(picture, (x0, y), (x1 - 1, y), (216, 196, 130), max(1, int(0.006 * texels)))
            left += thick + (rng.random() < 0.1) * 0.04 * texels
    return picture


def paint_carton(rng: np.random.Generator, height: int, width: int, texels: float) -> ImageArray:
    """
    A cardboard box: tape across it, labels with words and bars.
    """
    picture = tint((178, 138, 92), 1.0 + 0.06 * grain(rng, height, width, texels, 0.25))
    band = int(0.05 * texels)
    cv2.rectangle(picture, (0, height // 2 - band // 2), (width, height // 2 + band // 2), (196, 172, 128), -1)
    for _ in range(6):
        x, y = rng.uniform((0, 0), (0.8 * width, 0.8 * height))
        w, h = rng.uniform(0.08, 0.22, 2) * texels
        label = picture[int(y) : int(y + h), int(x) : int(x + w)]
        label[:] = np.array(_INK[int(rng.integers(len(_INK)))])
        inner = label[label.shape[0] // 8 : -label.shape[0] // 8, label.shape[1] // 8 : -label.shape[1] // 8]
        bars = rng.random((1, 14)) < 0.5
        if inner.size:
            inner[:] = np.where(
                cv2.resize(bars.astype(np.uint8), inner.shape[1::-1], interpolation=0)[..., None], 25, 235
            )
    for _ in range(3):
        _write(rng, picture, 0.07 * texels)
    cv2.rectangle(picture, (0, 0), (width - 1, height - 1), (120, 88, 54), max(1, int(0.01 * texels)))
    return picture


def paint_rug(rng: np.random.Generator, height: int, width: int, texels: float) -> ImageArray:
    """
    A woven rug: bands and lozenges in a few colours, none like the next.
    """
    picture = tint((142, 46, 42), 1.0 + 0.12 * grain(rng, height, width, texels, 0.1))
    step = 0.16 * texels
    for row in range(int(height / step)):
        for column in range(int(width / step)):
            centre = np.array([(column + 0.5) * step, (row + 0.5) * step])
            lozenge = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]]) * step * rng.uniform(0.2, 0.5)
            color = tuple(int(v) for v in np.array(_INK[int(rng.integers(len(_INK)))]) * rng.uniform(0.7, 1.0))
            cv2.fillPoly(picture, [(centre + lozenge).astype(np.int32)], color, cv2.LINE_AA)
            cv2.circle(picture, tuple(centre.astype(int)), max(1, int(0.012 * texels)), (20, 20, 30), -1, cv2.LINE_AA)
    cv2.rectangle(picture, (0, 0), (width - 1, height - 1), (226, 204, 150), max(2, int(0.04 * texels)))
    return picture


def _polygon(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    corners = int(rng.integers(3, 8))
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * rng.uniform(0.5, 1.2, (corners, 1))


def _write(rng: np.random.Generator, picture: ImageArray, letter_height: float) -> None:
    height, width = picture.shape[:2]
    word = ''.join(rng.choice(_LETTERS, int(rng.integers(3, 8))))
    place = tuple(int(v) for v in rng.uniform((0, 0.2 * height), (0.6 * width, 0.95 * height)))
    shade = int(rng.choice([20, 245]))
    thick = max(1, round(letter_height / 10))
    cv2.putText(picture, word, place, cv2.FONT_HERSHEY_SIMPLEX, letter_height / 22, (shade,) * 3, thick, cv2.LINE_AA)
