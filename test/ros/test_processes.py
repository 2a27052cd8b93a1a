# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The executables as processes of their own.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import pytest

from kp2d_ros.core.cameras import CameraModel

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from geometry_msgs.msg import PoseStamped  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

from kp2d_ros.core.cameras import LensModel  # noqa: E402
from kp2d_ros.msg import FrontendStatus, KeypointArray, RelativePose  # noqa: E402
from kp2d_ros.ros.conversions import camera_from_message, ns_from_time  # noqa: E402

if TYPE_CHECKING:
    from test.ros.conftest import Rig

FRAMES = 8
STUCK = """
import sys, time
from kp2d_ros.inference.classical import ClassicalExtractor
from kp2d_ros.ros.frontend_node import FrontendNode, run
from kp2d_ros.ros.interruption import ros_context

class Stuck(ClassicalExtractor):
    def extract(self, image):
        time.sleep(1000.0 if image.shape == (120, 160) else 0.0)
        return super().extract(image)

with ros_context(sys.argv):
    status = run(FrontendNode(build=Stuck))
raise SystemExit(status)
"""


@pytest.fixture
def recording(rig: Rig, tmp_path: Path, format_camera: Callable[[CameraModel], str]) -> Path:
    """
    A folder of images with a calibration and true poses.
    """
    (tmp_path / 'images').mkdir()
    for number in range(FRAMES):
        cv2.imwrite(str(tmp_path / 'images' / f'{number:06d}.png'), rig.pattern.view(number))
    camera = camera_from_message(rig.camera_info(), is_rectified=False).camera
    assert camera.lens is LensModel.PLUMB_BOB
    (tmp_path / 'camera.yaml').write_text(format_camera(camera))
    rows = [f'1 0 0 {0.1 * number} 0 1 0 0 0 0 1 0' for number in range(FRAMES)]
    (tmp_path / 'poses.txt').write_text('\n'.join(rows) + '\n')
    return tmp_path


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_frontend_ends_well_on_a_signal(run: Any, number: Any) -> None:
    process = run('frontend_node', '--ros-args', '-p', 'extractor.name:=orb', '-p', 'mode:=replay')
    process.wait_for('active: mode replay, orb')
    process.send(number)
    assert process.status() == 0
    assert not [line for line in process.lines if 'Traceback' in line]


def test_frontend_refuses_a_wrong_parameter_in_one_line(run: Any) -> None:
    process = run('frontend_node', '--ros-args', '-p', 'mode:=fast')
    assert process.status() == 1
    assert len(process.lines) == 1
    assert "mode: found 'fast', expected one of 'live', 'replay'" in process.lines[0]


def test_a_frontend_whose_worker_stays_stuck_ends_with_one_line_and_a_status(run: Any, rig: Rig) -> None:
    images = rig.neighbour.create_publisher(Image, 'image', 1)
    rig.neighbour.create_timer(0.1, lambda: images.publish(rig.image(0)))
    process = run(STUCK, '--ros-args', '-p', 'extractor.name:=orb', '-p', 'stuck_exit_s:=0.5')
    rig.spin_until(process.has_ended, timeout=60.0)
    assert process.status() == 1
    assert not [line for line in process.lines if 'Traceback' in line]
    (line,) = [line for line in process.lines if 'FATAL' in line]
    assert 'busy with one image for more than 0.5 s (stuck_exit_s): this process ends' in line


def test_replay_in_lockstep_loses_no_image(run: Any, rig: Rig, recording: Any) -> None:
    rig.start(mode='replay')
    statuses, keypoints = rig.listen(FrontendStatus, 'status'), rig.listen(KeypointArray, 'keypoints')
    poses = rig.listen(RelativePose, 'relative_pose')
    process = run('replay_node', recording, '--publish', '--rate', 0)
    rig.spin_until(process.has_ended, timeout=60.0)
    assert process.status() == 0, process.lines
    rig.spin_until(lambda: len(statuses) == len(keypoints) == len(poses) + 1 == FRAMES)
    assert [m.frame_seq for m in keypoints] == list(range(FRAMES))
    assert poses[-1].state in (RelativePose.OK, RelativePose.DEGRADED)
    stamps = [ns_from_time(m.header.stamp) for m in keypoints]
    assert stamps == sorted(stamps)
    assert stamps[0] > 0
    assert any(f'{FRAMES} images published' in line for line in process.lines)


def test_replay_keeps_the_pace_and_the_clock_and_loops(run: Any, rig: Rig, recording: Any) -> None:
    rig.start(mode='replay')
    statuses, clock = rig.listen(FrontendStatus, 'status', 500), rig.listen(Clock, '/clock', 500)
    process = run('replay_node', recording, '--publish', '--rate', 1, '--loop')
    truth = rig.listen(PoseStamped, 'ground_truth', 500)
    # DDS finds one topic after another: a loaded machine may hear the clock only in a later round.
    rig.spin_until(lambda: len(statuses) > FRAMES + 2 and len(clock) > 2 * FRAMES and truth, timeout=60.0)
    process.send(signal.SIGINT)
    rig.spin_until(process.has_ended)
    assert process.status() == 0, process.lines
    first = [ns_from_time(m.header.stamp) for m in statuses[:FRAMES]]
    assert first == sorted(first)
    assert ns_from_time(statuses[FRAMES].header.stamp) == first[0]  # from the beginning again
    times = {ns_from_time(m.clock) for m in clock}
    assert times - set(first)  # the clock goes on between two images
    assert 10 * truth[-1].pose.position.x == pytest.approx(first.index(ns_from_time(truth[-1].header.stamp)))


def test_replay_without_publish_is_the_offline_command(run: Any, recording: Any) -> None:
    out = recording / 'out'
    process = run('replay_node', recording, '--method', 'orb', '--out', out, '--quiet')
    assert process.status(60.0) == 0, process.lines
    assert len((out / 'trajectory.txt').read_text().splitlines()) == FRAMES + 1


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [(['missing', '--publish'], 'missing: does not exist'), (['.', '--publish', '--rate', '-1'], 'not negative')],
)
def test_replay_refuses_in_words(run: Any, arguments: list[str], words: str) -> None:
    process = run('replay_node', *arguments)
    assert process.status() != 0
    assert words in process.lines[-1]
    assert not [line for line in process.lines if 'Traceback' in line]
