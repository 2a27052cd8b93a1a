# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.errors import ConfigError, ShapeError
from kp2d_ros.core.records import FrontendResult, Keypoints, Matches, RelativePose, TrackingState
from kp2d_ros.drawing.frame import DrawingConfig, draw_result


def make_result(xy: NDArray[Any], matched: int = 0, inliers: int = 0, state: Any = TrackingState.OK) -> FrontendResult:
    count, index = len(xy), np.arange(matched)
    pose = RelativePose(
        reference_seq=0,
        reference_stamp_ns=0,
        state=state,
        reference_from_current=np.eye(4),
        covariance=np.eye(6),
        match_count=matched,
        inlier_count=inliers,
    )
    return FrontendResult(
        seq=1,
        stamp_ns=1,
        keypoints=Keypoints(xy, np.ones(count, np.float32), np.zeros((count, 8), np.float32)),
        bearing_xy=None,
        track_ids=np.arange(count, dtype=np.uint32),
        track_ages=np.zeros(count, np.uint16),
        matches=Matches(index, index, np.ones(matched, np.float32)),
        reference_xy=xy[:matched] + np.float32(20),
        current_xy=xy[:matched],
        inlier=index < inliers,
        inlier_probability=None,
        pose=pose,
        state=state,
        world_from_camera=np.eye(4),
        scale_segment=0,
    )


def points(*rows: Any) -> Any:
    return np.array(rows, np.float32).reshape(-1, 2)


PLAIN = DrawingConfig(text=False)


@pytest.mark.parametrize('shape', [(120, 160), (120, 160, 3), (1, 1), (3, 900)])
def test_draws_rgb_of_the_size_of_the_image_and_leaves_the_image_alone(shape: tuple[Any, ...]) -> None:
    image = np.full(shape, 90, np.uint8)
    picture = draw_result(image, make_result(points()))
    assert picture.shape == (*shape[:2], 3)
    assert (image == 90).all()


def test_a_keypoint_leaves_its_colour_where_it_is_and_nowhere_else() -> None:
    picture = draw_result(np.zeros((100, 100), np.uint8), make_result(points((70, 20))), PLAIN)
    rows, columns = np.nonzero(picture.any(axis=2))
    assert abs(rows.mean() - 20) < 0.6
    assert abs(columns.mean() - 70) < 0.6
    assert np.ptp(rows) < 10


def test_outliers_are_red_and_inliers_are_not() -> None:
    xy = points((20, 20), (60, 60))
    config = DrawingConfig(text=False, keypoints=False)
    picture = draw_result(np.zeros((100, 100), np.uint8), make_result(xy, matched=2, inliers=1), config).astype(int)
    redness = picture[..., 0] - picture[..., 1]
    assert redness[:45, :45].max() <= 0
    assert redness[50:, 50:].max() > 100


def test_large_pictures_are_shrunk_and_the_drawing_with_them() -> None:
    image = np.zeros((1000, 2000), np.uint8)
    picture = draw_result(image, make_result(points((1900, 100))), DrawingConfig(text=False, max_side=200))
    assert picture.shape == (100, 200, 3)
    rows, columns = np.nonzero(picture.any(axis=2))
    assert abs(columns.mean() - 189.5) < 1.0
    assert abs(rows.mean() - 9.5) < 1.0


def test_a_picture_that_is_shrunk_keeps_at_least_a_row() -> None:
    picture = draw_result(np.zeros((1, 5000), np.uint8), make_result(points()), DrawingConfig(max_side=100))
    assert picture.shape == (1, 100, 3)


def test_everything_can_be_switched_off() -> None:
    image = np.full((60, 80), 100, np.uint8)
    config = DrawingConfig(keypoints=False, matches=False, text=False)
    picture = draw_result(image, make_result(points((20, 20), (40, 30)), matched=2), config)
    assert len(np.unique(picture)) == 1


def test_refuses_what_is_no_image_and_settings_out_of_range() -> None:
    with pytest.raises(ShapeError, match='image'):
        draw_result(np.zeros((4, 4), np.float32), make_result(points()))
    with pytest.raises(ConfigError, match='max_side'):
        DrawingConfig(max_side=1)
