# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np

from kp2d_ros.core.se3 import angle_between, rotation_angle
from kp2d_ros.odometry.homography import PlaneMotion, plane_motions, refine_plane_motion, transfer_residuals


def true_plane_motion(motion):
    # In the reference camera, which is the world: z = 6 + 0.5 x - 0.2 y, so n . X = d there.
    normal, distance = np.array([-0.5, 0.2, 1.0]), 6.0
    in_current, distance = motion[:3, :3].T @ normal, distance - normal @ motion[:3, 3]
    scale = np.linalg.norm(normal)
    scaled = motion.copy()
    scaled[:3, 3] /= distance / scale
    return PlaneMotion(scaled, in_current / scale)


def test_the_true_homography_maps_every_point(wall, pose, rng):
    motion = pose((0.7, 0.1, -0.3), (0.02, -0.1, 0.05))
    residuals = transfer_residuals(*wall.rays(pose(), motion, rng), true_plane_motion(motion).matrix)
    np.testing.assert_allclose(residuals, 0, atol=1e-6)


def test_one_of_the_decompositions_is_the_truth(wall, pose, rng):
    motion = pose((0.7, 0.1, -0.3), (0.02, -0.1, 0.05))
    truth = true_plane_motion(motion)
    for sign in (3.0, -0.2):  # a homography has no scale and no sign
        found = plane_motions(sign * truth.matrix, wall.rays(pose(), motion, rng)[1])
        errors = [np.abs(m.motion - truth.motion).max() + np.abs(m.normal - truth.normal).max() for m in found]
        assert min(errors) < 1e-6
        assert len(found) <= 2


def test_a_rotation_has_no_plane(room, pose, rng):
    motion = pose((0, 0, 0), (0.1, 0.2, 0.0))
    assert plane_motions(motion[:3, :3], room.rays(pose(), motion, rng)[1]) == []


def test_refinement_recovers_motion_and_plane(wall, pose, rng):
    truth = true_plane_motion(pose((0.7, 0.1, -0.3), (0.02, -0.1, 0.05)))
    rays = wall.rays(pose(), pose((0.7, 0.1, -0.3), (0.02, -0.1, 0.05)), rng)
    start = PlaneMotion(truth.motion @ pose((0.02, -0.01, 0.01), (0.01, 0.0, 0.02)), np.array([0, 0, 1.0]))
    found = refine_plane_motion(*rays, start, 0.5).state
    assert rotation_angle(found.motion[:3, :3].T @ truth.motion[:3, :3]) < 1e-5
    assert angle_between(found.motion[:3, 3], truth.motion[:3, 3]) < 1e-3
    np.testing.assert_allclose(found.normal, truth.normal, atol=1e-4)
