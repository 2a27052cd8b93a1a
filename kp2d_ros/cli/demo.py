# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
``kp2d demo``: a simulated drive as a bag, played over DDS into the frontend, recorded, and scored in metres.

Three processes, as on a robot: the player, the frontend, and a recorder that hears nothing but what is published.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from kp2d_ros.cli.command import add_method_option, run_command
from kp2d_ros.cli.ros_processes import ProcessGroup, find_executable, isolated_environment
from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.records import Sensor
from kp2d_ros.inference.extractor import ExtractorConfig
from kp2d_ros.inference.pipeline import configure_method

if TYPE_CHECKING:
    from kp2d_ros.evaluation.odometry.run_file import Recording
    from kp2d_ros.simulation.scene import SceneConfig, SimulatedSequence

SUMMARY = 'Render a sequence, play it over DDS into the frontend, record what comes out, and score it.'

# A rig that stands still at first, and whose lenses are covered for a moment on the way.
SCENE = {'sensor': 'stereo', 'frames': 120, 'still_frames': 10, 'blank_first': 60, 'blank_frames': 3}
START_SECONDS = 60.0  # for a process to be ready; the first import after an installation compiles
LOCKSTEP_SECONDS = 2.0  # for an image and its answer
SLACK_SECONDS = 60.0  # beyond the time that playing takes
QUIET_SECONDS = 20.0  # nothing is published any more


