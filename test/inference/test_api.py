# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The package from Python: what the front door exports, and what a script does with it.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import kp2d_ros
from kp2d_ros.core.errors import ConfigError, DataError, ShapeError
from kp2d_ros.core.records import Frame, ImageArray, TrackingState
from kp2d_ros.simulation.scene import SceneConfig, SimulatedSequence


@pytest.fixture(scope='module')
def room() -> SimulatedSequence:
    return SimulatedSequence(SceneConfig(frames=4, width=320, height=240))


@pytest.fixture
def images(room: SimulatedSequence) -> list[ImageArray]:
    """
    Four RGB views of a room.
    """
    return [frame.image for frame in room]


def test_importing_the_package_imports_nothing_else() -> None:
    code = (
        'import sys, kp2d_ros; kp2d_ros.__all__; dir(kp2d_ros)\n'
        "print([m for m in sys.modules if m.startswith('kp2d_ros.') or m in ('numpy', 'cv2', 'torch')])"
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


def test_every_name_of_the_front_door_is_there_for_python_and_for_type_checkers() -> None:
    tree = ast.parse(Path(str(kp2d_ros.__file__)).read_text(encoding='utf-8'))
    (checked,) = [node for node in tree.body if isinstance(node, ast.If)]
    named = {a.name: n.module for n in checked.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert {*named, '__version__'} == set(kp2d_ros.__all__) <= set(dir(kp2d_ros))
    for name, module in named.items():
        assert module is not None and getattr(kp2d_ros, name) is getattr(sys.modules[module], name)
    with pytest.raises(AttributeError, match="module 'kp2d_ros' has no attribute 'extract'"):
        _ = kp2d_ros.extract


def test_the_version_is_that_of_the_package() -> None:
    assert kp2d_ros.__version__.count('.') == 2


@pytest.mark.parametrize('method', ['kp2d', 'sift', 'orb'])
def test_two_images_are_matched_in_four_lines(method: str, images: list[ImageArray]) -> None:
    pytest.importorskip('onnxruntime')
    extractor = kp2d_ros.load_extractor(method, max_keypoints=300)
    first, second = (extractor.extract(image, color='rgb') for image in images[:2])
    matches = kp2d_ros.match(first, second)
    assert 20 < len(matches) <= 300 and len(first) <= 300
    assert len(kp2d_ros.match(first, second, ratio=0.5)) < len(matches)


def test_the_colour_order_has_to_be_said_and_counts(images: list[ImageArray]) -> None:
    pytest.importorskip('onnxruntime')
    extractor = kp2d_ros.load_extractor('kp2d')
    image, turned = images[0], np.ascontiguousarray(images[0][..., ::-1])
    found = extractor.extract(image, color='rgb')
    assert np.array_equal(extractor.extract(turned, color='bgr').descriptors, found.descriptors)
    assert not np.array_equal(extractor.extract(turned, color='rgb').descriptors, found.descriptors)
    with pytest.raises(ShapeError, match=r"three channels and color=None, expected color='bgr' \(as cv2"):
        extractor.extract(image)
    with pytest.raises(ShapeError, match="three channels and color='gray'"):
        extractor.extract(image, color='gray')
    with pytest.raises(ShapeError, match="one channel and color='hsv'"):
        extractor.extract(image[..., 0], color='hsv')


def test_gray_images_need_no_colour_order(images: list[ImageArray]) -> None:
    gray = np.asarray(cv2.cvtColor(images[0], cv2.COLOR_RGB2GRAY), np.uint8)
    extractor = kp2d_ros.load_extractor('orb')
    plain = extractor.extract(gray)
    assert len(plain) > 50
    assert np.array_equal(plain.xy, extractor.extract(gray, color='gray').xy)


def test_a_file_that_opencv_could_not_read_is_named_as_such() -> None:
    with pytest.raises(DataError, match='found None, expected an array; cv2'):
        kp2d_ros.load_extractor('orb').extract(cv2.imread('nowhere.png'), color='bgr')
    with pytest.raises(ShapeError, match='found float64 of shape'):
        kp2d_ros.load_extractor('orb').extract(np.zeros((9, 9)))


def test_large_images_are_worked_on_at_a_bounded_size_in_their_own_pixels(images: list[ImageArray]) -> None:
    large = np.asarray(cv2.resize(images[0], (2560, 1920), interpolation=cv2.INTER_CUBIC), np.uint8)
    seen: list[tuple[int, ...]] = []

    def note(image: ImageArray) -> object:
        seen.append(image.shape[:2])
        return extract(image)

    extractor = kp2d_ros.load_extractor('orb')
    extract = extractor.extractor.extract
    extractor.extractor.extract = note  # type: ignore[method-assign, assignment]
    found = extractor.extract(large, color='rgb')
    assert seen == [(960, 1280)]
    assert found.xy[:, 0].max() > 2000


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(ConfigError, match='max_side_px: found -1'):
        kp2d_ros.load_extractor('orb', max_side_px=-1)


def test_unknown_words_and_settings_are_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match='did you mean sift'):
        kp2d_ros.load_extractor('sifd')
    with pytest.raises(ConfigError, match='unknown setting max_keypoint, did you mean max_keypoints'):
        kp2d_ros.load_extractor('orb', max_keypoint=5)
    with pytest.raises(ConfigError, match='only for evaluating and drawing'):
        kp2d_ros.load_extractor('opencv-orb')


def test_the_motion_between_two_images_is_the_true_one() -> None:
    room = SimulatedSequence(SceneConfig(frames=12, width=320, height=240))
    frames = list(room)
    first, last = frames[0], frames[11]
    assert first.camera is not None
    extractor = kp2d_ros.load_extractor('sift')
    pose = kp2d_ros.relative_pose(first.image, last.image, first.camera, extractor, color='rgb')
    assert pose.is_estimate and pose.reference_seq == 0
    truth = room.ground_truth.world_from_camera
    expected = np.linalg.inv(truth[0]) @ truth[11]
    cosine = (np.trace(expected[:3, :3].T @ pose.reference_from_current[:3, :3]) - 1) / 2
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))) < 0.5
    moved, true = pose.reference_from_current[:3, 3], expected[:3, 3]
    assert moved @ true / np.linalg.norm(moved) / np.linalg.norm(true) > 0.97


