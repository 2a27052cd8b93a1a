# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A camera, a stereo rig or a depth camera carried through a furnished room: images with exactly known motion, depth,
calibration and lens distortion.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from kp2d_ros.core.cameras import CameraModel, LensModel, lens_model_from_name
from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.records import DepthImage, Frame, ImageArray, RightImage, Sensor
from kp2d_ros.core.se3 import rotation_from_vector, transform_from
from kp2d_ros.core.settings import setting, validate
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.simulation.depth_camera import measure_depth
from kp2d_ros.simulation.layout import ROOM, Surface, furnish_room
from kp2d_ros.simulation.renderer import Atlas, Renderer, build_atlas, fitting_texels
from kp2d_ros.simulation.textures import fade

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

_START_NS = 1000 * 10**9
_BLANK_GRAY = 12  # a covered lens is not quite black
_PATH_RADIUS = 1.1  # metres, mean radius of the loop
_MAX_RIG_DEG = 30.0
_EXPOSURE_STEPS = 8  # images that a blurred one is the mean of
_SWING_HZ = 0.5  # how often the camera swings left and right
# Streams of noise beside that of the image, which is older than they are.
_RIGHT_NOISE, _DEPTH_NOISE = 1, 2


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
    exposure_s: float = setting(0.0, 'what moves meanwhile is blurred; 0: nothing', minimum=0.0, maximum=1.0)
    speed: float = setting(0.4, 'of the camera in metres per second', minimum=0.0, maximum=10.0)
    still_frames: int = setting(0, 'images at the start during which the camera stands still', minimum=0)
    turn_first: int = setting(0, 'first image of a pure rotation', minimum=0)
    turn_frames: int = setting(0, 'images of pure rotation', minimum=0)
    turn_step_deg: float = setting(2.0, 'turn from each of them to the next', minimum=-90.0, maximum=90.0)
    swing_deg: float = setting(
        0.0, 'fastest turn per second of a swing left and right while walking', minimum=0.0, maximum=360.0
    )
    blank_first: int = setting(0, 'first image with the lens covered', minimum=0)
    blank_frames: int = setting(0, 'images with the lens covered', minimum=0)
    texture: float = setting(1.0, 'contrast of the surfaces, 0: all plain', minimum=0.0, maximum=1.0)
    sensor: str = setting(
        Sensor.MONO.value, 'one camera, a stereo rig or a depth camera', choices=tuple(s.value for s in Sensor)
    )
    baseline: float = setting(0.12, 'stereo: metres from the left to the right camera', minimum=0.001, maximum=2.0)
    rig_rotation_deg: tuple[float, ...] = setting(
        (0.2, -0.3, 0.15),
        'stereo: how the right camera is turned about x, y, z of the left one; 0 and no distortion: a rectified pair',
    )
    right_delay_s: float = setting(
        0.0, 'stereo: by so much the right image is older than its stamp', minimum=-10.0, maximum=10.0
    )
    swap_cameras: bool = setting(False, 'stereo: left and right image change places, the calibrations do not')
    depth_sigma: float = setting(
        0.0025, 'rgbd: standard deviation of a depth of 1 m; it grows with the square', minimum=0.0, maximum=1.0
    )
    depth_max: float = setting(6.0, 'rgbd: metres, what is farther gives no depth', minimum=0.5, maximum=65.0)
    depth_delay_s: float = setting(
        0.0, 'rgbd: by so much the depth is older than its stamp', minimum=-10.0, maximum=10.0
    )
    depth_offset: float = setting(
        0.0, 'rgbd: metres from the camera to a depth camera whose images are not registered', minimum=-1.0, maximum=1.0
    )

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
    stamps = _START_NS + np.rint(frames * (1e9 / config.rate_hz)).astype(np.int64)
    return Trajectory(stamps, _poses_at(config, frames.astype(np.float64)))


