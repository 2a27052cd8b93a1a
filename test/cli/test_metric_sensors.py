# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What knows metres, through the commands.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rosbags')

from kp2d_ros.cli.draw import main as draw
from kp2d_ros.cli.evaluate_odometry import main as evaluate
from kp2d_ros.cli.replay import main as replay
from kp2d_ros.core.trajectories import read_tum
from kp2d_ros.recordings.bag_writer import write_bag
from kp2d_ros.recordings.sources import open_sequence
from kp2d_ros.simulation.scene import SimulatedSequence

SENSORS = ['stereo', 'rgbd']


@pytest.fixture(scope='module')
def bags(simulate: Callable[..., SimulatedSequence], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """
    A short walk with each sensor; ``uncalibrated`` is a stereo rig of which nobody says where the right camera is.
    """
    folder = tmp_path_factory.mktemp('walks')
    for sensor in SENSORS:
        write_bag(folder / sensor, simulate(sensor=sensor, frames=6, width=320, height=240, speed=0.8))
    return {sensor: folder / sensor for sensor in SENSORS}


def true_length(bag: Path) -> float:
    truth = open_sequence(bag, image_topic='/stereo/left/image_raw' if bag.name == 'stereo' else None).ground_truth
    return float(np.linalg.norm(np.diff(truth.world_from_camera[:, :3, 3], axis=0), axis=1).sum())


@pytest.mark.parametrize('sensor', SENSORS)
def test_a_replay_leaves_a_path_in_metres_and_says_how_wrong_its_scale_is(
    sensor: str, bags: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(bags[sensor]), '--sensor', sensor, '--method', 'orb', '--out', str(tmp_path / 'out'), '--quiet']
    assert replay(words) == 0
    poses = read_tum(tmp_path / 'out' / 'trajectory.txt').world_from_camera
    length = float(np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1).sum())
    assert length == pytest.approx(true_length(bags[sensor]), rel=0.03)
    run = json.loads((tmp_path / 'out' / 'run.json').read_text())
    assert run['settings']['sensor'] == sensor
    assert {frame['scale'] for frame in run['per_frame'][1:]} == {'METRIC'}
    score = run['scores']['trajectory']
    assert (score['alignment'], score['scale']) == ('se3', 1.0)
    assert abs(score['scale_error_percent']) < 3
    text = capsys.readouterr().out
    assert f'6 poses in metres ({sensor})' in text and 'after se3 alignment' in text and '  scale  ' in text


def test_the_sensor_may_come_from_the_settings_and_the_option_wins(bags: dict[str, Path], tmp_path: Path) -> None:
    words = [str(bags['rgbd']), '--method', 'orb', '--quiet', '--max-frames', '2']
    assert replay([*words, 'sensor=rgbd', '--out', str(tmp_path / 'a')]) == 0
    assert replay([*words, 'sensor=rgbd', '--sensor', 'mono', '--out', str(tmp_path / 'b')]) == 0
    sensors = [json.loads((tmp_path / name / 'run.json').read_text())['settings']['sensor'] for name in 'ab']
    assert sensors == ['rgbd', 'mono']


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['rgbd', '--sensor', 'stereo'], 'found no right images for /camera/color/image_raw'),
        (['stereo', '--sensor', 'rgbd'], 'found no topics of depth images among /stereo/left/image_raw'),
        (['stereo'], 'expected one: name it with --image-topic'),
        (['rgbd', '--baseline', '0.2'], 'baseline: found 0.2 with the sensor mono, expected none: it goes with stereo'),
    ],
)
def test_what_a_bag_does_not_have_is_one_line(
    words: list[str], message: str, bags: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay([str(bags[words[0]]), *words[1:], '--method', 'orb', '--out', str(tmp_path / 'out'), '--quiet']) == 1
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('option', ['--baseline=0', '--depth-scale=nan', '--sensor=three'])
def test_numbers_and_words_that_are_none_are_refused_by_the_parser(option: str, bags: dict[str, Path]) -> None:
    with pytest.raises(SystemExit, match='2'):
        replay([str(bags['stereo']), option])


@pytest.fixture
def unknown_rig(simulate: Callable[..., SimulatedSequence], tmp_path: Path) -> Path:
    """
    A stereo folder without the calibration of the right camera.
    """
    import cv2

    sequence = simulate(
        sensor='stereo', frames=3, width=320, height=240, distortion=[0.0] * 5, rig_rotation_deg=[0.0] * 3
    )
    for frame in sequence:
        for side, image in (('left', frame.image), ('right', frame.right.image)):
            (tmp_path / 'rig' / side).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / 'rig' / side / f'{frame.seq}.png'), image)
    camera = sequence.camera
    (tmp_path / 'rig' / 'camera.yaml').write_text(
        f'image_width: 320\nimage_height: 240\ncamera_matrix: {{data: {camera.matrix.ravel().tolist()}}}\n'
    )
    return tmp_path / 'rig'


def test_a_rig_of_unknown_width_is_refused_until_a_baseline_is_named(
    unknown_rig: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(unknown_rig), '--sensor', 'stereo', '--out', str(tmp_path / 'out'), '--quiet']
    assert replay([*words, '--method', 'orb']) == 1
    error = capsys.readouterr().err
    assert 'the right camera is not calibrated' in error or '--baseline METRES' in error
    assert evaluate([*words, '--methods', 'orb']) == 1
    assert replay([*words, '--method', 'orb', '--baseline', '0.12']) == 0
    assert 'in metres (stereo)' in capsys.readouterr().out


@pytest.mark.usefixtures('quick_pictures')
def test_an_evaluation_scores_metres_as_they_are_and_says_which_sensor(
    bags: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(bags['stereo']), '--sensor', 'stereo', '--methods', 'orb,sift', '--out', str(tmp_path), '--quiet']
    assert evaluate([*words, '--max-frames', '4']) == 0
    report = json.loads((tmp_path / 'report.json').read_text())
    assert (report['sensor'], report['alignment']) == ('stereo', 'se3')
    assert 'right camera' in report['sequences']['stereo']
    for run in report['runs']:
        assert abs(run['figures']['scale_error_percent']) < 5
        assert run['figures']['depth_ms'] > 0
    said = 'The sensor is stereo, paths are in metres; error of their scale: orb '
    assert said in capsys.readouterr().out
    assert said in (tmp_path / 'report.html').read_text(encoding='utf-8')


@pytest.mark.usefixtures('quick_pictures')
def test_a_run_of_another_rig_is_made_again(
    bags: dict[str, Path], unknown_rig: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(unknown_rig), '--sensor', 'stereo', '--methods', 'orb', '--out', str(tmp_path / 'out'), '--quiet']
    marks = []
    for baseline in ('0.12', '0.24', '0.12'):
        assert evaluate([*words, '--baseline', baseline]) == 0
        marks.append(json.loads((tmp_path / 'out' / 'report.json').read_text())['runs'][0]['fingerprint'])
    assert marks[0] == marks[2] != marks[1]


@pytest.mark.parametrize('sensor', SENSORS)
def test_depth_is_drawn(sensor: str, bags: dict[str, Path], tmp_path: Path) -> None:
    words: list[Any] = [bags[sensor], '--sensor', sensor, '--method', 'orb', '--out', tmp_path / 'out', '--quiet']
    assert draw([*map(str, words), '--max-frames', '2']) == 0
    assert len(list((tmp_path / 'out').iterdir())) == 2
