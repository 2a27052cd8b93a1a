# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The simulated stereo rig and depth camera, and what can be wrong with them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.records import DepthImage, Frame, RightImage
from kp2d_ros.core.se3 import invert_transform, rotation_angle, transform_points
from kp2d_ros.recordings.sources import open_sequence
from kp2d_ros.simulation.scene import SceneConfig, SimulatedSequence, plan_motion

Simulate = Callable[..., SimulatedSequence]
RECTIFIED = {'rig_rotation_deg': [0.0, 0.0, 0.0], 'distortion': [0.0, 0.0, 0.0, 0.0]}
QUIET = {'noise': 0.0, 'color': False}


def right_of(frame: Frame) -> RightImage:
    assert frame.right is not None
    return frame.right


def depth_of(frame: Frame) -> DepthImage:
    assert frame.depth is not None
    return frame.depth


@pytest.mark.parametrize('sensor', ['mono', 'stereo', 'rgbd'])
def test_a_frame_has_what_its_sensor_sees_and_no_more(sensor: str, simulate: Simulate) -> None:
    for frame, mono in zip(simulate(sensor=sensor), simulate(), strict=True):
        assert (frame.right is not None, frame.depth is not None) == (sensor == 'stereo', sensor == 'rgbd')
        np.testing.assert_array_equal(frame.image, mono.image)


def look_up(picture: Any, xy: Any) -> Any:
    return cv2.remap(picture, xy.astype(np.float32)[None], None, cv2.INTER_LINEAR)[0].astype(float)


def test_depth_rig_and_lens_together_say_where_a_pixel_is_in_the_right_image(simulate: Simulate) -> None:
    scene = simulate(sensor='stereo', frames=1, samples=2, rig_rotation_deg=[2.0, -3.0, 1.5], **QUIET)
    (frame,) = scene
    right = right_of(frame)
    assert right.camera is not None and right.left_from_right is not None
    assert np.degrees(rotation_angle(right.left_from_right[:3, :3])) == pytest.approx(np.sqrt(4 + 9 + 2.25))
    np.testing.assert_allclose(right.left_from_right[:3, 3], [0.12, 0.0, 0.0])
    columns, rows = (grid.ravel() for grid in np.meshgrid(np.arange(20, 150, 2), np.arange(10, 110, 2)))
    depth = scene.render_depth(scene.ground_truth.world_from_camera[0])[rows, columns].astype(float)
    rays = scene.camera.unproject(np.stack([columns, rows], axis=1).astype(float))
    points = np.column_stack([rays, np.ones(len(rays))]) * depth[:, None]
    there = right.camera.project(transform_points(invert_transform(right.left_from_right), points))
    here, inside = frame.image[rows, columns].astype(float), (there > 2).all(axis=1) & (there < [157, 117]).all(axis=1)
    assert inside.sum() > 1000
    here, there = here[inside], there[inside]
    score = np.corrcoef(here, look_up(right.image, there))[0, 1]
    assert score > 0.9
    for off in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        assert np.corrcoef(here, look_up(right.image, there + off))[0, 1] < score - 0.05


def test_without_rotation_and_distortion_the_pair_is_rectified(simulate: Simulate) -> None:
    scene = simulate(sensor='stereo', frames=1, **RECTIFIED, **QUIET)
    (frame,) = scene
    expected = np.eye(4)
    expected[0, 3] = 0.12
    np.testing.assert_array_equal(right_of(frame).left_from_right, expected)
    disparity = scene.camera.fx * 0.12 / scene.render_depth(scene.ground_truth.world_from_camera[0])
    columns, rows = np.meshgrid(np.arange(160.0), np.arange(120.0))
    warped = cv2.remap(
        right_of(frame).image, (columns - disparity).astype(np.float32), rows.astype(np.float32), cv2.INTER_LINEAR
    )
    seen = np.s_[:, 25:]
    assert np.corrcoef(warped[seen].ravel(), frame.image[seen].ravel())[0, 1] > 0.95


def test_both_images_of_a_pair_have_noise_of_their_own(simulate: Simulate) -> None:
    still = {**RECTIFIED, 'baseline': 0.001, 'color': False, 'frames': 1}
    (noisy,), (clean,) = simulate(sensor='stereo', noise=5.0, **still), simulate(sensor='stereo', noise=0.0, **still)
    left = noisy.image.astype(float) - clean.image
    right = right_of(noisy).image.astype(float) - right_of(clean).image
    assert np.std(right) == pytest.approx(5.0, rel=0.1)
    assert abs(np.corrcoef(left.ravel(), right.ravel())[0, 1]) < 0.05


