# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What is wrong with a stereo rig, from points that both cameras see.

Points are matched over the whole images and not along rows, which may be wrong. Their rays are turned into the
rectified axes of the rig. There the two of a point have the same y, and the left one the larger x. What differs in y
comes from the calibration, which is the same in every image and smooth (a (1 + y y) + b x + c y + d x y: small
rotations and a wrong focal length), and from one camera being late, which is the more the faster the point moves (delay
times velocity).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import BoolArray, Float32Array, Float64Array, ImageArray, RightImage
from kp2d_ros.core.rectification import rectify_rig
from kp2d_ros.doctor.findings import Finding, Severity, graded
from kp2d_ros.doctor.look import Extract, Look, shrink
from kp2d_ros.doctor.regression import LinearFit, fit_linear
from kp2d_ros.odometry.alignment import AlignmentConfig, align
from kp2d_ros.odometry.depth_sources import StereoConfig
from kp2d_ros.odometry.matching import MatchingConfig, match
from kp2d_ros.odometry.rays import rays_from_pixels

_REMEMBERED = 60  # looks
_POINTS = 200  # of one look
_FEWEST_POINTS = 60  # of all looks together, for any statement
_FEWEST_LOOKS = 5  # for a delay
_EPIPOLAR_PX = 1.5  # within which matches agree with one geometry of two views, whatever it is
_SWAPPED_SHARE = 0.7  # of points with a disparity below 0
_LEAST_MOTION_PX_S = 2.0  # deviation of the velocities along the columns
_MISLEADING_PX = 0.05  # by which rows of all points may be off for reasons that are not looked for
_VAGUE_MS = 5.0  # a delay known no better says nothing
_LATE_MS, _TOO_LATE_MS = 3.0, 10.0
_SURE_SIGMAS = 3.0
_SHORT_BASELINE, _LONG_BASELINE = 0.01, 10.0  # metres


@dataclass(frozen=True, slots=True, eq=False)
class PairPoints:
    """
    What both cameras see in one look: points (N, 2) on the plane z = 1 in rectified axes (``left``, ``right``), how
    fast the left ones move there (N, 2) per second, and ``focal_px``, which turns all that into pixels.
    """

    number: int
    left: Float64Array
    right: Float64Array
    velocity: Float64Array
    focal_px: float

    @property
    def row_px(self) -> Float64Array:
        """
        (N,) by how many pixels the left point is below the right one; 0 in a good rig.
        """
        return np.asarray((self.left - self.right)[:, 1] * self.focal_px)

    @property
    def disparity_px(self) -> Float64Array:
        """
        (N,) by how many pixels the left point is to the right of the right one; above 0 in a good rig.
        """
        return np.asarray((self.left - self.right)[:, 0] * self.focal_px)


@dataclass(frozen=True, slots=True, eq=False)
class PairPicture:
    """
    A pair to be drawn: the images as they came, the matched pixels (N, 2) in both, and (N,) how far off the rows are.
    """

    images: tuple[ImageArray, ImageArray]
    left_xy: Float64Array
    right_xy: Float64Array
    row_px: Float64Array


