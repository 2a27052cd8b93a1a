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
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
from tqdm import tqdm

from kp2d_ros.cli.command import INTERRUPTED, run_command
from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.settings import build, flatten, merge, parse_overrides
from kp2d_ros.datasets.pairs import PairBatch
from kp2d_ros.evaluation.descriptor import matching_score
from kp2d_ros.evaluation.detector import score_detector
from kp2d_ros.networks.network import KeypointNetwork
from kp2d_ros.training.distributed import Process, training_process
from kp2d_ros.training.loop import Hooks, train
from kp2d_ros.training.prediction import pixel_homography, predict_keypoints
from kp2d_ros.training.run_config import PRESETS, TrainConfig, load_train_config
from kp2d_ros.training.run_log import RunLog
from kp2d_ros.training.session import (
    STATE_FILE,
    TrainingData,
    build_state,
    limit_threads,
    open_data,
    recorded_data,
    reopen_folder,
    save_networks,
    start_folder,
    training_batches,
    validation_batches,
)

SUMMARY = 'train a keypoint network on photographs or bags'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    The arguments of the command.
    """
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = 'settings and their defaults:\n' + '\n'.join(_described_settings())
    parser.add_argument(
        'words', nargs='*', metavar='PRESET | key=value', help=f'one of {", ".join(PRESETS)} or a YAML file; overrides'
    )
    parser.add_argument(
        '--data', type=Path, action='append', default=[], help='folder, tar or bag; more than one: mixed'
    )
    parser.add_argument('--out', type=Path, help='folder of the run, made if it is not there')
    parser.add_argument('--resume', type=Path, help='folder of a run to go on with')


def run(args: argparse.Namespace) -> int:
    """
    Train until the last step or Ctrl-C; everything that is wrong is refused before anything starts.
    """
    presets = [word for word in args.words if '=' not in word]
    overrides = parse_overrides([word for word in args.words if '=' in word])
    if args.resume is not None:
        if presets or args.out is not None:
            raise ConfigError('--resume: found a preset or --out as well, expected the folder of the run alone')
        config, record = reopen_folder(args.resume)
        config = build(TrainConfig, merge(dataclasses.asdict(config), overrides))
        return _train(config, args.data or recorded_data(record), args.resume, resume=True)
    if len(presets) != 1 or args.out is None or not args.data:
        raise ConfigError('train: expected one PRESET, at least one --data PATH and --out DIR (or --resume DIR)')
    return _train(load_train_config(presets[0], overrides), args.data, args.out, resume=False)


def _train(config: TrainConfig, paths: Sequence[Path], out: Path, *, resume: bool) -> int:
    with training_process(config.training.device) as process:
        limit_threads(process)
        data = open_data(paths, config)
        state = build_state(config, process.device)
        record = {}
        if process.is_first:
            record = start_folder(out, config, paths, data, resume=resume)
            print(f'{record["photographs"]} photographs, {record["held_out"]} held out; {record["skipped"]}')
        if resume and (out / STATE_FILE).is_file():
            state.load(out / STATE_FILE)
        facts = {'data_fingerprint': data.training.fingerprint, 'photographs': len(data.training)}
        with _Reporter(config, data, process, out, state.step) as reporter, _stop_on_interrupt() as stop:

            def save(is_best: bool) -> None:
                if is_best:
                    save_networks(out, state, config, 'best', facts)
                    return
                save_networks(out, state, config, 'last', facts)
                state.save(out / STATE_FILE)

            hooks = Hooks(
                batches=lambda first: training_batches(data, config, process, first),
                validate=reporter.validate,
                log=reporter.log,
                save=save,
                stop=stop,
            )
            finished = train(state, config.training, config.optimiser, process, out, hooks)
    if process.is_first:
        end = 'finished' if finished else 'stopped; go on with: kp2d train --resume'
        print(f'{end} {out} at step {state.step}')
    return 0 if finished else INTERRUPTED


class _Reporter:
    """
    The progress bar, the log and the validation of the first process; the others report nothing.
    """

    def __init__(self, config: TrainConfig, data: TrainingData, process: Process, out: Path, first_step: int) -> None:
        self._config = config
        self._data = data
        self._process = process
        self._log = RunLog(out, first_step) if process.is_first else None
        self._bar = tqdm(
            total=config.training.steps, initial=first_step, unit='step', disable=not process.is_first, mininterval=1.0
        )
        self._pairs: list[PairBatch] = []

    def __enter__(self) -> _Reporter:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()
        if self._log is not None:
            self._log.close()

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """
        Write the figures of a step, and show the most telling ones.
        """
        if self._log is not None:
            self._log.add(step, figures)
        self._bar.set_postfix_str(
            f'loss {figures["total"]:.3f}, recall {figures.get("recall", 0):.2f}, '
            f'{figures["pairs_per_second"]:.1f} pairs/s'
        )
        self._bar.update(step - self._bar.n)
        if 'val_matching_score' in figures:
            self._bar.write(
                f'step {step}: repeatability {figures["val_repeatability"]:.3f}, '
                f'localisation {figures["val_localisation_px"]:.2f} px, '
                f'matching score {figures["val_matching_score"]:.3f}',
                file=sys.stderr,
            )

    def validate(self, network: KeypointNetwork) -> Mapping[str, float]:
        """
        Means over the pairs held out.
        """
        if not self._pairs:
            self._pairs = validation_batches(self._data, self._config, self._process.device)
        scores = [row for batch in self._pairs for row in _score_batch(network, batch)]
        return {name: _mean_of_known([row[name] for row in scores]) for name in scores[0]}


def _score_batch(network: KeypointNetwork, batch: PairBatch) -> list[dict[str, float]]:
    size = (batch.source.shape[-1], batch.source.shape[-2])
    views = zip(predict_keypoints(network, batch.source), predict_keypoints(network, batch.target), strict=True)
    rows = []
    for (source, target), normalised in zip(views, batch.target_from_source, strict=True):
        homography = pixel_homography(normalised, *size)
        detector = score_detector(source, target, homography, size)
        rows.append(
            {
                'val_repeatability': max(detector.repeatability, 0.0),
                'val_one_to_one': detector.one_to_one,
                'val_localisation_px': detector.localisation_px,
                'val_matching_score': matching_score(source, target, homography, size),
            }
        )
    return rows


def _mean_of_known(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float('nan')


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


def _described_settings() -> Iterator[str]:
    for path, value, info in flatten(TrainConfig()):
        yield f'  {path}={value!r}: {info.description}'


def main(argv: Sequence[str] | None = None) -> int:
    """
    The exit status of ``kp2d train``.
    """
    return run_command('kp2d train', SUMMARY, add_arguments, run, argv)


if __name__ == '__main__':
    raise SystemExit(main())
