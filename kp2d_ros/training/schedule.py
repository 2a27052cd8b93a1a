# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The learning rate as a function of the step alone, so that a resumed run cannot disagree with itself.
"""

from __future__ import annotations

import math

from kp2d_ros.training.config import OptimiserConfig


def learning_rate(step: int, steps: int, config: OptimiserConfig) -> float:
    """
    Learning rate of one step, counted from 0, of a run of ``steps``; at most a tenth of them is warm-up.
    """
    warmup_steps = min(config.warmup_steps, steps // 10)
    if step < warmup_steps:
        return config.learning_rate * (step + 1) / warmup_steps
    if config.decay == 'halve':
        return config.learning_rate * (0.5 if step >= 0.8 * steps else 1.0)
    if config.decay == 'cosine':
        progress = (step - warmup_steps) / max(steps - warmup_steps, 1)
        share = 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
        return config.learning_rate * (config.final_ratio + (1.0 - config.final_ratio) * share)
    return config.learning_rate
