# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What is wrong with the depth of a depth camera: its unit, its holes, where it lies on the image, and when it was
measured.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kp2d_ros.core.records import DepthImage, Float32Array, Float64Array, ImageArray
from kp2d_ros.doctor.depth_edges import EdgeMatch, Registration, match_edges, register_edges
from kp2d_ros.doctor.findings import Finding, Severity, graded
from kp2d_ros.doctor.look import Look
from kp2d_ros.doctor.regression import fit_linear

_REMEMBERED = 40  # looks
_FEWEST_LOOKS = 5
_SAMPLES = 20_000  # depths of an image that are counted
_NEAREST, _FARTHEST, _ABSURD = 0.03, 100.0, 500.0  # metres, of the median
_WHOLE_METRES = 0.5  # a sensor does not count in such steps
_HOLES = 0.7  # share of pixels without depth
_AGREEING_PX, _AGREEING_SHARE = 4.0, 0.5  # looks whose edges fit at the same shift
_MISLEADING = 0.5  # of a pixel of the images whose edges are compared
_OFF_PX, _FAR_OFF_PX = 2.5, 6.0
_LEAST_MOTION_PX_S = 10.0
_VAGUE_MS = 15.0
_LATE_MS, _TOO_LATE_MS = 15.0, 40.0
_SURE_SIGMAS = 3.0


@dataclass(frozen=True, slots=True)
class _Values:
    """
    What the numbers of one depth image say: the ``median`` in metres (NaN without any), the ``step`` that they are
    multiples of (0: none is found), the share of ``holes``.
    """

    median: float
    step: float
    holes: float


@dataclass(frozen=True, slots=True, eq=False)
class _Edges:
    """
    How edges fit in one look, and how fast the image moves there, in pixels per second (2,); NaN: not known.
    """

    number: int
    match: EdgeMatch
    velocity: Float64Array


@dataclass(frozen=True, slots=True, eq=False)
class DepthPicture:
    """
    An image with its depth, to be drawn, and how the two are registered; None if that is not known.
    """

    image: ImageArray
    metres: Float32Array
    registration: Registration | None


class DepthCheck:
    """
    Gathers what depth images say; what it remembers is bounded.
    """

    def __init__(self) -> None:
        self._values: deque[_Values] = deque(maxlen=_REMEMBERED)
        self._edges: deque[_Edges] = deque(maxlen=_REMEMBERED)
        self._stamp_offsets_ms: deque[float] = deque(maxlen=_REMEMBERED)
        self._last: tuple[ImageArray, Float32Array] | None = None
        self._zoom = 0.0
        self._shifts: dict[int, Float64Array] = {}  # at this zoom, by the number of the look

    def add(self, look: Look) -> None:
        """
        Look at the depth of one look; a frame without depth is passed over.
        """
        depth = look.frame.depth
        if depth is None:
            return
        self._stamp_offsets_ms.append((depth.stamp_ns - look.frame.stamp_ns) * 1e-6)
        self._values.append(_inspect(depth))
        match = match_edges(look.frame.image, depth.metres)
        if match is not None:
            if self._edges and self._edges[-1].match.surfaces.shape != match.surfaces.shape:
                self._edges.clear()  # the size changed
            self._edges.append(_Edges(look.number, match, _velocity(look, match)))
        self._last = (look.frame.image, depth.metres)

    @property
    def picture(self) -> DepthPicture | None:
        """
        The last depth on its image.
        """
        if self._last is None:
            return None
        agreement = self._agreement()
        return DepthPicture(*self._last, None if agreement is None else agreement.registration)

    def findings(self) -> list[Finding]:
        """
        What can be said so far.
        """
        if self._last is None:
            return [Finding('depth', Severity.UNKNOWN, 'no frame with depth has come yet')]
        edges = self._judge_edges(self._last[0].shape)
        return [_judge_unit(self._values), _judge_holes(self._values), *edges]

    def _agreement(self) -> _Agreement | None:
        """
        Where edges fit in most of the looks; None if they fit at another place in each.
        """
        if len(self._edges) < _FEWEST_LOOKS:
            return None
        together = register_edges([look.match for look in self._edges])
        if together.zoom != self._zoom:
            self._zoom, self._shifts = together.zoom, {}
        for look in self._edges:
            if look.number not in self._shifts:
                self._shifts[look.number] = register_edges([look.match], (self._zoom,)).shift_px
        shifts = np.array([self._shifts[look.number] for look in self._edges])
        velocity = np.array([look.velocity for look in self._edges])
        return _agree(together, shifts, velocity, _MISLEADING * self._edges[-1].match.px)

    def _judge_edges(self, shape: tuple[int, ...]) -> list[Finding]:
        agreement = self._agreement()
        if agreement is None:
            found = 'where depth lies on the image cannot be told: too few edges of depth fit edges of the image'
            return [Finding('registration', Severity.UNKNOWN, found, 'show it things with edges before a farther wall')]
        return [_judge_registration(agreement, shape), self._judge_delay(agreement)]

    def _judge_delay(self, agreement: _Agreement) -> Finding:
        offset_ms = float(np.median(self._stamp_offsets_ms))
        stamps = f'stamps differ by {offset_ms:.1f} ms'
        values = {'stamp_offset_ms': offset_ms}
        delay_ms, sigma_ms = agreement.delay_ms, agreement.delay_sigma_ms
        if sigma_ms > _VAGUE_MS:
            motion = f'the motion of the image changes by {agreement.motion_px_s:.0f} px/s only'
            found = f'whether depth is late cannot be told: {motion} ({stamps})'
            return Finding(
                'depth delay', Severity.UNKNOWN, found, 'turn the camera to and fro for some seconds', values
            )
        values |= {'delay_ms': delay_ms, 'delay_sigma_ms': sigma_ms}
        size = abs(delay_ms)
        severity = graded(size, _LATE_MS, _TOO_LATE_MS) if size > _SURE_SIGMAS * sigma_ms else Severity.OK
        if severity is Severity.OK:
            found = f'depth and image are of the same time, to {delay_ms:+.0f} +- {sigma_ms:.0f} ms ({stamps})'
            return Finding('depth delay', severity, found, '', values)
        older = 'before' if delay_ms > 0 else 'after'
        found = f'depth shows the scene {size:.0f} +- {sigma_ms:.0f} ms {older} the image ({stamps})'
        advice = 'stamp both when they were exposed, or let the driver synchronise them'
        return Finding('depth delay', severity, found, advice, values)


