# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What is under a picture: a title, and what its colours mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from kp2d_ros.core.records import ImageArray

Color = tuple[int, int, int]  # RGB

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_INK, _PAPER, _FRAME = (30, 30, 30), 255, (150, 150, 150)
_LETTER_SHARE = 1 / 75  # height of the letters by the width of the picture
_LETTER_PX = (9, 18)
_MIN_WIDTH = 160  # pixels; narrower pictures get a margin, on which the words have room
_SWATCH = 1.6  # width over height; a scale of colours is four times as wide


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """
    What a colour means, or, with several colours, a scale of them from left to right; none: a line of text.
    """

    text: str
    colors: tuple[Color, ...] = ()


def add_caption(picture: ImageArray, title: str, legend: Sequence[LegendEntry] = ()) -> ImageArray:
    """
    An RGB picture (H, W, 3) on a strip of white with its title and legend, which are broken into lines as needed.
    """
    missing = max(0, _MIN_WIDTH - picture.shape[1])
    picture = np.pad(picture, ((0, 0), (0, missing), (0, 0)), constant_values=_PAPER)
    letter = int(np.clip(round(picture.shape[1] * _LETTER_SHARE), *_LETTER_PX))
    lines = [[LegendEntry(line)] for line in _wrap(title, picture.shape[1] - 2 * letter, letter)]
    lines += _flow(legend, picture.shape[1] - letter, letter)
    step = 2 * letter
    strip = np.full((len(lines) * step + letter, picture.shape[1], 3), _PAPER, np.uint8)
    for row, line in enumerate(lines):
        x, bottom = letter, round(letter / 2) + row * step + round(1.4 * letter)
        for entry in line:
            _draw_entry(strip, entry, (x, bottom), letter)
            x += _entry_width(entry, letter)
    return np.concatenate([picture, strip])


def _scale(letter: int) -> float:
    return letter / 21.0  # the capitals of the font are 21 pixels high


def _text_width(text: str, letter: int) -> int:
    return int(cv2.getTextSize(text, _FONT, _scale(letter), 1)[0][0])


def _swatch_width(entry: LegendEntry, letter: int) -> int:
    return round(letter * _SWATCH * (4 if len(entry.colors) > 1 else min(len(entry.colors), 1)))


def _entry_width(entry: LegendEntry, letter: int) -> int:
    gap = round(0.6 * letter) if entry.colors else 0
    return _swatch_width(entry, letter) + gap + _text_width(entry.text, letter) + 2 * letter


def _wrap(text: str, width: int, letter: int) -> list[str]:
    lines = ['']
    for word in text.encode('ascii', 'replace').decode().split():
        longer = f'{lines[-1]} {word}'.strip()
        if lines[-1] and _text_width(longer, letter) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return [line for line in lines if line]


def _flow(legend: Sequence[LegendEntry], width: int, letter: int) -> list[list[LegendEntry]]:
    lines: list[list[LegendEntry]] = []
    for entry in legend:
        used = sum(_entry_width(other, letter) for other in lines[-1]) if lines else width
        if used + _entry_width(entry, letter) > width:
            lines.append([entry])
        else:
            lines[-1].append(entry)
    return lines


def _draw_entry(strip: ImageArray, entry: LegendEntry, corner: tuple[int, int], letter: int) -> None:
    x, bottom = corner
    width = _swatch_width(entry, letter)
    if entry.colors:
        steps = np.linspace(0, len(entry.colors) - 1, width)
        channels = np.array(entry.colors, np.float64).T
        ramp = np.stack([np.interp(steps, np.arange(len(entry.colors)), channel) for channel in channels], axis=-1)
        strip[bottom - letter : bottom, x : x + width] = np.round(ramp)[None, : strip.shape[1] - x]
        cv2.rectangle(strip, (x - 1, bottom - letter - 1), (x + width, bottom), _FRAME, 1)
        x += width + round(0.6 * letter)
    cv2.putText(strip, entry.text, (x, bottom), _FONT, _scale(letter), _INK, 1, cv2.LINE_AA)
