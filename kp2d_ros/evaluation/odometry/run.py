# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The frontend over a whole sequence, every frame, in order, as fast as it goes; or what an earlier evaluation left of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

from kp2d_ros.core.errors import DataError, Kp2dError
from kp2d_ros.core.records import Frame, FrontendResult
from kp2d_ros.evaluation.fingerprint import hash_values
from kp2d_ros.evaluation.odometry.run_file import RunInfo, StoredRun, read_run, write_run
from kp2d_ros.evaluation.odometry.subject import Subject
from kp2d_ros.evaluation.odometry.telling_pairs import TellingPairs
from kp2d_ros.metrics.frame_record import FrameRecord, TrackLengths
from kp2d_ros.metrics.run_score import RunScore, score_run
from kp2d_ros.recordings.sequence import SequenceReader

_LOG = logging.getLogger(__name__)
Observer = Callable[[Frame, FrontendResult], None]  # called after each frame: a progress bar, a drawing


class FrameProcessor(Protocol):
    """
    What a run needs of a frontend.
    """

    def process(self, frame: Frame) -> FrontendResult:
        """
        The result of the next frame.
        """


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


def run_sequence(
    frames: Iterable[Frame], frontend: FrameProcessor, observe: Observer = lambda frame, result: None
) -> Iterator[FrameRecord]:
    """
    Hand every frame to the frontend and give what :class:`FrameRecord` keeps, one by one; the images are not held.

    The stages ``read`` (the reader's time) and ``total`` (the frontend's) are added to those of the result.

    :raises Kp2dError: what the reader or the frontend raises.
    """
    before = perf_counter()
    for frame in frames:
        begin = perf_counter()
        result = frontend.process(frame)
        end = perf_counter()
        observe(frame, result)
        yield FrameRecord.from_result(result, {'read': (begin - before) * 1e3, 'total': (end - begin) * 1e3})
        before = perf_counter()


def replay_offline(
    sequence: SequenceReader,
    frontend: FrameProcessor,
    info: RunInfo,
    folder: Path,
    max_frames: int | None = None,
    observe: Observer = lambda frame, result: None,
) -> RunScore:
    """
    Run the frontend over a sequence, score it where ground truth is there, and write ``trajectory.txt``, ``run.json``.

    Two runs with the same settings write the same trajectory, bit by bit. What ends a run early (Ctrl-C, an image that
    cannot be read) is raised again when the frames before it are written; ``run.json`` then says so as ``ended_early``.

    :param max_frames: stop after so many; None: all.
    :raises Kp2dError: if the sequence cannot be read or the folder not be written.
    """
    frames: list[FrameRecord] = []
    try:
        for record in run_sequence(islice(sequence, max_frames), frontend, observe):
            frames.append(record)
    except (KeyboardInterrupt, Kp2dError) as error:
        if frames:
            reason = str(error) or 'interrupted'
            write_run(folder, info, score_run(frames, sequence.ground_truth), {'ended_early': reason})
            _LOG.warning('%s: written as far as it came: %d images (%s)', folder, len(frames), reason)
        raise
    score = score_run(frames, sequence.ground_truth)
    write_run(folder, info, score)
    return score


def run_or_read(subject: Subject, contender: Contender, folder: Path, observe: Observer) -> tuple[StoredRun, bool]:
    """
    The run in a folder if it was made from the same things; else it is made now. Scores come from the file in either
    case, so that they do not depend on which it was.

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

    frames = list(run_sequence(islice(subject.sequence, subject.count), contender.start(), look))
    spread = lengths.spread()
    more = {
        'fingerprint': mark,
        'made_from': facts,
        'method': contender.name,
        'seed': contender.seed,
        'track_frames': None if spread is None else asdict(spread),
        'pictures': telling.write(folder),
    }
    write_run(folder, replace(contender.info, source=subject.name), score_run(frames, subject.truth), more)
    return read_run(path), False


def _read_if_whole(path: Path) -> StoredRun | None:
    try:
        return read_run(path) if path.is_file() else None
    except DataError:
        return None  # damaged, or of another version: made again
