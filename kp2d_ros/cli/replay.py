# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
``kp2d replay``: the frontend over a bag or a dataset folder, offline: every image, as fast as it goes.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

from kp2d_ros.cli.command import add_method_option, add_settings, positive_int, run_command
from kp2d_ros.core.errors import ConfigError
from kp2d_ros.recordings.sources import add_source_options, open_sources, require_rig

SUMMARY = 'Run the frontend offline over a bag or a dataset folder; write trajectory.txt (TUM format) and run.json.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    The options of the command.
    """
    add_source_options(parser)
    add_method_option(parser, default=None)
    parser.add_argument('--out', type=Path, default=Path('replay_output'), metavar='DIR', help='default: %(default)s')
    parser.add_argument('--config', type=Path, metavar='YAML', help='file of settings, plain or of ROS parameters')
    parser.add_argument('--max-frames', type=positive_int, metavar='N', help='stop after so many images')
    parser.add_argument('--plot', action='store_true', help='draw trajectory.png as well')
    parser.add_argument('--quiet', action='store_true', help='no progress bar')
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """
    Read, process, write, and print what came out.

    :raises Kp2dError: if the settings, the source or the folder cannot be used.
    """
    # Imported here: --help needs none of it.
    from tqdm import tqdm

    from kp2d_ros.core.files import claim_folder
    from kp2d_ros.core.packages import is_installed, missing_package
    from kp2d_ros.core.settings import flatten
    from kp2d_ros.evaluation.odometry.run import replay_offline
    from kp2d_ros.evaluation.odometry.run_file import RunInfo, format_summary
    from kp2d_ros.inference.pipeline import (
        build_extractor,
        build_frontend,
        choose_sensor,
        configure_method,
        load_pipeline_config,
    )

    if args.plot and not is_installed('matplotlib'):
        raise missing_package('--plot', 'matplotlib')
    config = load_pipeline_config(args.config, args.settings)
    if args.method:
        config = replace(config, extractor=configure_method(args.method, config.extractor))
    config = choose_sensor(config, args.sensor)
    (sequence,) = open_sources([args.source], args, config.sensor)
    if sequence.camera is None:
        raise ConfigError(
            f'{args.source}: the camera is not calibrated, so no pose can be found; name its calibration with '
            '--calibration YAML, as camera_calibration writes it (kp2d draw needs none)'
        )
    require_rig(args.source, sequence)
    width, height = sequence.camera.width, sequence.camera.height
    if 0 < config.max_side_px < max(width, height):
        print(f'images of {width}x{height} are worked on with {config.max_side_px} px on the longer side (max_side_px)')
    extractor = build_extractor(config.extractor)
    info = RunInfo(
        source=sequence.name,
        model_id=extractor.info.model_id,
        backend=extractor.info.backend,
        device=extractor.info.device,
        settings={name: value for name, value, _ in flatten(config)},
    )
    with claim_folder(args.out):  # before the work: what cannot be written, or is being written, is said at once
        frontend = build_frontend(config, extractor)
        count = len(sequence) if args.max_frames is None else min(args.max_frames, len(sequence))
        with tqdm(total=count, unit='image', disable=True if args.quiet else None, leave=False) as bar:
            score = replay_offline(
                sequence, frontend, info, args.out, args.max_frames, lambda frame, result: bar.update()
            )
        print(format_summary(info, score))
        if args.plot:
            from kp2d_ros.drawing.run_plots import draw_run

            draw_run(score, f'{info.source}: {info.model_id}, {len(score.frames)} frames', args.out / 'trajectory.png')
        print(f'  written     {args.out}/trajectory.txt, run.json' + (', trajectory.png' if args.plot else ''))
    return 0


main = partial(run_command, 'kp2d replay', SUMMARY, add_arguments, run)

if __name__ == '__main__':
    raise SystemExit(main())
