# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np

from kp2d_ros.core.se3 import rotation_angle, vector_from_rotation
from kp2d_ros.odometry.projection import fixed_axes
from kp2d_ros.odometry.rotation import find_rotation, refine_rotation, turn_residuals


def test_finds_the_rotation_among_half_outliers(room, pose, rng):
    truth = pose((0, 0, 0), (0.1, -0.2, 0.05))
    rays = room.rays(pose(), truth, rng, noise_px=0.5, outlier_share=0.5)
    found = find_rotation(*rays, 1.5)
    assert np.degrees(rotation_angle(found[:3, :3].T @ truth[:3, :3])) < 0.5
    agrees = np.linalg.norm(turn_residuals(*rays, truth), axis=1) < 2.0
    refined = refine_rotation(rays[0].take(agrees), rays[1].take(agrees), found, 0.5).state
    assert np.degrees(rotation_angle(refined[:3, :3].T @ truth[:3, :3])) < 0.01


def test_the_residual_has_the_noise_of_one_pixel_coordinate(room, pose, rng):
    truth = pose((0, 0, 0), (0.05, 0.02, 0.1))
    residuals = turn_residuals(*room.rays(pose(), truth, rng, noise_px=0.4), truth)
    assert abs(np.std(residuals) - 0.4) < 0.03


def test_the_covariance_is_what_noise_does_to_the_rotation(room, pose, rng):
    truth, errors = pose((0, 0, 0), (0.1, 0.3, -0.2)), []
    for _ in range(60):
        rays = room.rays(pose(), truth, rng, noise_px=0.5)
        minimum = refine_rotation(*rays, truth, 0.5)
        errors.append(vector_from_rotation(minimum.state[:3, :3] @ truth[:3, :3].T))
    predicted = np.sqrt(np.diag(fixed_axes(minimum.state, minimum.covariance)))
    ratio = np.std(errors, axis=0) / predicted
    assert (ratio > 0.75).all()
    assert (ratio < 1.33).all()
