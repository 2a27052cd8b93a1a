# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the C library does with memory that is given back.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # malloc.h of glibc


def keep_freed_memory() -> bool:
    """
    Let this process keep what it frees, for good; whether its C library knows how to (glibc does).

    A training step on a CPU frees gigabytes of large tensors. By default each goes back to the system at once and comes
    back page by page in the next step, which takes a quarter of the time of a step.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    options = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 2**28}
    return all(set_option(option, value) == 1 for option, value in options.items())
