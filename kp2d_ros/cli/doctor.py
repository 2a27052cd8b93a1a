# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
``kp2d doctor``: what is wrong with the cameras of a recording, and what to do about it.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from kp2d_ros.cli.command import add_method_option, positive_int, run_command
from kp2d_ros.core.errors import DataError, ShapeError
from kp2d_ros.doctor.examination import Doctor, ExaminationConfig
from kp2d_ros.doctor.findings import Finding, Severity, worst
from kp2d_ros.recordings.sequence import Recording
from kp2d_ros.recordings.sources import add_source_options, open_sources

SUMMARY = (
    'Examine a recording: times, exposure, calibration, the rig of a stereo pair, the registration of depth, parts of '
    'the robot in view. Exit status: 0; 3 with an error among the findings; 1 if nothing could be read.'
)

FOUND_ERRORS = 3
_WIDTH = 120
_SIGNS = {Severity.OK: 'ok', Severity.UNKNOWN: '?', Severity.WARNING: 'WARNING', Severity.ERROR: 'ERROR'}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    The options of the command.
    """
    add_source_options(parser)
    add_method_option(parser, default='sift')
    parser.add_argument('--out', type=Path, metavar='DIR', help='write doctor.json and pictures of what was found')
    parser.add_argument('--json', action='store_true', help='print JSON instead of text')
    parser.add_argument('--max-frames', type=positive_int, metavar='N', help='stop after so many images')
    parser.add_argument(
        '--looks', type=positive_int, default=60, metavar='N', help='images looked at closely (default: %(default)s)'
    )
    parser.add_argument('--quiet', action='store_true', help='no progress bar')


def run(args: argparse.Namespace) -> int:
    """
    Read, examine, say and write what was found.

    :raises Kp2dError: if the source cannot be opened, the method not be used or the folder not be written.
    """
    from tqdm import tqdm

    from kp2d_ros.inference.extractor import ExtractorConfig
    from kp2d_ros.inference.pipeline import build_extractor, configure_method

    (sequence,) = open_sources([args.source], args)
    extractor = build_extractor(configure_method(args.method, ExtractorConfig(max_keypoints=600)))
    total = len(sequence) if args.max_frames is None else min(args.max_frames, len(sequence))
    config = ExaminationConfig(every_frames=max(1, round(total / args.looks)))
    doctor = Doctor(sequence.sensor, extractor.extract, config)
    trouble: DataError | None = None
    with tqdm(total=total, unit='image', disable=True if args.quiet else None, leave=False) as bar:
        try:
            for frame in islice(sequence, args.max_frames):
                doctor.show(frame)
                bar.update()
        except DataError as error:
            trouble = error
    findings = doctor.findings(None if args.max_frames or trouble else total)
    if trouble is not None:
        findings.insert(0, _reading_ended(trouble, doctor.frames))
    report = _report(sequence, doctor, findings)
    written = [] if args.out is None else _write(args.out, doctor, report)
    print(report if args.json else _format(sequence, doctor, findings, written))
    return FOUND_ERRORS if worst(findings) is Severity.ERROR else 0


def _reading_ended(error: DataError, count: int) -> Finding:
    found = f'reading ended after {count} images: {error}'
    if isinstance(error.__cause__, ShapeError):  # a frame whose parts do not fit each other
        advice = 'give the calibration of this image size (--calibration YAML, as camera_calibration writes it)'
        return Finding('calibration size', Severity.ERROR, found, advice)
    return Finding('reading', Severity.ERROR, found, 'repair the recording or leave this part of it out')


def _report(sequence: Recording, doctor: Doctor, findings: Sequence[Finding]) -> str:
    content = {
        'source': sequence.name,
        'sensor': sequence.sensor.value,
        'images': doctor.frames,
        'looks': doctor.looks,
        'worst': worst(findings).name.lower(),
        'findings': [finding.as_json() for finding in findings],
    }
    return json.dumps(content, indent=1, allow_nan=False)


def _write(out: Path, doctor: Doctor, report: str) -> list[str]:
    """
    The names of the files that were written.
    """
    from kp2d_ros.core.files import write_text
    from kp2d_ros.drawing.files import write_picture
    from kp2d_ros.drawing.keypoints import as_rgb
    from kp2d_ros.drawing.rig import draw_depth_edges, draw_rows

    pictures = {}
    if doctor.pair is not None:
        pictures['rows.png'] = draw_rows(doctor.pair)
    if doctor.depth is not None:
        pictures['depth_edges.png'] = draw_depth_edges(doctor.depth)
    still = doctor.still_parts()
    if still is not None and still.share > 0:
        pictures['mask.png'] = as_rgb(still.mask)
    write_text(out / 'doctor.json', report + '\n')
    for name, picture in pictures.items():
        write_picture(out / name, picture)
    return ['doctor.json', *pictures]


def _format(sequence: Recording, doctor: Doctor, findings: Sequence[Finding], written: Sequence[str]) -> str:
    lines = [f'{sequence.name}: {sequence.sensor.value}, {doctor.frames} images, {doctor.looks} looked at closely']
    width = max(len(finding.kind) for finding in findings)
    indent = ' ' * (width + 13)
    for finding in sorted(findings, key=lambda each: -each.severity):
        head = f'  {_SIGNS[finding.severity]:<7}  {finding.kind:<{width}}  '
        lines += textwrap.wrap(finding.found, _WIDTH, initial_indent=head, subsequent_indent=indent)
        if finding.advice:
            lines += textwrap.wrap(
                f'-> {finding.advice}', _WIDTH, initial_indent=indent, subsequent_indent=indent + '   '
            )
    if written:
        lines.append(f'  written  {", ".join(written)}')
    return '\n'.join(lines)


main = partial(run_command, 'kp2d doctor', SUMMARY, add_arguments, run)

if __name__ == '__main__':
    raise SystemExit(main())
