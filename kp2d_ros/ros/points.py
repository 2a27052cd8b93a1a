# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The points that are tracked now as a ``sensor_msgs/PointCloud2``.
"""

from __future__ import annotations

import array

import numpy as np
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from kp2d_ros.core.records import Float64Array, FrontendResult
from kp2d_ros.odometry.rays import InverseDepths, is_known

_POINT = np.dtype([('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('id', '<u4'), ('sigma', '<f4')])
_KINDS = {np.dtype('<f4'): PointField.FLOAT32, np.dtype('<u4'): PointField.UINT32}


def points_message(result: FrontendResult, odom_from_camera: Float64Array, header: Header) -> PointCloud2:
    """
    The points of known depth that an earlier image showed as well, in ``odom``.

    Fields ``x``, ``y``, ``z`` and ``sigma``, the standard deviation of the distance along the optical axis, in the unit
    of the odometry, and ``id``, the identity of the track.

    :param odom_from_camera: (4, 4), where the camera is.
    """
    points = tracked_points(result, odom_from_camera)
    content = array.array('B')
    content.frombytes(points.tobytes())
    fields = [
        PointField(name=name, offset=int(kind[1]), datatype=_KINDS[kind[0]], count=1)
        for name, kind in (_POINT.fields or {}).items()
    ]
    return PointCloud2(
        header=header,
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=False,
        point_step=_POINT.itemsize,
        row_step=len(points) * _POINT.itemsize,
        data=content,
        is_dense=True,
    )


def tracked_points(result: FrontendResult, odom_from_camera: Float64Array) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """
    (P,) records of :func:`points_message`; none without calibration or depths.
    """
    if result.bearing_xy is None or result.inverse_depth is None or result.inverse_depth_sigma is None:
        return np.zeros(0, _POINT)
    depths = InverseDepths(result.inverse_depth, result.inverse_depth_sigma)
    seen = is_known(depths) & np.isfinite(result.bearing_xy).all(axis=1) & (result.track_ages > 0)
    inverse = result.inverse_depth[seen]
    rays = np.column_stack([result.bearing_xy[seen], np.ones(len(inverse))])
    xyz = (rays / inverse[:, None]) @ odom_from_camera[:3, :3].T + odom_from_camera[:3, 3]
    points = np.zeros(len(inverse), _POINT)
    for axis, name in enumerate('xyz'):
        points[name] = xyz[:, axis]
    points['id'] = result.track_ids[seen]
    points['sigma'] = result.inverse_depth_sigma[seen] / inverse**2
    return points