@dataclass(frozen=True, slots=True)
class _Agreement:
    """
    How depth lies on the image, and how late it is; the sigma is infinite where nothing moves.
    """

    registration: Registration
    scatter_px: float
    looks: int
    motion_px_s: float
    delay_ms: float = 0.0
    delay_sigma_ms: float = float('inf')


def _agree(together: Registration, shifts: Float64Array, velocity: Float64Array, error_px: float) -> _Agreement | None:
    """
    Split the shifts (N, 2) of single looks into one that all have, and one that grows with the velocity (N, 2).

    :param error_px: by which what happens to be seen may mislead all of them.
    """
    count = len(shifts)
    groups = np.repeat(np.arange(count), 2)
    ones, zeros = np.ones(count), np.zeros(count)
    constant = np.stack([np.stack([ones, zeros], 1), np.stack([zeros, ones], 1)], 1).reshape(-1, 2)
    speed = velocity.ravel()
    moving = np.isfinite(speed)
    # A steady motion cannot be told from a shift: what counts is how much it changes.
    motion = float(np.sqrt(np.nanvar(velocity, axis=0).mean())) if moving.any() else 0.0
    is_told = motion > _LEAST_MOTION_PX_S and len(np.unique(groups[moving])) >= _FEWEST_LOOKS
    design = np.column_stack([constant, speed])[moving] if is_told else constant
    values, groups = (shifts.ravel()[moving], groups[moving]) if is_told else (shifts.ravel(), groups)
    fit = fit_linear(design, values, groups)
    residuals = np.abs(values - design @ fit.coefficients)
    if float(np.mean(residuals < _AGREEING_PX)) < _AGREEING_SHARE:
        return None
    registration = Registration(fit.coefficients[:2], together.zoom)
    if not is_told:
        return _Agreement(registration, fit.scatter, count, motion)
    delay_ms, sigma_ms = 1e3 * float(fit.coefficients[2]), 1e3 * float(np.hypot(fit.sigmas[2], error_px / motion))
    return _Agreement(registration, fit.scatter, count, motion, delay_ms, sigma_ms)


