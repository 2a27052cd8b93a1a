# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Rigid transforms as 4x4 arrays, rotations, unit quaternions (x, y, z, w).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.checks import check_shape
from kp2d_ros.core.errors import DataError

Float64Array = npt.NDArray[np.float64]

_ORTHONORMAL = 1e-3  # as rotations are written in files of few digits


def hat(vector: Float64Array) -> Float64Array:
    """
    Matrix of the cross product: ``hat(a) @ b == cross(a, b)``; (3,) -> (3, 3).
    """
    x, y, z = vector
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def rotation_from_vector(vector: Float64Array) -> Float64Array:
    """
    Rotation matrix of a rotation vector (axis times angle in radians); (3,) -> (3, 3), Rodrigues' formula.
    """
    angle_squared = float(np.dot(vector, vector))
    skew = hat(vector)
    if angle_squared < 1e-12:  # Taylor series: sin(a)/a and (1 - cos(a))/a^2 around 0
        first, second = 1.0 - angle_squared / 6.0, 0.5 - angle_squared / 24.0
    else:
        angle = np.sqrt(angle_squared)
        first, second = np.sin(angle) / angle, (1.0 - np.cos(angle)) / angle_squared
    return np.asarray(np.eye(3) + first * skew + second * (skew @ skew))


def vector_from_rotation(rotation: Float64Array) -> Float64Array:
    """
    Rotation vector (axis times angle in [0, pi] radians) of a rotation matrix; (3, 3) -> (3,).
    """
    xyz, w = np.split(quaternion_from_rotation(rotation), [3])
    sine = float(np.linalg.norm(xyz))
    if sine < 1e-9:
        return 2.0 * xyz
    return np.asarray(xyz * (2.0 * np.arctan2(sine, w[0]) / sine))


def quaternion_from_rotation(rotation: Float64Array) -> Float64Array:
    """
    Unit quaternion (x, y, z, w) with w >= 0 of a rotation matrix; (3, 3) -> (4,).

    Shepperd's method by the eigenvector form of Bar-Itzhack (2000): the largest eigenvector of a symmetric 4x4, so a
    matrix that is a rotation only nearly gives the nearest one.
    """
    r = rotation
    symmetric = np.array(
        [
            [r[0, 0] - r[1, 1] - r[2, 2], r[1, 0] + r[0, 1], r[2, 0] + r[0, 2], r[2, 1] - r[1, 2]],
            [r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], r[2, 1] + r[1, 2], r[0, 2] - r[2, 0]],
            [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1], r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], r[0, 0] + r[1, 1] + r[2, 2]],
        ]
    )
    quaternion = np.linalg.eigh(symmetric)[1][:, -1]
    return np.asarray(-quaternion if quaternion[3] < 0 else quaternion)


def rotation_from_quaternion(quaternion: Float64Array) -> Float64Array:
    """
    Rotation matrix of a quaternion (x, y, z, w) of any length but zero; (4,) -> (3, 3).

    :raises DataError: if the quaternion is zero or not finite.
    """
    check_shape('quaternion', quaternion, (4,))
    norm = float(np.linalg.norm(quaternion))
    if not np.isfinite(norm) or norm < 1e-9:
        raise DataError(f'quaternion: found {quaternion.tolist()}, expected a finite one that is not zero')
    x, y, z, w = quaternion / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def is_rotation(matrix: Float64Array) -> bool:
    """
    Whether a (3, 3) matrix is a rotation, to the digits that files have.
    """
    return bool(np.allclose(matrix @ matrix.T, np.eye(3), atol=_ORTHONORMAL) and np.linalg.det(matrix) >= 0)


def transform_from(rotation: Float64Array, translation: Float64Array) -> Float64Array:
    """
    4x4 transform of a (3, 3) rotation and a (3,) translation.
    """
    transform = np.eye(4)
    transform[:3, :3] = rotation
    transform[:3, 3] = translation
    return transform


def renormalised(transform: Float64Array) -> Float64Array:
    """
    A 4x4 transform with the rotation nearest to what rounding has made of its own.

    Where each motion is predicted from the ones before, a departure from orthonormality may double with every one.
    """
    left, _, right = np.linalg.svd(transform[:3, :3])
    return transform_from(left @ right, transform[:3, 3])


def invert_transform(a_from_b: Float64Array) -> Float64Array:
    """
    ``b_from_a`` of a rigid 4x4 transform.
    """
    rotation = a_from_b[:3, :3].T
    return transform_from(rotation, -rotation @ a_from_b[:3, 3])


def transform_points(a_from_b: Float64Array, points_b: Float64Array) -> Float64Array:
    """
    (N, 3) points of frame b, in frame a.
    """
    return np.asarray(points_b @ a_from_b[:3, :3].T + a_from_b[:3, 3])


def rotation_angle(rotation: Float64Array) -> float:
    """
    Angle in [0, pi] radians of a (3, 3) rotation.
    """
    return float(np.linalg.norm(vector_from_rotation(rotation)))


def angle_between(first: Float64Array, second: Float64Array) -> float:
    """
    Angle in [0, pi] radians between two vectors; NaN if one of them is zero.
    """
    cosine = float(np.dot(first, second))
    sine = float(np.linalg.norm(np.cross(first, second)))
    return float(np.arctan2(sine, cosine)) if sine > 0 or cosine != 0 else float('nan')
