# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Train a keypoint network on photographs or on the bags of a robot: ``kp2d train PRESET --data PATH --out DIR``.

Many GPUs: ``torchrun --nproc-per-node N -m kp2d_ros.cli.train PRESET --data PATH --out DIR``.
"""

from __future__ import annotations

import argparse
import dataclasses
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

from kp2d_ros.cli.command import INTERRUPTED, list_settings, run_command
from kp2d_ros.cli.train_reporter import TrainReporter
from kp2d_ros.core.errors import BackendError, ConfigError
from kp2d_ros.core.settings import build, merge, parse_overrides
from kp2d_ros.drawing.training_curves import draw_curves
from kp2d_ros.training.distributed import Process, training_process
from kp2d_ros.training.freed_memory import keep_freed_memory
from kp2d_ros.training.loop import Desk, Hooks, train
from kp2d_ros.training.run_config import PRESETS, TrainConfig, load_train_config
from kp2d_ros.training.run_folder import (
    STATE_FILE,
    changed_settings,
    continue_record,
    make_record,
    recorded_paths,
    refuse_used_folder,
    reopen_folder,
    write_folder,
)
from kp2d_ros.training.run_log import RunLog, read_metrics
from kp2d_ros.training.run_state import RunState
from kp2d_ros.training.session import (
    TrainingData,
    build_state,
    limit_threads,
    open_data,
    save_networks,
    training_batches,
    validation_batches,
)

SUMMARY = 'train a keypoint network on photographs or bags'


@dataclass(frozen=True, slots=True)
class _Request:
    """
    What was asked for: a new run in a folder, or one that goes on. ``data`` empty: that of the record.
    """

    config: TrainConfig
    data: tuple[Path, ...]
    out: Path
    resume: bool


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
    Train until the last step or Ctrl-C; everything that is wrong is refused before anything starts.
    """
    presets = [word for word in args.words if '=' not in word]
    overrides = parse_overrides([word for word in args.words if '=' in word])
    if args.resume is not None:
        if presets or args.out is not None:
            raise ConfigError('--resume: found a preset or --out as well, expected the folder of the run alone')
        config = build(TrainConfig, merge(dataclasses.asdict(reopen_folder(args.resume).config), overrides))
        return _train(_Request(config, tuple(args.data), args.resume, resume=True))
    if len(presets) != 1 or args.out is None or not args.data:
        raise ConfigError('train: expected one PRESET, at least one --data PATH and --out DIR (or --resume DIR)')
    return _train(_Request(load_train_config(presets[0], overrides), tuple(args.data), args.out, resume=False))


def _train(request: _Request) -> int:
    config, out = request.config, request.out
    with training_process(config.training.device) as process, ExitStack() as stack:
        limit_threads(process)
        if process.device.type == 'cpu':
            keep_freed_memory()
        state, data = _prepare(request, process)
        stop = stack.enter_context(_stop_on_interrupt())
        desk = None
        if process.is_first:
            desk, reporter = _open_desk(request, process, state, data)
            stack.callback(reporter.close)
        hooks = Hooks(lambda first: training_batches(data, config, process, first), stop, desk)
        finished = train(state, config.training, config.optimiser, process, out, hooks)
    if process.is_first:
        _draw_curves(out)
        end = 'finished' if finished else 'stopped; go on with: kp2d train --resume'
        print(f'{end} {out} at step {state.step}')
    return 0 if finished else INTERRUPTED


def _draw_curves(out: Path) -> None:
    """
    The course of the run as ``curves.png``, where matplotlib is installed.
    """
    with suppress(BackendError):
        draw_curves(read_metrics(out / 'metrics.csv'), out / 'curves.png', out.name)


def _prepare(request: _Request, process: Process) -> tuple[RunState, TrainingData]:
    """
    Build and open everything, and only then touch the folder of the run.
    """
    config, out = request.config, request.out
    if request.resume:
        before = reopen_folder(out)
        changed = changed_settings(before.config, config)
        paths = request.data or recorded_paths(before.record)
    else:
        paths = request.data
        if process.is_first:
            refuse_used_folder(out)
    going_on = request.resume and (out / STATE_FILE).is_file()
    # What a run that goes on began with need not be there any more.
    first = dataclasses.replace(config, initial='', pretrained='') if going_on else config
    state = build_state(first, process.device)
    if going_on:
        state.load(out / STATE_FILE)
    data = open_data(paths, config, process)
    record = make_record(paths, data.training, data.validation)
    if request.resume:
        record = continue_record(before.record, record, state.step, changed, new_data=bool(request.data))
    if process.is_first:
        write_folder(out, config, record)
        print(f'{record["photographs"]} photographs, {record["held_out"]} held out; {record["skipped"]}')
    return state, data


def _open_desk(request: _Request, process: Process, state: RunState, data: TrainingData) -> tuple[Desk, TrainReporter]:
    config, out = request.config, request.out
    pairs = validation_batches(data, config, process.device)
    reporter = TrainReporter(RunLog(out, state.step), pairs, config.training.steps, state.step)
    facts = {'data_fingerprint': data.training.fingerprint, 'photographs': len(data.training)}

    def save(is_best: bool) -> None:
        save_networks(out, state, config, 'best' if is_best else 'last', facts)
        if not is_best:
            state.save(out / STATE_FILE)

    return Desk(reporter.validate, reporter.log, save), reporter


@contextmanager
def _stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """
    Ctrl-C asks the loop to stop after the step that it is at; a second one stops at once.
    """
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


main = partial(run_command, 'kp2d train', SUMMARY, add_arguments, run)


if __name__ == '__main__':
    raise SystemExit(main())
