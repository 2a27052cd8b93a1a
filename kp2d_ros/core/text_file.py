# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Text files that are there as a whole or not at all.
"""

from __future__ import annotations

from pathlib import Path

from kp2d_ros.core.errors import DataError


def write_text_file(path: Path, text: str) -> None:
    """
    Write a text (UTF-8) into a folder that is made if needed; whoever reads the path sees the old text or the new one.

    :raises DataError: if it cannot be written; what was there stays.
    """
    part = path.with_name(f'.{path.name}.part')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding='utf-8')
        part.replace(path)
    except OSError as error:
        raise DataError(f'{path}: cannot be written: {error}') from error