class StereoCheck:
    """
    Gathers points of pairs; what it remembers is bounded.

    :param extract: gives the keypoints of the right image, as those of the looks.
    """

    def __init__(self, extract: Extract, max_side_px: int) -> None:
        self._extract, self._max_side_px = extract, max_side_px
        self._points: deque[PairPoints] = deque(maxlen=_REMEMBERED)
        self._rig: Float64Array | None = None
        self._stamp_offsets_ms: deque[float] = deque(maxlen=_REMEMBERED)
        self._seen = 0
        self.picture: PairPicture | None = None  # of the last pair

    def add(self, look: Look) -> None:
        """
        Look at the pair of one look; a frame without a right image is passed over.
        """
        right = look.frame.right
        if right is None:
            return
        self._seen += 1
        self._rig = right.left_from_right
        self._stamp_offsets_ms.append((right.stamp_ns - look.frame.stamp_ns) * 1e-6)
        pixels = _matched_pixels(look, right, self._extract, self._max_side_px)
        if len(pixels.left_xy) < 8:
            return
        points = _rectified(look, right, pixels)
        self._points.append(points)
        self.picture = PairPicture((look.frame.image, right.image), pixels.left_xy, pixels.right_xy, points.row_px)

    def findings(self) -> list[Finding]:
        """
        What can be said so far.
        """
        if not self._seen:
            return [Finding('pairs', Severity.UNKNOWN, 'no frame with a right image has come yet')]
        count = sum(len(points.left) for points in self._points)
        found = [_judge_baseline(self._rig)]
        if count < _FEWEST_POINTS:
            sentence = f'{count} points in {self._seen} pairs look alike in both images, {_FEWEST_POINTS} are needed'
            advice = 'check that both topics are cameras of one rig, that both are in focus and see the same scene'
            severity = Severity.WARNING if self._seen >= _FEWEST_LOOKS else Severity.UNKNOWN
            return [*found, Finding('pairs', severity, sentence, advice, {'points': count})]
        fit = _fit_rows(self._points)
        order, rows = _judge_order(self._points), _judge_rows(self._points, fit)
        if order.severity is Severity.ERROR and rows.severity is not Severity.OK:
            # Each image was looked at with the calibration of the other one.
            rows = replace(rows, severity=Severity.UNKNOWN, advice='exchange left and right first, then look again')
        return [*found, order, rows, self._judge_delay(fit)]

    def _judge_delay(self, fit: RowFit) -> Finding:
        offset_ms = float(np.median(self._stamp_offsets_ms))
        stamps = f'their stamps differ by {offset_ms:.1f} ms'
        values = {'stamp_offset_ms': offset_ms}
        if fit.delay_ms is None or fit.delay_sigma_ms > _VAGUE_MS:
            motion = f'points move along the columns by {fit.motion_px_s:.1f} px/s'
            vague = '' if fit.delay_ms is None else f', which tells it to +- {fit.delay_sigma_ms:.0f} ms only'
            advice = f'move the camera up and down, or nod with it, for some seconds ({stamps})'
            found = f'whether one camera is late cannot be told: {motion}{vague}'
            return Finding('delay', Severity.UNKNOWN, found, advice, values)
        delay_ms, sigma_ms = fit.delay_ms, fit.delay_sigma_ms
        values |= {'delay_ms': delay_ms, 'delay_sigma_ms': sigma_ms}
        size = abs(delay_ms)
        severity = graded(size, _LATE_MS, _TOO_LATE_MS) if size > _SURE_SIGMAS * sigma_ms else Severity.OK
        if severity is Severity.OK:
            found = f'both cameras see at the same time, to {delay_ms:+.1f} +- {sigma_ms:.1f} ms ({stamps})'
            return Finding('delay', severity, found, '', values)
        older = 'before' if delay_ms > 0 else 'after'
        found = (
            f'the right images show the scene {size:.1f} +- {sigma_ms:.1f} ms {older} the left ones ({stamps}), which '
            f'puts rows off by {size * 1e-3 * fit.motion_px_s:.1f} px as the camera moves now'
        )
        advice = 'trigger both cameras together, or stamp each image when it was exposed and not when it arrived'
        return Finding('delay', severity, found, advice, values)


@dataclass(frozen=True, slots=True)
class RowFit:
    """
    What is off in the rows of some pairs.

    ``systematic_px``: root mean square of what the calibration puts them off, ``offset_px`` of it on average, as if the
    right camera were turned by ``turn_deg`` (3,) about x, y and z; ``scatter_px``: what is left of single points.
    ``delay_ms`` by which the right camera shows older things, None where nothing moves, as ``motion_px_s`` says.
    """

    systematic_px: float
    offset_px: float
    turn_deg: tuple[float, float, float]
    scatter_px: float
    motion_px_s: float
    delay_ms: float | None = None
    delay_sigma_ms: float = float('inf')


