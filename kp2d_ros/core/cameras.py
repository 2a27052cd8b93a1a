# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Camera models: pixels to rays and back, with the lens models that ROS and the usual datasets use.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.checks import check_shape
from kp2d_ros.core.errors import DataError

Float64Array = npt.NDArray[np.float64]

# In longer sides of the image: what no lens has. A fisheye has a focal length of 0.2, the longest telescope some 1000.
_SHORTEST_FOCAL, _LONGEST_FOCAL = 0.01, 1e5
_FARTHEST_CENTRE = 1000.0  # the image may be a small part of the sensor

_NEWTON_STEPS = 20
_SETTLED = 1e-13  # a step of Newton's method that changes nothing any more
_CONVERGED = 1e-9  # residual on the plane z = 1; at a focal length of 1000 px that is a millionth of a pixel


class LensModel(Enum):
    """
    Distortion models by their ROS names (REP-104 ``distortion_model``), with the coefficients in OpenCV's order.
    """

    PLUMB_BOB = 'plumb_bob'  # k1 k2 p1 p2 [k3]
    RATIONAL_POLYNOMIAL = 'rational_polynomial'  # k1 k2 p1 p2 k3 k4 k5 k6
    EQUIDISTANT = 'equidistant'  # k1 k2 k3 k4, fisheye (Kannala and Brandt, 2006)


_COEFFICIENT_COUNTS = {
    LensModel.PLUMB_BOB: (0, 4, 5),
    LensModel.RATIONAL_POLYNOMIAL: (8,),
    LensModel.EQUIDISTANT: (4,),
}
_ALIASES = {
    '': LensModel.PLUMB_BOB,
    'none': LensModel.PLUMB_BOB,
    'radtan': LensModel.PLUMB_BOB,
    'radial-tangential': LensModel.PLUMB_BOB,
    'fisheye': LensModel.EQUIDISTANT,
    'kannala_brandt': LensModel.EQUIDISTANT,
}


def lens_model_from_name(name: str) -> LensModel:
    """
    The lens model of a ROS, Kalibr or EuRoC name; an empty name is a plumb_bob without distortion.

    :raises DataError: if the name is unknown.
    """
    key = name.strip().lower()
    try:
        return _ALIASES[key] if key in _ALIASES else LensModel(key)
    except ValueError as error:
        known = ', '.join([m.value for m in LensModel] + [a for a in _ALIASES if a])
        raise DataError(f'distortion model: found {name[:60]!r}, expected one of {known}') from error


