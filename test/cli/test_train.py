# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
``kp2d train`` from a folder of pictures to files that the rest of the package takes, and back after any kind of end.
"""

from __future__ import annotations

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from kp2d_ros.cli import export as export_command
from kp2d_ros.cli.train import TrainingBar, main
from kp2d_ros.core.files import claim_folder
from kp2d_ros.core.settings import flatten
from kp2d_ros.inference.extractor import ExtractorConfig
from kp2d_ros.inference.pipeline import build_extractor
from kp2d_ros.networks.checkpoint import load_network
from kp2d_ros.networks.inlier_net import load_inlier_net
from kp2d_ros.networks.tensor_file import read_tensor_file
from kp2d_ros.training.config import PRESETS, TrainConfig

SMALL = [
    'network.channels=[4,6,8,8]',
    'network.head_channels=8',
    'network.upsample_channels=4',
    'network.tail_channels=8',
    'network.descriptor_dim=8',
    'pairs.height=48',
    'pairs.width=64',
    'loss.inlier.pair_count=20',
    'loss.inlier.minimum_inliers=0',
    'loader.batch_size=2',
    'loader.workers=0',
    'optimiser.decay=constant',
    'training.validation_pairs=2',
    'training.log_every=1',
    'training.device=cpu',
]
SHORT = [*SMALL, 'training.steps=4', 'training.validate_every=2', 'training.save_every=2']


@pytest.fixture(scope='module', autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope='module')
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    Eleven pictures of coarse structure, and a broken one.
    """
    folder, rng = tmp_path_factory.mktemp('photos'), np.random.default_rng(0)
    for i in range(11):
        coarse = rng.integers(0, 256, (9, 12, 3), np.uint8)
        cv2.imwrite(str(folder / f'{i}.png'), cv2.resize(coarse, (96, 72), interpolation=cv2.INTER_CUBIC))
    (folder / 'broken.png').write_bytes(b'no picture')
    return folder


