# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The room of the simulated scene: flat rectangles in a world with z up and the floor at z = 0, in metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kp2d_ros.simulation import textures
from kp2d_ros.simulation.textures import Painter

Float64Array = npt.NDArray[np.float64]

ROOM = (6.0, 4.6, 2.6)  # length, width, height
LAMP = (2.6, 2.5, 2.45)

_OFF_THE_WALL = 0.03


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """
    A textured rectangle, seen from one side: ``origin`` is its top-left corner as the viewer sees it, ``right`` and
    ``down`` are unit vectors along its edges, ``width`` and ``height`` their lengths.
    """

    origin: Float64Array
    right: Float64Array
    down: Float64Array
    width: float
    height: float
    paint: Painter

    @property
    def normal(self) -> Float64Array:
        """
        Unit vector towards the viewer.
        """
        return np.cross(self.down, self.right)


def furnish_room() -> list[Surface]:
    """
    Floor, ceiling and walls with pictures, shelves along them, boxes and partitions at several depths.
    """
    length, width, height = ROOM
    east, north, up = np.eye(3)
    shell = [
        Surface(width * north, east, -north, length, width, textures.paint_planks),
        Surface(height * up, east, north, length, width, textures.paint_tiles),
        _upright((0, width), (length, width), 0, height, textures.paint_bricks),
        _upright((length, width), (length, 0), 0, height, textures.paint_plaster),
        _upright((length, 0), (0, 0), 0, height, textures.paint_plaster),
        _upright((0, 0), (0, width), 0, height, textures.paint_bricks),
    ]
    rug = Surface(np.array([1.6, 3.2, 0.01]), east, -north, 2.6, 1.7, textures.paint_rug)
    return [*shell, rug, *_pictures(), *_furniture()]


def _pictures() -> list[Surface]:
    length, width, _ = ROOM
    near, far_x, far_y = _OFF_THE_WALL, length - _OFF_THE_WALL, width - _OFF_THE_WALL
    return [
        _upright((0.5, far_y), (1.5, far_y), 1.1, 2.3, textures.paint_poster),
        _upright((4.6, far_y), (5.6, far_y), 0.9, 2.2, textures.paint_poster),
        _upright((far_x, 4.2), (far_x, 3.2), 0.9, 2.2, textures.paint_poster),
        _upright((far_x, 1.5), (far_x, 0.5), 1.2, 2.1, textures.paint_poster),
        _upright((5.5, near), (4.3, near), 1.1, 2.2, textures.paint_poster),
        _upright((3.7, near), (2.9, near), 1.2, 2.3, textures.paint_poster),
        _upright((1.5, near), (0.6, near), 0.9, 2.2, textures.paint_poster),
        _upright((near, 0.8), (near, 2.0), 1.0, 2.3, textures.paint_poster),
        _upright((near, 3.0), (near, 3.9), 0.8, 2.1, textures.paint_poster),
    ]


def _furniture() -> list[Surface]:
    books, carton, poster = textures.paint_books, textures.paint_carton, textures.paint_poster
    return [
        *_box((3.0, 4.40), (1.7, 0.36, 2.0), 0.0, books),
        *_box((5.80, 2.35), (0.36, 1.3, 1.8), 0.0, books),
        *_box((2.3, 0.20), (0.9, 0.36, 1.1), 0.0, books),
        *_box((5.1, 3.9), (0.6, 0.6, 0.6), 0.5, carton),
        *_box((5.1, 3.9), (0.4, 0.5, 0.4), 0.9, carton, bottom=0.6),
        *_box((5.0, 0.7), (0.7, 0.5, 0.8), -0.4, carton),
        *_box((0.6, 0.6), (0.6, 0.7, 1.0), 0.3, carton),
        *_box((0.7, 4.0), (0.7, 0.5, 0.7), -0.7, carton),
        *_box((0.7, 4.0), (0.4, 0.4, 0.5), -0.2, carton, bottom=0.7),
        *_box((4.75, 1.2), (0.08, 0.9, 1.5), 0.5, poster),
        *_box((1.3, 1.2), (0.7, 0.08, 1.3), -0.5, poster),
    ]


def _upright(
    left: tuple[float, float], right: tuple[float, float], bottom: float, top: float, paint: Painter
) -> Surface:
    """
    A rectangle between two points of the floor plan, on the left and right of who looks at it.
    """
    edge = np.array([right[0] - left[0], right[1] - left[1], 0.0])
    width = float(np.linalg.norm(edge))
    return Surface(np.array([*left, top]), edge / width, np.array([0.0, 0.0, -1.0]), width, top - bottom, paint)


def _box(
    centre: tuple[float, float],
    size: tuple[float, float, float],
    yaw: float,
    paint: Painter,
    bottom: float = 0.0,
) -> list[Surface]:
    """
    The four sides and the top of a box, turned by ``yaw`` radians about its upright axis.
    """
    length, width, height = size
    along = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    across = np.array([-np.sin(yaw), np.cos(yaw), 0.0])
    middle = np.array([*centre, bottom + height])
    corners = [middle + (a * length * along + b * width * across) / 2 for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    sides = [
        _upright((start[0], start[1]), (end[0], end[1]), bottom, bottom + height, paint)
        for start, end in zip(corners, corners[1:] + corners[:1], strict=True)
    ]
    return [*sides, Surface(corners[3], along, -across, length, width, textures.paint_carton)]
