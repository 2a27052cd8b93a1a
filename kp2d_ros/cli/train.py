# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Train a keypoint network on photographs or on the bags of a robot: ``kp2d train PRESET --data PATH --out DIR``.

Many GPUs: ``torchrun --nproc-per-node N -m kp2d_ros.cli.main train PRESET --data PATH --out DIR``.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from tqdm import tqdm

from kp2d_ros.cli.command import INTERRUPTED, list_settings, run_command
from kp2d_ros.core.errors import BackendError, ConfigError
from kp2d_ros.core.settings import build, merge, parse_overrides
from kp2d_ros.drawing.training_curves import draw_curves
from kp2d_ros.training.config import PRESETS, TrainConfig, load_train_config
from kp2d_ros.training.run_folder import METRICS_FILE, Record, read_metrics, reopen_folder
from kp2d_ros.training.session import Display, RunRequest, run_training

SUMMARY = 'train a keypoint network on photographs or bags'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    The arguments of the command.
    """
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = 'settings, and the defaults that a preset builds on (those of v4):\n' + list_settings(TrainConfig())
    parser.add_argument(
        'words',
        nargs='*',
        metavar='PRESET | key=value',
        help=f'one of {", ".join(PRESETS)} or a YAML file; then settings over those of the preset, see below',
    )
    parser.add_argument(
        '--data', type=Path, action='append', default=[], metavar='PATH', help='folder, tar file or bag; repeatable'
    )
    parser.add_argument('--out', type=Path, metavar='DIR', help='folder of the run, made if it is not there')
    parser.add_argument(
        '--resume', type=Path, metavar='DIR', help='go on with the run in this folder, with its own settings and data'
    )


def run(args: argparse.Namespace) -> int:
    """
    Train until the last step or Ctrl-C, and say where the run is.
    """
    request = _read_request(args)
    bar = TrainingBar(request.config.training.steps)
    try:
        end = run_training(request, Display(bar.begin, bar.show))
    finally:
        bar.close()
    if end.is_first:
        with suppress(BackendError):  # without matplotlib there is no picture of the course of the run
            draw_curves(read_metrics(request.out / METRICS_FILE), request.out / 'curves.png', request.out.name)
        word = 'finished' if end.finished else 'stopped'
        print(f'{word} {request.out} at step {end.step}')
        if not end.finished:
            print(f'go on with: kp2d train --resume {request.out}')
    return 0 if end.finished else INTERRUPTED


def _read_request(args: argparse.Namespace) -> RunRequest:
    presets = [word for word in args.words if '=' not in word]
    overrides = parse_overrides([word for word in args.words if '=' in word])
    if args.resume is not None:
        if presets or args.out is not None:
            raise ConfigError('--resume: found a preset or --out as well, expected the folder of the run alone')
        config = build(TrainConfig, merge(dataclasses.asdict(reopen_folder(args.resume).config), overrides))
        return RunRequest(config, tuple(args.data), args.resume, resume=True)
    if len(presets) != 1 or args.out is None or not args.data:
        raise ConfigError('train: expected one PRESET, at least one --data PATH and --out DIR (or --resume DIR)')
    return RunRequest(load_train_config(presets[0], overrides), tuple(args.data), args.out, resume=False)


class TrainingBar:
    """
    The progress of a run on the terminal.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._bar = tqdm(disable=True)

    def begin(self, record: Record, step: int) -> None:
        """
        Say what is trained on, and begin the bar.
        """
        print(f'{record["photographs"]} photographs, {record["held_out"]} held out; {record["skipped"]}')
        self._bar = tqdm(total=self._steps, initial=step, unit='step', mininterval=1.0)

    def show(self, step: int, figures: Mapping[str, float]) -> None:
        """
        Move on to a step, with its most telling figures.
        """
        if 'total' in figures:
            recall = f', recall {figures["recall"]:.2f}' if 'recall' in figures else ''
            self._bar.set_postfix_str(f'loss {figures["total"]:.3f}{recall}, {figures["pairs_per_second"]:.1f} pairs/s')
        if 'val_matching_score' in figures:
            self._bar.write(
                f'step {step}: repeatability {figures["val_repeatability"]:.3f}, '
                f'localisation {figures["val_localisation_px"]:.2f} px, '
                f'matching score {figures["val_matching_score"]:.3f}, recall {figures["val_recall"]:.3f}',
                file=sys.stderr,
            )
        self._bar.update(step - self._bar.n)

    def close(self) -> None:
        """
        End the bar.
        """
        self._bar.close()


main = partial(run_command, 'kp2d train', SUMMARY, add_arguments, run)


if __name__ == '__main__':
    raise SystemExit(main())
