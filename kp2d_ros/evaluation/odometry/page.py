# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
An odometry evaluation as one HTML page: what ``report.html.jinja``, which has the words, is filled with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.drawing.figure import DENSITY, Bar, bar_chart, time_chart
from kp2d_ros.drawing.run_plots import curve_picture, error_picture, trajectory_picture
from kp2d_ros.evaluation.fingerprint import describe_machine
from kp2d_ros.evaluation.html_page import Picture, make_picture, render_page
from kp2d_ros.evaluation.odometry.figures import (
    FIGURES,
    PAIR_FIGURES,
    TIME_FIGURES,
    TRACKING_FIGURES,
    TRAJECTORY_FIGURES,
    RunFigure,
)
from kp2d_ros.evaluation.odometry.summary import Entry, Results, Summary
from kp2d_ros.evaluation.table import Better, Cell, Table, make_table, tabulate_figures
from kp2d_ros.metrics.frame_record import count_states
from kp2d_ros.metrics.trajectory import score_trajectory

_TEMPLATE = Path(__file__).with_name('report.html.jinja')
_MEAN = 'mean of all'
_PHOTO_DENSITY = 1.6  # two stand side by side
_STAGES = {'inference': 'extract', 'match': 'match', 'depth': 'depth', 'pose': 'pose', 'total': 'total'}
# The chart at the top: the first figure of each line that was measured.
_HEADLINES = (('t_rel_percent', 'ate_percent'), ('direction_deg',), ('auc_5',), ('lost_percent',), ('total_ms',))
_SPREAD_FIGURES = ('rotation_deg', 'direction_deg', 'auc_5', 'ate_percent', 't_rel_percent', 'lost_percent')


@dataclass(frozen=True, slots=True)
class _FigureGroup:
    """
    A table of the figures that somebody has, and what they mean; ``shown`` tells whether there are any.
    """

    shown: bool
    table: Table
    terms: list[tuple[str, str]]


def make_page(results: Results, summary: Summary, words: Sequence[str], folder: Path) -> str:
    """
    The whole report; pictures of pairs are taken from the folders of the runs.

    :param words: the answer in sentences, which stands first.
    :raises BackendError: if Jinja2 or matplotlib is not installed.
    :raises DataError: if a picture of a run cannot be read.
    """
    return render_page(
        _TEMPLATE,
        'Odometry evaluation',
        words=words,
        headline=_headline(results, summary),
        pair_figures=_group(results, summary, PAIR_FIGURES),
        tracking_figures=_group(results, summary, TRACKING_FIGURES),
        alignment=results.rules.alignment.value,
        lengths=', '.join(f'{length:g}' for length in results.rules.segment_lengths),
        trajectory_figures=_group(results, summary, TRAJECTORY_FIGURES),
        drift=_drift_table(results),
        machine=describe_machine(),
        time_figures=_group(results, summary, TIME_FIGURES),
        times=make_picture(
            time_chart(_stage_times(results)),
            'Histograms over all images, by stage; the outer bars hold the tails.',
            density=DENSITY,
        ),
        seeds=results.seeds,
        spread=_spread_table(summary),
        sequences=[_sequence(results.of(subject.name), folder) for subject in results.subjects],
        used=list(_origins(results)),
        settings='\n'.join(f'{name}: {json.dumps(value)}' for name, value in results.settings.items()),
    )


def _headline(results: Results, summary: Summary) -> Picture:
    """
    One field for each of the most telling figures, and what they are measured on.
    """
    fields = {}
    for choices in _HEADLINES:
        name = next((name for name in choices if summary.common[name]), None)
        if name is None:
            continue
        side = 'more is better' if FIGURES[name].better is Better.HIGH else 'less is better'
        bars = {
            method: _bar([summary.by_sequence[sequence][method][name].mean for sequence in summary.common[name]])
            for method in results.methods
            if summary.mean[method][name] is not None
        }
        if any(bar.value > 0 for bar in bars.values()):  # that nobody was ever lost is said in words
            fields[f'{FIGURES[name].header}\n{side}'] = bars
    images = sum(len(results.of(subject.name)[0].score.frames) for subject in results.subjects)
    several = len(results.subjects) > 1
    return make_picture(
        bar_chart(fields),
        f'{images} images of {", ".join(subject.name for subject in results.subjects)} for each method'
        + ('; bars are means, lines reach from the lowest to the highest sequence. ' if several else '. ')
        + 'Differences of a few per cent, or ones that turn round from sequence to sequence, say little. What each '
        'figure means stands below its table.',
        density=DENSITY,
    )


