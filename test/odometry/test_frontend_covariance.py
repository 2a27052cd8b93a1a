# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The covariances of a frontend that watches a drive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kp2d_ros.core.settings import build
from kp2d_ros.odometry.frontend import FrontendConfig

if TYPE_CHECKING:
    from test.odometry.conftest import Player, Scene

# The noise of these scenes is independent, and their calibration perfect.
INDEPENDENT = {'covariance_factor': 1.0, 'systematic_px': 0.0, 'systematic_share': 0.0}
FAULTS = {'noise_px': 0.4, 'outlier_share': 0.15}


def drive(pose: Any, count: int, step: float = 0.5) -> list[Any]:
    """
    A car that sways a little.
    """
    return [pose((0.2 * np.sin(k / 6), 0, step * k), (0, 0.04 * np.sin(k / 8), 0)) for k in range(count)]


def test_errors_of_the_poses_fit_their_covariances(
    new_player: Callable[..., Player], corridor: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator
) -> None:
    truth = drive(pose, 30)
    config = build(FrontendConfig, {'motion': INDEPENDENT})
    results = new_player(config).play(corridor, truth, rng, **FAULTS)
    squares = []
    for result in results[2:]:
        reference = truth[result.pose.reference_seq]
        true = np.linalg.inv(reference) @ truth[result.seq]
        found = result.pose.reference_from_current
        turn = found[:3, :3] @ true[:3, :3].T
        error = 0.5 * np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
        squares.append(error @ np.linalg.solve(result.pose.covariance[3:, 3:], error) / 3)
    assert 0.3 < np.mean(squares) < 2.5


def test_the_covariance_is_widened_but_for_what_is_unknown(
    new_player: Callable[..., Player], corridor: Scene, pose: Callable[..., NDArray[Any]]
) -> None:
    covariances = []
    for factor in (1.0, 9.0):
        config = build(FrontendConfig, {'motion': {**INDEPENDENT, 'covariance_factor': factor}})
        results = new_player(config).play(corridor, drive(pose, 3), np.random.default_rng(1), **FAULTS)
        covariances.append([result.pose.covariance for result in results[1:]])
        direction = results[1].pose.reference_from_current[:3, 3]
        along = direction @ covariances[-1][0][:3, :3] @ direction
        np.testing.assert_allclose(along, 1.0)  # the length is 1 by definition
    np.testing.assert_allclose(covariances[1][0][3:, 3:], 9.0 * covariances[0][0][3:, 3:])
    np.testing.assert_allclose(covariances[1][1], 9.0 * covariances[0][1])


def test_an_error_that_all_keypoints_share_is_added_to_the_covariance(
    new_player: Callable[..., Player], corridor: Scene, pose: Callable[..., NDArray[Any]]
) -> None:
    found = {}
    for shared_px in (0.0, 0.5):
        config = build(FrontendConfig, {'motion': {**INDEPENDENT, 'systematic_px': shared_px}})
        results = new_player(config).play(corridor, drive(pose, 3), np.random.default_rng(1), **FAULTS)
        found[shared_px] = [result.pose for result in results[1:]]
    angle = 0.5 / corridor.camera.fx
    for plain, widened in zip(found[0.0], found[0.5], strict=True):
        assert plain is not None and widened is not None
        np.testing.assert_array_equal(plain.reference_from_current, widened.reference_from_current)
        more = widened.covariance - plain.covariance
        np.testing.assert_allclose(more[3:, 3:], angle**2 * np.eye(3), rtol=0.05, atol=1e-8)
        assert np.linalg.eigvalsh(more[:3, :3])[1:].min() > 0  # across the direction at least
    first = found[0.5][0].reference_from_current[:3, 3]
    np.testing.assert_allclose(first @ found[0.5][0].covariance[:3, :3] @ first, 1.0)  # the length is 1 by definition


def test_a_share_of_the_length_is_added_to_the_translation(
    new_player: Callable[..., Player], corridor: Scene, pose: Callable[..., NDArray[Any]]
) -> None:
    covariances = []
    for share in (0.0, 0.05):
        config = build(FrontendConfig, {'motion': {**INDEPENDENT, 'systematic_share': share}})
        results = new_player(config).play(corridor, drive(pose, 3), np.random.default_rng(1), **FAULTS)
        covariances.append(results[2].pose.covariance)
        step = results[2].pose.reference_from_current[:3, 3]
    expected = np.zeros((6, 6))
    expected[:3, :3] = 0.05**2 * (step @ step) * np.eye(3)
    np.testing.assert_allclose(covariances[1] - covariances[0], expected, atol=1e-12)
