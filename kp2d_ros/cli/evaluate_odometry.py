# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
``kp2d evaluate odometry``: several methods over several recordings with ground truth, and one report.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from kp2d_ros.cli.command import add_methods_option, positive_int, run_command, split_methods, split_settings
from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.files import claim_folder, write_json, write_text
from kp2d_ros.core.packages import require_packages
from kp2d_ros.core.records import Float64Array, Sensor
from kp2d_ros.core.se3 import rotation_from_quaternion, transform_from
from kp2d_ros.core.settings import flatten
from kp2d_ros.evaluation.fingerprint import hash_file, read_versions
from kp2d_ros.evaluation.odometry.page import make_page
from kp2d_ros.evaluation.odometry.run import Contender, run_or_read
from kp2d_ros.evaluation.odometry.run_file import RunInfo
from kp2d_ros.evaluation.odometry.subject import Subject, TruthFile, make_subject, name_apart
from kp2d_ros.evaluation.odometry.summary import Entry, Results, describe, results_as_dict, summarise
from kp2d_ros.inference.models import method_names
from kp2d_ros.inference.pipeline import (
    PipelineConfig,
    build_frontend,
    choose_model,
    choose_sensor,
    configure_method,
    load_extractor,
    load_pipeline_config,
)
from kp2d_ros.metrics.run_score import ScoreRules, score_run
from kp2d_ros.metrics.trajectory import Alignment
from kp2d_ros.recordings.sources import add_reading_options, open_sources, require_rig

