# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The frontend over a whole sequence: every frame, in order, as fast as it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Protocol

from kp2d_ros.core.records import Frame, FrontendResult
from kp2d_ros.evaluation.odometry.report import RunInfo, RunReport, make_report, write_report
from kp2d_ros.metrics.frame_record import FrameRecord
from kp2d_ros.recordings.sequence import SequenceReader

Observer = Callable[[Frame, FrontendResult], None]


class FrameProcessor(Protocol):
    """
    What the runner needs of a frontend.
    """

    def process(self, frame: Frame) -> FrontendResult:
        """
        The result of the next frame.
        """


def _ignore(frame: Frame, result: FrontendResult) -> None:
    """
    Nobody looks on.
    """


def run_sequence(
    frames: Iterable[Frame],
    frontend: FrameProcessor,
    observe: Observer = _ignore,
) -> list[FrameRecord]:
    """
    Hand every frame to the frontend and keep what :class:`FrameRecord` keeps; the images are not held.

    The stages ``read`` (the reader's time) and ``total`` (the frontend's) are added to those of the result.

    :param observe: called after each frame: a progress bar, a drawing.
    :raises Kp2dError: what the reader or the frontend raises; frames before it are lost.
    """
    records = []
    before = perf_counter()
    for frame in frames:
        begin = perf_counter()
        result = frontend.process(frame)
        end = perf_counter()
        stage_ms = {'read': (begin - before) * 1e3, 'total': (end - begin) * 1e3}
        records.append(FrameRecord.from_result(result, stage_ms))
        observe(frame, result)
        before = perf_counter()
    return records


def replay_offline(
    sequence: SequenceReader,
    frontend: FrameProcessor,
    info: RunInfo,
    folder: Path,
    max_frames: int | None = None,
    observe: Observer = _ignore,
) -> RunReport:
    """
    Run the frontend over a sequence, score it where ground truth is there, and write ``trajectory.txt``, ``run.json``.

    Two runs with the same settings write the same trajectory, bit by bit.

    :param max_frames: stop after so many; None: all.
    :raises Kp2dError: if the sequence cannot be read or the folder not be written.
    """
    frames = run_sequence(islice(sequence, max_frames), frontend, observe)
    report = make_report(info, frames, sequence.ground_truth)
    write_report(report, folder)
    return report
