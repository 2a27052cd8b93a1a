# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from kp2d_ros.core.errors import BackendError
from kp2d_ros.training.process import training_process

COUNT_FAULTS = """
import resource
import sys
import numpy as np
from kp2d_ros.training.process import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

kept = sys.argv[1] == 'keep' and keep_freed_memory()
np.ones(10_000_000)
before = faults()
for _ in range(5):
    np.ones(10_000_000)
print(kept, faults() - before)
"""


def count_faults(word: Any) -> tuple[bool, int]:
    done = subprocess.run(
        [sys.executable, '-c', COUNT_FAULTS, word], check=True, capture_output=True, text=True, timeout=60
    )
    kept, faults = done.stdout.split()
    return kept == 'True', int(faults)


def test_memory_that_is_freed_comes_back_without_page_faults() -> None:
    kept, faults = count_faults('keep')
    if not kept:
        pytest.skip('this C library cannot be told')
    assert faults < 0.2 * count_faults('default')[1]


@pytest.mark.parametrize(
    ('environment', 'message'),
    [
        ({'WORLD_SIZE': 'two'}, 'WORLD_SIZE and LOCAL_RANK: expected the numbers that torchrun sets'),
        ({'WORLD_SIZE': '2'}, 'torchrun: the 2 processes do not find each other: .* RANK'),
    ],
)
def test_an_environment_that_torchrun_did_not_make_is_refused(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, 'set_num_threads', lambda count: None)
    monkeypatch.setattr('kp2d_ros.training.process.keep_freed_memory', lambda: False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BackendError, match=message), training_process('cpu'):
        pytest.fail('began')
