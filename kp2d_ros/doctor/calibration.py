# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Whether a calibration can be that of a camera with such images.
"""

from __future__ import annotations

import numpy as np

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.doctor.findings import Finding, Severity

_NARROW_DEG, _WIDE_DEG, _WIDE_FISHEYE_DEG = 10.0, 140.0, 200.0  # horizontal field of view
_UNEQUAL = 0.1  # by which the two focal lengths may differ
_OFF_CENTRE = 0.15  # of the side
_SAME = 0.15  # by which the factors of both sides may differ, if an image was resized


def judge_calibration(camera: CameraModel | None, name: str = 'camera') -> Finding:
    """
    The finding of one camera; None: it has no calibration.
    """
    kind = 'calibration' if name == 'camera' else f'calibration of the {name}'
    if camera is None:
        advice = 'publish camera_info, or give --calibration YAML: without it there are no poses'
        return Finding(kind, Severity.ERROR, f'the {name} is not calibrated', advice)
    width, height = camera.width, camera.height
    centre = camera.matrix[:2, 2]
    ratio = 2.0 * (centre + 0.5) / (width, height)  # 1: the centre is in the middle
    field = _field_of_view_deg(camera)
    values = {'field_of_view_deg': field, 'fx_px': camera.fx, 'fy_px': camera.fy}
    found = f'focal length {camera.fx:.0f} px, field of view {field:.0f} deg, for {width}x{height}'
    if np.abs(ratio - 1.0).min() > _OFF_CENTRE and abs(np.log(ratio[0] / ratio[1])) < _SAME:
        size = f'{ratio[0] * width:.0f}x{ratio[1] * height:.0f}'
        found += f', and a centre at ({centre[0]:.0f}, {centre[1]:.0f})'
        advice = f'the calibration seems to be for images of about {size}: scale it, or calibrate at this size'
        return Finding(kind, Severity.ERROR, found, advice, values)
    widest = _WIDE_FISHEYE_DEG if camera.lens is LensModel.EQUIDISTANT else _WIDE_DEG
    if not _NARROW_DEG < field < widest:
        advice = f'hardly any camera has such a field of view (lens model {camera.lens.value}): calibrate anew'
        return Finding(kind, Severity.WARNING, found, advice, values)
    if abs(np.log(camera.fx / camera.fy)) > _UNEQUAL:
        found += f', focal lengths {camera.fx:.0f} and {camera.fy:.0f} px'
        advice = 'pixels are hardly ever so far from square: was the image resized without its aspect?'
        return Finding(kind, Severity.WARNING, found, advice, values)
    if np.abs(ratio - 1.0).max() > 2.0 * _OFF_CENTRE:
        found += f', centre at ({centre[0]:.0f}, {centre[1]:.0f})'
        advice = 'the centre is far from the middle: right only if the image was cropped'
        return Finding(kind, Severity.WARNING, found, advice, values)
    return Finding(kind, Severity.OK, found, '', values)


def _field_of_view_deg(camera: CameraModel) -> float:
    """
    Angle between the rays of the left and the right border; by the focal length alone where the lens has no ray there.
    """
    middle = float(camera.matrix[1, 2])
    ends = camera.unproject(np.array([(-0.5, middle), (camera.width - 0.5, middle)]))[:, 0]
    if not np.isfinite(ends).all():
        half = 0.5 * camera.width / camera.fx
        return float(np.degrees(2.0 * (half if camera.lens is LensModel.EQUIDISTANT else np.arctan(half))))
    return float(np.degrees(np.arctan(ends[1]) - np.arctan(ends[0])))