@dataclass(frozen=True, slots=True)
class _Files:
    """
    What the demo leaves behind.
    """

    folder: Path

    @property
    def bag(self) -> Path:
        return self.folder / 'sequence'

    @property
    def recording(self) -> Path:
        return self.folder / 'recording.json'

    @property
    def picture(self) -> Path:
        return self.folder / 'frame.png'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    The options of the command.
    """
    parser.add_argument('settings', nargs='*', metavar='KEY=VALUE', help='of the scene, see kp2d simulate --list')
    parser.add_argument('--out', type=Path, default=Path('demo_output'), metavar='DIR', help='default: %(default)s')
    add_method_option(parser)
    parser.add_argument(
        '--sensor', choices=[each.value for each in Sensor], help=f'of the scene; default: {SCENE["sensor"]}'
    )
    parser.add_argument(
        '--rate',
        type=float,
        default=0.0,
        metavar='X',
        help='times as fast as recorded; 0: the next image when the last one was answered (default: %(default)g)',
    )
    parser.add_argument('--live', action='store_true', help='the newest image wins; default: every image is processed')


def run(args: argparse.Namespace) -> int:
    """
    Render, play, record, score, and print what came out.

    :raises Kp2dError: if a process fails or takes too long, or a file cannot be written.
    """
    from kp2d_ros.core.files import claim_folder
    from kp2d_ros.core.settings import build, merge, parse_overrides
    from kp2d_ros.simulation.scene import SceneConfig

    if not 0 <= args.rate < float('inf'):
        raise ConfigError(f'--rate: found {args.rate:g}, expected a number from 0 on')
    # What cannot be used is said before the work.
    configure_method(args.method, ExtractorConfig())
    chosen = {'sensor': args.sensor} if args.sensor else {}
    scene = build(SceneConfig, merge(merge(SCENE, parse_overrides(args.settings)), chosen))
    with claim_folder(args.out):
        for name in ('frontend', 'replay'):
            find_executable(name)
        return _run(args, scene)


def _run(args: argparse.Namespace, scene: SceneConfig) -> int:
    from kp2d_ros.core.files import write_json
    from kp2d_ros.drawing.run_plots import draw_run
    from kp2d_ros.evaluation.odometry.run_file import RunInfo, format_summary, read_recording, run_values, write_run
    from kp2d_ros.metrics.run_score import score_run
    from kp2d_ros.recordings.bag_writer import write_bag
    from kp2d_ros.simulation.scene import SimulatedSequence

    files = _Files(args.out)
    sequence = SimulatedSequence(scene)
    begin = perf_counter()
    print(f'1/3 render  {_describe(scene)}', flush=True)
    _clear(files)
    write_bag(files.bag, sequence)
    mode = 'live' if args.live else 'replay'
    pace = f'at {args.rate * scene.rate_hz:g} Hz' if args.rate > 0 else 'as fast as it is answered'
    print(f'2/3 play    {pace}, over DDS, frontend in {mode} mode', flush=True)
    _play(files, sequence, args)
    print('3/3 score', flush=True)
    recording = read_recording(files.recording)
    settings = {'mode': mode, 'sensor': scene.sensor}
    info = RunInfo(sequence.name, recording.model_id, recording.backend, recording.device, settings)
    score = score_run(recording.frames, sequence.ground_truth)
    write_run(files.folder, info, score)
    title = f'{info.source}: {scene.sensor}, {info.model_id}, {len(score.frames)} frames'
    draw_run(score, title, files.folder / 'trajectory.png')
    result = _result(run_values(info, score), recording, scene.frames)
    write_json(files.folder / 'result.json', result)
    print(format_summary(info, score))
    _print_transport(result, perf_counter() - begin)
    print(f'  written     {files.folder}/: result.json, trajectory.png, frame.png, trajectory.txt, run.json')
    if not args.live and len(recording.frames) != scene.frames:
        raise DataError(
            f'{files.recording}: found {len(recording.frames)} results, expected one for each of the {scene.frames} '
            f'images; {files.folder}/logs says what the processes did'
        )
    return 0


def _describe(scene: SceneConfig) -> str:
    what, more = {
        Sensor.MONO: ('images', ''),
        Sensor.STEREO: ('pairs of images', f', {scene.baseline:g} m apart'),
        Sensor.RGBD: ('images with depth', ''),
    }[Sensor(scene.sensor)]
    return f'{scene.frames} {what} of {scene.width}x{scene.height}{more}, lens {scene.lens}'


def _clear(files: _Files) -> None:
    """
    Remove what an earlier run left where a file that is missing later would go unnoticed.
    """
    try:
        if (files.bag / 'metadata.yaml').is_file():
            shutil.rmtree(files.bag)
        for path in (files.recording, files.picture):
            path.unlink(missing_ok=True)
        files.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f'{files.folder}: cannot be written: {error.strerror or error}') from error


def _play(files: _Files, sequence: SimulatedSequence, args: argparse.Namespace) -> None:
    """
    Run the three processes until the recorder has heard about the last image.
    """
    stamps = sequence.ground_truth.stamps_ns.tolist()
    playing = (stamps[-1] - stamps[0]) * 1e-9 / args.rate if args.rate > 0 else LOCKSTEP_SECONDS * len(stamps)
    sensor = sequence.config.sensor
    environment = isolated_environment()
    extractor = configure_method(args.method, ExtractorConfig())
    frontend_parameters = {
        'mode': 'live' if args.live else 'replay',
        'sensor': sensor,
        'extractor.name': extractor.name,
        **({'extractor.model': extractor.model} if extractor.model else {}),
        'odometry': 'unit',
        'use_sim_time': 'true',
    }
    record = [
        *(sys.executable, '-m', 'kp2d_ros.ros.recorder_node', '--out', str(files.recording)),
        *('--picture', str(files.picture), '--picture-stamp-ns', str(stamps[int(0.8 * len(stamps))])),
        *('--last-stamp-ns', str(stamps[-1]), '--quiet', str(QUIET_SECONDS)),
        *('--timeout', str(START_SECONDS + playing + SLACK_SECONDS)),
    ]
    with ProcessGroup(files.folder / 'logs') as group:
        frontend = [str(find_executable('frontend')), *_ros_arguments(frontend_parameters)]
        player = [str(find_executable('replay')), str(files.bag), '--publish', '--sensor', sensor]
        player += ['--rate', str(args.rate)]
        group.start('frontend', frontend, environment)
        recorder = group.start('recorder', record, environment)
        group.wait_for_words(recorder, 'every topic has a publisher', START_SECONDS)
        group.wait_for_end(group.start('player', player, environment), playing + SLACK_SECONDS)
        group.wait_for_end(recorder, QUIET_SECONDS + SLACK_SECONDS)


def _ros_arguments(parameters: Mapping[str, str]) -> list[str]:
    words = ['--ros-args']
    for name, value in parameters.items():
        words += ['-p', f'{name}:={value}']
    return words


def _result(values: Mapping[str, Any], recording: Recording, sent: int) -> dict[str, Any]:
    """
    What a run of the demo came to, as JSON values; ``values`` are those of its run.json.
    """
    scores = values['scores']
    return {
        **values['settings'],
        'model_id': values['model_id'],
        'device': values['device'],
        'frames': {
            'sent': sent,
            'received': recording.received,
            'processed': recording.processed,
            'dropped': recording.dropped,
            'recorded': len(recording.frames),
        },
        'messages': dict(recording.topics),
        'states': values['states'],
        'latency_ms': {
            stage: {'p50': round(spread['median'], 3), 'p99': round(spread['p99'], 3)}
            for stage, spread in values['stage_ms'].items()
        },
        'trajectory': scores['trajectory'],
        'pairs': scores['pairs'],
        'scale_segments': len(values['scale_segments']),
        'note': scores['note'],
        'versions': values['versions'],
    }


def _print_transport(result: Mapping[str, Any], seconds: float) -> None:
    frames, total = result['frames'], result['latency_ms'].get('total')
    print(f'  over DDS    {frames["sent"]} sent, {frames["processed"]} processed, {frames["dropped"]} dropped')
    if total is not None:
        print(f'  latency     {total["p50"]:.0f} ms median, {total["p99"]:.0f} ms p99 from arrival to publication')
    print(f'  took        {seconds:.0f} s')


main = partial(run_command, 'kp2d demo', SUMMARY, add_arguments, run)

if __name__ == '__main__':
    raise SystemExit(main())