def test_a_camera_is_made_of_its_matrix() -> None:
    matrix = [[300, 0, 160], [0, 300, 120], [0, 0, 1]]
    assert kp2d_ros.camera_from_matrix(320, 240, matrix).fx == 300.0
    assert kp2d_ros.camera_from_matrix(320, 240, matrix, [0.1, 0, 0, 0]).coefficients.tolist()[:4] == [0.1, 0, 0, 0]
    with pytest.raises(DataError, match='focal lengths'):
        kp2d_ros.camera_from_matrix(320, 240, np.zeros((3, 3)))


def test_the_frontend_takes_images_and_records_alike(room: SimulatedSequence, images: list[ImageArray]) -> None:
    extractor = kp2d_ros.load_extractor('orb')
    records = [frame for frame in room if isinstance(frame, Frame)]
    camera = records[0].camera
    by_record = list(kp2d_ros.run_frontend(records, extractor, settings=['extractor.max_keypoints=5']))
    by_image = list(kp2d_ros.run_frontend(images, extractor, camera=camera, color='rgb'))
    uncalibrated = list(kp2d_ros.run_frontend(images, extractor, color='rgb'))
    for first, second in zip(by_record, by_image, strict=True):
        assert np.array_equal(first.world_from_camera, second.world_from_camera)
    assert by_record[-1].pose is not None and by_record[-1].pose.is_estimate
    assert len(uncalibrated[-1].matches) > 20 and uncalibrated[-1].state is TrackingState.INITIALISING
    with pytest.raises(ShapeError, match='color=None'):
        next(kp2d_ros.run_frontend(images, extractor))


@pytest.mark.parametrize('sensor', ['stereo', 'rgbd'])
def test_records_of_a_sensor_that_knows_metres_give_metres(
    simulate: Callable[..., SimulatedSequence], sensor: str
) -> None:
    sequence = simulate(sensor=sensor, frames=3, width=320, height=240, speed=0.8)
    extractor = kp2d_ros.load_extractor('orb')
    *_, last = kp2d_ros.run_frontend(sequence, extractor, sensor=sensor)
    truth = sequence.ground_truth.world_from_camera[:, :3, 3]
    moved = float(np.linalg.norm(last.world_from_camera[:3, 3]))
    assert moved == pytest.approx(float(np.linalg.norm(truth[-1] - truth[0])), rel=0.1)
    assert last.inverse_depth is not None
    with pytest.raises(DataError, match='expected one with every'):
        list(kp2d_ros.run_frontend([replace(f, right=None, depth=None) for f in sequence], extractor, sensor=sensor))
    with pytest.raises(ConfigError, match='sensor'):
        list(kp2d_ros.run_frontend(sequence, extractor, sensor='sonar'))
