# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The topics of stereo and RGB-D in bags that are written, as other programs find them there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import DepthImage, Frame, RightImage
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.recordings.camera_yaml import CameraInfoFields
from kp2d_ros.recordings.image_decoding import decode_compressed_depth, decode_depth
from kp2d_ros.recordings.stereo_rig import left_from_right_of
from kp2d_ros.simulation.scene import SimulatedSequence

pytest.importorskip('rosbags', reason='rosbags is not installed (extra: bags)')

from rosbags.highlevel import AnyReader

from kp2d_ros.recordings.bag_writer import BagConfig, write_bag

Simulate = Callable[..., SimulatedSequence]
CAMERA = CameraModel(6, 4, np.array([[5.0, 0, 2.5], [0, 5, 1.5], [0, 0, 1]]), LensModel.PLUMB_BOB, np.zeros(5))
IMAGE = np.arange(24, dtype=np.uint8).reshape(4, 6)


@dataclass(frozen=True)
class Sequence:
    """
    A sequence of given frames without true poses.
    """

    frames: tuple[Frame, ...]
    name: str = 'given'
    camera: CameraModel | None = CAMERA
    ground_truth: Trajectory | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)


def messages_of(path: Path) -> dict[str, list[Any]]:
    """
    By topic.
    """
    found: dict[str, list[Any]] = defaultdict(list)
    with AnyReader([path]) as reader:
        for connection, _, content in reader.messages():
            found[connection.topic].append(reader.deserialize(content, connection.msgtype))
    return found


def fields_of(info: Any) -> CameraInfoFields:
    return CameraInfoFields(info.width, info.height, info.distortion_model, info.d, info.k, info.p, info.r)


def test_a_stereo_bag_holds_both_images_and_their_calibrations(simulate: Simulate, tmp_path: Path) -> None:
    scene = simulate(sensor='stereo', frames=2)
    write_bag(tmp_path / 'b', scene)
    found = messages_of(tmp_path / 'b')
    left, right = '/stereo/left', '/stereo/right'
    assert {topic: len(messages) for topic, messages in found.items()} == {
        f'{left}/image_raw': 2,
        f'{left}/camera_info': 2,
        f'{right}/image_raw': 2,
        f'{right}/camera_info': 2,
        '/ground_truth': 2,
    }
    for number, frame in enumerate(scene):
        assert frame.right is not None
        for side, image in ((left, frame.image), (right, frame.right.image)):
            message, info = found[f'{side}/image_raw'][number], found[f'{side}/camera_info'][number]
            np.testing.assert_array_equal(message.data.reshape(image.shape), image)
            assert message.header == info.header
            assert message.header.stamp.sec * 10**9 + message.header.stamp.nanosec == frame.stamp_ns
    assert found[f'{left}/image_raw'][0].header.frame_id != found[f'{right}/image_raw'][0].header.frame_id


def test_the_calibrations_of_a_pair_say_how_the_cameras_stand(simulate: Simulate, tmp_path: Path) -> None:
    scene = simulate(sensor='stereo', frames=1, rig_rotation_deg=[2.0, -3.0, 1.0], baseline=0.2)
    write_bag(tmp_path / 'b', scene)
    found = messages_of(tmp_path / 'b')
    left, right = (fields_of(found[f'/stereo/{side}/camera_info'][0]) for side in ('left', 'right'))
    np.testing.assert_allclose(
        left_from_right_of(left, right, False).left_from_right, scene.left_from_right, atol=1e-12
    )
    for fields in (left, right):
        np.testing.assert_array_equal(fields.k, scene.camera.matrix.ravel())
        np.testing.assert_array_equal(fields.d, scene.camera.coefficients)
    assert left.p[3] == 0
    assert right.p[3] == pytest.approx(-0.2 * scene.camera.fx)


def test_a_rectified_pair_is_written_as_one(simulate: Simulate, tmp_path: Path) -> None:
    scene = simulate(sensor='stereo', frames=1, rig_rotation_deg=[0, 0, 0], distortion=[0, 0, 0, 0])
    write_bag(tmp_path / 'b', scene)
    found = messages_of(tmp_path / 'b')
    for side in ('left', 'right'):
        info = found[f'/stereo/{side}/camera_info'][0]
        np.testing.assert_array_equal(info.r.reshape(3, 3), np.eye(3))
        np.testing.assert_array_equal(info.p.reshape(3, 4)[:, :3], scene.camera.matrix)


