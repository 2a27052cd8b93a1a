# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from kp2d_ros.cli.replay import main
from kp2d_ros.core.cameras import CameraModel
from kp2d_ros.core.files import claim_folder
from kp2d_ros.core.trajectories import format_tum, read_tum
from kp2d_ros.simulation.scene import SceneConfig, SimulatedSequence


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory, format_camera: Callable[[CameraModel], str]) -> Path:
    """
    A sequence of eight small images with calibration, times and true poses, as a plain folder.
    """
    path = tmp_path_factory.mktemp('walk')
    sequence = SimulatedSequence(SceneConfig(frames=8, width=320, height=240, samples=1, speed=0.8))
    (path / 'images').mkdir()
    for frame in sequence:
        cv2.imwrite(str(path / 'images' / f'{frame.seq}.png'), cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))
    (path / 'camera.yaml').write_text(format_camera(sequence.camera))
    truth = sequence.ground_truth
    (path / 'times.txt').write_text(''.join(f'{ns / 1e9:.9f}\n' for ns in truth.stamps_ns.tolist()))
    (path / 'poses.txt').write_text(format_tum(truth))
    return path


def test_leaves_the_trajectory_and_what_happened_to_each_image(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'out'
    assert main([str(folder), '--method', 'sift', '--out', str(out), '--quiet']) == 0
    run = json.loads((out / 'run.json').read_text())
    assert run['frames'] == 8 and len(run['per_frame']) == 8
    assert sum(run['states'].values()) == 8 and run['states'].get('LOST', 0) == 0
    assert run['model_id'] == 'rootsift' and run['settings']['extractor.name'] == 'sift'
    assert {'inference', 'match', 'pose', 'total'} <= set(run['stage_ms'])
    assert all(frame['inliers'] > 30 for frame in run['per_frame'][1:])
    assert run['scores']['pairs']['rotation_deg']['median'] < 0.2
    trajectory = read_tum(out / 'trajectory.txt')
    assert len(trajectory) == 8
    np.testing.assert_array_equal(trajectory.world_from_camera[0], np.eye(4))
    assert '8 frames with rootsift' in capsys.readouterr().out


def test_two_runs_write_the_same_trajectory_bit_by_bit(folder: Path, tmp_path: Path) -> None:
    for name in ('first', 'second'):
        assert main([str(folder), '--method', 'orb', '--out', str(tmp_path / name), '--quiet']) == 0
    first = (tmp_path / 'first' / 'trajectory.txt').read_bytes()
    assert first == (tmp_path / 'second' / 'trajectory.txt').read_bytes()
    assert len(first.splitlines()) == 9


def test_settings_come_from_the_file_and_the_command_line_wins(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / 'settings.yaml'
    config.write_text('extractor: {name: orb, max_keypoints: 300}\nmatching: {ratio: 0.7}\n')
    words = [str(folder), 'extractor.max_keypoints=200', '--config', str(config), '--out', str(tmp_path / 'out')]
    assert main([*words, '--max-frames', '2', '--quiet']) == 0
    run = json.loads((tmp_path / 'out' / 'run.json').read_text())
    assert run['frames'] == 2
    assert run['settings']['extractor.max_keypoints'] == 200
    assert run['settings']['matching.ratio'] == 0.7
    assert all(frame['keypoints'] <= 200 for frame in run['per_frame'])


@pytest.fixture(scope='module')
def video(folder: Path) -> Path:
    """
    The same images as a video, which carries no calibration.
    """
    writer = cv2.VideoWriter(str(folder / 'walk.avi'), cv2.VideoWriter.fourcc(*'MJPG'), 10.0, (320, 240))
    for i in range(8):
        writer.write(cv2.imread(str(folder / 'images' / f'{i}.png')))
    writer.release()
    return folder / 'walk.avi'


@pytest.mark.parametrize('name', ['images', 'walk.avi'])
def test_images_without_calibration_are_refused_until_one_is_named(
    name: str, folder: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(folder / name), '--method', 'orb', '--out', str(tmp_path / 'out'), '--quiet', '--max-frames', '3']
    assert main(words) == 1
    error = capsys.readouterr().err
    assert 'the camera is not calibrated' in error and '--calibration YAML' in error and error.count('\n') == 1
    assert not (tmp_path / 'out').exists()
    assert main([*words, '--calibration', str(folder / 'camera.yaml')]) == 0
    assert len(read_tum(tmp_path / 'out' / 'trajectory.txt')) == 3


@pytest.mark.parametrize(('taken', 'message'), [(False, 'cannot be written'), (True, 'another run is writing')])
def test_a_folder_that_cannot_be_used_is_said_before_the_work(
    taken: bool,
    message: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delattr('kp2d_ros.odometry.frontend.Frontend.process')
    (tmp_path / 'file').touch()
    out = tmp_path / 'out' if taken else tmp_path / 'file' / 'out'
    with claim_folder(tmp_path / 'out'):
        assert main([str(folder), '--method', 'orb', '--out', str(out), '--quiet']) == 1
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1


@pytest.mark.parametrize('count', ['0', '-3'])
def test_a_number_of_images_that_is_none_is_refused_before_anything_is_written(
    count: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match='2'):
        main([str(folder), f'--max-frames={count}', '--out', str(tmp_path / 'out')])
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['nowhere'], 'nowhere: does not exist'),
        (['FOLDER', 'matching.ration=0.8'], 'did you mean matching.ratio?'),
        (['FOLDER', '--method', 'surf'], "found 'surf'"),
        (['FOLDER', '--method', 'kp2d', 'extractor.model=nothing'], "found 'nothing', which is no file"),
        (['FOLDER', '--config', 'missing.yaml'], 'missing.yaml: cannot be read: No such file or directory\n'),
    ],
)
def test_what_cannot_be_used_is_one_line_and_status_1(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    words = [str(folder) if word == 'FOLDER' else word for word in words]
    assert main([*words, '--out', str(tmp_path / 'out'), '--quiet']) == 1
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1
    assert not (tmp_path / 'out').exists()


def test_the_picture_is_drawn_on_request(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip('matplotlib', reason='matplotlib is not installed (extra: evaluation)')
    words = [str(folder), '--method', 'orb', '--out', str(tmp_path), '--quiet', '--plot', '--max-frames', '4']
    assert main(words) == 0
    assert (tmp_path / 'trajectory.png').stat().st_size > 1000


def test_a_picture_that_cannot_be_drawn_is_said_before_the_work(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr('kp2d_ros.core.packages.find_spec', lambda name: None)
    assert main([str(folder), '--method', 'orb', '--out', str(tmp_path / 'out'), '--plot']) == 1
    assert 'matplotlib' in capsys.readouterr().err and not (tmp_path / 'out').exists()


def test_an_empty_trajectory_is_explained(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / 'dark').mkdir()
    for number in range(3):
        cv2.imwrite(str(tmp_path / 'dark' / f'{number}.png'), np.zeros((240, 320), np.uint8))
    words = ['--calibration', str(folder / 'camera.yaml'), '--method', 'orb', '--out', str(tmp_path / 'out'), '--quiet']
    assert main([str(tmp_path / 'dark'), *words]) == 0
    out = capsys.readouterr().out
    assert 'mean brightness 0 of 255' in out and 'of 3 frames, see run.json' in out


@pytest.mark.parametrize(('setting', 'is_said'), [('max_side_px=160', True), ('max_side_px=0', False)])
def test_a_working_size_below_that_of_the_images_is_said_once(
    setting: str, is_said: bool, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ['--method', 'orb', '--out', str(tmp_path), '--quiet', '--max-frames', '3', setting]
    assert main([str(folder), *words]) == 0
    said = 'images of 320x240 are worked on with 160 px on the longer side'
    assert capsys.readouterr().out.count(said) == int(is_said)