def _bar(numbers: Sequence[float]) -> Bar:
    return Bar(float(np.mean(numbers)), (min(numbers), max(numbers)) if len(numbers) > 1 else None)


def _group(results: Results, summary: Summary, figures: Mapping[str, RunFigure]) -> _FigureGroup:
    """
    Sequences by methods, and the means; figures that nobody has are left out.
    """
    rows: list[tuple[list[Cell], Mapping[str, float | None]]] = [
        ([sequence, method], {name: values[name].mean if values[name].count else None for name in figures})
        for sequence, methods in summary.by_sequence.items()
        for method, values in methods.items()
    ]
    shown = {name: f for name, f in figures.items() if any(values[name] is not None for _, values in rows)}
    terms = [(figure.header, f'{figure.meaning}.') for figure in shown.values()]
    if len(results.subjects) > 1:
        rows += [([_MEAN, method], values) for method, values in summary.mean.items()]
        terms.append((_MEAN, 'the sequences where every method has the figure that has it at all.'))
    return _FigureGroup(bool(shown), tabulate_figures(['sequence', 'method'], rows, shown, 'sequence'), terms)


def _drift_table(results: Results) -> Table:
    rows: list[list[Cell]] = [
        [e.subject.name, e.contender.name, f'{length:g}', part.count, part.translation_percent, part.rotation_deg_per_m]
        for subject in results.subjects
        for e in results.of(subject.name)
        if e.score.drift is not None
        for length, part in e.score.drift.by_length.items()
    ]
    digits = {'t_rel (%)': 2, 'r_rel (°/m)': 5}
    return make_table(['sequence', 'method', 'length (m)', 'parts', *digits], rows, digits=digits)


def _stage_times(results: Results) -> dict[str, dict[str, list[float]]]:
    stages: dict[str, dict[str, list[float]]] = {}
    for stage, title in _STAGES.items():
        for entry in results.entries:
            times = [frame.stage_ms[stage] for frame in entry.score.frames if stage in frame.stage_ms]
            if times:
                stages.setdefault(title, {}).setdefault(entry.contender.name, []).extend(times)
    return stages


def _spread_table(summary: Summary) -> Table:
    """
    How sure the means over the seeds are.
    """
    rows: list[list[Cell]] = [
        [sequence, method, *(values[name].half_width for name in _SPREAD_FIGURES)]
        for sequence, methods in summary.by_sequence.items()
        for method, values in methods.items()
    ]
    digits = {f'± {FIGURES[name].header}': FIGURES[name].digits + 1 for name in _SPREAD_FIGURES}
    return make_table(['sequence', 'method', *digits], rows, digits=digits, within='sequence')


def _sequence(entries: list[Entry], folder: Path) -> dict[str, Any]:
    """
    What one sequence looked like: facts, paths, errors over time, the telling pairs of each method.
    """
    first = entries[0]
    frames = first.score.frames
    return {
        'name': first.subject.name,
        'images': len(frames),
        'seconds': (frames[-1].stamp_ns - frames[0].stamp_ns) * 1e-9,
        'truth': f'{first.score.with_truth} of them with a true pose'
        if first.subject.truth
        else first.subject.truth_note,
        'states': {e.contender.name: count_states(e.score.frames) for e in entries},
        'charts': list(_charts(entries)),
        'pairs': {e.contender.name: _pairs(e, folder) for e in entries if e.run.values.get('pictures')},
    }


