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
    config = build(FrontendConfig, {'motion': {'covariance_factor': 1.0}})  # the noise of this scene is independent
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
        config = build(FrontendConfig, {'motion': {'covariance_factor': factor}})
        results = new_player(config).play(corridor, drive(pose, 3), np.random.default_rng(1), **FAULTS)
        covariances.append([result.pose.covariance for result in results[1:]])
        direction = results[1].pose.reference_from_current[:3, 3]
        along = direction @ covariances[-1][0][:3, :3] @ direction
        np.testing.assert_allclose(along, 1.0)  # the length is 1 by definition
    np.testing.assert_allclose(covariances[1][0][3:, 3:], 9.0 * covariances[0][0][3:, 3:])
    np.testing.assert_allclose(covariances[1][1], 9.0 * covariances[0][1])