@pytest.fixture(scope='module')
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The folder of a short run that ended well.
    """
    out = tmp_path_factory.mktemp('runs') / 'short'
    assert main(['v4', '--data', str(photos), '--out', str(out), *SHORT]) == 0
    return out


def read_rows(out: Path) -> list[dict[str, str]]:
    with (out / 'metrics.csv').open(newline='') as stream:
        return list(csv.DictReader(stream))


def weights(out: Path) -> dict[str, torch.Tensor]:
    return read_tensor_file(out / 'last.safetensors').tensors | read_tensor_file(out / 'state.safetensors').tensors


def assert_same_run(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert not [name for name in first if not torch.equal(first[name], second[name])]
    measured = ('pairs_per_second', 'data_share')
    rows = [[{k: v for k, v in row.items() if k not in measured} for row in read_rows(out)] for out in (one, other)]
    assert rows[0] == rows[1]


def test_a_run_leaves_the_files_of_the_contract(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} >= {
        'metrics.csv',
        'last.safetensors',
        'best.safetensors',
        'last_inlier.safetensors',
        'best_inlier.safetensors',
        'state.safetensors',
        'config.yaml',
        'run.json',
    }
    assert not list(finished.glob('.*'))
    rows = read_rows(finished)
    assert [row['step'] for row in rows] == ['0', '1', '2', '3', '4']
    losses = ('total', 'location', 'usp', 'consistency', 'descriptor', 'inlier', 'recall')
    figures = ('repeatability', 'one_to_one', 'localisation_px', 'matching_score', 'recall')
    for row in rows:
        assert all(bool(row[name]) == (row['step'] != '0') for name in losses)
        assert all(bool(row[f'val_{name}']) == (row['step'] in '024') for name in figures)
    assert 0 <= float(rows[-1]['val_recall']) <= 1
    record = json.loads((finished / 'run.json').read_text())
    assert (record['photographs'], record['held_out']) == (10, 1)
    assert record['skipped'].startswith('1 images skipped') and 'broken.png' in record['skipped']
    assert record['versions']['torch'] == torch.__version__ and len(record['data_fingerprint']) == 64


def test_the_checkpoints_run_in_the_frontend_and_as_onnx(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], rng: np.random.Generator
) -> None:
    network, info = load_network(finished / 'last.safetensors')
    assert info.is_trained and info.name == 'kp2d-v4'
    assert info.metadata['step'] == 4 and info.metadata['photographs'] == 10
    assert network.config.channels == (4, 6, 8, 8)
    assert load_inlier_net(finished / 'last_inlier.safetensors')[1] == info.model_id
    image = rng.integers(0, 256, (48, 64, 3), np.uint8)
    for name in ('last', 'best'):
        extractor = build_extractor(ExtractorConfig(name='kp2d', model=str(finished / f'{name}.safetensors')))
        keypoints = extractor.extract(image)
        assert len(keypoints) > 0 and np.allclose(np.linalg.norm(keypoints.descriptors, axis=1), 1, atol=1e-4)
    onnx_file = tmp_path / 'net.onnx'
    arguments = ['--method', str(finished / 'last.safetensors'), '--out', str(onnx_file)]
    assert export_command.main([*arguments, '--height', '48', '--width', '64']) == 0
    assert info.model_id in capsys.readouterr().out and onnx_file.is_file()


def test_a_run_stopped_by_ctrl_c_goes_on_to_the_same_bits(
    finished: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    show = TrainingBar.show

    def interrupt(self: TrainingBar, step: int, figures: Any) -> None:
        show(self, step, figures)
        if step == 1:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(TrainingBar, 'show', interrupt)
        assert main(['v4', '--data', str(photos), '--out', str(tmp_path / 'run'), *SHORT]) == 130
    assert f'go on with: kp2d train --resume {tmp_path / "run"}\n' in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is before
    assert main(['--resume', str(tmp_path / 'run')]) == 0
    assert_same_run(tmp_path / 'run', finished)
    (visit,) = json.loads((tmp_path / 'run' / 'run.json').read_text())['resumed']
    assert visit['step'] == 2 and visit['changed'] == {}


def test_a_full_disk_ends_a_run_that_goes_on_to_the_same_bits(
    finished: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_bytes, out = Path.write_bytes, tmp_path / 'run'

    def fill(self: Path, data: bytes) -> int:
        if self.name.startswith('.state.') and (out / 'state.safetensors').exists():
            write_bytes(self, data[:1000])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_bytes(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, 'write_bytes', fill)
        assert main(['v4', '--data', str(photos), '--out', str(out), *SHORT]) == 1
    assert 'state.safetensors: cannot be written: No space left on device' in capsys.readouterr().err
    assert not list(out.glob('.*'))
    (out / '.last.123.part.safetensors').write_bytes(b'half')  # left by a process that was killed
    with (out / 'metrics.csv').open('a') as stream:
        stream.write('5,0.00')
    assert main(['--resume', str(out)]) == 0
    assert_same_run(out, finished)
    assert not list(out.glob('.*'))


def test_a_folder_that_cannot_be_written_or_is_in_use_is_refused_before_the_photographs_are_read(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr('kp2d_ros.training.session.open_data', lambda *_: pytest.fail('read'))
    (tmp_path / 'file').write_text('')
    arguments = ['v4', '--data', str(photos), *SHORT]
    assert main([*arguments, '--out', str(tmp_path / 'file' / 'run')]) == 1
    assert 'run: cannot be written: Not a directory' in capsys.readouterr().err
    with claim_folder(tmp_path / 'run'):
        assert main([*arguments, '--out', str(tmp_path / 'run')]) == 1
    assert 'another run is writing into this folder' in capsys.readouterr().err


def test_too_little_memory_ends_in_one_line(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> bool:
        raise torch.OutOfMemoryError('tried to allocate 3 GiB')

    monkeypatch.setattr('kp2d_ros.training.session.train', fail)
    assert main(['v4', '--data', str(photos), '--out', str(tmp_path / 'run'), *SHORT]) == 1
    error = capsys.readouterr().err
    assert 'error: training: cpu has too little memory (tried to allocate 3 GiB), expected a smaller loader' in error
    assert 'Traceback' not in error


def test_the_bar_shows_loss_recall_speed_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    bar = TrainingBar(100)
    bar.begin({'photographs': 9, 'held_out': 1, 'skipped': 'none skipped'}, 20)
    figures = {'repeatability': 1.0, 'localisation_px': 0.5, 'matching_score': 0.75, 'recall': 0.25}
    losses = {'total': 1.2345, 'recall': 0.5, 'pairs_per_second': 17.0}
    bar.show(30, losses | {f'val_{name}': value for name, value in figures.items()})
    bar.close()
    out, shown = capsys.readouterr()
    assert out == '9 photographs, 1 held out; none skipped\n'
    assert 'loss 1.234, recall 0.50, 17.0 pairs/s' in shown and '30/100' in shown and '<' in shown
    assert 'step 30: repeatability 1.000, localisation 0.50 px, matching score 0.750, recall 0.250' in shown


def test_a_run_that_was_killed_goes_on_to_the_same_bits(photos: Path, tmp_path: Path) -> None:
    settings = [*SMALL, 'training.validate_every=0', 'training.save_every=1']
    killed, whole = tmp_path / 'killed', tmp_path / 'whole'
    command = [sys.executable, '-m', 'kp2d_ros.cli.train', 'v4', '--data', str(photos), '--out', str(killed)]
    root = str(Path(__file__).parents[2])
    environment = os.environ | {'PYTHONPATH': root, 'OMP_NUM_THREADS': '1'}
    process = subprocess.Popen([*command, *settings], env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (killed / 'state.safetensors').exists() and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    steps = read_tensor_file(killed / 'state.safetensors').document['step'] + 2
    assert main(['--resume', str(killed), f'training.steps={steps}']) == 0
    assert main(['v4', '--data', str(photos), '--out', str(whole), *settings, f'training.steps={steps}']) == 0
    assert_same_run(killed, whole)
    (visit,) = json.loads((killed / 'run.json').read_text())['resumed']
    assert visit['changed'] == {'training.steps': [100000, steps]}


def copy_run(finished: Path, to: Path) -> Path:
    to.mkdir()
    for path in finished.iterdir():
        if path.is_file():
            (to / path.name).write_bytes(path.read_bytes())
    return to


def test_settings_may_change_but_not_the_network(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_run(finished, tmp_path / 'run')
    wider = ['training.steps=5', 'optimiser.ema_decay=0.9', 'loss.descriptor.margin=0.3']
    assert main(['--resume', str(run), *wider]) == 0
    (visit,) = json.loads((run / 'run.json').read_text())['resumed']
    assert visit['changed'] == {
        'loss.descriptor.margin': [0.2, 0.3],
        'optimiser.ema_decay': [0.0, 0.9],
        'training.steps': [4, 5],
    }
    for word, path in (
        ('network.head_channels=9', 'network.head_channels'),
        ('loss.inlier.blocks=5', 'loss.inlier.blocks'),
        ('loss.inlier.weight=0', 'loss.inlier.weight'),
        ('initial=x.safetensors', 'initial'),
    ):
        assert main(['--resume', str(run), word]) == 1
        assert f'error: {path}: found' in capsys.readouterr().err


def test_other_data_is_refused_unless_it_is_asked_for(
    finished: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = copy_run(finished, tmp_path / 'run'), copy_run(photos, tmp_path / 'photos')
    (data / '3.png').unlink()
    record = json.loads((run / 'run.json').read_text())
    (run / 'run.json').write_text(json.dumps({**record, 'data': [str(data)]}))
    assert main(['--resume', str(run), 'training.steps=5']) == 1
    assert 'are not the 10 that the run began with; name them with --data' in capsys.readouterr().err
    assert main(['--resume', str(run), 'training.steps=5', '--data', str(data)]) == 0


def test_everything_wrong_is_refused_before_anything_starts(
    photos: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'empty').mkdir()
    out, data = ['--out', str(tmp_path / 'run')], ['--data', str(photos)]
    initial = f'initial={finished / "last.safetensors"}'
    for arguments, message in (
        (['v4', *out], 'expected one PRESET, at least one --data PATH and --out DIR'),
        (['v4', 'v3', *out, *data], 'expected one PRESET'),
        (['compct-s', *out, *data], "preset: found 'compct-s', did you mean compact-s?"),
        (['v4', *out, *data, 'training.stpes=3'], 'unknown setting training.stpes, did you mean training.steps?'),
        (['v4', *out, *data, 'name=a b'], "name of a network: found 'a b', expected up to 64 letters"),
        (['v4', *out, *data, f'training.seed={10**23}'], 'training.seed: found 1'),
        (['v4', *out, *data, 'training.steps=0'], 'training.steps: found 0, expected a number from 1'),
        (['v4', *out, *data, 'pairs.height=50'], 'pairs.height: found 50, expected a multiple of 8'),
        (['resnet18', *out, *data, 'pairs.height=48'], 'pairs.height: found 48, expected a multiple of 32'),
        (['v4', *out, *data, *SMALL, 'training.sync_batch_norm=true'], 'training.sync_batch_norm: found true on cpu'),
        (['v4', *out, *data, 'training.device=cuda:7'], "device: found 'cuda:7', expected one of the"),
        (['v4', *out, *data, 'training.device=meta'], "device: found 'meta', expected auto, cpu, cuda or cuda:N"),
        (['v4', *out, *data, 'training.device=warp'], "device: found 'warp', expected auto, cpu, cuda or cuda:N"),
        (['v4', *out, *data, *SMALL, initial, 'network.head_channels=7'], 'network.head_channels found 8, expected 7'),
        (['v4', *out, *data, *SMALL, 'pretrained=x.pth'], 'pretrained: found a keypointnet, expected a resnet18'),
        (['v4', *out, '--data', str(tmp_path / 'nowhere'), *SMALL], 'nowhere: does not exist'),
        (['v4', *out, '--data', str(tmp_path / 'empty'), *SMALL], 'empty: '),
        (['v4', *data, '--out', str(finished), *SMALL], 'already holds a training run; continue it with --resume'),
        (['--resume', str(tmp_path)], 'expected the folder of a training run'),
        (['v4', '--resume', str(finished)], 'expected the folder of the run alone'),
    ):  # fmt: skip
        assert main(arguments) == 1, arguments
        error = capsys.readouterr().err
        assert error.startswith('error: ') and message in error and error.count('\n') == 1, error
    assert not (tmp_path / 'run').exists()


def test_a_run_can_start_from_another_one(finished: Path, photos: Path, tmp_path: Path) -> None:
    start = f'initial={finished / "best.safetensors"}'
    settings = [*SHORT, start, 'network.with_drop=false', 'training.steps=1', 'optimiser.learning_rate=0']
    assert main(['v4', '--data', str(photos), '--out', str(tmp_path / 'run'), *settings]) == 0
    old, new = (read_tensor_file(p / 'best.safetensors').tensors for p in (finished, tmp_path / 'run'))
    assert all(torch.equal(old[k], new[k]) for k in old if not k.endswith(('_mean', '_var', 'tracked')))


def test_a_run_can_start_from_a_narrower_network(finished: Path, photos: Path, tmp_path: Path) -> None:
    start = f'initial={finished / "best.safetensors"}'
    settings = [*SHORT, start, 'network.tail_channels=16', 'network.descriptor_dim=16', 'optimiser.learning_rate=0']
    assert main(['v4', '--data', str(photos), '--out', str(tmp_path / 'run'), *settings, 'training.steps=1']) == 0
    old, new = (read_tensor_file(p / 'best.safetensors').tensors for p in (finished, tmp_path / 'run'))
    assert torch.equal(old['convPb.weight'], new['convPb.weight'])
    assert new['convFbb.weight'].shape[:2] == (16, 16)


def test_few_photographs_are_looked_at_more_often(photos: Path, tmp_path: Path) -> None:
    (tmp_path / 'two').mkdir()
    for name in ('0.png', '1.png'):
        (tmp_path / 'two' / name).write_bytes((photos / name).read_bytes())
    settings = [*SMALL, 'loader.batch_size=5', 'training.steps=2']
    assert main(['compact-n', '--data', str(tmp_path / 'two'), '--out', str(tmp_path / 'run'), *settings]) == 0


def test_help_lists_every_setting_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(['--help'])
    shown = capsys.readouterr().out
    assert all(preset in shown for preset in PRESETS)
    for path, _, info in flatten(TrainConfig()):
        assert f'  {path}=' in shown and info.description in shown
    assert 'training.steps=20000' in shown and 'training.compile=false' in shown and 'channels=[32,64,128,256]' in shown