def _poses_at(config: SceneConfig, moments: Float64Array) -> Float64Array:
    """
    Poses (N, 4, 4) at moments (N,), counted in images: 2.5 is half-way from image 2 to image 3. Before the first and
    after the last one the camera stands still.
    """
    frames = np.arange(config.frames)
    turning = (frames >= config.turn_first) & (frames < config.turn_first + config.turn_frames)
    walking = (frames >= config.still_frames) & ~turning
    # The steps lie between the images: the first image after a stop has moved already, the first of all has not.
    walking[0] = False
    steps, turns = (np.interp(moments, frames, np.cumsum(moves)) for moves in (walking, turning))
    swing = 2 * np.pi * _SWING_HZ
    yaw = turns * np.radians(config.turn_step_deg)
    yaw += np.radians(config.swing_deg) / swing * (1 - np.cos(swing * steps / config.rate_hz))
    walked = steps * (config.speed / config.rate_hz)
    return np.array([_pose_on_loop(float(along), float(extra)) for along, extra in zip(walked, yaw, strict=True)])


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

    ``left_from_right`` is the pose (4, 4) of the right camera of a stereo rig. A right image is that of a camera like
    the left one, and depth that of the camera itself, registered by nature.
    """

    def __init__(self, config: SceneConfig | None = None) -> None:
        self.config = config or SceneConfig()
        self.name = f'simulated_{self.config.seed}'
        self.camera = make_camera(self.config)
        self.ground_truth = plan_motion(self.config)
        self.left_from_right = _rig(self.config)
        room, atlas = _paint_room(fitting_texels(self.camera), self.config.seed, self.config.texture)
        self._renderer = Renderer(room, atlas, self.camera, samples=self.config.samples, color=self.config.color)

    def __len__(self) -> int:
        return self.config.frames

    def __iter__(self) -> Iterator[Frame]:
        sensor = Sensor(self.config.sensor)
        for seq, stamp_ns in enumerate(self.ground_truth.stamps_ns.tolist()):
            image = self._expose(self._look(seq, np.eye(4)), seq)
            frame = Frame(seq, stamp_ns, image, self.camera, 'camera')
            if sensor is Sensor.STEREO:
                frame = self._with_right(frame)
            elif sensor is Sensor.RGBD:
                frame = replace(frame, depth=DepthImage(stamp_ns, self._measure_depth(seq)))
            yield frame

    def render(self, world_from_camera: Float64Array) -> ImageArray:
        """
        The noiseless image from a pose (4x4), RGB or gray as the settings have it.
        """
        return self._renderer.render(world_from_camera)

    def render_depth(self, world_from_camera: Float64Array) -> Float32Array:
        """
        Depth (H, W) along the optical axis in metres, exact at the pixel centres.
        """
        return self._renderer.render_depth(world_from_camera)

    def _look(self, moment: float, left_from_eye: Float64Array) -> ImageArray:
        """
        The noiseless image of a camera of the rig at a moment, counted in images, the middle of its exposure.
        """
        exposure = self.config.exposure_s * self.config.rate_hz
        count = _EXPOSURE_STEPS if exposure > 0 else 1
        moments = moment + exposure * ((np.arange(count) + 0.5) / count - 0.5)
        images = [self.render(pose @ left_from_eye) for pose in _poses_at(self.config, moments)]
        return images[0] if count == 1 else np.asarray(np.rint(np.mean(images, axis=0)), np.uint8)

    def _with_right(self, frame: Frame) -> Frame:
        moment = frame.seq - self.config.right_delay_s * self.config.rate_hz
        left, right = frame.image, self._expose(self._look(moment, self.left_from_right), frame.seq, _RIGHT_NOISE)
        if self.config.swap_cameras:
            left, right = right, left
        pair = RightImage(frame.stamp_ns, right, self.camera, self.left_from_right)
        return replace(frame, image=left, right=pair)

    def _measure_depth(self, seq: int) -> Float32Array:
        """
        Depth (H, W) in metres with the errors of a depth camera; none while the lens is covered.
        """
        if self._is_covered(seq):
            return np.zeros((self.config.height, self.config.width), np.float32)
        (pose,) = _poses_at(self.config, np.array([seq - self.config.depth_delay_s * self.config.rate_hz]))
        offset = transform_from(np.eye(3), np.array([self.config.depth_offset, 0.0, 0.0]))
        stream = np.random.default_rng([self.config.seed, seq, _DEPTH_NOISE])
        seen = self._renderer.render_surfaces(pose @ offset)
        return measure_depth(seen, self.config.depth_sigma, self.config.depth_max, stream)

    def _is_covered(self, seq: int) -> bool:
        return self.config.blank_first <= seq < self.config.blank_first + self.config.blank_frames

    def _expose(self, image: ImageArray, seq: int, *stream: int) -> ImageArray:
        """
        What the sensor makes of an image: covered or not, with noise that depends on the number of the image alone.
        """
        if self._is_covered(seq):
            image = np.full_like(image, _BLANK_GRAY)
        if self.config.noise == 0:
            return image
        noise_stream = np.random.default_rng([self.config.seed, seq, *stream])
        noise = noise_stream.standard_normal(image.shape, np.float32) * np.float32(self.config.noise)
        return np.asarray(cv2.add(image, noise, dtype=cv2.CV_8U))


# Sequences that differ in motion or sensor alone share the paint, which takes longer than a few small images.
@lru_cache(maxsize=2)
def _paint_room(texels: float, seed: int, contrast: float) -> tuple[Sequence[Surface], Atlas]:
    room = furnish_room()
    if contrast < 1:
        room = [replace(surface, paint=fade(surface.paint, contrast)) for surface in room]
    return room, build_atlas(room, texels, seed)


def _rig(config: SceneConfig) -> Float64Array:
    """
    ``left_from_right``.

    :raises ConfigError: if the rotation is not one about three axes.
    """
    angles = np.array(config.rig_rotation_deg)
    if angles.shape != (3,) or not (np.abs(angles) <= _MAX_RIG_DEG).all():
        raise ConfigError(
            f'rig_rotation_deg: found {config.rig_rotation_deg}, expected three angles of at most {_MAX_RIG_DEG:g}'
        )
    return transform_from(rotation_from_vector(np.radians(angles)), np.array([config.baseline, 0.0, 0.0]))
