# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Fixtures that every test may use.
"""

import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    """
    A random stream that is the same in every run.
    """
    return np.random.default_rng(0)
