# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.se3 import invert_transform, rotation_angle, transform_points
from kp2d_ros.recordings.sources import open_sequence
from kp2d_ros.simulation.scene import SceneConfig, SimulatedSequence, make_camera, plan_motion

SMALL = SceneConfig(width=160, height=120, frames=4, noise=0.0)
TINY = replace(SMALL, width=80, height=60, samples=1)
LENSES = {
    'plumb_bob': (-0.28, 0.07, 2e-4, -1e-4, 0.0),
    'rational_polynomial': (-0.2, 0.05, 1e-3, -1e-3, 0.01, 0.1, -0.02, 0.01),
    'equidistant': (0.02, -0.01, 0.003, -0.001),
}


@pytest.fixture(scope='module')
def scene() -> SimulatedSequence:
    return SimulatedSequence(SMALL)


def steps_of(trajectory: Any) -> list[Any]:
    poses = trajectory.world_from_camera
    return [invert_transform(a) @ b for a, b in pairwise(poses)]


def pixel_grid(camera: Any, step: Any) -> NDArray[Any]:
    x, y = np.meshgrid(np.arange(2, camera.width - 2, step), np.arange(2, camera.height - 2, step))
    return np.stack([x.ravel(), y.ravel()], axis=1)


@pytest.mark.parametrize('lens', LENSES)
def test_depth_pose_and_lens_together_say_where_a_pixel_goes(lens: Any) -> None:
    scene = SimulatedSequence(replace(SMALL, lens=lens, distortion=LENSES[lens], color=False))
    first, second = scene.ground_truth.world_from_camera[[0, 2]]
    grid = pixel_grid(scene.camera, 3)
    rows, columns = grid[:, 1], grid[:, 0]
    depth = scene.render_depth(first)[rows, columns].astype(float)
    rays = np.column_stack([scene.camera.unproject(grid.astype(float)), np.ones(len(grid))])
    moved = transform_points(invert_transform(second) @ first, rays * depth[:, None])
    there = scene.camera.project(moved).astype(np.float32)

    def look_up(picture: NDArray[Any]) -> Any:
        return cv2.remap(picture, there[None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)[0]

    visible = np.abs(look_up(scene.render_depth(second)) / moved[:, 2] - 1) < 0.01
    assert visible.sum() > 1000
    before, after = scene.render(first)[rows, columns].astype(float), look_up(scene.render(second)).astype(float)
    assert np.corrcoef(before[visible], after[visible])[0, 1] > 0.97
    # The same against a picture that is one pixel off is clearly worse: the geometry is right to less than that.
    shifted = look_up(np.roll(scene.render(second), 1, axis=1)).astype(float)
    assert np.corrcoef(before[visible], shifted[visible])[0, 1] < 0.95


def test_the_same_settings_give_the_same_images_and_another_seed_gives_others() -> None:
    noisy = replace(TINY, noise=2.0)
    first, second = SimulatedSequence(noisy), SimulatedSequence(noisy)
    for a, b, c in zip(first, second, first, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.image, c.image)
    other = SimulatedSequence(replace(TINY, seed=1))
    difference = next(iter(other)).image.astype(int) - next(iter(first)).image
    assert np.abs(difference).mean() > 5


def test_is_a_sequence_with_camera_and_true_poses(scene: Any) -> None:
    frames = list(scene)
    assert [frame.seq for frame in frames] == [0, 1, 2, 3]
    assert len(scene) == 4
    assert [frame.stamp_ns for frame in frames] == scene.ground_truth.stamps_ns.tolist()
    assert np.diff(scene.ground_truth.stamps_ns).tolist() == [100_000_000] * 3
    assert all(frame.camera is scene.camera and frame.image.shape == (120, 160, 3) for frame in frames)
    np.testing.assert_array_equal(frames[1].image, scene.render(scene.ground_truth.world_from_camera[1]))


def test_gray_images_have_one_channel() -> None:
    (frame,) = SimulatedSequence(replace(TINY, frames=1, color=False))
    assert frame.image.shape == (60, 80)


def test_the_images_are_rich_in_corners(scene: Any) -> None:
    for frame in scene:
        gray = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        corners = cv2.goodFeaturesToTrack(gray, 500, 0.02, 4)
        assert len(corners) > 100
        cells = {(int(x // 40), int(y // 40)) for x, y in corners[:, 0]}
        assert len(cells) >= 10  # of 12


def test_noise_has_the_spread_that_was_asked_for() -> None:
    config = replace(TINY, frames=1, noise=3.0)
    noisy = SimulatedSequence(config)
    (frame,) = noisy
    clean = noisy.render(noisy.ground_truth.world_from_camera[0]).astype(int)
    inside = (clean > 20) & (clean < 235)
    assert np.std((frame.image - clean)[inside]) == pytest.approx(3.0, rel=0.05)


def test_a_covered_lens_gives_dark_images_and_moves_on() -> None:
    frames = list(SimulatedSequence(replace(TINY, blank_first=1, blank_frames=2)))
    assert [int(frame.image.max()) < 20 for frame in frames] == [False, True, True, False]


def test_stands_still_turns_and_walks_as_planned() -> None:
    config = SceneConfig(frames=40, still_frames=6, turn_first=20, turn_frames=5, speed=0.5, rate_hz=20.0)
    steps = steps_of(plan_motion(config))
    lengths = np.array([np.linalg.norm(step[:3, 3]) for step in steps])
    angles = np.degrees([rotation_angle(step[:3, :3]) for step in steps])
    assert not lengths[:5].any() and (angles[:5] < 1e-6).all()  # images 0 to 5 are the same
    assert (lengths[19:24] < 1e-12).all()  # image 20 has turned against image 19
    np.testing.assert_allclose(angles[19:24], 2.0, atol=1e-6)
    walking = np.r_[5:19, 24:39]
    assert ((lengths[walking] > 0.01) & (lengths[walking] < 0.04)).all()  # around 0.5 m/s at 20 Hz
    assert (angles[walking] < 3.0).all()


def test_the_motion_is_smooth_while_the_camera_walks() -> None:
    steps = steps_of(plan_motion(SceneConfig(frames=200)))
    shifts = np.array([step[:3, 3] for step in steps])
    assert np.linalg.norm(np.diff(shifts, axis=0), axis=1).max() < 0.1 * np.linalg.norm(shifts, axis=1).mean()


def test_never_comes_near_the_walls_and_furniture_on_the_whole_loop() -> None:
    scene = SimulatedSequence(replace(TINY, frames=40, speed=2.1))
    nearest = [scene.render_depth(pose).min() for pose in scene.ground_truth.world_from_camera]
    path = np.linalg.norm(np.diff(scene.ground_truth.world_from_camera[:, :3, 3], axis=0), axis=1).sum()
    assert path > 6.5  # once around and more
    assert min(nearest) > 0.4


def test_sees_a_surface_in_every_pixel_of_the_closed_room(scene: Any) -> None:
    for pose in scene.ground_truth.world_from_camera:
        assert np.isfinite(scene.render_depth(pose)).all()


@pytest.mark.parametrize(('lens', 'focal'), [('plumb_bob', 320.0), ('equidistant', 320 / (np.pi / 4))])
def test_the_field_of_view_is_that_of_the_lens_without_coefficients(lens: str, focal: Any) -> None:
    camera = make_camera(SceneConfig(field_of_view_deg=90.0, width=640, lens=lens, distortion=(0.0,) * 4))
    assert camera.fx == pytest.approx(focal)


@pytest.mark.parametrize(
    ('change', 'complaint'),
    [
        ({'lens': 'magic'}, "distortion model: found 'magic'"),
        ({'distortion': (0.1, 0.2)}, 'distortion of plumb_bob'),
        ({'distortion': (-1.5, 0.0, 0.0, 0.0)}, 'pixels at the border that see nothing'),
    ],
)
def test_refuses_a_lens_that_is_none(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        SimulatedSequence(replace(SMALL, **change))


def test_refuses_settings_out_of_range() -> None:
    with pytest.raises(ConfigError, match='frames: found 0'):
        SceneConfig(frames=0)


def test_a_bag_of_the_scene_is_the_scene_again(scene: Any, tmp_path: Path) -> None:
    pytest.importorskip('rosbags')
    from kp2d_ros.recordings.bag_writer import write_bag

    write_bag(tmp_path / 'b', scene)
    again = open_sequence(tmp_path / 'b')
    for recorded, rendered in zip(again, scene, strict=True):
        assert (recorded.stamp_ns, recorded.frame_id) == (rendered.stamp_ns, rendered.frame_id)
        np.testing.assert_array_equal(recorded.image, rendered.image)
    truth = scene.ground_truth.world_from_camera
    np.testing.assert_allclose(again.ground_truth.world_from_camera, truth, atol=1e-12)
    np.testing.assert_array_equal(again.camera.coefficients, scene.camera.coefficients)
