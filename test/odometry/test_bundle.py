# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Poses and points refined together, against the truth and against a general solver.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import least_squares

from kp2d_ros.core.records import Float64Array
from kp2d_ros.core.se3 import invert_transform, rotation_from_vector, transform_from, vector_from_rotation
from kp2d_ros.odometry.bundle import Adjusted, Bundle, Observations, adjust_bundle

FOCAL = 300.0
DEPTH_SIGMA = 0.01  # of an inverse depth, in 1/m
CAUCHY = 2.385


@dataclass(frozen=True, slots=True)
class Problem:
    """
    What was seen, where one begins, and what is true: ``poses`` (K, 4, 4) and ``points`` (P, 3).
    """

    observations: Observations
    start: Bundle
    poses: Float64Array
    points: Float64Array


def make_problem(rng: np.random.Generator, views: int = 4, points: int = 80, noise_px: float = 0.15) -> Problem:
    """
    A camera that drives forward and turns a little; errors of keypoints add up from view to view.
    """
    poses = np.stack(
        [
            transform_from(rotation_from_vector(np.array([0, 0.02 * k, 0.01 * k])), [0.05 * k, 0, 0.3 * k])
            for k in range(views)
        ]
    )
    world = rng.uniform((-3, -2, 3), (3, 2, 12), (points, 3))
    seen = np.stack([(world - pose[:3, 3]) @ pose[:3, :3] for pose in poses], axis=1)
    off = noise_px * rng.normal(size=(points, views, 2)).cumsum(axis=1) / FOCAL
    xy = seen[..., :2] / seen[..., 2:] + off
    nearness = 1.0 / seen[..., 2] + DEPTH_SIGMA * rng.normal(size=(points, views))
    observations = Observations(
        xy.transpose(1, 2, 0), np.full((views, points), FOCAL), nearness.T, np.full((views, points), 1.0 / DEPTH_SIGMA)
    )
    return Problem(observations, start_of(observations, disturbed(poses, rng)), poses, world)


def disturbed(poses: Float64Array, rng: np.random.Generator) -> Float64Array:
    """
    All but the first pose, off by centimetres and tenths of degrees.
    """
    moved = poses.copy()
    for pose in moved[1:]:
        pose[:3, 3] += 0.02 * rng.normal(size=3)
        pose[:3, :3] = pose[:3, :3] @ rotation_from_vector(0.003 * rng.normal(size=3))
    return np.asarray(moved)


def start_of(observations: Observations, poses: Float64Array) -> Bundle:
    """
    The points where the first camera that saw them measured them.
    """
    first = (observations.px_per_unit > 0).argmax(axis=0)
    points = np.arange(len(first))
    x, y = observations.xy[first, :, points].T
    rays = np.stack([x, y, np.maximum(observations.nearness[first, points], 0.05)])
    return Bundle(poses, rays, poses[first].transpose(1, 2, 0))


def motion_error(adjusted: Adjusted, truth: Float64Array, first: int, second: int) -> Float64Array:
    """
    (6,) the error of a motion over translation and rotation about the fixed axes of its reference.
    """
    poses = adjusted.bundle.poses
    found = invert_transform(poses[first]) @ poses[second]
    true = invert_transform(truth[first]) @ truth[second]
    turned = vector_from_rotation(found[:3, :3] @ true[:3, :3].T)
    return np.concatenate([found[:3, 3] - true[:3, 3], turned])


def oracle_residuals(vector: NDArray[Any], problem: Problem, sigma_px: float, fixed: int) -> NDArray[Any]:
    """
    The same cost, written down anew: points as places in the world, view by view.
    """
    observations, start = problem.observations, problem.start
    count = len(start.poses)
    free = vector[: 6 * (count - fixed)].reshape(-1, 6)
    world = vector[6 * (count - fixed) :].reshape(-1, 3)
    parts: list[NDArray[Any]] = []
    before = np.zeros((len(world), 2))
    for number, pose in enumerate(start.poses):
        step = free[number - fixed] if number >= fixed else np.zeros(6)
        rotation = pose[:3, :3] @ rotation_from_vector(step[3:])
        seen = (world - pose[:3, 3] - step[:3]) @ rotation
        off = (seen[:, :2] / seen[:, 2:] - observations.xy[number].T) * FOCAL / sigma_px
        parts += [
            dampened(off - before),
            dampened((1.0 / seen[:, 2:] - observations.nearness[number, :, None]) / DEPTH_SIGMA),
        ]
        before = off
    return np.concatenate([part.ravel() for part in parts])


