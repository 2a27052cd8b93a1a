# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
An evaluation for people: ``report.html``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.drawing.figure import DENSITY, Bar, bar_chart
from kp2d_ros.drawing.run_plots import curve_picture, error_picture, time_picture, trajectory_picture
from kp2d_ros.evaluation.fingerprint import describe_machine
from kp2d_ros.evaluation.html_page import Page
from kp2d_ros.evaluation.html_table import Better, Cell
from kp2d_ros.evaluation.odometry.figures import (
    FIGURES,
    PAIR_FIGURES,
    TIME_FIGURES,
    TRACKING_FIGURES,
    TRAJECTORY_FIGURES,
    Figure,
)
from kp2d_ros.evaluation.odometry.summary import Entry, Results, Summary
from kp2d_ros.metrics.frame_record import count_states
from kp2d_ros.metrics.trajectory import Alignment, score_trajectory

_MEAN = 'mean of all'
_PHOTO_DENSITY = 1.6  # two stand side by side
_STAGES = {'inference': 'extract', 'match': 'match', 'pose': 'pose', 'total': 'total'}
_ALIGNMENTS = {
    Alignment.SIM3: 'Before a path is scored, rotation, place and scale of the estimate are fitted to the truth '
    '(Sim(3)): one camera alone knows no metres. Figures in metres, t_rel among them, are those after that fit.',
    Alignment.SE3: 'Before a path is scored, rotation and place of the estimate are fitted to the truth (SE(3)); its '
    'scale counts as it is.',
    Alignment.NONE: 'Nothing is fitted before a path is scored: the estimate has to be in the frame and the unit of '
    'the truth.',
}
# The chart at the top: the first figure of each line that was measured.
_HEADLINES = (('t_rel_percent', 'ate_percent'), ('direction_deg',), ('auc_5',), ('lost_percent',), ('total_ms',))
_CURVE = (
    'the error of a pair is the larger one of its rotation and its direction error (the sign of the direction counts; '
    'where the truth moves less than 1 mm the rotation alone). A pair without an estimate, or with one that has no '
    'translation while the truth moves, is infinitely wrong. Pairs are all images but the first, each with the '
    'reference image that the method chose, as far as both have a true pose. The pose curve joins (0, 0) and the '
    'points (i-th smallest error, i / number of pairs) by straight lines and is level behind the last one below the '
    'limit; AUC is the area under it up to the limit, divided by the limit, as SuperGlue is evaluated.'
)
_CHAIN = (
    'ATE and RPE are computed by evo. A LOST image keeps the last pose of the path; a new scale segment goes on from '
    'it in a unit of its own. KITTI parts begin at every tenth pose and end at the first pose more than {lengths} m '
    'further along the true path; the error of the motion over a part is divided by its length, and the mean taken '
    'over all parts. A path shorter than the shortest length has none.'
)


def make_page(results: Results, summary: Summary, words: Sequence[str], folder: Path) -> Page:
    """
    The whole report; pictures of pairs are taken from the folders of the runs.

    :param words: the answer in sentences, which stands first.
    :raises BackendError: if matplotlib is not installed.
    :raises DataError: if a picture of a run cannot be read.
    """
    page = Page('Odometry evaluation')
    page.paragraph(' '.join(words))
    _add_headline(page, results, summary)
    page.heading('Relative poses')
    page.paragraph(
        'Each image against its reference image: what needs no scale. The best method is marked. The truth is '
        'interpolated to the times of the images, over holes of at most 0.2 s.'
    )
    _add_table(page, results, summary, PAIR_FIGURES, ('AUC', _CURVE))
    page.heading('Tracking')
    _add_table(page, results, summary, TRACKING_FIGURES)
    page.heading('Trajectories')
    page.paragraph(_ALIGNMENTS[results.rules.alignment])
    lengths = ', '.join(f'{length:g}' for length in results.rules.segment_lengths)
    _add_table(page, results, summary, TRAJECTORY_FIGURES, ('Path and parts', _CHAIN.format(lengths=lengths)))
    _add_drift(page, results)
    page.heading('Time')
    page.paragraph(f'On {describe_machine()}, one image after the other; other work on the machine counts as well.')
    _add_table(page, results, summary, TIME_FIGURES)
    page.figure(_time_histograms(results), 'Histograms over all images; the last bar holds the tail.', density=DENSITY)
    if len(results.seeds) > 1:
        _add_seeds(page, results, summary)
    for subject in results.subjects:
        page.heading(subject.name)
        _add_sequence(page, results.of(subject.name), folder)
    page.heading('What was used')
    _add_origins(page, results)
    return page


