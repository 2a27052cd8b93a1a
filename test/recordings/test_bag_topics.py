# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Sensor
from kp2d_ros.recordings.bag_topics import (
    choose_depth_topic,
    choose_image_topic,
    choose_right_topic,
    info_topic,
    is_depth_topic,
)

RIG = ['/r/left/image_raw', '/r/right/image_raw', '/rear/image_raw']
REALSENSE = ['/d/aligned_depth_to_color/image_raw', '/d/color/image_raw', '/d/depth/image_rect_raw']


def test_the_left_camera_is_the_one_that_has_a_right_one() -> None:
    assert choose_image_topic(RIG, None, [], Sensor.STEREO, None) == '/r/left/image_raw'
    with pytest.raises(DataError, match='expected one: name it'):
        choose_image_topic(RIG, None, [], Sensor.MONO, None)


@pytest.mark.parametrize(
    ('left', 'right'),
    [
        ('/r/left/image_raw', '/r/right/image_raw'),
        ('/left_camera/image', '/right_camera/image'),
        ('/cam0/image_raw', '/cam1/image_raw'),
        ('/d/infra1/image_rect_raw', '/d/infra2/image_rect_raw'),
    ],
)
def test_the_right_camera_is_called_as_the_left_one(left: str, right: str) -> None:
    assert choose_right_topic([left, right], left, None) == right
    packed = f'{right}/compressed'
    assert choose_right_topic([left, packed], f'{left}/compressed', None) == packed
    with pytest.raises(
        DataError, match=f'no right images for {left}, looked for {right} among {left}: .*--right-topic'
    ):
        choose_right_topic([left], left, None)


def test_a_right_camera_of_another_name_is_named() -> None:
    found = ['/front/image', '/side/image']
    assert choose_image_topic(found, None, [], Sensor.STEREO, 'side/image') == '/front/image'
    assert choose_right_topic(found, '/front/image', 'side/image') == '/side/image'
    with pytest.raises(DataError, match='looked for a name with left in it among'):
        choose_right_topic(found, '/front/image', None)
    with pytest.raises(DataError, match='expected /back/image'):
        choose_right_topic(found, '/front/image', '/back/image')


def test_depth_is_no_picture_where_there_are_others() -> None:
    depths = [topic for topic in REALSENSE if is_depth_topic(topic)]
    for sensor in (Sensor.MONO, Sensor.RGBD):
        assert choose_image_topic(REALSENSE, None, depths, sensor, None) == '/d/color/image_raw'
    assert choose_image_topic(['/depth/image'], None, ['/depth/image'], Sensor.MONO, None) == '/depth/image'


def test_of_several_depths_the_registered_one_is_meant() -> None:
    depths = ['/d/aligned_depth_to_color/image_raw', '/d/depth/image_rect_raw']
    assert choose_depth_topic(REALSENSE, None, depths) == '/d/aligned_depth_to_color/image_raw'
    assert choose_depth_topic(REALSENSE, 'd/depth/image_rect_raw', depths) == '/d/depth/image_rect_raw'
    with pytest.raises(DataError, match=r'found 2 topics of depth images .*--depth-topic'):
        choose_depth_topic(['/a/depth', '/b/depth'], None, ['/a/depth', '/b/depth'])
    with pytest.raises(DataError, match='found no topics of depth images'):
        choose_depth_topic(RIG, None, [])


def test_a_depth_topic_is_taken_raw_before_it_is_taken_compressed() -> None:
    depths = ['/c/depth/image/compressedDepth', '/c/depth/image']
    assert choose_depth_topic(depths, None, depths) == '/c/depth/image'
    assert choose_depth_topic(depths[:1], 'c/depth/image', []) == '/c/depth/image/compressedDepth'


def test_the_word_depth_is_a_word() -> None:
    assert is_depth_topic('/camera/aligned_depth_to_color/image_raw')
    assert is_depth_topic('/depth_registered/image')
    assert not is_depth_topic('/depthai/left/image')
    assert not is_depth_topic('/c/image/compressedDepth')


def test_the_calibration_is_beside_the_images_of_any_transport() -> None:
    assert info_topic('/a/image/compressed') == info_topic('/a/image') == '/a/camera_info'
    assert info_topic('/image/compressedDepth') == '/camera_info'
