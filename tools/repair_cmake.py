# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Repair the CMake files of the ROS 2 wheels in the environment that runs this, so that messages can be built.

They carry the include folders of the machine that built them; here, these are elsewhere.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from pathlib import Path

import numpy as np

# The folder of NumPy contains the one of Python as far as "include/python3.x" goes, so NumPy comes first.
FOREIGN_NUMPY = re.compile(r'/opt/python/[^;"]*/numpy/_core/include')
FOREIGN_PYTHON = re.compile(r'/opt/python/[^;"]*/include/python3\.\d+')


def repair_text(text: str, python_include: str, numpy_include: str) -> str:
    """
    The text of a CMake file with the include folders of this machine.
    """
    text = FOREIGN_NUMPY.sub(lambda _: numpy_include, text)
    return FOREIGN_PYTHON.sub(lambda _: python_include, text)


def main() -> int:
    """
    Repair every CMake file below ``share/`` of this environment; those that are right stay untouched.
    """
    python_include, numpy_include = sysconfig.get_path('include'), np.get_include()
    for path in sorted(Path(sys.prefix, 'share').rglob('*.cmake')):
        text = path.read_text(encoding='utf-8')
        repaired = repair_text(text, python_include, numpy_include)
        if repaired != text:
            path.write_text(repaired, encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
