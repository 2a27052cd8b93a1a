# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.records import Matches, PoseModel, ScaleKind
from kp2d_ros.odometry.alignment import AlignableImage
from kp2d_ros.odometry.motion import MotionConfig, estimate_motion
from kp2d_ros.odometry.ransac import RansacConfig
from kp2d_ros.odometry.rays import InverseDepths, rays_from_pixels, unknown_depths
from kp2d_ros.odometry.view import NO_TRACKS, TrackTable, View, matched_rays, misfit, placed_view, predicted_pixels

if TYPE_CHECKING:
    from test.odometry.conftest import Scene


@pytest.fixture
def see(rng: np.random.Generator) -> Callable[..., tuple[View, Any]]:
    """
    Makes the view of a camera, rows in the order of the landmarks, depths known.
    """

    def make(scene: Any, world_from_camera: NDArray[Any]) -> tuple[View, Any]:
        rows, xy = scene.visible(world_from_camera)
        points = scene.keypoints(world_from_camera, rng)
        keypoints = replace(points, xy=xy.astype(np.float32), descriptors=scene.descriptors[rows])
        z = (np.linalg.inv(world_from_camera)[2, :3] @ scene.landmarks[rows].T) + np.linalg.inv(world_from_camera)[2, 3]
        depths = InverseDepths(1 / z, 0.01 / z)
        rays = rays_from_pixels(scene.camera, keypoints.xy)
        image = AlignableImage(np.zeros((480, 640), np.uint8))
        view = View(
            seq=0,
            stamp_ns=0,
            image=image,
            scale=np.ones(2),
            camera=scene.camera,
            keypoints=keypoints,
            has_texture=np.ones(len(keypoints), np.bool_),
            rays=rays,
            tracks=NO_TRACKS,
            source=None,
            measured=unknown_depths(len(keypoints)),
            depths=depths,
            world_from_camera=world_from_camera,
        )
        return view, rows

    return make


def common_matches(first_rows: Any, second_rows: Any) -> Matches:
    _, rows, columns = np.intersect1d(first_rows, second_rows, return_indices=True)
    return Matches(rows, columns, np.ones(len(rows), np.float32))


def test_predicted_pixels_are_where_the_camera_sees_them(
    room: Scene, pose: Callable[..., NDArray[Any]], see: Any
) -> None:
    world_from_current = pose((0.5, 0.1, -0.3), (0, 0.1, 0.02))
    (reference, rows), (current, current_rows) = see(room, pose((0.2, 0, 0))), see(room, world_from_current)
    matches = common_matches(rows, current_rows)
    predicted = predicted_pixels(reference, world_from_current)[matches.reference_index]
    np.testing.assert_allclose(predicted, current.keypoints.xy[matches.current_index], atol=2e-3)


def test_points_of_unknown_depth_are_predicted_by_the_rotation(
    room: Scene, pose: Callable[..., NDArray[Any]], see: Any
) -> None:
    reference, rows = see(room, pose())
    turned = pose((0, 0, 0), (0, 0.1, 0))
    predicted = predicted_pixels(replace(reference, depths=unknown_depths(len(rows))), turned)
    np.testing.assert_allclose(predicted, predicted_pixels(reference, turned), atol=1e-6)


def test_without_a_camera_nothing_is_predicted(room: Scene, pose: Callable[..., NDArray[Any]], see: Any) -> None:
    assert predicted_pixels(replace(see(room, pose())[0], camera=None), pose()) is None


def test_views_of_one_camera_fit_although_it_is_described_twice(
    room: Scene, pose: Callable[..., NDArray[Any]], see: Any
) -> None:
    first, _ = see(room, pose())
    copy = replace(room.camera, matrix=room.camera.matrix.copy())
    assert misfit(first, replace(first, camera=copy)) == ''
    zoomed = replace(room.camera, matrix=room.camera.matrix * [[1.1], [1.1], [1]])
    assert misfit(first, replace(first, camera=zoomed)) == 'the calibration of the camera changed'
    assert misfit(first, replace(first, camera=None)) == 'the calibration of the camera changed'
    smaller = AlignableImage(np.zeros((240, 320), np.uint8))
    assert misfit(first, replace(first, image=smaller)) == 'the image size changed from 640x480 to 320x240'


def test_a_placed_view_has_the_depths_of_its_own_camera(
    room: Scene, pose: Callable[..., NDArray[Any]], see: Any
) -> None:
    (reference, rows), (current, current_rows) = see(room, pose()), see(room, pose((0.5, 0.1, -0.3), (0, 0.1, 0.02)))
    matches = common_matches(rows, current_rows)
    motion = estimate_motion(matched_rays(reference, current, matches), False, None, RansacConfig(), MotionConfig())
    blind = replace(current, depths=unknown_depths(len(current_rows)))
    placed = placed_view(blind, reference, matches, motion)
    np.testing.assert_allclose(placed.world_from_camera, current.world_from_camera, atol=1e-3)
    index = matches.current_index[motion.inlier]
    assert len(index) > 300
    np.testing.assert_allclose(placed.depths.value[index], current.depths.value[index], rtol=0.01)
    others = np.setdiff1d(np.arange(len(current_rows)), index)
    assert np.isinf(placed.depths.sigma[others]).all()


