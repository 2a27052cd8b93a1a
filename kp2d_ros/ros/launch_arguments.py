# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The arguments of the launch file: what they are, and the topics and parameters of the node that follow from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.recordings.bag_topics import right_names

TOPICS = {
    'image': ('image', 'topic of the images, raw or compressed; of the left ones of a stereo pair'),
    'camera_info': ('', 'topic of their calibration; default: camera_info beside the images'),
    'right_image': ('', 'stereo: topic of the right images; default: image with "left" replaced, else right/image'),
    'right_camera_info': ('', 'stereo: topic of their calibration; default: camera_info beside them'),
    'depth_image': ('depth/image', 'rgbd: topic of depth images that are registered to the images'),
}

PARAMETERS = {  # empty: by the file of parameters
    'sensor': 'mono, stereo or rgbd',
    'approx_sync': 'true, false or auto: whether the stamps of a pair may differ',
    'sync_tolerance_s': 'how far they may be apart',
    'baseline': 'stereo: metres between the cameras where nobody else says it',
    'depth_scale': 'rgbd: metres that a 1 in a depth image stands for',
    'extractor': 'kp2d, sift or orb: the parameter extractor.name',
    'model': 'a network that ships, or the path of one: the parameter extractor.model',
    'odometry': 'never; metric: only in metres; unit: also in the unknown unit of one camera',
    'publish_tf': 'true: odometry as a transform as well',
    'base_frame': 'frame of the robot',
    'odom_frame': 'frame that odometry and path are in',
    'mode': 'live: the newest image wins; replay: every image is processed',
    'use_sim_time': 'true: take the time from /clock',
    'autostart': 'false: leave it to a lifecycle manager',
}
_LONG_NAMES = {'extractor': 'extractor.name', 'model': 'extractor.model'}
_NUMBERS = ('sync_tolerance_s', 'baseline', 'depth_scale')
_TRUTHS = ('publish_tf', 'use_sim_time', 'autostart')
_SYNCS = {'true': 'approximate', 'false': 'exact'}


def node_parameters(arguments: Mapping[str, str], is_true: Callable[[str], bool]) -> dict[str, str | float | bool]:
    """
    The parameters of the node by their names, of those arguments in ``PARAMETERS`` that are given.

    :param is_true: reads a truth as launch does.
    :raises ConfigError: if a number is none.
    """
    given: dict[str, str | float | bool] = {}
    for name in PARAMETERS:
        text = arguments[name]
        if not text:
            continue
        if name in _NUMBERS:
            given[name] = _number(name, text)
        elif name in _TRUTHS:
            given[name] = is_true(text)
        else:
            given[_LONG_NAMES.get(name, name)] = _SYNCS.get(text, text) if name == 'approx_sync' else text
    return given


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(f'{name}: found {text!r}, expected a number') from error


def topic_remappings(arguments: Mapping[str, str]) -> list[tuple[str, str]]:
    """
    Pairs of a relative name in the node and the topic for it, of the values of the arguments in ``TOPICS``.
    """
    image = arguments['image']
    right = arguments['right_image'] or _right_of(image)
    return [
        ('image', image),
        ('camera_info', arguments['camera_info'] or _beside(image)),
        ('right/image', right),
        ('right/camera_info', arguments['right_camera_info'] or _beside(right)),
        ('depth/image', arguments['depth_image']),
    ]


def _right_of(left: str) -> str:
    names = right_names(left)
    return names.pop() if len(names) == 1 else 'right/image'


def _beside(topic: str) -> str:
    return '/'.join([*topic.split('/')[:-1], 'camera_info'])
