# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Two images beside each other, and lines between what was matched.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.records import BoolArray, Float32Array, ImageArray, Keypoints, Matches
from kp2d_ros.drawing.caption import LegendEntry
from kp2d_ros.drawing.keypoints import SCORE_SCALE, SUBPIXEL_BITS, dimmed, fixed_point, scale_points, score_colors

INLIER, OUTLIER, UNMATCHED = (60, 220, 90), (230, 50, 50), (190, 190, 190)
MODELS = ('homography', 'fundamental')
_FEWEST = {'homography': 4, 'fundamental': 8}
_GAP = 6
_OPACITY = 0.6  # of the lines
_ITERATIONS, _CONFIDENCE = 5000, 0.999


@dataclass(frozen=True, slots=True)
class MatchedPair:
    """
    Two images, their keypoints, and which belong together.

    ``inlier`` (M,) says which matches agree with a geometry, None if nobody looked for one; ``probability`` (M,) how
    likely each is right, None if there is no network that knows.
    """

    images: tuple[ImageArray, ImageArray]
    keypoints: tuple[Keypoints, Keypoints]
    matches: Matches
    inlier: BoolArray | None = None
    probability: Float32Array | None = None

    @property
    def quality(self) -> Float32Array:
        """
        (M,) what orders the matches: the probability, else the score of the descriptors.
        """
        return self.matches.scores if self.probability is None else self.probability


def agreeing_matches(
    keypoints: tuple[Keypoints, Keypoints], matches: Matches, model: str, threshold_px: float
) -> BoolArray:
    """
    (M,) which matches agree with the one geometry that RANSAC finds behind them; none if it finds none.

    :param model: ``homography`` (a plane, or a camera that only turns) or ``fundamental`` (any rigid scene).
    :raises ConfigError: if it is neither.
    """
    if model not in MODELS:
        raise ConfigError(f'model: found {model!r}, expected one of {", ".join(MODELS)}')
    nothing = np.zeros(len(matches), np.bool_)
    if len(matches) < _FEWEST[model]:
        return nothing
    first = keypoints[0].xy[matches.reference_index]
    second = keypoints[1].xy[matches.current_index]
    if model == 'homography':
        found, mask = cv2.findHomography(first, second, cv2.USAC_MAGSAC, threshold_px, None, _ITERATIONS, _CONFIDENCE)
    else:
        found, mask = cv2.findFundamentalMat(first, second, cv2.USAC_MAGSAC, threshold_px, _CONFIDENCE, _ITERATIONS)
    return nothing if found is None else np.asarray(mask.ravel() > 0)


def draw_matches(pair: MatchedPair, factor: float = 1.0) -> ImageArray:
    """
    RGB picture of a pair, each image ``factor`` times its size: keypoints as dots, matches as lines, the best on top.
    """
    pictures = [dimmed(image, factor) for image in pair.images]
    height = max(picture.shape[0] for picture in pictures)
    right = pictures[0].shape[1] + _GAP
    canvas = np.full((height, right + pictures[1].shape[1], 3), 255, np.uint8)
    canvas[: pictures[0].shape[0], : pictures[0].shape[1]] = pictures[0]
    canvas[: pictures[1].shape[0], right:] = pictures[1]
    points = [scale_points(keypoints.xy, factor) for keypoints in pair.keypoints]
    points[1] = points[1] + np.array([right, 0.0])
    for xy in points:
        for x, y in fixed_point(xy).tolist():
            cv2.circle(canvas, (x, y), 1 << SUBPIXEL_BITS, UNMATCHED, cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)
    starts = fixed_point(points[0][pair.matches.reference_index])
    ends = fixed_point(points[1][pair.matches.current_index])
    colors = _match_colors(pair)
    order = _drawing_order(pair).tolist()
    lines = canvas.copy()
    for row in order:
        cv2.line(lines, starts[row].tolist(), ends[row].tolist(), colors[row].tolist(), 1, cv2.LINE_AA, SUBPIXEL_BITS)
    cv2.addWeighted(lines, _OPACITY, canvas, 1.0 - _OPACITY, 0.0, canvas)  # many lines let the images shine through
    for row in order:
        for end in (starts[row], ends[row]):
            cv2.circle(canvas, end.tolist(), 3 << SUBPIXEL_BITS, colors[row].tolist(), 1, cv2.LINE_AA, SUBPIXEL_BITS)
    return canvas


def match_legend(pair: MatchedPair) -> list[LegendEntry]:
    """
    What the colours of :func:`draw_matches` mean.
    """
    unmatched = LegendEntry('keypoint without a match', (UNMATCHED,))
    if pair.inlier is None:
        order = 'descriptor distance' if pair.probability is None else 'probability (IO-Net)'
        return [LegendEntry(f'matches, from the worst to the best {order}', SCORE_SCALE), unmatched]
    count = int(np.count_nonzero(pair.inlier))
    return [
        LegendEntry(f'{count} matches that agree', (INLIER,)),
        LegendEntry(f'{len(pair.inlier) - count} that do not', (OUTLIER,)),
        unmatched,
    ]


def _drawing_order(pair: MatchedPair) -> npt.NDArray[np.int64]:
    if pair.inlier is None:
        return np.argsort(pair.quality, kind='stable')
    return np.argsort(pair.inlier, kind='stable')


def _match_colors(pair: MatchedPair) -> npt.NDArray[np.float64]:
    """
    (M, 3): green or red by the inliers, or from red to green by the rank of the quality.
    """
    if pair.inlier is not None:
        return np.where(pair.inlier[:, None], np.array(INLIER, np.float64), np.array(OUTLIER, np.float64))
    return score_colors(pair.quality)