def _charts(entries: list[Entry]) -> Iterator[Picture]:
    first = entries[0]
    picture = _paths(entries)
    if picture:
        alone = first.score.whole is None and first.subject.truth is None
        caption = 'Paths without ground truth, fitted to the first one by Sim(3): how far they agree.'
        yield make_picture(picture, caption if alone else 'Paths, aligned with the truth.', density=DENSITY)
    scores = {entry.contender.name: entry.score for entry in entries}
    if first.subject.truth is not None:
        caption = 'Errors over time: distance to the true place; rotation and direction of each pair.'
        yield make_picture(error_picture(scores), caption, density=DENSITY)
        if any(len(score.curve) for score in scores.values()):
            caption = 'Pose curve: how many pairs are within a limit.'
            yield make_picture(curve_picture(scores), caption, density=DENSITY)


def _paths(entries: list[Entry]) -> bytes | None:
    """
    The aligned paths over the truth; without truth, those that can be aligned with the first one.
    """
    aligned = {e.contender.name: e.score.whole.aligned for e in entries if e.score.whole is not None}
    if aligned:
        truth = entries[0].subject.truth
        return trajectory_picture(truth and _within(truth, entries[0]), aligned)
    paths = {e.contender.name: path for e in entries if len(path := e.score.path)}
    if not any(np.ptp(path.world_from_camera[:, :3, 3], axis=0).any() for path in paths.values()):
        return None  # nobody saw it move
    names = list(paths)
    shown = {names[0]: paths[names[0]]}
    for name in names[1:]:
        try:
            shown[name] = score_trajectory(paths[name], paths[names[0]]).aligned
        except DataError:
            continue
    return trajectory_picture(None, shown, entries[0].score.is_metric)


def _within(truth: Trajectory, entry: Entry) -> Trajectory:
    """
    The truth while the images last: it may go on before and after them.
    """
    stamps = [frame.stamp_ns for frame in entry.score.frames]
    kept = (truth.stamps_ns >= min(stamps)) & (truth.stamps_ns <= max(stamps))
    return Trajectory(truth.stamps_ns[kept], truth.world_from_camera[kept]) if kept.any() else truth


def _pairs(entry: Entry, folder: Path) -> list[Picture]:
    pictures = []
    for picture in entry.run.values['pictures']:
        path = folder / entry.folder / str(picture['file'])
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f'{path}: cannot be read: {error.strerror or error}') from error
        pictures.append(make_picture(data, _picture_caption(picture), density=_PHOTO_DENSITY))
    return pictures


def _picture_caption(picture: Mapping[str, Cell]) -> str:
    text = (
        f'{picture["kind"]}: image {picture["seq"]} against {picture["reference_seq"]}, {picture["state"]}, '
        f'{picture["inliers"]} of {picture["matches"]} matches agree'
    )
    for name, word in (('rotation_deg', 'rotation'), ('direction_deg', 'direction')):
        if isinstance(value := picture[name], float):
            text += f'; {word} {value:.3g}° off'
    return text + '.'


def _origins(results: Results) -> Iterator[Table]:
    """
    Tables of everything that the figures depend on: versions, methods, sequences, runs.
    """
    yield make_table(['what', 'version'], list(results.versions.items()))
    methods = {entry.contender.name: entry.contender for entry in results.entries}
    yield make_table(
        ['method', 'model', 'runtime', 'device', 'SHA-256 of the file'],
        [
            [name, c.info.model_id, c.info.backend, c.info.device, str(c.facts.get('weights_sha256') or 'no weights')]
            for name, c in methods.items()
        ],
    )
    keys = list(dict.fromkeys(key for subject in results.subjects for key in subject.facts))
    yield make_table(
        ['sequence', 'read from', *keys],
        [[s.name, s.source, *(str(s.facts.get(key, '')) for key in keys)] for s in results.subjects],
    )
    yield make_table(
        ['sequence', 'method', 'seed', 'run', 'made from'],
        [
            [e.subject.name, e.contender.name, e.contender.seed, e.folder, str(e.run.values['fingerprint'])]
            for e in results.entries
        ],
    )
