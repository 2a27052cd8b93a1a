# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Which topics of a bag are meant, by their names.

Topics come as they are in the bag: with ``/compressed`` or ``/compressedDepth`` behind the name of the camera's own
topic where image_transport packed them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Sensor

_TRANSPORTS = ('', '/compressed')
_DEPTH_TRANSPORTS = ('', '/compressedDepth', '/compressed')
_SIDES = (('left', 'right'), ('cam0', 'cam1'), ('infra1', 'infra2'), ('image_0', 'image_1'), ('camera_0', 'camera_1'))
_REGISTERED = ('aligned', 'registered')


def camera_topic(topic: str) -> str:
    """
    The camera's own topic behind that of a transport.
    """
    return topic.removesuffix('/compressedDepth').removesuffix('/compressed')


def info_topic(topic: str) -> str:
    """
    Where the calibration of an image topic is by convention.
    """
    return f'{camera_topic(topic).rpartition("/")[0]}/camera_info'


def is_depth_topic(topic: str) -> bool:
    """
    Whether a topic carries depth images by its name: the word, of which ``depthai`` is another.
    """
    return re.search('(?<![a-z])depth(?![a-z])', topic) is not None


def choose_image_topic(
    found: Sequence[str], wanted: str | None, depths: Collection[str], sensor: Sensor, right: str | None
) -> str:
    """
    The images, those of the left or colour camera.

    :param found: all image topics of the bag.
    :param wanted: what was asked for; None: the only ones; of a stereo rig, the only ones that have right ones.
    :param depths: topics of depth images, which are not meant where there are others.
    :param right: the right topic that was asked for.
    :raises DataError: if it is not there or not clear.
    """
    if wanted:
        return _wanted(found, wanted, _TRANSPORTS)
    cameras = _cameras(topic for topic in found if not topic.endswith('/compressedDepth'))
    cameras = [topic for topic in cameras if topic not in _cameras(depths)] or cameras
    if sensor is Sensor.STEREO and right:
        right_camera = camera_topic(_wanted(found, right, _TRANSPORTS))
        cameras = [topic for topic in cameras if topic != right_camera]
    elif sensor is Sensor.STEREO and len(cameras) > 1:
        cameras = [topic for topic in cameras if right_names(topic) & set(cameras)]
    if len(cameras) != 1:
        raise DataError(
            f'found the image topics {", ".join(found) or "(none)"}, expected one: name it with --image-topic'
        )
    return _wanted(found, cameras[0], _TRANSPORTS)


def choose_right_topic(found: Sequence[str], left: str, wanted: str | None) -> str:
    """
    The right images of a stereo rig: what was asked for, else those called as the left ones, with right for left.

    :raises DataError: if they are not there or not clear.
    """
    if wanted:
        return _wanted(found, wanted, _TRANSPORTS)
    names = sorted(right_names(camera_topic(left)))
    there = [name for name in names if any(name + transport in found for transport in _TRANSPORTS)]
    if len(there) != 1:
        raise DataError(
            f'found no right images for {left}, looked for {", ".join(names) or "a name with left in it"} among '
            f'{", ".join(found)}: name them with --right-topic'
        )
    return _wanted(found, there[0], _TRANSPORTS)


def choose_depth_topic(found: Sequence[str], wanted: str | None, depths: Collection[str]) -> str:
    """
    The depth images: what was asked for, else the only ones; of several, those that are called aligned or registered.

    :param depths: topics of depth images.
    :raises DataError: if they are not there or not clear.
    """
    if wanted:
        return _wanted(found, wanted, _DEPTH_TRANSPORTS)
    cameras = _cameras(depths)
    if len(cameras) > 1:
        cameras = [topic for topic in cameras if any(word in topic for word in _REGISTERED)] or cameras
    if len(cameras) != 1:
        raise DataError(
            f'found {len(cameras) or "no"} topics of depth images among {", ".join(found) or "(none)"}, expected one: '
            'name it with --depth-topic'
        )
    return _wanted(found, cameras[0], _DEPTH_TRANSPORTS)


def _cameras(topics: Iterable[str]) -> list[str]:
    return sorted({camera_topic(topic) for topic in topics})


def right_names(left: str) -> set[str]:
    """
    What the topic of right images may be called where the left one has this name.
    """
    return {left.replace(side, other) for side, other in _SIDES if side in left}


def _wanted(found: Sequence[str], wanted: str, transports: Sequence[str]) -> str:
    name = '/' + wanted.strip('/')
    choice = [name + transport for transport in transports if name + transport in found]
    if not choice:
        raise DataError(f'found the image topics {", ".join(found) or "(none)"}, expected {name}')
    return choice[0]
