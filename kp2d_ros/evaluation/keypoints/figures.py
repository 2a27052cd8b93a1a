# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Pictures of a keypoint evaluation as PNG: accuracy over the threshold, time per image, matches of single pairs.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from kp2d_ros.core.records import BoolArray, Matches
from kp2d_ros.drawing.caption import Color, LegendEntry, add_caption
from kp2d_ros.drawing.figure import COLOURS, new_figure
from kp2d_ros.drawing.matches import INLIER, OUTLIER, MatchedPair, draw_matches
from kp2d_ros.evaluation.keypoints.methods import Method
from kp2d_ros.evaluation.keypoints.run import EvaluationDesk, MethodResult
from kp2d_ros.evaluation.keypoints.summary import mean_of, splits
from kp2d_ros.metrics.keypoint_pair import mutual_matches, take
from kp2d_ros.metrics.keypoint_protocol import ACCURACY_PX
from kp2d_ros.pairs.homography_sets import HomographyPair

DENSITY = 2.0  # pixels for each unit of the page
_DPI = 150
_PANEL_INCHES = (3.6, 3.0)
_BINS = 40
MOST_LINES = 120
_PICTURE_WIDTH = 480  # of one image of a pair, in pixels
PICTURE_DENSITY = 1.62  # two pairs stand side by side on a wide screen
_MARKS = 'osD^vP*X'  # beside the colours, for people who see few of them


def draw_accuracy(methods: Sequence[MethodResult]) -> bytes:
    """
    Mean matching accuracy over the threshold, one panel for each split.
    """
    panels = splits(methods[0].pairs)
    figure, axes = _figure(len(panels))
    for axis, split in zip(axes, panels, strict=True):
        for number, method in enumerate(methods):
            pairs = splits(method.pairs)[split]
            shares = [mean_of(pairs, f'accuracy_{threshold}').value for threshold in ACCURACY_PX]
            axis.plot(
                ACCURACY_PX,
                shares,
                color=COLOURS[number % len(COLOURS)],
                marker=_MARKS[number % len(_MARKS)],
                markersize=4,
                label=method.name,
            )
        axis.set_title(f'{split} ({len(panels[split])} pairs)', fontsize=10)
        axis.set_xlabel('threshold (px)')
        axis.set_ylim(0, 1)
        axis.set_xticks(ACCURACY_PX)
    axes[0].set_ylabel('share of right matches')
    _legend(figure, axes[0], len(methods))
    return _png(figure)


def draw_latencies(methods: Sequence[MethodResult]) -> bytes:
    """
    A histogram of the time per image for each method, on one logarithmic axis.
    """
    figure, axes = _figure(1, width=2.0)
    times = [np.maximum(np.asarray(method.milliseconds), 1e-3) for method in methods]
    low, high = min(t.min() for t in times) / 1.1, max(t.max() for t in times) * 1.1
    bins = np.geomspace(low, high, _BINS)
    for number, (method, values) in enumerate(zip(methods, times, strict=True)):
        label = f'{method.name}, median {np.median(values):.1f} ms'
        color = COLOURS[number % len(COLOURS)]
        axes[0].hist(values, bins, color=color, alpha=0.35)
        axes[0].hist(values, bins, color=color, histtype='step', linewidth=1.5, label=label)
    axes[0].set_xscale('log')
    axes[0].xaxis.set_major_formatter('{x:g}')
    axes[0].set_xlabel('time per image (ms)')
    axes[0].set_ylabel('images')
    _legend(figure, axes[0], 2)
    return _png(figure)


def draw_pair_matches(desk: EvaluationDesk, method: Method, pair: HomographyPair) -> bytes:
    """
    The mutual matches of a pair among the points that take part: green where they are right, red where they are not.

    Of more than ``MOST_LINES`` matches as many are drawn, evenly taken; the counts in the legend are those of all.
    """
    best = desk.keypoint_pair(method, pair).best()
    rows = mutual_matches(best.source, best.target)
    right = np.linalg.norm(best.warped_source[rows[:, 0]] - best.target.xy[rows[:, 1]], axis=1) <= best.threshold_px
    shown = np.unique(np.linspace(0, max(len(rows) - 1, 0), min(len(rows), MOST_LINES)).astype(np.int64))
    ends = (take(best.source, rows[shown, 0]), take(best.target, rows[shown, 1]))
    one_to_one = Matches(np.arange(len(shown)), np.arange(len(shown)), np.ones(len(shown), np.float32))
    images = (desk.prepare(pair.source).image, desk.prepare(pair.target).image)
    drawn = MatchedPair(images, ends, one_to_one, np.asarray(right[shown]))
    picture = draw_matches(drawn, _PICTURE_WIDTH / images[0].shape[1])
    legend = [LegendEntry(text, (color,)) for text, color in _legend_of(right)]
    return bytes(cv2.imencode('.png', cv2.cvtColor(add_caption(picture, '', legend), cv2.COLOR_RGB2BGR))[1].tobytes())


def _legend_of(right: BoolArray) -> list[tuple[str, Color]]:
    count = int(np.count_nonzero(right))
    return [(f'{count} right', INLIER), (f'{len(right) - count} wrong', OUTLIER)]


def _figure(panels: int, width: float = 1.0) -> tuple[Any, list[Any]]:
    figure = new_figure(max(_PANEL_INCHES[0] * panels * width, 5.0), _PANEL_INCHES[1] + 0.5, _DPI)
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    for axis in axes:
        axis.grid(color='#e6e6e6')
        axis.set_axisbelow(True)
        axis.tick_params(labelsize=8)
    return figure, axes


def _legend(figure: Any, axis: Any, columns: int) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside lower center', ncols=min(columns, 4), fontsize=8, frameon=False)


def _png(figure: Any) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format='png')
    return stream.getvalue()