def _fit_rows(looks: Sequence[PairPoints]) -> RowFit:
    focal = float(np.median([points.focal_px for points in looks]))
    left, right = (np.concatenate([getattr(points, side) for points in looks]) for side in ('left', 'right'))
    rows = np.concatenate([points.row_px for points in looks])
    velocity = np.concatenate([points.velocity[:, 1] for points in looks]) * focal
    groups = np.concatenate([np.full(len(points.left), points.number) for points in looks])
    x, y = right[:, 0], left[:, 1]
    shape = np.column_stack([1.0 + y * y, x, y, x * y])
    moving = np.isfinite(velocity)
    motion = float(np.sqrt(np.mean(velocity[moving] ** 2))) if moving.any() else 0.0
    is_told = motion > _LEAST_MOTION_PX_S and len(np.unique(groups[moving])) >= _FEWEST_LOOKS
    delay: LinearFit | None = None
    if is_told:
        delay = fit_linear(np.column_stack([shape, velocity])[moving], rows[moving], groups[moving])
        shape_fit = delay
    else:
        shape_fit = fit_linear(shape, rows, groups)
    coefficients = shape_fit.coefficients[: shape.shape[1]]
    turn = np.degrees(coefficients / focal)
    return RowFit(
        systematic_px=float(np.sqrt(np.mean((shape @ coefficients) ** 2))),
        offset_px=float(np.mean(shape @ coefficients)),
        turn_deg=(float(-turn[0]), float(turn[3]), float(turn[1])),
        scatter_px=shape_fit.scatter,
        motion_px_s=motion,
        delay_ms=None if delay is None else 1e3 * float(delay.coefficients[-1]),
        delay_sigma_ms=float('inf')
        if delay is None
        else 1e3 * float(np.hypot(delay.sigmas[-1], _MISLEADING_PX / motion)),
    )


def _judge_rows(looks: Sequence[PairPoints], fit: RowFit) -> Finding:
    limit = StereoConfig().max_aligned_row_px
    severity = graded(fit.systematic_px, 0.5 * limit, limit)
    x, y, z = fit.turn_deg
    values = {'systematic_px': fit.systematic_px, 'offset_px': fit.offset_px, 'scatter_px': fit.scatter_px}
    values |= {'turn_x_deg': x, 'turn_y_deg': y, 'turn_z_deg': z}
    found = (
        f'rows are off by {fit.systematic_px:.2f} px (root mean square of {len(looks)} pairs), single points scatter '
        f'by {fit.scatter_px:.2f} px'
    )
    if severity is Severity.OK:
        return Finding('rows', severity, found, '', values)
    if len(looks) < _FEWEST_LOOKS:
        advice = 'look at more pairs: so few do not tell it from a late camera'
        return Finding('rows', Severity.UNKNOWN, found, advice, values)
    found += (
        f'; on average {fit.offset_px:+.2f} px, and like a right camera that is turned by {x:+.2f}, {y:+.2f}, {z:+.2f} '
        'deg about x, y, z'
    )
    advice = (
        'calibrate the pair anew, and check that both images and calibrations are of the same kind, raw or rectified'
    )
    return Finding('rows', severity, found, advice, values)


def _judge_order(looks: Sequence[PairPoints]) -> Finding:
    disparity = np.concatenate([points.disparity_px for points in looks])
    share, median = float(np.mean(disparity < 0.0)), float(np.median(disparity))
    values = {'negative_share': share, 'median_disparity_px': median}
    if share > _SWAPPED_SHARE and median < -1.0:
        found = (
            f'left and right are swapped: {share:.0%} of the disparities are below 0, their median is {median:.1f} px'
        )
        advice = 'exchange the two topics (or folders), images and calibrations together'
        return Finding('order', Severity.ERROR, found, advice, values)
    if share > 0.5:
        found = f'{share:.0%} of the disparities are below 0, their median is {median:.1f} px'
        return Finding(
            'order', Severity.WARNING, found, 'check the calibration: points would be behind infinity', values
        )
    found = f'left is left: the median disparity is {median:.1f} px, {share:.0%} are below 0'
    return Finding('order', Severity.OK, found, '', values)


def _judge_baseline(left_from_right: Float64Array | None) -> Finding:
    if left_from_right is None:
        advice = 'P[3] of the right camera_info is -fx times the baseline; or give it by TF, or as a setting'
        return Finding('baseline', Severity.ERROR, 'the baseline is not known, so there are no metres', advice)
    baseline = float(np.linalg.norm(left_from_right[:3, 3]))
    values = {'baseline_m': baseline}
    found = f'the baseline is {baseline:.4g} m'
    try:
        rectify_rig(left_from_right)
    except DataError as error:
        return Finding(
            'baseline', Severity.ERROR, str(error), 'measure it between the lenses and calibrate anew', values
        )
    if baseline > _LONG_BASELINE:
        advice = 'no rig is so wide: was it given in millimetres, or P[3] without the focal length?'
        return Finding('baseline', Severity.ERROR, found, advice, values)
    if baseline < _SHORT_BASELINE:
        advice = 'check it with a ruler: from such a baseline depths reach not far'
        return Finding('baseline', Severity.WARNING, found, advice, values)
    return Finding('baseline', Severity.OK, found, '', values)


