# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.records import DepthImage, Frame, FrontendResult, Keypoints, Matches, RightImage, TrackingState
from kp2d_ros.core.se3 import transform_from
from kp2d_ros.drawing.depth import DEPTH_COLORS, UNKNOWN_COLOR, depth_colors, describe_depth, draw_partner
from kp2d_ros.drawing.frame import DrawingConfig, draw_result, draw_tracks
from kp2d_ros.drawing.keypoints import shade

CAMERA = CameraModel(160, 120, np.array([[100.0, 0, 80], [0, 100, 60], [0, 0, 1]]), LensModel.PLUMB_BOB, np.zeros(5))
DARK = np.zeros((120, 160), np.uint8)


def make_result(xy: Any, depths: Any) -> FrontendResult:
    """
    Keypoints (N) at depths (N), of which NaN is not known.
    """
    xy, depths = np.array(xy, np.float32).reshape(-1, 2), np.array(depths, np.float64)
    known = np.isfinite(depths)
    return FrontendResult(
        seq=0,
        stamp_ns=0,
        keypoints=Keypoints(xy, np.ones(len(xy), np.float32), np.zeros((len(xy), 8), np.float32)),
        bearing_xy=CAMERA.unproject(xy).astype(np.float32),
        track_ids=np.arange(len(xy), dtype=np.uint32),
        track_ages=np.zeros(len(xy), np.uint16),
        matches=Matches.empty(),
        reference_xy=np.empty((0, 2), np.float32),
        current_xy=np.empty((0, 2), np.float32),
        inlier=np.empty(0, np.bool_),
        inlier_probability=None,
        pose=None,
        state=TrackingState.OK,
        world_from_camera=np.eye(4),
        scale_segment=0,
        inverse_depth=np.where(known, 1 / np.where(known, depths, 1), 1.0),
        inverse_depth_sigma=np.where(known, 0.01, np.inf),
    )


def centre_of(picture: Any) -> tuple[float, float]:
    rows, columns = np.nonzero(picture.any(axis=2))
    return float(columns.mean()), float(rows.mean())


def test_near_is_warm_far_is_cold_and_unknown_is_gray() -> None:
    colors = depth_colors(make_result(np.zeros((3, 2)), [1.0, 50.0, np.nan]))
    np.testing.assert_allclose(colors, [DEPTH_COLORS[0], DEPTH_COLORS[-1], UNKNOWN_COLOR])


@pytest.mark.parametrize('depths', [[], [np.nan, np.nan], [4.0], [4.0, 4.0]])
def test_few_depths_or_none_have_colours_too(depths: list[float]) -> None:
    colors = depth_colors(make_result(np.zeros((len(depths), 2)), depths))
    assert colors.shape == (len(depths), 3)
    assert np.isfinite(colors).all()


def test_a_result_without_depths_is_gray() -> None:
    result = replace(make_result([[5, 5]], [2.0]), inverse_depth=None, inverse_depth_sigma=None)
    np.testing.assert_array_equal(depth_colors(result), [UNKNOWN_COLOR])
    assert describe_depth(result) == ''


def test_the_span_of_the_colours_is_said() -> None:
    assert describe_depth(make_result(np.zeros((3, 2)), [2.0, 2.0, np.nan])) == '2 depths, 2 to 2'


def test_the_debug_image_shows_depths_where_it_is_asked_to() -> None:
    result = make_result([[80, 60]], [np.nan])
    picture = draw_result(DARK, result, DrawingConfig(text=False, depth=True))
    red, green, blue = picture.reshape(-1, 3).T.astype(int)
    assert picture.any()
    assert (red == green).all() and (green == blue).all()


def test_keypoints_lie_in_the_right_image_where_their_depth_says() -> None:
    pose = transform_from(np.eye(3), np.array([0.5, 0.0, 0.0]))
    frame = Frame(0, 0, DARK, CAMERA, right=RightImage(0, DARK, CAMERA, pose))
    picture = draw_partner(frame, make_result([[100, 40], [20, 20]], [2.5, np.nan]), 120)
    assert picture.shape == (120, 160, 3)
    assert centre_of(picture) == pytest.approx((100 - 100 * 0.5 / 2.5, 40), abs=0.6)
    assert draw_partner(frame, make_result([[100, 40]], [2.5]), 240).shape == (240, 320, 3)


@pytest.mark.parametrize('depths', [[], [2.0]])
def test_a_right_image_of_an_unknown_rig_is_shown_as_it_is(depths: list[float]) -> None:
    frame = Frame(0, 0, DARK, CAMERA, right=RightImage(0, DARK))
    assert not draw_partner(frame, make_result(np.zeros((len(depths), 2)), depths), 120).any()


def test_depth_images_have_the_colours_of_the_keypoints_and_black_holes() -> None:
    metres = np.full((60, 80), 1.0, np.float32)
    metres[:, 40:] = 5.0
    metres[:30] = (np.nan, 0.0) * 40
    frame = Frame(0, 0, DARK, CAMERA, depth=DepthImage(0, metres))
    picture = draw_partner(frame, make_result([[10, 80], [100, 80]], [1.0, 5.0]), 120)
    assert picture.shape == (120, 160, 3)
    assert not picture[:59].any()
    np.testing.assert_allclose(picture[100, 10], DEPTH_COLORS[0], atol=1)
    np.testing.assert_allclose(picture[100, 150], DEPTH_COLORS[-1], atol=1)
    # Without keypoints it has its own; without depths nothing.
    assert draw_partner(frame, make_result([], []), 120)[100].any()
    nothing = replace(frame, depth=DepthImage(0, np.zeros((60, 80), np.float32)))
    assert not draw_partner(nothing, make_result([], []), 120).any()


def test_pictures_of_one_recording_have_one_size() -> None:
    frame = Frame(0, 0, DARK, CAMERA, depth=DepthImage(0, np.ones((120, 160), np.float32)))
    sizes = {
        draw_tracks(frame, make_result(np.zeros((len(depths), 2)), depths), 'title').shape
        for depths in ([], [1.0], [0.001234, 98765.4], [np.nan])
    }
    assert len(sizes) == 1
    assert sizes.pop()[1] == 320


def test_one_camera_has_no_partner() -> None:
    assert draw_partner(Frame(0, 0, DARK, CAMERA), make_result([[5, 5]], [1.0]), 120) is None


def test_what_is_masked_is_dark_and_red() -> None:
    free = np.ones((120, 160), np.bool_)
    free[:, 100:] = False
    picture = shade(np.full((120, 160), 90, np.uint8), free)
    assert (picture[:, :100] == 90).all()
    np.testing.assert_array_equal(picture[5, 120], [120, 30, 30])