def dampened(residuals: NDArray[Any]) -> NDArray[Any]:
    """
    Residuals whose squares are the robust cost.
    """
    squared = np.maximum((residuals**2).sum(axis=1, keepdims=True), 1e-30)
    return np.asarray(residuals * np.sqrt(CAUCHY**2 * np.log1p(squared / CAUCHY**2) / squared))


@pytest.mark.parametrize('fixed', [1, 2])
def test_a_general_solver_finds_the_same_poses(rng: np.random.Generator, fixed: int) -> None:
    problem = make_problem(rng, views=3, points=15)
    found = adjust_bundle(problem.observations, problem.start, fixed, steps=50)
    begin = np.concatenate([np.zeros(6 * (3 - fixed)), problem.points.ravel()])
    arguments = (problem, found.sigma_px, fixed)
    solved = least_squares(oracle_residuals, begin, args=arguments, xtol=1e-14, ftol=1e-14, gtol=1e-14).x
    for pose, start, step in zip(
        found.bundle.poses[fixed:], problem.start.poses[fixed:], solved[: 6 * (3 - fixed)].reshape(-1, 6), strict=True
    ):
        np.testing.assert_allclose(pose[:3, 3], start[:3, 3] + step[:3], atol=2e-4)
        np.testing.assert_allclose(pose[:3, :3], start[:3, :3] @ rotation_from_vector(step[3:]), atol=5e-5)


def test_without_noise_the_truth_is_found(rng: np.random.Generator) -> None:
    problem = make_problem(rng, noise_px=0.0)
    seen = np.stack([(problem.points - pose[:3, 3]) @ pose[:3, :3] for pose in problem.poses], axis=1)
    observations = replace(problem.observations, nearness=1.0 / seen[..., 2].T)
    found = adjust_bundle(observations, problem.start, 1, steps=20)
    np.testing.assert_allclose(found.bundle.poses, problem.poses, atol=1e-6)
    np.testing.assert_allclose(found.bundle.nearness, 1.0 / seen[..., 2].T, atol=1e-6)


def test_refined_poses_are_nearer_to_the_truth(rng: np.random.Generator) -> None:
    problem = make_problem(rng)
    found = adjust_bundle(problem.observations, problem.start, 1, steps=5)
    before = np.linalg.norm(problem.start.poses[:, :3, 3] - problem.poses[:, :3, 3], axis=1)
    after = np.linalg.norm(found.bundle.poses[:, :3, 3] - problem.poses[:, :3, 3], axis=1)
    assert after.max() < 0.3 * before.max()


@pytest.mark.parametrize('pair', [(0, 1), (2, 3), (0, 3)])
def test_errors_are_as_large_as_the_covariance_says(rng: np.random.Generator, pair: tuple[int, int]) -> None:
    squared = []
    for _ in range(60):
        problem = make_problem(rng)
        found = adjust_bundle(problem.observations, problem.start, 1, steps=8)
        error = motion_error(found, problem.poses, *pair)
        squared.append(error @ np.linalg.solve(found.motion_covariance(*pair), error) / 6.0)
    assert 0.6 < np.mean(squared) < 1.4


def test_the_noise_is_that_of_a_step_of_a_track(rng: np.random.Generator) -> None:
    problem = make_problem(rng, points=500, noise_px=0.2)
    problem = replace(problem, start=replace(problem.start, poses=problem.poses))
    assert adjust_bundle(problem.observations, problem.start, 1, steps=5).sigma_px == pytest.approx(0.2, rel=0.15)


@pytest.mark.parametrize('fixed', [1, 2])
def test_fixed_poses_stay_and_have_no_covariance(rng: np.random.Generator, fixed: int) -> None:
    problem = make_problem(rng)
    found = adjust_bundle(problem.observations, problem.start, fixed, steps=5)
    np.testing.assert_array_equal(found.bundle.poses[:fixed], problem.start.poses[:fixed])
    assert (found.bundle.poses[fixed:] != problem.start.poses[fixed:]).any(axis=(1, 2)).all()
    assert found.covariance.shape == (6 * (4 - fixed), 6 * (4 - fixed))
    is_known = found.motion_covariance(0, fixed - 1)
    np.testing.assert_array_equal(is_known, np.zeros((6, 6)))


