# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
One run of an evaluation: a method over a sequence, or what an earlier evaluation left of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Frame, FrontendResult
from kp2d_ros.evaluation.fingerprint import hash_values
from kp2d_ros.evaluation.odometry.report import RunInfo, make_report
from kp2d_ros.evaluation.odometry.run_file import StoredRun, read_run, write_run
from kp2d_ros.evaluation.odometry.runner import FrameProcessor, Observer, run_sequence
from kp2d_ros.evaluation.odometry.subject import Subject
from kp2d_ros.evaluation.odometry.telling_pairs import TellingPairs
from kp2d_ros.metrics.tracking import TrackLengths


@dataclass(frozen=True, slots=True)
class Contender:
    """
    A method with one seed: ``folder`` is below that of the sequence, ``facts`` say what makes its results. The
    source in ``info`` is empty: it is that of the sequence.

    ``start`` gives a frontend that has seen nothing yet.
    """

    name: str
    seed: int
    folder: str
    info: RunInfo
    facts: Mapping[str, Any]
    start: Callable[[], FrameProcessor]


def run_or_read(subject: Subject, contender: Contender, folder: Path, observe: Observer) -> tuple[StoredRun, bool]:
    """
    The run in a folder if it was made from the same things; else it is made now. Scores come from the file in either
    case, so that they do not depend on which it was.

    :param observe: called after each frame of a run that is made now.
    :return: the run, and whether it was there already.
    :raises DataError: if the sequence cannot be read or the folder not be written.
    """
    facts = {
        'sequence': dict(subject.facts),
        'method': dict(contender.facts),
        'seed': contender.seed,
        'images': subject.count,
    }
    mark = hash_values(facts)
    path = folder / 'run.json'
    stored = _read_if_whole(path)
    if stored is not None and stored.values.get('fingerprint') == mark:
        return stored, True
    lengths, telling = TrackLengths(), TellingPairs(subject.truth)

    def look(frame: Frame, result: FrontendResult) -> None:
        lengths.add(result)
        telling.add(frame, result)
        observe(frame, result)

    frames = run_sequence(islice(subject.sequence, subject.count), contender.start(), look)
    spread = lengths.spread()
    more = {
        'fingerprint': mark,
        'made_from': facts,
        'method': contender.name,
        'seed': contender.seed,
        'track_frames': None if spread is None else asdict(spread),
        'pictures': telling.write(folder),
    }
    write_run(make_report(replace(contender.info, source=subject.name), frames, subject.truth), folder, more)
    return read_run(path), False


def _read_if_whole(path: Path) -> StoredRun | None:
    try:
        return read_run(path) if path.is_file() else None
    except DataError:
        return None  # damaged, or of another version: made again
