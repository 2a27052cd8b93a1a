# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A picture of what the frontend saw in one image: keypoints, the way they came, and the state; with a legend or without.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from kp2d_ros.core.checks import check_image
from kp2d_ros.core.records import Float64Array, Frame, FrontendResult, ImageArray, TrackingState
from kp2d_ros.core.settings import setting, validate
from kp2d_ros.drawing.caption import LegendEntry, add_caption
from kp2d_ros.drawing.depth import depth_colors, depth_legend, describe_depth, draw_partner
from kp2d_ros.drawing.keypoints import SUBPIXEL_BITS, blend, dimmed, fixed_point, scale_points

# RGB; the states as on a traffic light, tracks from new (blue) over a few frames (green) to old (yellow).
STATE_COLORS = {
    TrackingState.INITIALISING: (160, 160, 160),
    TrackingState.OK: (40, 180, 60),
    TrackingState.DEGRADED: (235, 150, 0),
    TrackingState.LOST: (220, 40, 40),
    TrackingState.STATIONARY: (60, 130, 230),
}
AGE_COLORS = ((70, 110, 255), (40, 200, 220), (60, 220, 90), (170, 230, 40), (255, 220, 0))
OUTLIER_COLOR = (220, 40, 40)
_LINE_HEIGHT = 0.045  # of the image's height


@dataclass(frozen=True, slots=True)
class DrawingConfig:
    """
    What the debug image shows.
    """

    keypoints: bool = setting(True, 'draw the keypoints, blue when new to yellow when old', runtime=True)
    depth: bool = setting(False, 'colour the keypoints by their depth, gray where it is not known', runtime=True)
    matches: bool = setting(True, 'draw the way from the reference image, red for pairs that disagree', runtime=True)
    text: bool = setting(True, 'write the state and the counts', runtime=True)
    old_age: int = setting(20, 'frames after which a track is drawn as old', minimum=1, maximum=65535, runtime=True)
    max_side: int = setting(
        1280, 'shrink the picture if its longer side exceeds this, in pixels', minimum=64, maximum=16384, runtime=True
    )

    def __post_init__(self) -> None:
        validate(self)


def draw_result(image: ImageArray, result: FrontendResult, config: DrawingConfig | None = None) -> ImageArray:
    """
    RGB (H, W, 3) picture of an image and its result; the image itself stays as it is.

    :raises ShapeError: if the image is not uint8 of shape (H, W) or (H, W, 3).
    """
    check_image(image)
    config = config or DrawingConfig()
    scale = min(1.0, config.max_side / max(image.shape[:2]))
    picture = dimmed(image, scale)
    if config.matches:
        _draw_matches(picture, result, scale)
    if config.keypoints:
        ages = np.minimum(result.track_ages / config.old_age, 1.0)
        colors = depth_colors(result) if config.depth else blend(AGE_COLORS, ages)
        _draw_keypoints(picture, result, scale, colors)
    if config.text:
        _write(picture, result, describe_depth(result) if config.depth else '')
    return picture


def draw_tracks(frame: Frame, result: FrontendResult, title: str, config: DrawingConfig | None = None) -> ImageArray:
    """
    RGB picture of a frame: keypoints, the way that they came since the reference image, state and legend; and beside it
    what the right or the depth camera saw.

    :param config: None: the defaults, with the colours of depth where it is measured.
    """
    config = config or DrawingConfig(depth=frame.right is not None or frame.depth is not None)
    picture = draw_result(frame.image, result, config)
    partner = draw_partner(frame, result, picture.shape[0])
    if partner is not None:
        picture = np.concatenate([picture, partner], axis=1)
    keypoints = [LegendEntry(f'keypoint, new to {config.old_age} frames old', AGE_COLORS)]
    if config.depth:
        keypoints = depth_legend()
    return add_caption(picture, title, keypoints + _way_legend(frame.camera is not None))


def _draw_keypoints(picture: ImageArray, result: FrontendResult, scale: float, colors: Float64Array) -> None:
    radius = max(3, round(max(picture.shape[:2]) / 320)) << SUBPIXEL_BITS
    points = fixed_point(scale_points(result.keypoints.xy, scale))
    for center, color in zip(points.tolist(), colors.tolist(), strict=True):
        cv2.circle(picture, center, radius, color, 1, cv2.LINE_AA, SUBPIXEL_BITS)


def _draw_matches(picture: ImageArray, result: FrontendResult, scale: float) -> None:
    ends = [fixed_point(scale_points(xy, scale)) for xy in (result.reference_xy, result.current_xy)]
    ways = np.stack(ends, axis=1)
    judged = result.pose is not None and result.pose.inlier_count > 0
    good = result.inlier if judged else np.ones(len(ways), bool)
    color = STATE_COLORS[result.state]
    for chosen, line_color in ((~good, OUTLIER_COLOR), (good, color)):
        cv2.polylines(picture, list(ways[chosen]), False, line_color, 1, cv2.LINE_AA, SUBPIXEL_BITS)


def _write(picture: ImageArray, result: FrontendResult, depths: str) -> None:
    inliers = 0 if result.pose is None else result.pose.inlier_count
    lines = [
        result.state.name,
        f'{len(result.keypoints)} keypoints  {len(result.matches)} matches  {inliers} inliers  {depths}'.rstrip(),
        '' if result.pose is None else result.pose.reason,
    ]
    lines = [line for line in lines if line]
    height = max(12, round(_LINE_HEIGHT * picture.shape[0]))
    band = picture[: round((len(lines) + 0.6) * height)]  # darkened: an outline around the letters is not portable
    band //= 3
    for row, line in enumerate(lines):
        origin = (height // 2, round((row + 1.1) * height))
        color = STATE_COLORS[result.state] if row == 0 else (255, 255, 255)
        cv2.putText(picture, line, origin, cv2.FONT_HERSHEY_SIMPLEX, height / 32.0, color, 1, cv2.LINE_AA)


def _way_legend(is_calibrated: bool) -> list[LegendEntry]:
    if not is_calibrated:
        way = 'way from the reference image (without calibration nothing is judged)'
        return [LegendEntry(way, (STATE_COLORS[TrackingState.INITIALISING],))]
    return [
        LegendEntry('way from the reference image: motion OK', (STATE_COLORS[TrackingState.OK],)),
        LegendEntry('motion DEGRADED', (STATE_COLORS[TrackingState.DEGRADED],)),
        LegendEntry('standing still', (STATE_COLORS[TrackingState.STATIONARY],)),
        LegendEntry('match that disagrees, or LOST', (OUTLIER_COLOR,)),
    ]