def test_a_late_camera_shows_where_it_was(simulate: Simulate) -> None:
    in_time, late = (list(simulate(sensor='stereo', right_delay_s=delay, **QUIET)) for delay in (0.0, 0.1))
    # 10 images per second: a tenth of a second is one image.
    for now, before in zip(late[1:], in_time[:-1], strict=True):
        np.testing.assert_array_equal(right_of(now).image, right_of(before).image)
        assert right_of(now).stamp_ns == now.stamp_ns
    np.testing.assert_array_equal(late[2].image, in_time[2].image)
    half = list(simulate(sensor='stereo', right_delay_s=0.05, **QUIET))[2]
    assert (right_of(half).image != right_of(in_time[2]).image).mean() > 0.5
    assert (right_of(half).image != right_of(late[2]).image).mean() > 0.5


def test_swapped_cameras_swap_images_and_keep_the_calibration(simulate: Simulate) -> None:
    for right, wrong in zip(simulate(sensor='stereo'), simulate(sensor='stereo', swap_cameras=True), strict=True):
        np.testing.assert_array_equal(right_of(wrong).image, right.image)
        np.testing.assert_array_equal(wrong.image, right_of(right).image)
        np.testing.assert_array_equal(right_of(wrong).left_from_right, right_of(right).left_from_right)


def test_depth_is_that_of_the_room_but_for_noise_and_holes(simulate: Simulate) -> None:
    scene = simulate(sensor='rgbd')
    for frame, pose in zip(scene, scene.ground_truth.world_from_camera, strict=True):
        depth, exact = depth_of(frame).metres, scene.render_depth(pose)
        assert depth.dtype == np.float32 and depth_of(frame).stamp_ns == frame.stamp_ns
        measured = depth > 0
        assert 0.85 < measured.mean() < 1.0
        error = (depth[measured] - exact[measured]) / exact[measured] ** 2
        assert np.median(np.abs(error)) == pytest.approx(0.6745 * 0.0025, rel=0.15)


def test_late_depth_shows_where_the_camera_was(simulate: Simulate) -> None:
    exact = {'depth_sigma': 0.0, **QUIET}
    in_time, late = (list(simulate(sensor='rgbd', depth_delay_s=delay, **exact)) for delay in (0.0, 0.1))
    for now, before in zip(late[1:], in_time[:-1], strict=True):
        np.testing.assert_array_equal(depth_of(now).metres, depth_of(before).metres)


def test_depth_that_is_not_registered_has_its_edges_elsewhere(simulate: Simulate) -> None:
    exact = {'depth_sigma': 0.0, 'frames': 1, **RECTIFIED, **QUIET}
    (frame,), (shifted,) = simulate(sensor='rgbd', **exact), simulate(sensor='rgbd', depth_offset=0.1, **exact)
    here, there = depth_of(frame).metres, depth_of(shifted).metres

    def agreement(shift_px: int) -> float:
        """
        Share of pixels whose depth is the same so many pixels to the left.
        """
        return float((np.abs(np.roll(there, shift_px, axis=1) - here)[:, 20:-20] < 0.02).mean())

    # 0.1 m at 2 m and a focal length of 104 px are 5 px.
    assert max(range(-10, 11), key=agreement) in range(3, 9)


def test_a_covered_lens_gives_no_depth_and_two_dark_images(simulate: Simulate) -> None:
    covered = {'blank_first': 1, 'blank_frames': 1, 'frames': 2}
    depth = [depth_of(frame).metres.any() for frame in simulate(sensor='rgbd', **covered)]
    dark = [right_of(frame).image.max() < 25 for frame in simulate(sensor='stereo', **covered)]
    assert (depth, dark) == ([True, False], [False, True])


def test_less_texture_is_less_contrast_in_the_same_place(simulate: Simulate) -> None:
    (full,), (faint,), (plain,) = (simulate(frames=1, texture=share, **QUIET) for share in (1.0, 0.2, 0.0))
    detail, less, none = (
        cv2.Laplacian(frame.image, cv2.CV_32F)[60:110, 60:110].std() for frame in (full, faint, plain)
    )
    assert none < less < 0.4 * detail