@dataclass(frozen=True, slots=True, eq=False)
class _Matched:
    """
    ``rows`` (N,) of the keypoints of a look, and their pixels (N, 2) in both images as these came.
    """

    rows: npt.NDArray[np.int64]
    left_xy: Float64Array
    right_xy: Float64Array


def _matched_pixels(look: Look, right: RightImage, extract: Extract, max_side_px: int) -> _Matched:
    shrunk = shrink(right.image, max_side_px)
    found = extract(np.ascontiguousarray(shrunk.image.gray))
    matches = match(look.keypoints, found, MatchingConfig(ratio=0.8))
    rows, columns = matches.reference_index, matches.current_index
    left_xy = look.keypoints.xy[rows]
    aligned, moved = align(
        look.shrunk.image, shrunk.image, left_xy, found.xy[columns], AlignmentConfig(), may_turn=False
    )
    moved &= _agreeing(left_xy, aligned)
    keep = np.flatnonzero(moved)[:_POINTS]
    return _Matched(rows[keep], look.shrunk.input_pixels(left_xy[keep]), shrunk.input_pixels(aligned[keep]))


def _agreeing(left_xy: Float32Array, right_xy: Float32Array) -> BoolArray:
    """
    (N,) which matches agree with one geometry of two views, none if there is none.
    """
    nothing = np.zeros(len(left_xy), np.bool_)
    if len(left_xy) < 8:
        return nothing
    try:
        found, mask = cv2.findFundamentalMat(left_xy, right_xy, cv2.FM_RANSAC, _EPIPOLAR_PX, 0.999, 2000)
    except cv2.error:  # OpenCV asserts that a degenerate sample has a model
        return nothing
    return nothing if found is None or mask is None else np.asarray(mask.ravel() > 0)


def _rectified(look: Look, right: RightImage, pixels: _Matched) -> PairPoints:
    frame = look.frame
    left_camera, right_camera = _camera_of(frame.camera, frame.image), _camera_of(right.camera, right.image)
    from_left, from_right = _rotations(right.left_from_right)
    left = _turned(left_camera, pixels.left_xy, from_left)
    # Where the left pixels go within a hundredth of a second, in rectified axes.
    step = 0.01 * look.velocity[pixels.rows] / look.shrunk.scale
    later = _turned(left_camera, pixels.left_xy + np.nan_to_num(step), from_left)
    velocity = np.where(np.isfinite(step), (later - left) * 100.0, np.nan)
    other = _turned(right_camera, pixels.right_xy, from_right)
    good = np.isfinite(left).all(axis=1) & np.isfinite(other).all(axis=1)
    return PairPoints(look.number, left[good], other[good], velocity[good], left_camera.focal_px)


def _camera_of(camera: CameraModel | None, image: ImageArray) -> CameraModel:
    """
    The camera, or where it is not known, one as good as any of which rows are rows.
    """
    if camera is not None:
        return camera
    height, width = image.shape[:2]
    matrix = np.array([[width, 0.0, 0.5 * width], [0.0, width, 0.5 * height], [0.0, 0.0, 1.0]])
    return CameraModel(width, height, matrix, LensModel.PLUMB_BOB, np.zeros(5))


def _rotations(left_from_right: Float64Array | None) -> tuple[Float64Array, Float64Array]:
    if left_from_right is not None:
        try:
            rig = rectify_rig(left_from_right)
            return rig.from_left, rig.from_right
        except DataError:
            pass
    return np.eye(3), np.eye(3)


def _turned(camera: CameraModel, xy: Float64Array, rotation: Float64Array) -> Float64Array:
    turned = rays_from_pixels(camera, xy).vectors @ rotation.T
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.asarray(np.where(turned[:, 2:] > 0, turned[:, :2] / turned[:, 2:], np.nan))
