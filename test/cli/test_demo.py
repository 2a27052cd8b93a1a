# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from kp2d_ros.cli.demo import main
from kp2d_ros.cli.replay import main as replay
from kp2d_ros.cli.ros_processes import find_executable, isolated_environment
from kp2d_ros.core.errors import BackendError
from kp2d_ros.core.files import claim_folder
from kp2d_ros.core.resources import find_shipped_file
from kp2d_ros.core.trajectories import read_tum
from kp2d_ros.evaluation.odometry.run_file import read_recording

SMALL = ['frames=20', 'width=320', 'height=240', 'samples=1', 'still_frames=3', 'blank_frames=0']


def test_the_processes_stay_on_this_machine_and_in_a_domain_of_their_own() -> None:
    environment = isolated_environment({'ROS_DISTRO': 'kilted', 'ROS_DOMAIN_ID': '0'})
    assert 1 <= int(environment['ROS_DOMAIN_ID']) <= 101
    assert environment['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
    assert '127.0.0.1' in Path(environment['FASTDDS_DEFAULT_PROFILES_FILE']).read_text()


@pytest.mark.parametrize('distribution', ['humble', 'jazzy', 'kilted'])
def test_each_ros_distribution_gets_the_variables_that_it_knows(distribution: str) -> None:
    environment = isolated_environment({'ROS_DISTRO': distribution, 'ROS_DOMAIN_ID': '42'})
    profile = str(find_shipped_file('config/fastdds_localhost.xml'))
    assert environment['ROS_DOMAIN_ID'] == '42'
    assert ('ROS_LOCALHOST_ONLY' in environment) == (distribution == 'humble')
    assert (environment.get('FASTDDS_DEFAULT_PROFILES_FILE') == profile) == (distribution == 'kilted')
    assert (environment.get('FASTRTPS_DEFAULT_PROFILES_FILE') == profile) == (distribution != 'kilted')


def test_without_a_sourced_workspace_the_demo_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('rosbags', reason='rosbags is not installed (extra: bags)')
    monkeypatch.setenv('AMENT_PREFIX_PATH', '')
    assert main(['frames=2', 'width=64', 'height=48', 'samples=1', '--out', str(tmp_path)]) == 1
    out, error = capsys.readouterr()
    assert 'make build' in error and error.count('\n') == 1
    assert 'render' not in out


@pytest.mark.parametrize(
    ('words', 'message'),
    [(['--rate=-1'], 'found -1'), (['--method', 'surf'], "found 'surf'"), (['sensor=lidar'], "found 'lidar'")],
)
def test_what_cannot_be_used_is_said_before_anything_is_made(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, '--out', str(tmp_path / 'out')]) == 1
    out, error = capsys.readouterr()
    assert message in error and error.count('\n') == 1 and not out
    assert not (tmp_path / 'out').exists()


def test_a_second_demo_does_not_clear_the_folder_of_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'recording.json').touch()
    with claim_folder(tmp_path):
        assert main([*SMALL, '--out', str(tmp_path)]) == 1
    assert 'another run is writing' in capsys.readouterr().err
    assert (tmp_path / 'recording.json').exists()


@pytest.mark.ros
@pytest.mark.parametrize('sensor', ['mono', 'stereo'])
def test_three_processes_over_dds_give_the_trajectory_of_the_offline_run(
    sensor: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ('frontend', 'replay'):
        try:
            find_executable(name)
        except BackendError as error:
            pytest.skip(str(error))
    out = tmp_path / 'demo'
    assert main([*SMALL, '--sensor', sensor, '--method', 'sift', '--out', str(out)]) == 0, capsys.readouterr().err
    result = json.loads((out / 'result.json').read_text())
    assert result['frames'] == {'sent': 20, 'received': 20, 'processed': 20, 'dropped': 0, 'recorded': 20}
    assert result['messages'] == {
        'keypoints': 20,
        'matches': 19,
        'relative_pose': 19,
        'odometry': 19,
        'status': 20,
        'debug_image': 20,
    }
    assert result['states']['STATIONARY'] == 2 and result['states']['OK'] > 10
    is_metric = sensor != 'mono'
    assert (result['sensor'], result['trajectory']['alignment']) == (sensor, 'se3' if is_metric else 'sim3')
    assert result['trajectory']['ate']['rms'] < (0.01 if is_metric else 0.1) * result['trajectory']['path_length']
    assert result['pairs']['rotation_deg']['median'] < 0.2
    stages = ['wait', 'decode', 'inference', 'match', *(['depth'] if is_metric else []), 'pose', 'publish', 'total']
    assert list(result['latency_ms']) == stages
    assert cv2.imread(str(out / 'frame.png')).shape == (240, 320, 3)
    assert (out / 'trajectory.png').stat().st_size > 1000

    words = [str(out / 'sequence'), '--sensor', sensor, '--method', 'sift', '--quiet']
    assert replay([*words, '--out', str(tmp_path / 'offline')]) == 0
    offline, online = read_tum(tmp_path / 'offline' / 'trajectory.txt'), read_tum(out / 'trajectory.txt')
    np.testing.assert_array_equal(online.stamps_ns, offline.stamps_ns)
    np.testing.assert_allclose(online.world_from_camera, offline.world_from_camera, atol=1e-6)

    # The odometry is the same path, seen by the robot: x is forward there, and z in the camera.
    odometry = read_recording(out / 'recording.json').odometry
    shared = np.isin(online.stamps_ns, odometry.stamps_ns)
    forward_left_up = online.world_from_camera[shared][:, [2, 0, 1], 3] * [1, -1, -1]
    np.testing.assert_allclose(odometry.world_from_camera[:, :3, 3], forward_left_up, atol=1e-6)