def _judge_registration(agreement: _Agreement, shape: tuple[int, ...]) -> Finding:
    shift, zoom = agreement.registration.shift_px, agreement.registration.zoom
    height, width = shape[:2]
    off = float(np.sqrt((shift**2).sum() + zoom**2 * (width**2 + height**2) / 12.0))
    severity = graded(off, _OFF_PX, _FAR_OFF_PX)
    values = {'off_px': off, 'shift_x_px': float(shift[0]), 'shift_y_px': float(shift[1]), 'zoom': zoom}
    late = '' if severity is Severity.OK or np.isfinite(agreement.delay_sigma_ms) else ', unless depth is late'
    found = (
        f'edges of depth lie {off:.1f} px beside those of the image (root mean square; shift {-shift[0]:+.1f}, '
        f'{-shift[1]:+.1f} px, zoom {1.0 / (1.0 + zoom) - 1.0:+.0%}; {agreement.looks} images, scatter '
        f'{agreement.scatter_px:.1f} px){late}'
    )
    advice = 'take the depth that the driver registers to the colour image (aligned_depth_to_color, depth_registered)'
    return Finding('registration', severity, found, '' if severity is Severity.OK else advice, values)


def _judge_unit(looks: Sequence[_Values]) -> Finding:
    medians = [look.median for look in looks if np.isfinite(look.median)]
    if not medians:
        advice = 'check that the topic is depth, and its encoding 16UC1 (millimetres) or 32FC1 (metres)'
        return Finding('depth unit', Severity.ERROR, 'no depth image has a single measured pixel', advice)
    median, step = float(np.median(medians)), float(np.median([look.step for look in looks]))
    values = {'median_m': median, 'step_m': step}
    steps = f', in steps of {step:.3g} m' if step > 0 else ''
    found = f'the median depth is {median:.3g} m{steps}'
    if median > _ABSURD or step > _WHOLE_METRES:
        advice = 'millimetres seem to be taken for metres: depth_scale is 1000 times too large'
        return Finding('depth unit', Severity.ERROR, found, advice, values)
    if median < _NEAREST:
        advice = 'metres seem to be taken for millimetres: depth_scale is 1000 times too small'
        return Finding('depth unit', Severity.ERROR, found, advice, values)
    if median > _FARTHEST:
        return Finding(
            'depth unit', Severity.WARNING, found, 'check depth_scale: hardly any sensor sees so far', values
        )
    return Finding('depth unit', Severity.OK, found, '', values)


def _judge_holes(looks: Sequence[_Values]) -> Finding:
    holes = float(np.median([look.holes for look in looks]))
    found = f'{holes:.0%} of the pixels have no depth'
    values = {'holes_share': holes}
    if holes <= _HOLES:
        return Finding('depth holes', Severity.OK, found, '', values)
    advice = 'sunlight, glass, black or far things give none; look at nearer things, or check the range of the driver'
    return Finding('depth holes', Severity.WARNING, found, advice, values)


def _inspect(depth: DepthImage) -> _Values:
    flat = depth.metres.ravel()[:: max(1, depth.metres.size // _SAMPLES)]
    measured = flat[np.isfinite(flat) & (flat > 0)]
    median = float(np.median(measured)) if len(measured) else float('nan')
    return _Values(median, _step(measured), 1.0 - len(measured) / max(len(flat), 1))


def _step(values: Float32Array) -> float:
    """
    What all values are multiples of, 0 if of nothing.
    """
    if len(values) < 2:
        return 0.0
    exact = np.unique(values.astype(np.float64))
    gaps = np.diff(exact)
    gaps = gaps[gaps > 1e-6 * exact[-1]]  # what single precision cannot tell apart is the same
    if not len(gaps):
        return 0.0
    step = float(gaps.min())
    # The smallest gap, made exact by the number of steps to the values nearby.
    near = exact[: max(2, len(exact) // 10)]
    counts = np.rint(near / step)
    step = float((near @ counts) / (counts @ counts)) if (counts > 0).all() else step
    off = np.abs(exact / step - np.rint(exact / step))
    return step if float(np.mean(off < 0.05)) > 0.9 else 0.0


def _velocity(look: Look, edges: EdgeMatch) -> Float64Array:
    """
    Median velocity (2,) in pixels per second of the keypoints near edges of depth, which is where depth is compared.
    """
    known = np.isfinite(look.velocity).all(axis=1)
    if not known.any():
        return np.full(2, np.nan)
    size = np.array(edges.near_edges.shape[::-1])
    place = (look.keypoints.xy + 0.5) / np.array(look.shrunk.image.size[::-1]) * size
    column, row = np.clip(place, 0, size - 1).astype(np.intp).T
    near = known & edges.near_edges[row, column]
    velocity = look.velocity[near if near.sum() >= 10 else known] / look.shrunk.scale
    return np.asarray(np.median(velocity, axis=0))
