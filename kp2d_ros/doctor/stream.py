# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What is wrong with a stream of frames whatever is in them: times, partners that are missing, brightness, texture.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from kp2d_ros.core.records import Frame, ImageArray, Sensor
from kp2d_ros.doctor.findings import Finding, Severity, graded
from kp2d_ros.doctor.look import Look
from kp2d_ros.odometry.texture import texture_at

_REMEMBERED = 600  # frames
_STEP = 8  # every so manieth pixel of every so manieth row is looked at
_GAP = 1.8  # a step of so many median ones is a gap
_MANY_GAPS = 0.02  # share
_DARK, _BRIGHT = 20.0, 235.0  # mean gray levels
_SATURATED, _SATURATED_SHARE = 250, 0.25
_JUMP = 0.2  # of the logarithm of the brightness from one frame to the next
_MANY_JUMPS = 0.02  # share
_UNLIKE = 0.3  # of the logarithm of the brightness of left and right
_PLAIN, _VERY_PLAIN = 120, 40  # keypoints with texture
_TEXTURE = 1.5  # gray levels; the default of the frontend's min_texture


@dataclass(frozen=True, slots=True)
class _Glance:
    """
    What is remembered of each frame: its time, mean brightness (NaN: not known) of its image and of the right one,
    share of saturated pixels.
    """

    stamp_ns: int
    brightness: float
    right_brightness: float
    saturated: float