def test_where_no_depth_was_measured_two_poses_hold_the_scale(rng: np.random.Generator) -> None:
    problem = make_problem(rng, points=200, noise_px=0.05)
    poses = problem.start.poses.copy()
    poses[1] = problem.poses[1]
    observations = replace(problem.observations, belief=np.zeros((4, 200)))
    found = adjust_bundle(observations, replace(problem.start, poses=poses), 2, steps=20)
    np.testing.assert_allclose(found.bundle.poses[:, :3, 3], problem.poses[:, :3, 3], atol=0.01)


def test_a_share_of_wrong_tracks_does_not_matter(rng: np.random.Generator) -> None:
    problem = make_problem(rng, points=200)
    xy = problem.observations.xy.copy()
    xy[1:, :, :20] += rng.uniform(-0.1, 0.1, (3, 2, 20))
    found = adjust_bundle(replace(problem.observations, xy=xy), problem.start, 1, steps=8)
    assert np.linalg.norm(found.bundle.poses[:, :3, 3] - problem.poses[:, :3, 3], axis=1).max() < 0.015


def test_points_that_few_views_saw_take_part(rng: np.random.Generator) -> None:
    problem = make_problem(rng, points=120)
    seen = np.ones((4, 120), np.bool_)
    seen[2:, :40] = seen[:2, 40:80] = False
    full = problem.observations
    observations = Observations(full.xy, full.px_per_unit * seen, full.nearness, full.belief * seen)
    found = adjust_bundle(observations, start_of(observations, problem.start.poses), 1, steps=8)
    assert np.linalg.norm(found.bundle.poses[:, :3, 3] - problem.poses[:, :3, 3], axis=1).max() < 0.01


def test_sigmas_of_depths_tell_how_far_they_are_off(rng: np.random.Generator) -> None:
    problem = make_problem(rng, points=400)
    found = adjust_bundle(problem.observations, problem.start, 1, steps=8)
    last = problem.poses[-1]
    true = 1.0 / ((problem.points - last[:3, 3]) @ last[:3, 2])
    off = (found.bundle.nearness[-1] - true) / found.nearness_sigma
    assert 0.7 < 1.4826 * np.median(np.abs(off)) < 1.3
    assert found.nearness_sigma.max() < DEPTH_SIGMA


def test_points_at_infinity_are_no_special_case(rng: np.random.Generator) -> None:
    problem = make_problem(rng)
    world = problem.points.copy()
    world[:30] *= 1e6
    seen = np.stack([(world - pose[:3, 3]) @ pose[:3, :3] for pose in problem.poses], axis=1)
    xy = seen[..., :2] / seen[..., 2:]
    nearness = 1.0 / seen[..., 2] + DEPTH_SIGMA * rng.normal(size=xy.shape[:2])
    observations = replace(problem.observations, xy=xy.transpose(1, 2, 0), nearness=nearness.T)
    rays = np.column_stack([xy[:, 0], nearness[:, 0]]).T  # some of them behind the camera
    found = adjust_bundle(observations, replace(problem.start, rays=rays), 1, steps=8)
    np.testing.assert_allclose(found.bundle.poses, problem.poses, atol=0.01)
    assert np.abs(found.bundle.nearness[-1, :30]).max() < DEPTH_SIGMA


def test_of_nothing_seen_nothing_is_known() -> None:
    nothing = Observations(np.empty((3, 2, 0)), np.empty((3, 0)), np.empty((3, 0)), np.empty((3, 0)))
    poses = np.stack([np.eye(4)] * 3)
    found = adjust_bundle(nothing, Bundle(poses, np.empty((3, 0)), np.empty((4, 4, 0))), 1, steps=3)
    np.testing.assert_array_equal(found.bundle.poses, poses)
    assert np.diag(found.motion_covariance(1, 2)).min() > 1e6
    assert found.nearness_sigma.shape == (0,)


def test_a_point_without_any_information_stays(rng: np.random.Generator) -> None:
    problem = make_problem(rng)
    px_per_unit, belief = problem.observations.px_per_unit.copy(), problem.observations.belief.copy()
    px_per_unit[:, 0] = belief[:, 0] = 0.0
    observations = replace(problem.observations, px_per_unit=px_per_unit, belief=belief)
    found = adjust_bundle(observations, problem.start, 1, steps=5)
    np.testing.assert_array_equal(found.bundle.rays[:, 0], problem.start.rays[:, 0])
    assert np.isfinite(found.bundle.poses).all()