def _add_headline(page: Page, results: Results, summary: Summary) -> None:
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
    page.figure(
        bar_chart(fields),
        f'{images} images of {", ".join(subject.name for subject in results.subjects)} for each method'
        + ('; bars are means, lines reach from the lowest to the highest sequence. ' if several else '. ')
        + 'Differences of a few per cent, or ones that turn round from sequence to sequence, say little. What each '
        'figure means stands below its table.',
        density=DENSITY,
    )


def _bar(numbers: Sequence[float]) -> Bar:
    return Bar(float(np.mean(numbers)), (min(numbers), max(numbers)) if len(numbers) > 1 else None)


def _add_table(
    page: Page, results: Results, summary: Summary, figures: Mapping[str, Figure], rules: tuple[str, str] | None = None
) -> None:
    """
    Sequences by methods, and the means, with what the columns mean below; those that nobody has a figure for are left
    out.
    """
    rows: list[tuple[str, str, Mapping[str, float | None]]] = [
        (sequence, method, {name: values[name].mean if values[name].count else None for name in figures})
        for sequence, methods in summary.by_sequence.items()
        for method, values in methods.items()
    ]
    shown = [name for name in figures if any(values[name] is not None for _, _, values in rows)]
    if not shown:
        page.paragraph('No figures: they take ground truth, and a path that can be aligned with it.')
        return
    if len(results.subjects) > 1:
        rows += [(_MEAN, method, values) for method, values in summary.mean.items()]
    page.table(
        ['sequence', 'method', *(figures[name].header for name in shown)],
        [[sequence, method, *(values[name] for name in shown)] for sequence, method, values in rows],
        best={f.header: f.better for name in shown if (f := figures[name]).better is not None},
        digits={figures[name].header: figures[name].digits for name in shown},
        within='sequence',
    )
    terms = [(figures[name].header, f'{figures[name].meaning}.') for name in shown]
    if len(results.subjects) > 1:
        terms.append((_MEAN, 'the sequences where every method has the figure that has it at all.'))
    page.terms([*terms, *([rules] if rules else [])])


def _add_drift(page: Page, results: Results) -> None:
    rows: list[list[Cell]] = [
        [e.subject.name, e.contender.name, f'{length:g}', part.count, part.translation_percent, part.rotation_deg_per_m]
        for subject in results.subjects
        for e in results.of(subject.name)
        if e.score.drift is not None
        for length, part in e.score.drift.by_length.items()
    ]
    if rows:
        digits = {'t_rel (%)': 2, 'r_rel (°/m)': 5}
        with page.details('KITTI errors by length'):
            page.table(['sequence', 'method', 'length (m)', 'parts', *digits], rows, digits=digits)


def _time_histograms(results: Results) -> bytes:
    stages: dict[str, dict[str, list[float]]] = {}
    for stage, title in _STAGES.items():
        for entry in results.entries:
            times = [frame.stage_ms[stage] for frame in entry.score.frames if stage in frame.stage_ms]
            if times:
                stages.setdefault(title, {}).setdefault(entry.contender.name, []).extend(times)
    return time_picture(stages)


def _add_seeds(page: Page, results: Results, summary: Summary) -> None:
    page.heading('Spread over seeds')
    page.paragraph(
        f'Figures above are means over {len(results.seeds)} runs with other random samples (ransac.seed '
        f'{", ".join(map(str, results.seeds))}). Below: half the width of the 95 % confidence interval of that mean '
        '(Student, from the spread of the runs); 0 means that chance plays no part.'
    )
    names = ('rotation_deg', 'direction_deg', 'auc_5', 'ate_percent', 't_rel_percent', 'lost_percent')
    rows: list[list[Cell]] = [
        [sequence, method, *(values[name].half_width for name in names)]
        for sequence, methods in summary.by_sequence.items()
        for method, values in methods.items()
    ]
    headers = [f'± {FIGURES[name].header}' for name in names]
    digits = {f'± {FIGURES[name].header}': FIGURES[name].digits + 1 for name in names}
    page.table(['sequence', 'method', *headers], rows, digits=digits, within='sequence')


