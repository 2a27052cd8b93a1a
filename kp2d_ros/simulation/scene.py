# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A camera carried through a furnished room: images with exactly known motion, depth, calibration and lens distortion.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from kp2d_ros.core.cameras import CameraModel, LensModel, lens_model_from_name
from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.records import Frame, ImageArray
from kp2d_ros.core.se3 import rotation_from_vector, transform_from
from kp2d_ros.core.settings import setting, validate
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.simulation.layout import ROOM, furnish_room
from kp2d_ros.simulation.renderer import Renderer

Float64Array = npt.NDArray[np.float64]

_START_NS = 1000 * 10**9
_BLANK_GRAY = 12  # a covered lens is not quite black
_PATH_RADIUS = 1.1  # metres, mean radius of the loop
_TURN_STEP = np.radians(2.0)  # of a frame of pure rotation


@dataclass(frozen=True, slots=True)
class SceneConfig:
    """
    What the simulated camera is, how it moves, and what goes wrong on the way.
    """

    seed: int = setting(0, 'of the textures and the noise', minimum=0)
    frames: int = setting(100, 'number of images', minimum=1)
    rate_hz: float = setting(10.0, 'images per second', minimum=0.1, maximum=1000.0)
    width: int = setting(640, 'image width in pixels', minimum=16, maximum=4096)
    height: int = setting(480, 'image height in pixels', minimum=16, maximum=4096)
    field_of_view_deg: float = setting(75.0, 'horizontal, with all coefficients 0', minimum=10.0, maximum=120.0)
    lens: str = setting('plumb_bob', 'distortion model by its ROS name')
    distortion: tuple[float, ...] = setting((-0.28, 0.07, 2e-4, -1e-4, 0.0), 'coefficients of the lens')
    color: bool = setting(True, 'RGB images; false: gray')
    samples: int = setting(2, 'rays per pixel along each axis', minimum=1, maximum=4)
    noise: float = setting(1.5, 'standard deviation of the sensor noise in gray levels', minimum=0.0, maximum=50.0)
    speed: float = setting(0.4, 'of the camera in metres per second', minimum=0.0, maximum=10.0)
    still_frames: int = setting(0, 'images at the start during which the camera stands still', minimum=0)
    turn_first: int = setting(0, 'first image of a pure rotation', minimum=0)
    turn_frames: int = setting(0, 'images of pure rotation', minimum=0)
    blank_first: int = setting(0, 'first image with the lens covered', minimum=0)
    blank_frames: int = setting(0, 'images with the lens covered', minimum=0)

    def __post_init__(self) -> None:
        validate(self)


def make_camera(config: SceneConfig) -> CameraModel:
    """
    The simulated camera: square pixels, the optical axis a little off the image centre.

    :raises ConfigError: if the lens is unknown or its coefficients are too many or too few.
    """
    half = np.radians(config.field_of_view_deg) / 2
    try:
        lens = lens_model_from_name(config.lens)
        focal = 0.5 * config.width / float(half if lens is LensModel.EQUIDISTANT else np.tan(half))
        centre = (0.505 * config.width - 0.5, 0.49 * config.height - 0.5)
        matrix = np.array([[focal, 0.0, centre[0]], [0.0, focal, centre[1]], [0.0, 0.0, 1.0]])
        return CameraModel(config.width, config.height, matrix, lens, np.array(config.distortion, np.float64))
    except DataError as error:
        raise ConfigError(str(error)) from error


def plan_motion(config: SceneConfig) -> Trajectory:
    """
    The poses of all images: a loop through the room with the eyes on the walls ahead, hands not quite steady.

    While the camera stands still or turns on the spot it stays where it is on the loop; what it turned, it keeps.
    """
    frames = np.arange(config.frames)
    turning = (frames >= config.turn_first) & (frames < config.turn_first + config.turn_frames)
    walking = (frames >= config.still_frames) & ~turning
    # The steps lie between the images: the first image after a stop has moved already, the first of all has not.
    walking[0] = False
    walked = np.cumsum(walking) * (config.speed / config.rate_hz)
    turned = np.cumsum(turning) * _TURN_STEP
    poses = [_pose_on_loop(float(along), float(extra)) for along, extra in zip(walked, turned, strict=True)]
    stamps = _START_NS + np.rint(frames * (1e9 / config.rate_hz)).astype(np.int64)
    return Trajectory(stamps, np.array(poses))


def _pose_on_loop(along: float, extra_yaw: float) -> Float64Array:
    """
    ``world_from_camera`` after so many metres, turned by some radians more.
    """
    phase = along / _PATH_RADIUS
    middle = np.array([0.48 * ROOM[0], 0.5 * ROOM[1], 1.35])
    sway = np.array([1.3 * np.cos(phase), 0.9 * np.sin(phase), 0.08 * np.sin(2.3 * phase)])
    yaw = phase + 1.1 + 0.15 * np.sin(1.7 * phase) + extra_yaw
    pitch, roll = 0.08 + 0.06 * np.sin(2.9 * phase), 0.05 * np.sin(3.7 * phase)
    forward = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), -np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    upright = np.stack([right, np.cross(forward, right), forward], axis=1)
    return transform_from(upright @ rotation_from_vector(np.array([0.0, 0.0, roll])), middle + sway)


class SimulatedSequence:
    """
    A sequence reader whose images are drawn as they are asked for; the same settings give the same images.
    """

    def __init__(self, config: SceneConfig | None = None) -> None:
        self.config = config or SceneConfig()
        self.name = f'simulated_{self.config.seed}'
        self.camera = make_camera(self.config)
        self.ground_truth = plan_motion(self.config)
        self._renderer = Renderer(
            furnish_room(),
            self.camera,
            samples=self.config.samples,
            seed=self.config.seed,
            color=self.config.color,
        )

    def __len__(self) -> int:
        return self.config.frames

    def __iter__(self) -> Iterator[Frame]:
        poses = self.ground_truth.world_from_camera
        for seq, stamp_ns in enumerate(self.ground_truth.stamps_ns.tolist()):
            image = self._expose(self.render(poses[seq]), seq)
            yield Frame(seq, stamp_ns, image, self.camera, 'camera')

    def render(self, world_from_camera: Float64Array) -> ImageArray:
        """
        The noiseless image from a pose (4x4), RGB or gray as the settings have it.
        """
        return self._renderer.render(world_from_camera)

    def render_depth(self, world_from_camera: Float64Array) -> npt.NDArray[np.float32]:
        """
        Depth (H, W) along the optical axis in metres, exact at the pixel centres.
        """
        return self._renderer.render_depth(world_from_camera)

    def _expose(self, image: ImageArray, seq: int) -> ImageArray:
        """
        What the sensor makes of an image: covered or not, with noise that depends on the number of the image alone.
        """
        first, count = self.config.blank_first, self.config.blank_frames
        if first <= seq < first + count:
            image = np.full_like(image, _BLANK_GRAY)
        if self.config.noise == 0:
            return image
        stream = np.random.default_rng([self.config.seed, seq])
        noise = stream.standard_normal(image.shape, np.float32) * np.float32(self.config.noise)
        return np.asarray(cv2.add(image, noise, dtype=cv2.CV_8U))
