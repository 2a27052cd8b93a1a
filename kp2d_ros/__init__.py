# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
KP2D visual-odometry frontend for ROS 2 and the training of its network.

In Python, without ROS, :mod:`kp2d_ros.inference.api` shows how it is used; nothing is imported before it is asked for.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kp2d_ros.core.cameras import CameraModel
    from kp2d_ros.core.errors import Kp2dError
    from kp2d_ros.core.pose_path import PosePath
    from kp2d_ros.core.records import (
        DepthImage,
        Frame,
        FrontendResult,
        Keypoints,
        Matches,
        RelativePose,
        RightImage,
        TrackingState,
    )
    from kp2d_ros.inference.api import (
        ImageExtractor,
        camera_from_matrix,
        load_extractor,
        match,
        relative_pose,
        run_frontend,
    )
    from kp2d_ros.recordings.camera_yaml import read_camera
    from kp2d_ros.recordings.sources import open_sequence

    __version__: str

__all__ = [
    'CameraModel',
    'DepthImage',
    'Frame',
    'FrontendResult',
    'ImageExtractor',
    'Keypoints',
    'Kp2dError',
    'Matches',
    'PosePath',
    'RelativePose',
    'RightImage',
    'TrackingState',
    '__version__',
    'camera_from_matrix',
    'load_extractor',
    'match',
    'open_sequence',
    'read_camera',
    'relative_pose',
    'run_frontend',
]

# The generated messages (kp2d_ros.msg) live in the build's copy of this package; joining the two
# paths lets the source tree find them as well.
__path__ = pkgutil.extend_path(__path__, __name__)

# Where the names are at home; the others are in inference.api.
_HOMES = {
    'core.cameras': ('CameraModel',),
    'core.errors': ('Kp2dError',),
    'core.pose_path': ('PosePath',),
    'core.records': (
        *('DepthImage', 'Frame', 'FrontendResult', 'Keypoints', 'Matches', 'RelativePose', 'RightImage'),
        'TrackingState',
    ),
    'recordings.camera_yaml': ('read_camera',),
    'recordings.sources': ('open_sequence',),
}


def __getattr__(name: str) -> Any:
    if name == '__version__':
        return importlib.import_module('kp2d_ros.core.resources').read_version()
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    home = next((module for module, names in _HOMES.items() if name in names), 'inference.api')
    return getattr(importlib.import_module(f'{__name__}.{home}'), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
