# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
How points move on the plane z = 1 of the current camera when the camera moves.

A step of the motion ``reference_from_current`` is taken in the axes of the current camera (translation, rotation
vector): R <- R exp(w), t <- t + R v. There the Jacobian has a simple form; :func:`fixed_axes` gives covariances the
axes of the reference that the messages promise.
"""

from __future__ import annotations

import numpy as np

from kp2d_ros.core.records import Float64Array
from kp2d_ros.core.se3 import rotation_from_vector, transform_from

MIN_Z = 1e-3  # nearer points, or those behind the camera, are pushed far out of the image


def project(points: Float64Array) -> Float64Array:
    """
    (N, 2) images on z = 1 of (N, 3) points; those behind the camera land far outside, not in the image.
    """
    return np.asarray(points[:, :2] / np.maximum(points[:, 2:], MIN_Z))


def image_jacobian(plane: Float64Array, nearness: Float64Array) -> Float64Array:
    """
    (N, 2, 6) derivatives of the images ``plane`` (N, 2) by translation and rotation of the camera.

    :param nearness: (N,) inverse z of the points in the current camera.
    """
    x, y = plane[:, 0], plane[:, 1]
    jacobian = np.zeros((len(plane), 2, 6))
    jacobian[:, 0, 0] = jacobian[:, 1, 1] = -nearness
    jacobian[:, 0, 2] = nearness * x
    jacobian[:, 1, 2] = nearness * y
    jacobian[:, 0, 3] = x * y
    jacobian[:, 0, 4] = -1.0 - x * x
    jacobian[:, 0, 5] = y
    jacobian[:, 1, 3] = 1.0 + y * y
    jacobian[:, 1, 4] = -x * y
    jacobian[:, 1, 5] = -x
    return jacobian


def move(motion: Float64Array, step: Float64Array) -> Float64Array:
    """
    The motion after a step (6,) in the axes of the current camera.
    """
    rotation = motion[:3, :3]
    return transform_from(rotation @ rotation_from_vector(step[3:]), motion[:3, 3] + rotation @ step[:3])


def fixed_axes(motion: Float64Array, covariance: Float64Array) -> Float64Array:
    """
    A 3x3 or 6x6 covariance in the axes of the current camera, in those of the reference.
    """
    turn = np.kron(np.eye(len(covariance) // 3), motion[:3, :3])
    return np.asarray(turn @ covariance @ turn.T)
