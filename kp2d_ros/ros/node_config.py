# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The settings of the frontend node: those of the pipeline, and its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.settings import flatten, section, setting, validate
from kp2d_ros.drawing.frame import DrawingConfig
from kp2d_ros.inference.pipeline import PipelineConfig


@dataclass(frozen=True, slots=True)
class NodeConfig(PipelineConfig):
    """
    Everything that the node can be told; the sections are those of the offline commands.
    """

    mode: str = setting(
        'live',
        'live: the newest image wins, others are dropped; replay: every image is processed, in order',
        choices=('live', 'replay'),
    )
    replay_queue: int = setting(
        32, 'replay: images that may wait before the subscription blocks', minimum=1, maximum=10_000
    )
    image_transport: str = setting(
        'auto',
        'what the image topics carry; auto: what is there (image, or image/compressed)',
        choices=('auto', 'raw', 'compressed'),
    )
    rectified: str = setting(
        'auto',
        'whether the images are undistorted: then P of camera_info counts, not K; auto: by the topic (image_rect*)',
        choices=('auto', 'yes', 'no'),
    )
    approx_sync: str = setting(
        'auto',
        'whether the stamps of a pair must be equal or may differ; auto: stereo exact, rgbd approximate',
        choices=('auto', 'exact', 'approximate'),
    )
    sync_queue: int = setting(10, 'messages of each topic that wait for their partner', minimum=1, maximum=1000)
    sync_tolerance_s: float = setting(
        0.02, 'how far the stamps of a pair may be apart where they may differ', minimum=0.0, maximum=10.0
    )
    baseline: float = setting(
        0.0, 'stereo: metres between the cameras where neither camera_info nor TF says it', minimum=0.0, maximum=100.0
    )
    depth_scale: float = setting(
        0.0,
        'rgbd: metres that a 1 in a depth image stands for; 0: 0.001 in 16 bits, 1 in floating point',
        minimum=0.0,
        maximum=1000.0,
    )
    camera_info_wait_s: float = setting(
        5.0, 'replay: how long the first image waits for its camera_info', minimum=0.0, maximum=3600.0, runtime=True
    )
    descriptor_type: str = setting(
        'f16',
        'how descriptors travel in keypoints; binary ones are always bits',
        choices=('none', 'f32', 'f16', 'u8'),
        runtime=True,
    )
    odometry: str = setting(
        'metric',
        'when odometry is published: metric: only in metres; unit: also in the unknown unit of one camera',
        choices=('never', 'metric', 'unit'),
    )
    publish_tf: bool = setting(False, 'publish the odometry as a transform as well (needs tf2_ros)')
    odom_frame: str = setting('odom', 'frame that the odometry is in')
    base_frame: str = setting('base_link', 'frame of the robot, whose pose the odometry is')
    time_jump_s: float = setting(
        0.5, 'stamps that go back further than this are a restart; less: the image is late', minimum=0.0, maximum=3600.0
    )
    watchdog_s: float = setting(
        10.0,
        'an image that takes longer than this is an error in the diagnostics',
        minimum=0.5,
        maximum=3600.0,
        runtime=True,
    )
    stuck_exit_s: float = setting(
        120.0,
        'an image that takes longer than this ends the process, for launch to start it again; 0: none does',
        minimum=0.0,
        maximum=86400.0,
        runtime=True,
    )
    no_output_s: float = setting(
        5.0, 'say why when nothing came out for so long', minimum=0.5, maximum=3600.0, runtime=True
    )
    doctor: bool = setting(
        True, 'look for faults of the cameras once a second, later every five; what is found is in the diagnostics'
    )
    autostart: bool = setting(True, 'configure and activate at the start, without a lifecycle manager')
    debug_image: DrawingConfig = section(DrawingConfig)

    def __post_init__(self) -> None:
        validate(self)
        for name in ('odom_frame', 'base_frame'):
            if not getattr(self, name).strip('/ '):
                raise ConfigError(f'{name}: found {getattr(self, name)!r}, expected the name of a frame')

    @property
    def lossless(self) -> bool:
        """
        Whether every image is processed.
        """
        return self.mode == 'replay'


def parameter_file(config: NodeConfig) -> str:
    """
    The text of a ROS parameter file with these settings, each with its description: ``config/frontend.yaml``.
    """
    lines = [
        '# SPDX-FileCopyrightText: 2026 kp2d_ros contributors',
        '# SPDX-License-Identifier: Apache-2.0',
        '#',
        '# All parameters of the frontend with their defaults. (r): may be changed while it runs.',
        '/**:',
        '  ros__parameters:',
    ]
    begun: list[str] = []
    for path, value, info in flatten(config):
        *parents, name = path.split('.')
        for depth, parent in enumerate(parents):
            if begun[: depth + 1] != parents[: depth + 1]:
                lines.append(f'{"  " * (depth + 2)}{parent}:')
                begun = parents[: depth + 1]
        begun = parents
        indent = '  ' * (len(parents) + 2)
        lines.append(f'{indent}# {info.description}{" (r)" if info.runtime else ""}')
        lines.append(f'{indent}{name}: {_yaml_scalar(value)}')
    return '\n'.join(lines) + '\n'


def _yaml_scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, tuple):
        return f'[{", ".join(map(_yaml_scalar, value))}]'
    return repr(value) if isinstance(value, int) else _yaml_float(float(str(value)))


def _yaml_float(value: float) -> str:
    text = repr(value)
    return text if '.' in text else text.replace('e', '.0e')  # YAML 1.1 takes 1e-09 for a text