SUMMARY = (
    'Run the frontend with several methods over bags or dataset folders, score the poses against ground truth, and '
    'write report.html and report.json. What was interrupted goes on with the same command.'
)
_POSE_NUMBERS = 7


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    The options of the command.
    """
    parser.add_argument(
        'sources',
        nargs='+',
        metavar='SOURCE',
        help='bag, folder of KITTI, EuRoC, TUM RGB-D, TartanAir or images; then settings, as matching.ratio=0.8',
    )
    add_methods_option(parser)
    parser.add_argument('--out', type=Path, default=Path('evaluation'), metavar='DIR', help='default: %(default)s')
    parser.add_argument(
        '--seeds', type=positive_int, default=1, metavar='N', help='runs with other random samples; default: 1'
    )
    parser.add_argument('--max-frames', type=positive_int, metavar='N', help='images of each sequence; default: all')
    parser.add_argument('--config', type=Path, metavar='YAML', help='file of settings, plain or of ROS parameters')
    parser.add_argument('--quiet', action='store_true', help='no progress bar')
    group = parser.add_argument_group('ground truth and scores')
    group.add_argument(
        '--ground-truth',
        action='append',
        default=[],
        type=Path,
        metavar='FILE',
        help='TUM, KITTI or EuRoC file in place of what the source has; once for each source, in their order',
    )
    group.add_argument('--ground-truth-times', type=Path, metavar='FILE', help='seconds by line, for a KITTI file')
    group.add_argument(
        '--camera-pose',
        metavar='X,Y,Z,QX,QY,QZ,QW',
        help='where the camera sits on the body whose poses --ground-truth gives; default: it is that body',
    )
    group.add_argument(
        '--alignment', choices=('sim3', 'se3', 'none'), help='default: sim3 for mono, se3 for what knows metres'
    )
    group.add_argument(
        '--segment-lengths', metavar='METRES', help='of the parts that drift is measured on; default: 100,200,...,800'
    )
    add_reading_options(parser)


def run(args: argparse.Namespace) -> int:
    """
    Open everything, run what has not been run, score, write, and print what came out.

    :raises Kp2dError: if a source, a method or a setting cannot be used, or the folder not be written.
    """
    if args.max_frames is not None and args.max_frames < 2:
        raise ConfigError(f'--max-frames: found {args.max_frames}, expected at least 2: a motion is between two images')
    require_packages('the report', 'evo', 'jinja2', 'matplotlib', 'scipy')
    words, settings = split_settings(args.sources)
    args.sources = [Path(word) for word in words]
    config = choose_sensor(load_pipeline_config(args.config, settings), args.sensor)
    rules = _rules(args, config.sensor)
    contenders = _contenders(split_methods(args.methods), args.seeds, config)
    subjects = _open_subjects(args, config.sensor)
    own = ('extractor.name', 'extractor.model', 'ransac.seed')
    shared = {name: value for name, value, _ in flatten(config) if name not in own}
    with claim_folder(args.out):  # before the work: what cannot be written, or is being written, is said at once
        try:
            entries = list(_run_all(args, subjects, contenders, rules))
        except KeyboardInterrupt:
            print(f'{args.out}: finished runs are kept; the same command goes on from them', file=sys.stderr)
            raise
        _write_report(Results(entries, rules, shared, read_versions()), args.out)
    return 0


def _rules(args: argparse.Namespace, sensor: str) -> ScoreRules:
    by_default = Alignment.SIM3 if sensor == Sensor.MONO.value else Alignment.SE3
    rules = ScoreRules(Alignment(args.alignment) if args.alignment else by_default)
    if args.segment_lengths is None:
        return rules
    lengths = _numbers('--segment-lengths', args.segment_lengths)
    if not lengths or min(lengths) <= 0:
        raise ConfigError(f'--segment-lengths: found {args.segment_lengths}, expected lengths above 0')
    return replace(rules, segment_lengths=tuple(lengths))


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(',')]
    except ValueError as error:
        raise ConfigError(f'{option}: found {text!r}, expected numbers with commas between them') from error


def _open_subjects(args: argparse.Namespace, sensor: str) -> list[Subject]:
    if args.ground_truth and len(args.ground_truth) != len(args.sources):
        raise ConfigError(
            f'--ground-truth: found {len(args.ground_truth)} files for {len(args.sources)} sources, '
            'expected one for each'
        )
    frame_from_camera = _camera_pose(args.camera_pose)
    files: list[TruthFile | None] = [
        TruthFile(path, args.ground_truth_times, frame_from_camera) for path in args.ground_truth
    ]
    subjects = []
    sequences = open_sources(args.sources, args, sensor)
    for source, sequence, file in zip(args.sources, sequences, files or [None] * len(sequences), strict=True):
        require_rig(source, sequence)
        subjects.append(make_subject(source, sequence, file, args.max_frames, args.out))
    return name_apart(subjects)


def _camera_pose(text: str | None) -> Float64Array | None:

    if text is None:
        return None
    values = np.array(_numbers('--camera-pose', text), np.float64)
    if len(values) != _POSE_NUMBERS:
        raise ConfigError(f'--camera-pose: found {len(values)} numbers, expected x,y,z,qx,qy,qz,qw')
    return transform_from(rotation_from_quaternion(values[3:]), values[:3])


def _contenders(words: list[str], seeds: int, config: PipelineConfig) -> list[Contender]:
    """
    One contender for each method and seed; those of a method share the extractor, which holds the network.
    """
    contenders = []
    for word, name in zip(words, method_names(words), strict=True):
        chosen = replace(config, extractor=configure_method(word, config.extractor))
        choice = choose_model(chosen.extractor)
        extractor = load_extractor(choice, chosen.extractor)
        info = extractor.info
        facts = {
            'model_id': info.model_id,
            'weights_sha256': '' if choice.path is None else hash_file(choice.path),
            'backend': info.backend,
            'device': info.device,
            'versions': read_versions(),
        }
        for number in range(seeds):
            seeded = replace(chosen, ransac=replace(config.ransac, seed=config.ransac.seed + number))
            settings = {key: value for key, value, _ in flatten(seeded)}
            contender = Contender(
                name=name,
                seed=seeded.ransac.seed,
                folder=name.replace(':', '_') + ('' if number == 0 else f'/seed_{seeded.ransac.seed}'),
                info=RunInfo('', info.model_id, info.backend, info.device, settings),
                facts={**facts, 'settings': settings},
                start=partial(build_frontend, seeded, extractor),
            )
            contenders.append(contender)
    return contenders


def _run_all(
    args: argparse.Namespace, subjects: list[Subject], contenders: list[Contender], rules: ScoreRules
) -> Iterator[Entry]:

    from tqdm import tqdm

    total = sum(subject.count for subject in subjects) * len(contenders)
    with tqdm(total=total, unit='image', disable=True if args.quiet else None, leave=False) as bar:
        for subject in subjects:
            for contender in contenders:
                folder = f'{subject.name}/{contender.folder}'
                bar.set_description(folder)
                run, was_there = run_or_read(subject, contender, args.out / folder, lambda frame, result: bar.update())
                if was_there:
                    bar.update(subject.count)
                lengths = run.values['track_frames']
                score = score_run(run.frames, subject.truth, rules, None if lengths is None else lengths['mean'])
                yield Entry(subject, contender, folder, run, score)


def _write_report(results: Results, folder: Path) -> None:
    summary = summarise(results)
    words = describe(results, summary)
    write_json(folder / 'report.json', results_as_dict(results, summary, words))
    write_text(folder / 'report.html', make_page(results, summary, words, folder))
    print('\n'.join(words))
    print(f'written: {folder}/report.html, report.json')


main = partial(run_command, 'kp2d evaluate odometry', SUMMARY, add_arguments, run)


if __name__ == '__main__':
    raise SystemExit(main())
