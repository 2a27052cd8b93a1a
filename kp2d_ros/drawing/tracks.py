# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the frontend followed from image to image, with a legend.
"""

from __future__ import annotations

from kp2d_ros.core.records import Frame, FrontendResult, ImageArray, TrackingState
from kp2d_ros.drawing.caption import LegendEntry, add_caption
from kp2d_ros.drawing.frame import AGE_COLORS, OUTLIER_COLOR, STATE_COLORS, DrawingConfig, draw_result


def draw_tracks(frame: Frame, result: FrontendResult, title: str, config: DrawingConfig | None = None) -> ImageArray:
    """
    RGB picture of a frame: keypoints, the way that they came since the reference image, state and legend.
    """
    config = config or DrawingConfig()
    return add_caption(draw_result(frame.image, result, config), title, _legend(frame.camera is not None, config))


def _legend(is_calibrated: bool, config: DrawingConfig) -> list[LegendEntry]:
    ages = tuple((int(r), int(g), int(b)) for r, g, b in AGE_COLORS)
    keypoints = LegendEntry(f'keypoint, new to {config.old_age} frames old', ages)
    if not is_calibrated:
        way = 'way from the reference image (without calibration nothing is judged)'
        return [keypoints, LegendEntry(way, (STATE_COLORS[TrackingState.INITIALISING],))]
    return [
        keypoints,
        LegendEntry('way from the reference image: motion OK', (STATE_COLORS[TrackingState.OK],)),
        LegendEntry('motion DEGRADED', (STATE_COLORS[TrackingState.DEGRADED],)),
        LegendEntry('standing still', (STATE_COLORS[TrackingState.STATIONARY],)),
        LegendEntry('match that disagrees, or LOST', (OUTLIER_COLOR,)),
    ]
