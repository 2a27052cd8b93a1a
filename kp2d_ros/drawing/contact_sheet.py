# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A picture of training pairs, to see with one's own eyes that the two views correspond.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from kp2d_ros.core.records import BoolArray, Float64Array, ImageArray
from kp2d_ros.drawing.keypoints import SUBPIXEL_BITS, fixed_point
from kp2d_ros.pairs.homography import CORNERS, transform_points
from kp2d_ros.pairs.pair_maker import PairBatch

_POINTS = (5, 4)  # per row and column of S
_TILES = 4  # of the chessboard, along the shorter side
_MARGIN = 4
_CAPTION = 18
_INVALID = (90, 0, 90)  # purple: shows nothing of the photograph
_OUTLINE = (255, 210, 0)
_UNSEEN = (150, 150, 150)
_RADIUS = 5


def draw_contact_sheet(batch: PairBatch, labels: Sequence[str]) -> ImageArray:
    """
    One row of three panels for each pair, RGB.

    Left: S with points; those that T does not show are gray. Middle: T with the same points, mapped, in the same
    colours, and the outline of S. Right: a chessboard of S and of T resampled as S sees it; edges run on across the
    tiles if the homography is right.

    :param labels: one for each pair.
    """
    matrices = batch.target_from_source.double().cpu().numpy()
    sources, targets = (_pictures(v.cpu().numpy()) for v in (batch.source, batch.target))
    source_valid, target_valid = (v[:, 0].cpu().numpy() for v in (batch.source_valid, batch.target_valid))
    rows = []
    for i, label in enumerate(labels):
        source, target = sources[i], targets[i]
        source[~source_valid[i]] = target[~target_valid[i]] = _INVALID
        board = _chessboard(source, _resample(target, matrices[i]))
        _mark_points(source, target, matrices[i], target_valid[i])
        rows.append(_row([source, target, board], label))
    return np.concatenate(rows)


def _pictures(views: npt.NDArray[np.float32]) -> ImageArray:
    return np.ascontiguousarray(np.rint(views * 255).transpose(0, 2, 3, 1), np.uint8)


def _resample(target: ImageArray, target_from_source: Float64Array) -> ImageArray:
    """
    The picture of T as S sees it: by OpenCV, apart from what made the pair.
    """
    height, width = target.shape[:2]
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing='ij')
    normalised = transform_points(target_from_source[None], np.stack([x, y], axis=-1).reshape(1, -1, 2))[0]
    xy = _pixels(normalised, target).astype(np.float32).reshape(height, width, 2)
    xs, ys = (np.ascontiguousarray(xy[..., i]) for i in range(2))
    return np.asarray(cv2.remap(target, xs, ys, cv2.INTER_LINEAR, borderValue=_INVALID), np.uint8)


def _chessboard(first: ImageArray, second: ImageArray) -> ImageArray:
    height, width = first.shape[:2]
    tile = max(1, min(height, width) // _TILES)
    odd = (np.arange(height)[:, None] // tile + np.arange(width) // tile) % 2 == 1
    return np.where(odd[:, :, None], second, first)


def _mark_points(source: ImageArray, target: ImageArray, target_from_source: Float64Array, valid: BoolArray) -> None:
    height, width = source.shape[:2]
    x, y = (np.linspace(-1, 1, n + 2)[1:-1] for n in _POINTS)
    normalised = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    in_source = _pixels(normalised, source)
    in_target = _pixels(transform_points(target_from_source[None], normalised[None])[0], target)
    outline = _pixels(transform_points(target_from_source[None], CORNERS[None])[0][[0, 1, 3, 2]], target)
    cv2.polylines(target, [fixed_point(outline)], True, _OUTLINE, 1, cv2.LINE_AA, SUBPIXEL_BITS)
    visible = np.all((in_target >= 0) & (in_target <= (width - 1, height - 1)), axis=1)
    for number, (p, q) in enumerate(zip(in_source, in_target, strict=True)):
        if not (visible[number] and valid[round(q[1]), round(q[0])]):
            _ring(source, p, _UNSEEN)
            continue
        color = _color(number / len(normalised))
        _ring(source, p, color)
        _ring(target, q, color)


def _pixels(normalised: Float64Array, image: ImageArray) -> Float64Array:
    height, width = image.shape[:2]
    return np.asarray((normalised + 1) / 2 * (width - 1, height - 1))


def _ring(image: ImageArray, xy: Float64Array, color: tuple[int, int, int]) -> None:
    centre = tuple(fixed_point(xy).tolist())
    for thickness, ink in ((3, (0, 0, 0)), (1, color)):
        cv2.circle(image, centre, _RADIUS << SUBPIXEL_BITS, ink, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
    image[round(xy[1]), round(xy[0])] = color


def _color(hue: float) -> tuple[int, int, int]:
    hsv = np.array([[[round(180 * hue), 255, 255]]], np.uint8)
    red, green, blue = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].tolist()
    return red, green, blue


def _row(panels: Sequence[ImageArray], label: str) -> ImageArray:
    height = panels[0].shape[0]
    gap = np.full((height, _MARGIN, 3), 255, np.uint8)
    body = np.concatenate([part for panel in panels for part in (gap, panel)] + [gap], axis=1)
    caption = np.full((_CAPTION, body.shape[1], 3), 255, np.uint8)
    text = label.encode('ascii', 'replace').decode()
    cv2.putText(caption, text, (_MARGIN, _CAPTION - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([caption, body])