class StreamCheck:
    """
    Remembers a few numbers of each of the last frames.

    :param is_gapless: whether every frame of the source is shown; else gaps in time and missing partners say nothing
        about it.
    """

    def __init__(self, sensor: Sensor, is_gapless: bool) -> None:
        self._sensor, self._is_gapless = sensor, is_gapless
        self._glances: deque[_Glance] = deque(maxlen=_REMEMBERED)
        self._textured: deque[int] = deque(maxlen=_REMEMBERED)
        self._frames = self._complete = 0

    def glance(self, frame: Frame) -> None:
        """
        Take note of a frame; costs next to nothing.
        """
        partner = {Sensor.MONO: frame, Sensor.STEREO: frame.right, Sensor.RGBD: frame.depth}[self._sensor]
        sample = frame.image[::_STEP, ::_STEP]
        right = float('nan') if frame.right is None else _brightness(frame.right.image)
        saturated = float(np.mean(sample >= _SATURATED))
        self._glances.append(_Glance(frame.stamp_ns, float(sample.mean()), right, saturated))
        self._frames += 1
        self._complete += partner is not None

    def add(self, look: Look) -> None:
        """
        Count the keypoints of a look that have texture around them.
        """
        textured = texture_at(look.shrunk.image.gray, look.keypoints.xy) >= _TEXTURE
        self._textured.append(int(textured.sum()))

    def findings(self, expected: int | None = None) -> list[Finding]:
        """
        What can be said so far.

        :param expected: how many frames there should have been; None: as many as there were.
        """
        if not self._glances:
            return [Finding('frames', Severity.UNKNOWN, 'no frame has come yet')]
        found = [self._judge_times()] if self._is_gapless else []
        if self._is_gapless and self._sensor is not Sensor.MONO:
            found.append(self._judge_partners(max(self._frames, expected or 0)))
        found.append(self._judge_exposure())
        if self._sensor is Sensor.STEREO:
            found += self._judge_likeness()
        if self._textured:
            found.append(self._judge_texture())
        return found

    def _judge_times(self) -> Finding:
        steps = np.diff([glance.stamp_ns for glance in self._glances]) * 1e-9
        forward = steps[steps > 0]
        if not len(forward):
            severity = Severity.WARNING if len(steps) else Severity.UNKNOWN
            return Finding('rate', severity, f'{len(self._glances)} frames, no time passes between them')
        median = float(np.median(forward))
        gaps = forward[forward > _GAP * median]
        same, back = int((steps == 0).sum()), int((steps < 0).sum())
        values = {
            'rate_hz': 1.0 / median,
            'gaps': float(len(gaps)),
            'duplicates': float(same),
            'backwards': float(back),
        }
        found = f'{1.0 / median:.1f} images per second'
        if len(gaps):
            values['longest_gap_s'] = float(gaps.max())
            found += f', {len(gaps)} gaps, the longest of {gaps.max():.2f} s'
        if same or back:
            found += f', {same} times the stamp of the frame before, {back} times an older one'
            advice = 'a driver must stamp each image once, and later ones later; a looped bag begins anew'
            return Finding('rate', Severity.ERROR if back > 1 else Severity.WARNING, found, advice, values)
        if len(gaps) > _MANY_GAPS * len(steps):
            advice = 'images were lost: look at the load, the bandwidth and the queue of the recorder or driver'
            return Finding('rate', Severity.WARNING, found, advice, values)
        return Finding('rate', Severity.OK, found, '', values)

    def _judge_partners(self, count: int) -> Finding:
        name = 'a right image' if self._sensor is Sensor.STEREO else 'depth'
        missing = 1.0 - self._complete / count
        found = f'{self._complete} of {count} images have {name}'
        severity = graded(missing, 0.02, 0.5)
        advice = 'compare the rates and stamps of both topics; sync_tolerance_s says how far stamps may differ'
        advice = '' if severity is Severity.OK else advice
        return Finding('partners', severity, found, advice, {'missing_share': missing})

    def _judge_exposure(self) -> Finding:
        levels = np.array([glance.brightness for glance in self._glances])
        saturated = float(np.median([glance.saturated for glance in self._glances]))
        level = float(np.median(levels))
        jumps = int((np.abs(np.diff(np.log(levels + 1.0))) > _JUMP).sum())
        values = {'brightness': level, 'saturated_share': saturated, 'jumps': float(jumps)}
        found = f'mean brightness {level:.0f} of 255, {saturated:.0%} of the pixels saturated'
        if jumps:
            found += f', {jumps} jumps of more than {np.expm1(_JUMP):.0%} between two frames'
        if level < _DARK:
            return Finding('exposure', Severity.WARNING, found, 'too dark: more light or a longer exposure', values)
        if level > _BRIGHT or saturated > _SATURATED_SHARE:
            return Finding('exposure', Severity.WARNING, found, 'too bright: a shorter exposure or less gain', values)
        if jumps > _MANY_JUMPS * len(levels):
            advice = 'fix exposure and gain, or slow their control down: features do not look the same after a jump'
            return Finding('exposure', Severity.WARNING, found, advice, values)
        return Finding('exposure', Severity.OK, found, '', values)

    def _judge_likeness(self) -> list[Finding]:
        pairs = np.array([(glance.brightness, glance.right_brightness) for glance in self._glances])
        pairs = pairs[np.isfinite(pairs).all(axis=1)]
        if not len(pairs):
            return []
        ratio = float(np.median(np.log((pairs[:, 1] + 1.0) / (pairs[:, 0] + 1.0))))
        found = f'the right images are {np.exp(ratio):.2f} times as bright as the left ones'
        values = {'brightness_ratio': float(np.exp(ratio))}
        if abs(ratio) <= _UNLIKE:
            return [Finding('likeness', Severity.OK, found, '', values)]
        advice = 'let both cameras have the same exposure and gain, and look for dirt on a lens'
        return [Finding('likeness', Severity.WARNING, found, advice, values)]

    def _judge_texture(self) -> Finding:
        count = float(np.median(self._textured))
        found = f'{count:.0f} keypoints of an image have texture around them'
        severity = graded(-count, -_PLAIN, -_VERY_PLAIN)
        severity = min(severity, Severity.WARNING)  # the place may be so
        advice = 'show it more than plain walls; check focus, light and exposure'
        advice = '' if severity is Severity.OK else advice
        return Finding('texture', severity, found, advice, {'textured': count})


def _brightness(image: ImageArray) -> float:
    return float(image[::_STEP, ::_STEP].mean())