def test_opencv_rectifies_the_pair_with_these_numbers(simulate: Simulate, tmp_path: Path) -> None:
    scene = simulate(sensor='stereo', frames=1, noise=0.0, color=False, rig_rotation_deg=[2.0, -3.0, 1.0])
    write_bag(tmp_path / 'b', scene)
    found = messages_of(tmp_path / 'b')
    images = {}
    for side in ('left', 'right'):
        info = found[f'/stereo/{side}/camera_info'][0]
        matrix, rotation, projection = info.k.reshape(3, 3), info.r.reshape(3, 3), info.p.reshape(3, 4)[:, :3]
        maps = cv2.initUndistortRectifyMap(matrix, info.d, rotation, projection, (160, 120), cv2.CV_32FC1)
        image = found[f'/stereo/{side}/image_raw'][0].data.reshape(120, 160)
        images[side] = cv2.remap(image, *maps, cv2.INTER_LINEAR)
    corners = np.add(cv2.goodFeaturesToTrack(images['left'][:, 40:], 100, 0.05, 5), (40.0, 0.0))
    there, good, _ = cv2.calcOpticalFlowPyrLK(images['left'], images['right'], corners.astype(np.float32), None)
    shift = (corners - there)[good.ravel() == 1, 0]
    assert len(shift) > 40
    assert np.median(np.abs(shift[:, 1])) < 0.1  # the same row
    assert np.percentile(shift[:, 0], 10) > 2  # 104 px * 0.12 m / 3 m = 4 px


@pytest.mark.parametrize('compression', ['', 'png', 'jpeg'])
def test_an_rgbd_bag_holds_depth_in_millimetres(compression: str, simulate: Simulate, tmp_path: Path) -> None:
    scene = simulate(sensor='rgbd', frames=2)
    write_bag(tmp_path / 'b', scene, BagConfig(compression=compression))
    found = messages_of(tmp_path / 'b')
    image = '/camera/color/image_raw' + ('/compressed' if compression else '')
    depth = '/camera/depth/image_raw' + ('/compressedDepth' if compression else '')
    assert set(found) == {image, '/camera/color/camera_info', depth, '/ground_truth'}
    for frame, message, seen in zip(scene, found[depth], found[image], strict=True):
        assert frame.depth is not None
        if compression:
            again = decode_compressed_depth(message.format, message.data)
        else:
            assert message.encoding == '16UC1'
            again = decode_depth('16UC1', message.height, message.width, message.step, False, message.data)
        np.testing.assert_array_equal(again, frame.depth.metres)
        assert message.header == seen.header  # registered: in the frame of the colour camera


def test_depth_that_was_not_measured_or_does_not_fit_is_zero(tmp_path: Path) -> None:
    metres = np.full((4, 6), np.nan, np.float32)
    metres[0] = [-1.0, 0.0, np.inf, 70.0, 65.535, 0.0014]
    write_bag(tmp_path / 'b', Sequence((Frame(0, 10, IMAGE, CAMERA, '', depth=DepthImage(10, metres)),)))
    (message,) = messages_of(tmp_path / 'b')['/camera/depth/image_raw']
    stored = message.data.view('<u2').reshape(4, 6)
    assert stored[0].tolist() == [0, 0, 0, 0, 65535, 1]
    assert not stored[1:].any()


def test_right_images_keep_the_time_that_they_were_taken_at(tmp_path: Path) -> None:
    frames = tuple(Frame(i, 100 * i + 10, IMAGE, CAMERA, right=RightImage(100 * i + 17, IMAGE)) for i in range(2))
    write_bag(tmp_path / 'b', Sequence(frames))
    found = messages_of(tmp_path / 'b')
    assert [message.header.stamp.nanosec for message in found['/stereo/right/image_raw']] == [17, 117]
    assert '/stereo/right/camera_info' not in found
    # Nothing is known of the rig: the left calibration is that of one camera.
    assert found['/stereo/left/camera_info'][0].r.tolist() == np.eye(3).ravel().tolist()


def test_topics_can_be_named(simulate: Simulate, tmp_path: Path) -> None:
    config = BagConfig(image_topic='/a/image', right_topic='/b/image')
    write_bag(tmp_path / 'b', simulate(sensor='stereo', frames=1), config)
    assert {'/a/image', '/a/camera_info', '/b/image', '/b/camera_info'} < set(messages_of(tmp_path / 'b'))


def test_cameras_in_the_same_place_are_refused_and_leave_no_bag(tmp_path: Path) -> None:
    frame = Frame(0, 10, IMAGE, CAMERA, right=RightImage(10, IMAGE, CAMERA, np.eye(4)))
    with pytest.raises(DataError, match='stereo baseline: found 0 m'):
        write_bag(tmp_path / 'b', Sequence((frame,)))
    assert not (tmp_path / 'b').exists()
