# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Fixtures that every test may use.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    """
    A random stream that is the same in every run.
    """
    return np.random.default_rng(0)


@pytest.fixture
def hpatches(tmp_path: Path) -> Path:
    """
    A folder in the layout of HPatches: i_flat, six times one picture of blobs; v_shift, cut out 4 pixels further each.
    """
    random = np.random.default_rng(1)
    noise = random.integers(0, 256, (30, 42, 3), dtype=np.uint8)
    picture = cv2.resize(noise, (168, 120), interpolation=cv2.INTER_CUBIC)
    for sequence, step, suffix in (('i_flat', 0, 'png'), ('v_shift', 4, 'ppm')):
        folder = tmp_path / 'hpatches' / sequence
        folder.mkdir(parents=True)
        for number in range(1, 7):
            x = step * (number - 1)
            cv2.imwrite(str(folder / f'{number}.{suffix}'), picture[: 120 - 24, x : x + 144])
            if number > 1:
                np.savetxt(folder / f'H_1_{number}', np.array([[1.0, 0, -x], [0, 1, 0], [0, 0, 1]]))
    return tmp_path / 'hpatches'


@pytest.fixture
def quick_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Pictures of the odometry report that take no time, where a test is about something else.
    """
    png = cv2.imencode('.png', np.zeros((4, 4), np.uint8))[1].tobytes()
    for name in ('trajectory', 'error', 'curve', 'time'):
        monkeypatch.setattr(f'kp2d_ros.evaluation.odometry_page.{name}_picture', lambda *_: png)