@dataclass(frozen=True, slots=True, eq=False)
class CameraModel:
    """
    A calibrated camera: ``matrix`` is the (3, 3) pinhole matrix in pixels, ``coefficients`` the lens distortion.

    Pixel (0, 0) is the centre of the top-left pixel; sizes are pixels.

    :raises DataError: if the size, the matrix or the number of coefficients is not that of a camera, or its focal
        lengths and centre are beyond those of any camera with images of this size.
    """

    width: int
    height: int
    matrix: Float64Array
    lens: LensModel
    coefficients: Float64Array

    def __post_init__(self) -> None:
        check_shape('camera matrix', self.matrix, (3, 3))
        if self.width < 1 or self.height < 1:
            raise DataError(f'camera size: found {self.width}x{self.height}, expected at least 1x1')
        if not np.isfinite(self.matrix).all() or self.fx <= 0 or self.fy <= 0:
            raise DataError(
                f'camera matrix: found {self.matrix.ravel().tolist()}, '
                'expected finite numbers with positive focal lengths (K[0] == 0 means: not calibrated)'
            )
        if not np.allclose(self.matrix[[1, 2, 2, 2], [0, 0, 1, 2]], (0.0, 0.0, 0.0, 1.0)):
            raise DataError(
                f'camera matrix: found {self.matrix.tolist()}, expected [[fx, s, cx], [0, fy, cy], [0, 0, 1]]'
            )
        self._check_proportions()
        allowed = _COEFFICIENT_COUNTS[self.lens]
        if self.coefficients.shape not in [(n,) for n in allowed] or not np.isfinite(self.coefficients).all():
            raise DataError(
                f'distortion of {self.lens.value}: found {self.coefficients.tolist()}, '
                f'expected {" or ".join(str(n) for n in allowed)} finite coefficients'
            )

    def _check_proportions(self) -> None:
        longer = max(self.width, self.height)
        shortest, longest = _SHORTEST_FOCAL * longer, _LONGEST_FOCAL * longer
        if not shortest <= min(self.fx, self.fy) <= max(self.fx, self.fy) <= longest:
            raise DataError(
                f'focal lengths: found {self.fx:g} and {self.fy:g} px for an image of {self.width}x{self.height}, '
                f'expected {shortest:g} to {longest:g}'
            )
        skew, cx, cy = self.matrix[[0, 0, 1], [1, 2, 2]]
        farthest = _FARTHEST_CENTRE * longer
        if max(abs(cx), abs(cy)) > farthest or abs(skew) > self.fx:
            raise DataError(
                f'camera matrix: found a centre of ({cx:g}, {cy:g}) px and a skew of {skew:g} px for an image of '
                f'{self.width}x{self.height}, expected a centre within {farthest:g} px and a skew within {self.fx:g}'
            )

    @property
    def fx(self) -> float:
        """
        Focal length along x in pixels.
        """
        return float(self.matrix[0, 0])

    @property
    def fy(self) -> float:
        """
        Focal length along y in pixels.
        """
        return float(self.matrix[1, 1])

    @property
    def focal_px(self) -> float:
        """
        Geometric mean of the two focal lengths in pixels: what turns angles into pixels.
        """
        return float(np.sqrt(self.fx * self.fy))

    def resized(self, width: int, height: int) -> CameraModel:
        """
        The same camera for its image resized to (width, height); pixel edges fall on pixel edges.
        """
        if (width, height) == (self.width, self.height):
            return self
        scale = np.array([[width / self.width], [height / self.height]])
        matrix = self.matrix.copy()
        matrix[:2] *= scale
        matrix[:2, 2:] += 0.5 * (scale - 1.0)  # (c + 0.5) s - 0.5
        return CameraModel(width, height, matrix, self.lens, self.coefficients)

    def project(self, points: Float64Array) -> Float64Array:
        """
        Pixels (N, 2) of points (N, 3) in the optical frame; NaN for points that are not in front of the camera, and
        where the lens model has no finite answer.
        """
        check_shape('points', points, ('N', 3))
        with np.errstate(all='ignore'):
            plane = np.where(points[:, 2:] > 0, points[:, :2] / points[:, 2:], np.nan)
            distorted, _ = _distort(self.lens, self.coefficients, plane)
            xy = distorted @ self.matrix[:2, :2].T + self.matrix[:2, 2]
        return np.asarray(np.where(np.isfinite(xy).all(axis=1)[:, None], xy, np.nan))

    def unproject(self, xy: npt.NDArray[np.floating]) -> Float64Array:
        """
        Undistorted rays (N, 2) at z = 1 of pixels (N, 2); NaN where the lens model has no answer.

        Newton's method on the distortion; OpenCV's fixed-point iteration does not converge for strong lenses.
        """
        check_shape('xy', xy, ('N', 2))
        with np.errstate(all='ignore'):  # absurd coefficients overflow, to an answer of NaN
            offset = (xy.astype(np.float64) - self.matrix[:2, 2]).T
            distorted = np.asarray(np.linalg.solve(self.matrix[:2, :2], offset).T, np.float64)
            if not self.coefficients.any() and self.lens is not LensModel.EQUIDISTANT:
                return distorted
            if self.lens is LensModel.EQUIDISTANT:
                return _undistort_equidistant(self.coefficients, distorted)
            return _undistort_polynomial(self.lens, self.coefficients, distorted)