def _add_sequence(page: Page, entries: list[Entry], folder: Path) -> None:
    """
    What one sequence looked like: facts, paths, errors over time, the telling pairs of each method.
    """
    first = entries[0]
    frames = first.score.frames
    seconds = (frames[-1].stamp_ns - frames[0].stamp_ns) * 1e-9
    truth = f'{first.score.with_truth} of them with a true pose' if first.subject.truth else first.subject.truth_note
    page.paragraph(f'{len(frames)} images in {seconds:.1f} s; {truth}.')
    page.points(
        (f'{e.contender.name}:', ', '.join(f'{n} {state}' for state, n in count_states(e.score.frames).items()))
        for e in entries
    )
    picture = _paths(entries)
    if picture:
        alone = first.score.whole is None and first.subject.truth is None
        caption = 'Paths without ground truth, fitted to the first one by Sim(3): how far they agree.'
        page.figure(picture, caption if alone else 'Paths, aligned with the truth.', density=DENSITY)
    scores = {entry.contender.name: entry.score for entry in entries}
    if first.subject.truth is not None:
        caption = 'Errors over time: distance to the true place; rotation and direction of each pair.'
        page.figure(error_picture(scores), caption, density=DENSITY)
        if any(len(score.curve) for score in scores.values()):
            page.figure(curve_picture(scores), 'Pose curve: how many pairs are within a limit.', density=DENSITY)
    for entry in entries:
        _add_pictures(page, entry, folder)


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
    return trajectory_picture(None, shown)


def _within(truth: Trajectory, entry: Entry) -> Trajectory:
    """
    The truth while the images last: it may go on before and after them.
    """
    stamps = [frame.stamp_ns for frame in entry.score.frames]
    kept = (truth.stamps_ns >= min(stamps)) & (truth.stamps_ns <= max(stamps))
    return Trajectory(truth.stamps_ns[kept], truth.world_from_camera[kept]) if kept.any() else truth


def _add_pictures(page: Page, entry: Entry, folder: Path) -> None:
    pictures = entry.run.values.get('pictures') or []
    if not pictures:
        return
    page.heading(f'{entry.contender.name}: worst and best pairs', 3)
    page.paragraph('Lines lead from the keypoint in the reference image to the one here; red ones do not agree.')
    for picture in pictures:
        path = folder / entry.folder / str(picture['file'])
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f'{path}: cannot be read: {error}') from error
        page.figure(data, _picture_caption(picture), density=_PHOTO_DENSITY)


def _picture_caption(picture: Mapping[str, Cell]) -> str:
    text = (
        f'{picture["kind"]}: image {picture["seq"]} against {picture["reference_seq"]}, {picture["state"]}, '
        f'{picture["inliers"]} of {picture["matches"]} matches agree'
    )
    for name, word in (('rotation_deg', 'rotation'), ('direction_deg', 'direction')):
        if isinstance(value := picture[name], float):
            text += f'; {word} {value:.3g}° off'
    return text + '.'


def _add_origins(page: Page, results: Results) -> None:
    page.paragraph('With the same seed and settings a run gives the same poses, bit by bit.')
    page.table(['what', 'version'], [[name, version] for name, version in results.versions.items()])
    methods = {entry.contender.name: entry.contender for entry in results.entries}
    rows: list[list[Cell]] = [
        [name, c.info.model_id, c.info.backend, c.info.device, str(c.facts.get('weights_sha256') or 'no weights')]
        for name, c in methods.items()
    ]
    page.table(['method', 'model', 'runtime', 'device', 'SHA-256 of the file'], rows)
    keys = list(dict.fromkeys(key for subject in results.subjects for key in subject.facts))
    page.table(
        ['sequence', 'read from', *keys],
        [[s.name, s.source, *(str(s.facts.get(key, '')) for key in keys)] for s in results.subjects],
    )
    page.table(
        ['sequence', 'method', 'seed', 'run', 'made from'],
        [[e.subject.name, e.contender.name, e.contender.seed, e.folder, str(e.run.values['fingerprint'])]
         for e in results.entries],
    )  # fmt: skip
    with page.details('Settings'):
        page.preformatted('\n'.join(f'{name}: {json.dumps(value)}' for name, value in results.settings.items()))
