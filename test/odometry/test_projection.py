# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np

from kp2d_ros.core.se3 import invert_transform, transform_points, vector_from_rotation
from kp2d_ros.odometry.projection import fixed_axes, image_jacobian, move, project


def test_the_jacobian_is_that_of_small_steps(rng, pose):
    motion, step = pose((0.3, -0.1, 0.2), (0.1, 0.2, -0.3)), 1e-6
    points = rng.uniform((-2, -2, 3), (2, 2, 8), (12, 3))

    def see(moved):
        return project(transform_points(invert_transform(moved), points))

    z = transform_points(invert_transform(motion), points)[:, 2]
    jacobian = image_jacobian(see(motion), 1 / z)
    for k, unit in enumerate(np.eye(6)):
        numeric = (see(move(motion, step * unit)) - see(move(motion, -step * unit))) / (2 * step)
        np.testing.assert_allclose(jacobian[:, :, k], numeric, atol=1e-7)


def test_covariances_turn_into_the_axes_of_the_reference(rng, pose):
    motion = pose((1.0, 2.0, 3.0), (0.3, -0.4, 1.0))
    covariance = np.diag([1e-4, 4e-4, 9e-4, 1e-6, 4e-6, 9e-6])
    samples = []
    for step in rng.multivariate_normal(np.zeros(6), covariance, 4000):
        moved = move(motion, step)
        turn = vector_from_rotation(moved[:3, :3] @ motion[:3, :3].T)
        samples.append([*(moved[:3, 3] - motion[:3, 3]), *turn])
    scale = np.sqrt(np.diag(fixed_axes(motion, covariance)))
    difference = (np.cov(np.array(samples).T) - fixed_axes(motion, covariance)) / np.outer(scale, scale)
    assert np.abs(difference).max() < 0.1


def test_points_behind_the_camera_land_outside_the_image():
    assert np.linalg.norm(project(np.array([[0.5, 0.0, -1.0]]))) > 100
