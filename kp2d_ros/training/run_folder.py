# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The folder of a run: its settings, the record of its data and versions, and what may change when it goes on.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.resources import read_version
from kp2d_ros.core.settings import build, flatten, format_yaml, load_yaml
from kp2d_ros.pairs.photos import Photos
from kp2d_ros.training.run_config import TrainConfig

STATE_FILE = 'state.safetensors'
CONFIG_FILE = 'config.yaml'
RECORD_FILE = 'run.json'

Record = dict[str, Any]

# What the saved state depends on, or what matters only at the beginning.
_FIXED = ('network.', 'loss.inlier.blocks', 'initial', 'pretrained')
# With these the same files give other training photographs.
_CHOOSES_PHOTOS = ('pairs.', 'training.seed', 'training.validation_pairs')


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
        'versions': _versions(),
        'resumed': [],
    }


def write_folder(out: Path, config: TrainConfig, record: Record) -> None:
    """
    Write settings and record, the record last: a folder with a record holds a run.

    :raises DataError: if the folder cannot be written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write_whole(out / CONFIG_FILE, format_yaml(config))
        _write_whole(out / RECORD_FILE, json.dumps(record, indent=2) + '\n')
    except OSError as error:
        raise DataError(f'{out}: cannot be written: {error}') from error


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


def recorded_paths(record: Record) -> list[Path]:
    """
    Where the data of a run was.
    """
    return [Path(str(path)) for path in record['data']]


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


def _versions() -> dict[str, str]:
    return {'kp2d_ros': read_version(), 'torch': torch.__version__, 'python': platform.python_version()}


def _write_whole(path: Path, text: str) -> None:
    part = path.with_name(f'.{path.name}.part')
    with part.open('w', encoding='utf-8') as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)
