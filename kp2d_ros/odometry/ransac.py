# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
How a motion is told from wrong matches: the settings, and what OpenCV's USAC makes of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2

from kp2d_ros.core.settings import setting, validate


@dataclass(frozen=True, slots=True)
class RansacConfig:
    """
    How a motion is told from wrong matches.
    """

    threshold_px: float = setting(
        1.5,
        'largest residual in pixels of a match that agrees with the motion',
        minimum=0.1,
        maximum=50.0,
        runtime=True,
    )
    confidence: float = setting(
        0.999, 'probability of finding the motion if it is there', minimum=0.5, maximum=0.999999, runtime=True
    )
    max_iterations: int = setting(2000, 'largest number of samples', minimum=10, maximum=100000, runtime=True)
    min_matches: int = setting(12, 'fewer matches give no pose', minimum=8, maximum=10000, runtime=True)
    min_inliers: int = setting(10, 'fewer matches that agree give no pose', minimum=6, maximum=10000, runtime=True)
    min_inlier_share: float = setting(
        0.25, 'a smaller share of matches that agree gives no pose', minimum=0.0, maximum=1.0, runtime=True
    )
    guided: bool = setting(
        False, 'sample the best matches first: by IO-Net if there is one, else by descriptor distance', runtime=True
    )
    seed: int = setting(
        1, 'of the random samples: another one gives another run', minimum=0, maximum=2**31 - 1, runtime=True
    )

    def __post_init__(self) -> None:
        validate(self)


def usac_params(config: RansacConfig, px_per_unit: float) -> cv2.UsacParams:
    """
    Parameters for points on the plane z = 1, where ``px_per_unit`` pixels are one unit. The same input and
    seed give the same output, whatever the number of threads.
    """
    params = cv2.UsacParams()
    params.confidence = config.confidence
    params.isParallel = False
    params.loIterations = 5
    params.loMethod = cv2.LOCAL_OPTIM_INNER_LO
    params.maxIterations = config.max_iterations
    params.randomGeneratorState = config.seed
    params.sampler = cv2.SAMPLING_PROSAC if config.guided else cv2.SAMPLING_UNIFORM
    params.score = cv2.SCORE_METHOD_MSAC
    params.threshold = config.threshold_px / px_per_unit
    return params
