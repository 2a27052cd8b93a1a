# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The examples run as they say that they do.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from kp2d_ros.core.cameras import CameraModel
from kp2d_ros.simulation.scene import SceneConfig, SimulatedSequence

EXAMPLES = Path(__file__).parents[2] / 'examples'


@pytest.fixture(scope='module')
def room(tmp_path_factory: pytest.TempPathFactory, format_camera: Callable[[CameraModel], str]) -> Path:
    """
    A folder with five images of a room and its camera.
    """
    folder = tmp_path_factory.mktemp('room')
    (folder / 'images').mkdir()
    sequence = SimulatedSequence(SceneConfig(frames=5, width=320, height=240))
    for frame in sequence:
        cv2.imwrite(str(folder / 'images' / f'{frame.seq}.png'), cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))
    (folder / 'camera.yaml').write_text(format_camera(sequence.camera))
    return folder


def run(name: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / name), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_two_images_are_matched(room: Path) -> None:
    done = run('match_two_images.py', room / 'images' / '0.png', room / 'images' / '1.png', 'orb')
    assert done.returncode == 0, done.stderr
    lines = [[float(word) for word in line.split()] for line in done.stdout.splitlines()]
    assert len(lines) > 50 and all(len(line) == 5 for line in lines)
    assert done.stderr.startswith(f'{len(lines)} matches of ')


def test_a_camera_is_followed(room: Path) -> None:
    done = run('odometry_of_a_video.py', room / 'images', room / 'camera.yaml', 'orb')
    assert done.returncode == 0, done.stderr
    lines = [[float(word) for word in line.split()] for line in done.stdout.splitlines()]
    assert len(lines) == 5 and lines[0][1:] == [0.0, 0.0, 0.0]
    assert any(value != 0.0 for value in lines[-1][1:])
    assert done.stderr == '5 images, 0 of them lost\n'


@pytest.mark.parametrize('sensor', ['stereo', 'rgbd'])
def test_a_path_in_metres_is_as_long_as_the_true_one(sensor: str, tmp_path: Path) -> None:
    pytest.importorskip('rosbags')
    from kp2d_ros.recordings.bag_writer import write_bag

    sequence = SimulatedSequence(SceneConfig(sensor=sensor, frames=5, width=320, height=240, speed=0.8))
    write_bag(tmp_path / 'bag', sequence)
    done = run('odometry_in_metres.py', tmp_path / 'bag', sensor, 'orb')
    assert done.returncode == 0, done.stderr
    places = np.array([[float(word) for word in line.split()] for line in done.stdout.splitlines()])[:, 1:]
    truth = sequence.ground_truth.world_from_camera[:, :3, 3]
    assert np.linalg.norm(places[-1]) == pytest.approx(np.linalg.norm(truth[-1] - truth[0]), rel=0.03)
    assert int(done.stderr.split()[0]) > 100


@pytest.mark.parametrize('name', ['match_two_images.py', 'odometry_of_a_video.py', 'odometry_in_metres.py'])
def test_what_cannot_be_read_is_one_line_and_how_to_call_it_is_told(name: str) -> None:
    done = run(name, 'nowhere', 'nothing')
    assert (
        done.returncode == 1 and done.stderr.splitlines()[-1].startswith('error: ') and 'Traceback' not in done.stderr
    )
    assert f'python examples/{name} ' in run(name).stderr
