# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Where the right camera is: by P, else by TF, else by the parameter; and frames made of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kp2d_ros.core.errors import DataError

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from sensor_msgs.msg import CameraInfo, Image  # noqa: E402

from kp2d_ros.core.se3 import rotation_from_vector, transform_from  # noqa: E402
from kp2d_ros.ros import calibrations  # noqa: E402
from kp2d_ros.ros.calibrations import CalibrationSource, RigSettings, RigSource  # noqa: E402
from kp2d_ros.ros.conversions import header_from, image_message  # noqa: E402
from kp2d_ros.ros.frame_maker import FrameMaker, ImageSet  # noqa: E402

SIZE = (48, 64)
TURNED = transform_from(rotation_from_vector(np.array([0.01, 0.0, 0.0])), np.array([0.3, 0.04, 0.0]))
NO_BASELINE = 'the baseline is 0: P[3] is 0 in the calibration of the right camera'


def info(frame_id: str, shift: float = 0.0, **fields: Any) -> CameraInfo:
    k = [50.0, 0.0, 31.5, 0.0, 50.0, 23.5, 0.0, 0.0, 1.0]
    p = [50.0, 0.0, 31.5, -50.0 * shift, 0.0, 50.0, 23.5, 0.0, 0.0, 0.0, 1.0, 0.0]
    known = {'width': 64, 'height': 48, 'distortion_model': 'plumb_bob', 'k': k, 'p': p}
    known['r'] = np.eye(3).ravel().tolist()
    return CameraInfo(**{'header': header_from(1, frame_id), **known, **fields})


class Transforms:
    """
    What a listener to TF knows.
    """

    def __init__(self, pose: Any = None) -> None:
        self.pose = pose
        self.asked: list[tuple[str, str]] = []

    def find(self, a: str, b: str) -> Any:
        self.asked.append((a, b))
        return self.pose


def rig_of(
    shift: float, transforms: Transforms | None = None, rectified: bool = False, baseline: float = 0.0
) -> RigSource:
    sources = [CalibrationSource(f'/{side}/camera_info', rectified) for side in ('left', 'right')]
    rig = RigSource(*sources, RigSettings(rectified, baseline), None if transforms is None else transforms.find)
    rig.left.receive(info('left_eye'))
    rig.right.receive(info('right_eye', shift))
    return rig


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrations, '_TRANSFORM_SECONDS', 0.0)


def test_p_comes_first_and_nobody_else_is_asked() -> None:
    transforms = Transforms(TURNED)
    rig = rig_of(0.12, transforms, baseline=5.0)
    np.testing.assert_allclose(rig.left_from_right().left_from_right[:3, 3], [0.12, 0, 0])
    assert not transforms.asked
    assert not rig.needs_transform
    assert rig.wait(0.0)


def test_tf_is_asked_where_p_says_nothing(patience: None) -> None:
    transforms = Transforms(TURNED)
    rig = rig_of(0.0, transforms, baseline=5.0)
    np.testing.assert_array_equal(rig.left_from_right().left_from_right, TURNED)
    assert transforms.asked == [('left_eye', 'right_eye')]
    assert rig.needs_transform
    rectified = rig_of(0.0, transforms, rectified=True)
    expected = transform_from(np.eye(3), np.array([np.hypot(0.3, 0.04), 0.0, 0.0]))
    np.testing.assert_allclose(rectified.left_from_right().left_from_right, expected)


def test_a_transform_is_waited_for_and_the_parameter_counts_when_none_came(monkeypatch: pytest.MonkeyPatch) -> None:
    transforms = Transforms()
    rig = rig_of(0.0, transforms, baseline=0.25)
    assert rig.left_from_right().left_from_right is None
    assert rig.problem == f'{NO_BASELINE}; waiting for the transform of the two cameras'
    assert not rig.wait(0.0)
    monkeypatch.setattr(calibrations, '_TRANSFORM_SECONDS', 0.0)
    np.testing.assert_allclose(rig.left_from_right().left_from_right[:3, 3], [0.25, 0, 0])
    assert rig.wait(0.0)
    assert rig.problem == ''


def test_a_transform_that_comes_late_is_taken_if_nothing_else_was(patience: None) -> None:
    transforms = Transforms()
    rig = rig_of(0.0, transforms)
    expected = f"{NO_BASELINE}, and there is no transform from 'right_eye' to 'left_eye'; set the parameter baseline"
    assert rig.left_from_right().reason == rig.problem == expected
    transforms.pose = TURNED
    np.testing.assert_array_equal(rig.left_from_right().left_from_right, TURNED)


def test_without_tf_nobody_waits() -> None:
    rig = rig_of(0.0)
    assert rig.left_from_right().left_from_right is None
    assert rig.wait(0.0)
    assert 'set the parameter baseline' in rig.problem


