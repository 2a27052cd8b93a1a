# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A picture of what the frontend saw in one image: keypoints, the way they came, and the state.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from kp2d_ros.core.checks import check_image
from kp2d_ros.core.records import FrontendResult, ImageArray, TrackingState
from kp2d_ros.core.settings import setting, validate

# RGB; the states as on a traffic light, tracks from new (blue) over a few frames (green) to old (yellow).
STATE_COLORS = {
    TrackingState.INITIALISING: (160, 160, 160),
    TrackingState.OK: (40, 180, 60),
    TrackingState.DEGRADED: (235, 150, 0),
    TrackingState.LOST: (220, 40, 40),
    TrackingState.STATIONARY: (60, 130, 230),
}
AGE_COLORS = np.array([(70, 110, 255), (40, 200, 220), (60, 220, 90), (170, 230, 40), (255, 220, 0)], np.float64)
OUTLIER_COLOR = (220, 40, 40)
_SUBPIXEL_BITS = 4
_LINE_HEIGHT = 0.045  # of the image's height


@dataclass(frozen=True, slots=True)
class DrawingConfig:
    """
    What the debug image shows.
    """

    keypoints: bool = setting(True, 'draw the keypoints, blue when new to yellow when old', runtime=True)
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
    picture = _background(image, scale)
    if config.matches:
        _draw_matches(picture, result, scale)
    if config.keypoints:
        _draw_keypoints(picture, result, scale, config.old_age)
    if config.text:
        _write(picture, result)
    return picture


def _background(image: ImageArray, scale: float) -> ImageArray:
    """
    A dimmed RGB copy, so that the colours of the drawing stand out.
    """
    if scale < 1.0:
        image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    picture = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else image
    return np.asarray(cv2.convertScaleAbs(picture, alpha=0.75), np.uint8)


def _to_fixed_point(xy: npt.NDArray[np.floating], scale: float) -> npt.NDArray[np.int32]:
    """
    Pixels (N, 2) of the scaled picture as OpenCV's fixed-point numbers, the centre of a pixel kept.
    """
    scaled = (xy.astype(np.float64) + 0.5) * scale - 0.5
    return np.rint(scaled * (1 << _SUBPIXEL_BITS)).astype(np.int32)


def _draw_keypoints(picture: ImageArray, result: FrontendResult, scale: float, old_age: int) -> None:
    radius = max(3, round(max(picture.shape[:2]) / 320)) << _SUBPIXEL_BITS
    position = np.minimum(result.track_ages / old_age, 1.0) * (len(AGE_COLORS) - 1)
    steps = np.arange(len(AGE_COLORS))
    colors = np.stack([np.interp(position, steps, channel) for channel in AGE_COLORS.T], axis=-1)
    points = _to_fixed_point(result.keypoints.xy, scale)
    for center, color in zip(points.tolist(), colors.tolist(), strict=True):
        cv2.circle(picture, center, radius, color, 1, cv2.LINE_AA, _SUBPIXEL_BITS)


def _draw_matches(picture: ImageArray, result: FrontendResult, scale: float) -> None:
    ends = np.stack([_to_fixed_point(xy, scale) for xy in (result.reference_xy, result.current_xy)], axis=1)
    judged = result.pose is not None and result.pose.inlier_count > 0
    good = result.inlier if judged else np.ones(len(ends), bool)
    color = STATE_COLORS[result.state]
    for chosen, line_color in ((~good, OUTLIER_COLOR), (good, color)):
        cv2.polylines(picture, list(ends[chosen]), False, line_color, 1, cv2.LINE_AA, _SUBPIXEL_BITS)


def _write(picture: ImageArray, result: FrontendResult) -> None:
    inliers = 0 if result.pose is None else result.pose.inlier_count
    lines = [
        result.state.name,
        f'{len(result.keypoints)} keypoints  {len(result.matches)} matches  {inliers} inliers',
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
