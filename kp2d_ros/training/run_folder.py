# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The folder of a run: its settings, the record of its data and versions, its metrics and networks, and what may change
when it goes on.
"""

from __future__ import annotations

import csv
import io
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.files import claim_folder, write_json, write_text
from kp2d_ros.core.resources import read_version
from kp2d_ros.core.settings import build, flatten, format_yaml, load_yaml
from kp2d_ros.networks.checkpoint import checkpoint_from_network, save_checkpoint
from kp2d_ros.networks.inlier_net import save_inlier_net
from kp2d_ros.pairs.photos import Photos
from kp2d_ros.training.config import TrainConfig
from kp2d_ros.training.losses.inlier import output_kind
from kp2d_ros.training.run_state import RunState

STATE_FILE = 'state.safetensors'
CONFIG_FILE = 'config.yaml'
RECORD_FILE = 'run.json'
METRICS_FILE = 'metrics.csv'
COLUMNS = (
    'step', 'learning_rate', 'total', 'location', 'usp', 'consistency', 'descriptor', 'decorrelation', 'inlier',
    'uniform', 'recall', 'gradient_norm', 'pairs_per_second', 'data_share', 'val_repeatability', 'val_one_to_one',
    'val_localisation_px', 'val_matching_score', 'val_recall',
)  # fmt: skip

Record = dict[str, Any]

# What the saved state depends on, or what matters only at the beginning.
_FIXED = ('network.', 'loss.inlier.blocks', 'initial', 'pretrained')
# With these the same files give other training photographs.
_CHOOSES_PHOTOS = ('pairs.', 'training.seed', 'training.validation_pairs')


@contextmanager
def run_folder(out: Path) -> Iterator[None]:
    """
    Keep a folder for one run; it is made if need be, and goes again if nothing was written into it.

    :raises DataError: if it cannot be written to, or another run is at work there.
    """
    is_new = not out.exists()
    try:
        with claim_folder(out):
            yield
    finally:
        if is_new:
            with suppress(OSError):  # of a folder that holds something
                out.rmdir()


def refuse_used_folder(out: Path) -> None:
    """
    A new run gets a folder of its own.

    :raises ConfigError: if there is a run in this one.
    """
    if (out / RECORD_FILE).exists():
        raise ConfigError(f'{out}: already holds a training run; continue it with --resume, or name another folder')


def make_record(paths: Sequence[Path], training: Photos, held_out: Photos) -> Record:
    """
    Where the data is, which data it is, and with which versions the run began.
    """
    return {
        'data': [str(path.absolute()) for path in paths],
        'data_fingerprint': training.fingerprint,
        'photographs': len(training),
        'held_out': len(held_out),
        'skipped': str(training.skipped),
        'versions': {'kp2d_ros': read_version(), 'torch': torch.__version__, 'python': platform.python_version()},
        'resumed': [],
    }


def write_folder(out: Path, config: TrainConfig, record: Record) -> None:
    """
    Write settings and record, the record last: a folder with a record holds a run. What a run that was killed left
    half written goes.

    :raises DataError: if the folder cannot be written to.
    """
    for part in out.glob('.*.part*'):
        part.unlink(missing_ok=True)
    write_text(out / CONFIG_FILE, format_yaml(config))
    write_json(out / RECORD_FILE, record)


class FoundRun(NamedTuple):
    """
    What the folder of a run says.
    """

    config: TrainConfig
    record: Record


def reopen_folder(out: Path) -> FoundRun:
    """
    The settings and the record of a run that is to go on.

    :raises ConfigError: if the folder holds no run, or its files cannot be read.
    """
    if not (out / CONFIG_FILE).is_file() or not (out / RECORD_FILE).is_file():
        raise ConfigError(f'{out}: found no {CONFIG_FILE} and {RECORD_FILE}, expected the folder of a training run')
    try:
        record = json.loads((out / RECORD_FILE).read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise ConfigError(f'{out / RECORD_FILE}: cannot be read: {error}') from error
    paths = record.get('data') if isinstance(record, dict) else None
    if not isinstance(paths, list) or not paths:
        raise ConfigError(f'{out / RECORD_FILE}: found data {paths!r}, expected a list of paths')
    return FoundRun(build(TrainConfig, load_yaml(out / CONFIG_FILE)), record)


def changed_settings(before: TrainConfig, now: TrainConfig) -> dict[str, list[Any]]:
    """
    Path to [old value, new value] of every setting that a run goes on with differently.

    :raises ConfigError: if one of them cannot change: the network, the form of IO-Net, the weights to start from.
    """
    old = {path: value for path, value, _ in flatten(before)}
    changed = {path: [old[path], value] for path, value, _ in flatten(now) if value != old[path]}
    fixed = [path for path in changed if path.startswith(_FIXED)]
    if (before.loss.inlier.weight > 0) != (now.loss.inlier.weight > 0):
        fixed.append('loss.inlier.weight')
    if fixed:
        path = fixed[0]
        raise ConfigError(
            f'{path}: found {changed[path][1]!r} for a run that began with {changed[path][0]!r}, '
            'expected a new run (initial=CHECKPOINT starts it from the weights of this one)'
        )
    return changed


def continue_record(record: Record, now: Record, step: int, changed: dict[str, list[Any]], *, new_data: bool) -> Record:
    """
    The record of a run that goes on at a step.

    :param now: the record of the data as it is now.
    :param new_data: whether other data was asked for.
    :raises DataError: if the data is not what it was, and none was asked for.
    """
    same_choice = not any(path.startswith(_CHOOSES_PHOTOS) for path in changed)
    if same_choice and not new_data and record.get('data_fingerprint') != now['data_fingerprint']:
        raise DataError(
            f'{", ".join(now["data"])}: found {now["photographs"]} photographs that are not the '
            f'{record.get("photographs")} that the run began with; name them with --data to go on with them'
        )
    visit = {'step': step, 'versions': now['versions'], 'changed': changed}
    return {**now, 'versions': record.get('versions'), 'resumed': [*record.get('resumed', []), visit]}


def save_networks(out: Path, state: RunState, config: TrainConfig, which: str, facts: Mapping[str, object]) -> None:
    """
    Write ``WHICH.safetensors`` and ``WHICH_inlier.safetensors`` (IO-Net), each in one piece or not at all.

    :param which: ``last`` or ``best``.
    :param facts: what else the checkpoint should know of the run.
    """
    metadata = {'step': state.step, **facts}
    checkpoint = checkpoint_from_network(state.network_to_keep, config.name, is_trained=True, metadata=metadata)
    save_checkpoint(out / f'{which}.safetensors', checkpoint)
    if state.objective.inlier_net is not None:
        path, output = out / f'{which}_inlier.safetensors', output_kind(config.loss.inlier)
        save_inlier_net(path, state.objective.inlier_net, checkpoint.info.model_id, output)


class RunLog:
    """
    Appends rows to ``metrics.csv``; a resumed run first drops the rows of steps that it is going to repeat.

    Cells without a value are empty. With the package tensorboard the same numbers and the images go to
    ``tensorboard/`` as well; ``has_tensorboard`` says whether they do.

    :param first_step: the step that the run starts with; rows of later steps are dropped.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        self._path = folder / METRICS_FILE
        kept = [row for row in read_metrics(self._path) if int(row['step']) <= first_step] if first_step else []
        table = io.StringIO(newline='')
        writer = csv.DictWriter(table, COLUMNS, extrasaction='ignore')
        writer.writeheader()
        writer.writerows(kept)
        write_text(self._path, table.getvalue())
        self._board = _open_board(folder / 'tensorboard', first_step)
        self.has_tensorboard = self._board is not None

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """
        One row of metrics.

        :raises ValueError: if a value has no column.
        :raises DataError: if it cannot be written.
        """
        row = {'step': step} | {name: f'{value:.6g}' for name, value in values.items()}
        try:
            with self._path.open('a', newline='', encoding='utf-8') as stream:
                csv.DictWriter(stream, COLUMNS).writerow(row)
        except OSError as error:
            raise DataError(f'{self._path}: cannot be written: {error.strerror or error}') from error
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name.replace('val_', 'val/'), value, step)

    def add_image(self, step: int, name: str, image: npt.NDArray[np.uint8]) -> None:
        """
        An RGB picture (H, W, 3) for TensorBoard; without it nothing happens.
        """
        if self._board is not None:
            self._board.add_image(name, image, step, dataformats='HWC')

    def close(self) -> None:
        """
        Write what is still held back.
        """
        if self._board is not None:
            self._board.close()


def read_metrics(path: Path) -> list[dict[str, str]]:
    """
    The rows of a metrics.csv; empty if there is none. A last row cut off by a crash is left out.

    :raises DataError: if the file is no such table.
    """
    if not path.is_file():
        return []
    with path.open(newline='', encoding='utf-8') as stream:
        reader = csv.DictReader(stream)
        if 'step' not in (reader.fieldnames or ()):
            raise DataError(f'{path}: found the columns {reader.fieldnames}, expected a column step')
        return [row for row in reader if row['step'].isdigit() and row[COLUMNS[-1]] is not None]


def _open_board(folder: Path, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=first_step or None)
