# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.doctor.calibration import judge_calibration
from kp2d_ros.doctor.findings import Severity

NewCamera = Callable[..., CameraModel]


def test_a_usual_camera_is_fine_with_its_field_of_view(new_camera: NewCamera) -> None:
    finding = judge_calibration(new_camera())
    assert finding.severity is Severity.OK
    assert finding.values['field_of_view_deg'] == pytest.approx(65.24, abs=0.01)


def test_no_calibration_is_an_error() -> None:
    assert judge_calibration(None, 'right camera').severity is Severity.ERROR


@pytest.mark.parametrize(('centre', 'size'), [((639.5, 479.5), '1280x960'), ((159.5, 119.5), '320x240')])
def test_a_calibration_for_another_size_is_told_by_its_centre(
    centre: tuple[float, float], size: str, new_camera: NewCamera
) -> None:
    finding = judge_calibration(new_camera(focal=1000.0, centre=centre))
    assert finding.severity is Severity.ERROR and size in finding.advice


@pytest.mark.parametrize('focal', [20.0, 8000.0])
def test_a_focal_length_that_hardly_any_camera_has_is_said(focal: float, new_camera: NewCamera) -> None:
    finding = judge_calibration(new_camera(focal=focal))
    assert finding.severity is Severity.WARNING and 'field of view' in finding.found


def test_pixels_far_from_square_and_a_centre_far_from_the_middle_are_said(new_camera: NewCamera) -> None:
    assert 'square' in judge_calibration(new_camera(fy=700.0)).advice
    assert 'cropped' in judge_calibration(new_camera(centre=(460.0, 239.5))).advice


def test_a_fisheye_may_see_half_the_world() -> None:
    matrix = np.array([[220.0, 0, 319.5], [0, 220.0, 239.5], [0, 0, 1]])
    camera = CameraModel(640, 480, matrix, LensModel.EQUIDISTANT, np.zeros(4))
    finding = judge_calibration(camera)
    assert finding.severity is Severity.OK
    assert finding.values['field_of_view_deg'] == pytest.approx(166.7, abs=0.2)