def test_an_exposure_blurs_what_moves_and_nothing_else(simulate: Simulate) -> None:
    moving = {'frames': 6, 'still_frames': 3, 'swing_deg': 300.0, 'color': False, 'noise': 0.0, 'samples': 2}
    (_, still, *_, sharp, _), (_, rest, *_, blurred, _) = simulate(**moving), simulate(exposure_s=0.06, **moving)
    np.testing.assert_array_equal(rest.image, still.image)
    assert cv2.Laplacian(blurred.image, cv2.CV_32F).std() < 0.6 * cv2.Laplacian(sharp.image, cv2.CV_32F).std()
    # The stamp is the middle of the exposure: the blurred image is the sharp one, smoothed, in the same place.
    smooth = [cv2.GaussianBlur(frame.image.astype(np.float32), (0, 0), 8) for frame in (sharp, blurred)]
    shift, _ = cv2.phaseCorrelate(*smooth)
    assert np.abs(shift).max() < 1.0


def test_a_swing_turns_as_fast_as_it_says_and_ends_where_it_began() -> None:
    poses = plan_motion(SceneConfig(frames=61, rate_hz=30.0, speed=0.0, swing_deg=90.0)).world_from_camera
    steps = np.degrees([rotation_angle((invert_transform(a) @ b)[:3, :3]) for a, b in pairwise(poses)])
    assert steps.max() * 30 == pytest.approx(90.0, rel=0.01)
    assert np.degrees(rotation_angle((invert_transform(poses[0]) @ poses[60])[:3, :3])) < 1e-6
    assert np.degrees(rotation_angle((invert_transform(poses[0]) @ poses[30])[:3, :3])) == pytest.approx(57.3, abs=0.1)


def test_images_of_pure_rotation_turn_by_the_step() -> None:
    poses = plan_motion(SceneConfig(frames=6, turn_first=2, turn_frames=2, turn_step_deg=-12.0)).world_from_camera
    turned = invert_transform(poses[1]) @ poses[2]
    assert np.degrees(rotation_angle(turned[:3, :3])) == pytest.approx(12.0)
    assert not turned[:3, 3].round(12).any()


@pytest.mark.parametrize('compression', ['', 'png'])
@pytest.mark.parametrize('sensor', ['stereo', 'rgbd'])
def test_a_bag_of_the_scene_is_the_scene_again(
    sensor: str, compression: str, simulate: Simulate, tmp_path: Path
) -> None:
    pytest.importorskip('rosbags', reason='rosbags is not installed (extra: bags)')
    from kp2d_ros.recordings.bag_writer import BagConfig, write_bag

    scene = simulate(sensor=sensor, frames=2, blank_first=1, blank_frames=1)
    write_bag(tmp_path / 'b', scene, BagConfig(compression=compression))
    for recorded, rendered in zip(open_sequence(tmp_path / 'b', sensor=sensor), scene, strict=True):
        assert recorded.stamp_ns == rendered.stamp_ns
        np.testing.assert_array_equal(recorded.image, rendered.image)
        if sensor == 'rgbd':
            np.testing.assert_array_equal(depth_of(recorded).metres, depth_of(rendered).metres)
            assert depth_of(recorded).stamp_ns == rendered.stamp_ns
            continue
        right, expected = right_of(recorded), right_of(rendered)
        np.testing.assert_array_equal(right.image, expected.image)
        assert right.stamp_ns == rendered.stamp_ns
        assert right.camera is not None and right.left_from_right is not None
        np.testing.assert_array_equal(right.camera.matrix, scene.camera.matrix)
        np.testing.assert_allclose(right.left_from_right, scene.left_from_right, atol=1e-12)


@pytest.mark.parametrize(
    ('change', 'complaint'),
    [
        ({'sensor': 'lidar'}, "sensor: found 'lidar', expected one of 'mono', 'stereo', 'rgbd'"),
        ({'baseline': 0.0}, 'baseline: found 0.0, expected a number from 0.001'),
        ({'rig_rotation_deg': [0.1, 0.2]}, r'rig_rotation_deg: found \(0.1, 0.2\), expected three angles'),
        ({'rig_rotation_deg': [0.1, 0.2, 90.0]}, 'expected three angles of at most 30'),
    ],
)
def test_refuses_what_is_no_rig(change: dict[str, Any], complaint: str, simulate: Simulate) -> None:
    with pytest.raises(ConfigError, match=complaint):
        simulate(**change)
