# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Depth as colour, from near to far; and what the second eye of a rig sees.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from kp2d_ros.core.records import (
    BoolArray,
    DepthImage,
    Float64Array,
    Frame,
    FrontendResult,
    ImageArray,
    RightImage,
    ScaleKind,
)
from kp2d_ros.core.se3 import invert_transform
from kp2d_ros.drawing.caption import LegendEntry
from kp2d_ros.drawing.keypoints import SUBPIXEL_BITS, blend, dimmed, fixed_point, scale_points

# RGB, warm is near; spread evenly over the inverse depth, which is what is measured.
DEPTH_COLORS = ((255, 70, 50), (255, 200, 0), (60, 220, 90), (40, 200, 220), (70, 110, 255))
UNKNOWN_COLOR = (150, 150, 150)
_ENDS_PERCENT = (5, 95)  # of the depths, which are drawn as the nearest and the farthest


@dataclass(frozen=True, slots=True)
class DepthRange:
    """
    The inverse depths at the ends of the scale of colours.
    """

    farthest: float
    nearest: float

    def colors(self, inverse_depth: npt.NDArray[np.floating]) -> Float64Array:
        """
        (N, 3) RGB of inverse depths (N,).
        """
        span = max(self.nearest - self.farthest, 1e-12)
        return blend(DEPTH_COLORS, np.clip((self.nearest - inverse_depth) / span, 0.0, 1.0))


def has_depth(result: FrontendResult) -> BoolArray:
    """
    (N,) of which keypoints the depth is known.
    """
    if result.inverse_depth is None or result.inverse_depth_sigma is None:
        return np.zeros(len(result.keypoints), np.bool_)
    with np.errstate(invalid='ignore'):
        return np.asarray(np.isfinite(result.inverse_depth_sigma) & (result.inverse_depth > 0))


def depth_range(result: FrontendResult) -> DepthRange | None:
    """
    What the colours of a result span; None if no depth is known.
    """
    known = has_depth(result)
    if result.inverse_depth is None or not known.any():
        return None
    farthest, nearest = np.percentile(result.inverse_depth[known], _ENDS_PERCENT)
    return DepthRange(float(farthest), float(nearest))


def depth_colors(result: FrontendResult) -> Float64Array:
    """
    (N, 3) RGB of the keypoints by their depth; gray where it is not known.
    """
    colors = np.tile(np.array(UNKNOWN_COLOR, np.float64), (len(result.keypoints), 1))
    span, known = depth_range(result), has_depth(result)
    if span is not None and result.inverse_depth is not None:
        colors[known] = span.colors(result.inverse_depth[known])
    return colors


def describe_depth(result: FrontendResult) -> str:
    """
    What the colours of :func:`depth_colors` span, in words; empty if no depth is known.
    """
    span = depth_range(result)
    if span is None:
        return ''
    unit = ' m' if result.pose is not None and result.pose.scale is ScaleKind.METRIC else ''
    known = int(has_depth(result).sum())
    return f'{known} depths, {1 / span.nearest:.3g} to {1 / span.farthest:.3g}{unit}'


def depth_legend() -> list[LegendEntry]:
    """
    What the colours of :func:`depth_colors` mean; the same for every result, for all pictures of a video have one size.
    """
    return [LegendEntry('keypoint, from near to far', DEPTH_COLORS), LegendEntry('depth not known', (UNKNOWN_COLOR,))]


def draw_partner(frame: Frame, result: FrontendResult, height: int) -> ImageArray | None:
    """
    RGB picture, so many rows high, of what was seen beside an image: the right one, with the keypoints where they have
    to be by their depths, or the depth; None if there was nothing.
    """
    if frame.right is not None:
        return _draw_right(frame.right, result, height)
    return None if frame.depth is None else _draw_depth(frame.depth, result, height)


def _draw_right(right: RightImage, result: FrontendResult, height: int) -> ImageArray:
    factor = height / right.image.shape[0]
    picture = dimmed(right.image, factor)
    known = has_depth(result)
    if right.camera is None or right.left_from_right is None or result.bearing_xy is None or not known.any():
        return picture
    right_from_left = invert_transform(right.left_from_right)
    rays = np.column_stack([result.bearing_xy[known].astype(np.float64), np.ones(known.sum())])
    inverse = np.asarray(result.inverse_depth)[known]
    # A point at ray / inverse, times inverse: the same pixel, and none that is far away is a huge number.
    xy = right.camera.project(rays @ right_from_left[:3, :3].T + inverse[:, None] * right_from_left[:3, 3])
    colors = depth_colors(result)[known]
    seen = np.isfinite(xy).all(axis=1)
    radius = max(3, round(max(picture.shape[:2]) / 320)) << SUBPIXEL_BITS
    places = fixed_point(scale_points(xy[seen], factor))
    for center, color in zip(places.tolist(), colors[seen].tolist(), strict=True):
        cv2.circle(picture, center, radius, color, 1, cv2.LINE_AA, SUBPIXEL_BITS)
    return picture


def _draw_depth(depth: DepthImage, result: FrontendResult, height: int) -> ImageArray:
    """
    Black where nothing was measured.
    """
    width = max(1, round(depth.metres.shape[1] * height / depth.metres.shape[0]))
    metres = cv2.resize(depth.metres, (width, height), interpolation=cv2.INTER_NEAREST)
    picture = np.zeros((height, width, 3), np.uint8)
    with np.errstate(divide='ignore', invalid='ignore'):
        measured = np.isfinite(metres) & (metres > 0)
        span = depth_range(result)
        if span is None and measured.any():
            span = DepthRange(*(1.0 / np.percentile(metres[measured], _ENDS_PERCENT[::-1])))
        if span is not None:
            picture[measured] = np.rint(span.colors(np.reciprocal(metres[measured].astype(np.float64))))
    return picture