def _distort(lens: LensModel, coefficients: Float64Array, plane: Float64Array) -> tuple[Float64Array, Float64Array]:
    """
    Distorted coordinates (N, 2) at z = 1 and their Jacobian (N, 2, 2) by the undistorted ones.
    """
    if lens is LensModel.EQUIDISTANT:
        return _distort_equidistant(coefficients, plane)
    k1, k2, p1, p2, k3, k4, k5, k6 = np.concatenate([coefficients, np.zeros(8 - len(coefficients))])
    x, y = plane.T
    r2 = x * x + y * y
    above = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    below = 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
    radial = above / below
    slope = (
        (k1 + r2 * (2 * k2 + r2 * 3 * k3)) - radial * (k4 + r2 * (2 * k5 + r2 * 3 * k6))
    ) / below  # d radial / d r2
    distorted = np.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ],
        axis=1,
    )
    cross = 2 * x * y * slope + 2 * p1 * x + 2 * p2 * y
    jacobian = np.empty((len(plane), 2, 2))
    jacobian[:, 0, 0] = radial + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x
    jacobian[:, 0, 1] = jacobian[:, 1, 0] = cross
    jacobian[:, 1, 1] = radial + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x
    return distorted, jacobian


def _fisheye_angle(coefficients: Float64Array, theta: Float64Array) -> tuple[Float64Array, Float64Array]:
    """
    Distorted angle of an angle from the optical axis (both radians), and its slope.
    """
    k1, k2, k3, k4 = coefficients
    t2 = theta * theta
    distorted = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
    slope = 1 + t2 * (3 * k1 + t2 * (5 * k2 + t2 * (7 * k3 + t2 * 9 * k4)))
    return distorted, slope


def _distort_equidistant(coefficients: Float64Array, plane: Float64Array) -> tuple[Float64Array, Float64Array]:
    radius = np.linalg.norm(plane, axis=1)
    safe = np.where(radius > 1e-12, radius, 1.0)
    distorted_angle, slope = _fisheye_angle(coefficients, np.arctan(radius))
    scale = np.where(radius > 1e-12, distorted_angle / safe, 1.0)
    direction = plane / safe[:, None]
    along = slope / (1 + radius * radius)  # d distorted_angle / d radius
    outer = direction[:, :, None] * direction[:, None, :]
    jacobian = scale[:, None, None] * (np.eye(2) - outer) + along[:, None, None] * outer
    return plane * scale[:, None], jacobian


def _undistort_equidistant(coefficients: Float64Array, distorted: Float64Array) -> Float64Array:
    radius = np.linalg.norm(distorted, axis=1)
    theta = np.minimum(radius, np.pi / 2)
    for _ in range(_NEWTON_STEPS):
        angle, slope = _fisheye_angle(coefficients, theta)
        step = (angle - radius) / slope
        theta = theta - step
        if not (np.abs(step) > _SETTLED).any():
            break
    # Rays at 90 degrees and beyond have no point at z = 1.
    good = (np.abs(_fisheye_angle(coefficients, theta)[0] - radius) < _CONVERGED) & (theta >= 0) & (theta < 1.55)
    scale = np.where(radius > 1e-12, np.tan(theta) / radius, 1.0)
    return np.asarray(np.where(good[:, None], distorted * scale[:, None], np.nan))


def _undistort_polynomial(lens: LensModel, coefficients: Float64Array, distorted: Float64Array) -> Float64Array:
    plane = distorted.copy()
    for _ in range(_NEWTON_STEPS):
        value, jacobian = _distort(lens, coefficients, plane)
        residual = value - distorted
        (a, b), (c, d) = jacobian.transpose(1, 2, 0)
        determinant = a * d - b * c
        step = np.stack([d * residual[:, 0] - b * residual[:, 1], a * residual[:, 1] - c * residual[:, 0]], axis=1)
        step /= determinant[:, None]
        plane = plane - step
        if not (np.abs(step) > _SETTLED).any():
            break
    value, jacobian = _distort(lens, coefficients, plane)
    # A negative determinant lies past the fold of the polynomial, where the lens never maps a real ray.
    good = (np.linalg.norm(value - distorted, axis=1) < _CONVERGED) & (np.linalg.det(jacobian) > 0)
    return np.asarray(np.where(good[:, None], plane, np.nan))
