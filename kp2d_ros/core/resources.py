# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Files that come with the package but lie outside of it: ``config/``, ``launch/`` and ``package.xml``.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from kp2d_ros.core.errors import DataError

PACKAGE = 'kp2d_ros'


def find_shipped_file(name: str) -> Path:
    """
    Path of a shipped file, ``find_shipped_file('config/frontend.yaml')``.

    The source tree has it in the root, beside package.xml; a ROS workspace and ``pip install`` have it in
    ``share/kp2d_ros`` of the prefix that the package is installed under.

    :raises DataError: if it is in none of these places.
    """
    # Not resolved: with a symlink install this file is a link, and its folder in the workspace will do as well.
    for folder in Path(__file__).absolute().parents:
        for root in (folder, folder / 'share' / PACKAGE):
            if (root / 'package.xml').is_file() and (root / name).is_file():
                return root / name
    raise DataError(
        f'{name}: not found beside the package in {Path(__file__).absolute().parents[1]}, '
        f'expected it in the source tree or in share/{PACKAGE} of the installation'
    )


def read_version() -> str:
    """
    The version of this package, which only package.xml knows.

    :raises DataError: if package.xml is not there or names none.
    """
    path = find_shipped_file('package.xml')
    try:
        version = ElementTree.parse(path).findtext('version')
    except (OSError, ElementTree.ParseError) as error:
        raise DataError(f'{path}: cannot be read: {error}') from error
    if not version:
        raise DataError(f'{path}: found no version, expected <version>X.Y.Z</version>')
    return version.strip()
