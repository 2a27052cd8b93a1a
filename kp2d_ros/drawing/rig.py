# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Pictures of what the doctor found: rows of a stereo pair that are off, edges of depth on the image.
"""

from __future__ import annotations

import cv2
import numpy as np

from kp2d_ros.core.records import BoolArray, ImageArray
from kp2d_ros.doctor.depth_edges import depth_steps
from kp2d_ros.doctor.rgbd import DepthPicture
from kp2d_ros.doctor.stereo import PairPicture
from kp2d_ros.drawing.caption import LegendEntry, add_caption
from kp2d_ros.drawing.keypoints import SUBPIXEL_BITS, blend, dimmed, fixed_point, scale_points

_ROW_SCALE = ((64, 255, 64), (255, 220, 60), (255, 64, 64))  # RGB, from rows that agree to rows that do not
_WORST_PX = 2.0  # from here on the colour is that of the worst
_LONGER = 20  # times, rows off are drawn
_SIDE = 640  # of each image, the longer one
_GAP = 6
_EDGES, _MOVED_EDGES = (255, 70, 70), (70, 255, 90)


def draw_rows(pair: PairPicture) -> ImageArray:
    """
    RGB picture of a pair: what was matched, and on the left image by how much each row is off, drawn longer.
    """
    factor = _SIDE / max(pair.images[0].shape[:2])
    left, right = (dimmed(image, factor) for image in pair.images)
    colors = blend(_ROW_SCALE, np.minimum(np.abs(pair.row_px) / _WORST_PX, 1.0)).tolist()
    ends = pair.left_xy - np.column_stack([np.zeros(len(pair.row_px)), _LONGER * pair.row_px])
    places = [fixed_point(scale_points(xy, factor)).tolist() for xy in (pair.left_xy, ends, pair.right_xy)]
    for color, start, end, other in zip(colors, *places, strict=True):
        cv2.line(left, start, end, color, 2, cv2.LINE_AA, SUBPIXEL_BITS)
        for picture, place in ((left, start), (right, other)):
            cv2.circle(picture, place, 2 << SUBPIXEL_BITS, color, cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)
    height = max(left.shape[0], right.shape[0])
    padded = [np.pad(p, ((0, height - p.shape[0]), (0, _GAP), (0, 0)), constant_values=255) for p in (left, right)]
    title = (
        f'{len(pair.row_px)} points of a pair; lines: where the right camera sees the row, {_LONGER} times as far off'
    )
    legend = [LegendEntry(f'rows off by 0 to {_WORST_PX:g} px', _ROW_SCALE)]
    return add_caption(np.concatenate(padded, axis=1)[:, :-_GAP], title, legend)


def draw_depth_edges(picture: DepthPicture) -> ImageArray:
    """
    RGB picture of an image with the edges of its depth, and where they fit it better, if that is known.
    """
    height, width = picture.image.shape[:2]
    drawn = dimmed(picture.image)
    edges = depth_steps(picture.metres, 0) | depth_steps(picture.metres, 1)
    _paint(drawn, np.eye(2, 3), edges, _EDGES)
    legend = [LegendEntry('edges of depth', (_EDGES,))]
    found = picture.registration
    if found is not None:
        middle = 0.5 * np.array([width - 1, height - 1])
        zoom = 1.0 + found.zoom
        moved = np.column_stack([zoom * np.eye(2), found.shift_px + middle - zoom * middle])
        _paint(drawn, moved, edges, _MOVED_EDGES)
        legend.append(LegendEntry('where they fit the edges of the image', (_MOVED_EDGES,)))
    return add_caption(drawn, 'depth on the image', legend)


def _paint(drawn: ImageArray, affine: np.ndarray, edges: BoolArray, color: tuple[int, int, int]) -> None:
    """
    Colour the edges (h, w) of depth, moved by an affine map (2, 3) of the pixels of the drawn image.
    """
    size = (drawn.shape[1], drawn.shape[0])
    large = cv2.resize(edges.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    drawn[cv2.warpAffine(large, affine, size, flags=cv2.INTER_NEAREST) > 0] = color