def test_rays_of_nan_are_no_inliers_and_keep_their_rows(
    room: Scene, pose: Callable[..., NDArray[Any]], see: Any
) -> None:
    (reference, rows), (current, current_rows) = see(room, pose()), see(room, pose((0.6, 0.1, 0)))
    matches = common_matches(rows, current_rows)
    reference.rays.vectors[matches.reference_index[::2], :2] = np.nan
    for depths in (reference.depths, unknown_depths(len(rows))):
        pairs = matched_rays(replace(reference, depths=depths), current, matches)
        motion = estimate_motion(pairs, False, None, RansacConfig(), MotionConfig())
        assert not motion.inlier[::2].any()
        assert motion.inlier[1::2].mean() > 0.95
        assert np.isinf(motion.depths.sigma[::2]).all()


def test_a_handful_of_known_depths_gives_two_views_their_scale(
    room: Scene, pose: Callable[..., NDArray[Any]], see: Any
) -> None:
    truth = pose((0.6, 0.1, 0.2), (0, 0.02, 0))
    (reference, rows), (current, current_rows) = see(room, pose()), see(room, truth)
    matches = common_matches(rows, current_rows)
    few = np.isin(np.arange(len(rows)), matches.reference_index[:8])  # too few for a motion from them alone
    pairs = matched_rays(replace(reference, depths=reference.depths.where(few)), current, matches)
    motion = estimate_motion(pairs, False, None, RansacConfig(), MotionConfig())
    assert (motion.model, motion.scale, motion.begins_chain) == (PoseModel.ESSENTIAL, ScaleKind.CHAINED, False)
    np.testing.assert_allclose(motion.reference_from_current, truth, atol=0.01)
    assert motion.covariance[0, 0] < 0.01


def matches_of(*pairs: Any) -> Matches:
    rows, columns = np.array(pairs, np.int64).reshape(-1, 2).T
    return Matches(rows, columns, np.ones(len(rows), np.float32))


def everything(matches: Any) -> NDArray[Any]:
    return np.ones(len(matches), np.bool_)


def test_matches_carry_the_identity_and_the_rest_is_new() -> None:
    table = TrackTable()
    reference = table.begin(3)
    matches = matches_of((0, 2), (2, 0))
    tracks = table.carry_on(reference, 4, matches, everything(matches)).current
    assert tracks.ids.tolist() == [2, 3, 0, 4]
    assert tracks.ages.tolist() == [1, 0, 1, 0]


def test_a_track_ages_with_every_frame_that_sees_it_while_the_reference_stays() -> None:
    table = TrackTable()
    reference = table.begin(2)
    for age in (1, 2, 3):
        carried = table.carry_on(reference, 1, matches_of((1, 0)), np.array([True]))
        reference, tracks = carried.reference, carried.current
        assert (tracks.ids.tolist(), tracks.ages.tolist()) == ([1], [age])
    successor = table.carry_on(tracks, 1, matches_of((0, 0)), np.array([True])).current
    assert (successor.ids.tolist(), successor.ages.tolist()) == ([1], [4])


def test_the_tracks_of_the_reference_are_not_written_into() -> None:
    table = TrackTable()
    reference = table.begin(2)
    table.carry_on(reference, 1, matches_of((1, 0)), np.array([True]))
    assert (reference.ids.tolist(), reference.ages.tolist()) == ([0, 1], [0, 0])


def test_a_match_that_is_not_kept_begins_a_new_track() -> None:
    table = TrackTable()
    reference = table.begin(2)
    tracks = table.carry_on(reference, 2, matches_of((0, 0), (1, 1)), np.array([True, False])).current
    assert tracks.ids.tolist() == [0, 2]


def test_numbers_are_unique_in_a_frame_and_never_return(rng: np.random.Generator) -> None:
    table = TrackTable()
    reference = table.begin(50)
    gone: set[int] = set()
    for _ in range(20):
        count = int(rng.integers(0, 50))
        size = min(count, len(reference.ids)) // 2
        rows, columns = rng.permutation(len(reference.ids))[:size], rng.permutation(count)[:size]
        matches = matches_of(*zip(rows, columns, strict=True))
        tracks = table.carry_on(reference, count, matches, everything(matches)).current
        ids = set(tracks.ids.tolist())
        assert len(ids) == count
        assert not ids & gone
        gone |= set(reference.ids.tolist()) - ids
        reference = tracks


def test_the_age_stops_at_the_largest_number_it_can_hold() -> None:
    table = TrackTable()
    tracks = replace(table.begin(1), ages=np.array([65534], np.uint16))
    for _ in range(3):
        tracks = table.carry_on(tracks, 1, matches_of((0, 0)), np.array([True])).current
    assert tracks.ages.tolist() == [65535]


def test_a_frame_without_keypoints_has_no_tracks() -> None:
    table = TrackTable()
    tracks = table.carry_on(table.begin(5), 0, matches_of(), np.zeros(0, np.bool_)).current
    assert tracks.ids.shape == tracks.ages.shape == (0,)
    assert tracks.ids.dtype == np.uint32
    assert tracks.ages.dtype == np.uint16