def test_two_cameras_in_one_place_are_no_rig(patience: None) -> None:
    rig = rig_of(0.0, Transforms(np.eye(4)))
    assert rig.left_from_right().left_from_right is None


def test_a_baseline_in_millimetres_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    rig = rig_of(120.0)
    with caplog.at_level('WARNING', 'kp2d_ros'):
        for _ in range(3):
            assert rig.left_from_right().left_from_right is not None
            rig.right.receive(info('right_eye', 120.0))
    assert len(caplog.records) == 1
    assert 'the baseline is 120 m, expected less than 10 m' in rig.warning


def test_another_calibration_is_another_rig() -> None:
    rig = rig_of(0.12)
    first = rig.left_from_right().left_from_right
    assert rig.left_from_right().left_from_right is first
    rig.right.receive(info('right_eye', 0.24))
    np.testing.assert_allclose(rig.left_from_right().left_from_right[:3, 3], [0.24, 0, 0])


@pytest.mark.parametrize(
    ('fields', 'words'),
    [
        ({'p': [float('nan')] * 12}, 'the rig is not usable: right camera_info: P'),
        ({'r': [1.0] * 9}, 'the rig is not usable: right camera_info: R'),
        ({'k': [0.0] * 9}, 'right camera: the camera is not calibrated'),
    ],
)
def test_what_is_wrong_with_the_right_calibration_is_the_reason(fields: dict[str, Any], words: str) -> None:
    rig = rig_of(0.12)
    rig.right.receive(info('right_eye', **{'shift': 0.12, **fields}))
    maker = FrameMaker(rig)
    image = image_message(np.zeros(SIZE, np.uint8), header_from(5, 'left_eye'))
    made = maker.make(ImageSet(image, image), 0, 5)
    assert made.frame.camera is None
    assert made.reason.startswith(words)
    assert rig.problem.startswith(words)


def test_a_frame_has_both_images_their_cameras_and_the_rig() -> None:
    maker = FrameMaker(rig_of(0.12))
    left = image_message(np.zeros(SIZE, np.uint8), header_from(5, 'left_eye'))
    right = image_message(np.ones(SIZE, np.uint8), header_from(7, 'right_eye'))
    made = maker.make(ImageSet(left, right), 3, 5)
    frame = made.frame
    assert (made.reason, frame.seq, frame.stamp_ns, frame.frame_id, frame.right.stamp_ns) == ('', 3, 5, 'left_eye', 7)
    assert frame.camera is not None and frame.right.camera is not None
    assert frame.right.image.all()
    assert frame.right.left_from_right[0, 3] == pytest.approx(0.12)


def test_calibrations_of_another_size_are_named_with_their_side() -> None:
    maker = FrameMaker(rig_of(0.12))
    left = image_message(np.zeros(SIZE, np.uint8), header_from(5, ''))
    right = image_message(np.zeros((24, 32), np.uint8), header_from(5, ''))
    made = maker.make(ImageSet(left, right), 0, 5)
    assert made.reason == 'right camera: camera_info is for 64x48 images, but this one is 32x24'
    assert made.frame.camera is None


def depth(rows: int, columns: int, encoding: str = '16UC1') -> Image:
    content = np.full((rows, columns), 1500, np.uint16).tobytes()
    fields = {'height': rows, 'width': columns, 'step': 2 * columns, 'encoding': encoding, 'data': content}
    return Image(header=header_from(6, 'eye'), **fields)


def test_depth_is_in_metres_by_its_encoding_or_as_it_is_told() -> None:
    source = CalibrationSource('/camera_info', is_rectified=False)
    image = image_message(np.zeros(SIZE, np.uint8), header_from(5, 'eye'))
    for scale, metres in ((0.0, 1.5), (0.0002, 0.3)):
        frame = FrameMaker(source, scale).make(ImageSet(image, depth(*SIZE)), 0, 5).frame
        assert frame.depth.stamp_ns == 6
        np.testing.assert_allclose(frame.depth.metres, metres, rtol=1e-6)
    smaller = FrameMaker(source).make(ImageSet(image, depth(24, 32)), 0, 5).frame
    assert smaller.depth.metres.shape == (24, 32)


def test_depth_that_cannot_be_registered_and_what_is_no_depth_is_refused() -> None:
    maker = FrameMaker(CalibrationSource('/camera_info', is_rectified=False))
    image = image_message(np.zeros(SIZE, np.uint8), header_from(5, 'eye'))
    with pytest.raises(DataError, match='found depth of 48x48 for an image of 64x48'):
        maker.make(ImageSet(image, depth(48, 48)), 0, 5)
    with pytest.raises(DataError, match='mono8'):
        maker.make(ImageSet(image, image), 0, 5)
