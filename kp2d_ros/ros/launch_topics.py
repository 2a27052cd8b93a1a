# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Which topics the inputs of the node are, from what the arguments of the launch file say; nothing but Python.
"""

from __future__ import annotations

from collections.abc import Mapping

TOPICS = {
    'image': ('image', 'topic of the images, raw or compressed; of the left ones of a stereo pair'),
    'camera_info': ('', 'topic of their calibration; default: camera_info beside the images'),
    'right_image': ('', 'stereo: topic of the right images; default: image with "left" replaced, else right/image'),
    'right_camera_info': ('', 'stereo: topic of their calibration; default: camera_info beside them'),
    'depth_image': ('depth/image', 'rgbd: topic of depth images that are registered to the images'),
}
_RIGHT_OF = {'left': 'right', 'cam0': 'cam1', 'infra1': 'infra2'}


def topic_remappings(arguments: Mapping[str, str]) -> list[tuple[str, str]]:
    """
    Pairs of a relative name in the node and the topic for it, of the values of the arguments in ``TOPICS``.
    """
    image = arguments['image']
    right = arguments['right_image'] or right_topic_of(image)
    return [
        ('image', image),
        ('camera_info', arguments['camera_info'] or _beside(image)),
        ('right/image', right),
        ('right/camera_info', arguments['right_camera_info'] or _beside(right)),
        ('depth/image', arguments['depth_image']),
    ]


def right_topic_of(left: str) -> str:
    """
    The topic of right images by the name of that of the left ones: the last part of the name that says "left" changes.
    """
    for word, other in _RIGHT_OF.items():
        before, found, after = left.rpartition(word)
        if found:
            return f'{before}{other}{after}'
    return 'right/image'


def _beside(topic: str) -> str:
    return '/'.join([*topic.split('/')[:-1], 'camera_info'])
