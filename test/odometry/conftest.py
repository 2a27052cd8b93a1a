# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Point scenes with known cameras: what a detector with chosen faults would see of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.records import DepthImage, Frame, Keypoints, RightImage
from kp2d_ros.core.se3 import invert_transform, rotation_from_vector, transform_from, transform_points
from kp2d_ros.core.settings import build, nest
from kp2d_ros.odometry.frontend import Frontend, FrontendConfig
from kp2d_ros.odometry.rays import rays_from_pixels

PINHOLE = CameraModel(
    640, 480, np.array([[500.0, 0, 319.5], [0, 505.0, 239.5], [0, 0, 1]]), LensModel.PLUMB_BOB, np.zeros(0)
)


def make_pose(translation: tuple[int, int, int] = (0, 0, 0), rotation: tuple[int, int, int] = (0, 0, 0)) -> Any:
    return transform_from(rotation_from_vector(np.array(rotation, float)), np.array(translation, float))


@dataclass(frozen=True)
class Scene:
    """
    Landmarks (N, 3) in the world, each with a descriptor (N, D) of its own.
    """

    landmarks: np.ndarray
    descriptors: np.ndarray
    camera: CameraModel = PINHOLE
    far: float = np.inf

    def visible(self, world_from_camera: NDArray[Any]) -> tuple[Any, Any]:
        """
        Rows of the landmarks inside the image and not too far away, and their pixels.
        """
        points = transform_points(invert_transform(world_from_camera), self.landmarks)
        xy = self.camera.project(points)
        inside = ((xy >= 0) & (xy <= (self.camera.width - 1, self.camera.height - 1))).all(axis=1)
        rows = np.flatnonzero(inside & (points[:, 2] < self.far))
        return rows, xy[rows]

    def keypoints(
        self,
        world_from_camera: NDArray[Any],
        rng: np.random.Generator,
        noise_px: float = 0.0,
        outlier_share: float = 0.0,
    ) -> Keypoints:
        """
        Keypoints in random order; outliers carry the descriptor of another landmark.
        """
        rows, xy = self.visible(world_from_camera)
        order = rng.permutation(len(rows))
        rows, xy = rows[order], xy[order] + rng.normal(size=(len(order), 2)) * noise_px
        wrong = rng.random(len(rows)) < outlier_share
        named = rows.copy()
        named[wrong] = rng.permutation(rows[wrong])
        return Keypoints(xy.astype(np.float32), np.ones(len(rows), np.float32), self.descriptors[named])

    def depth_image(self, world_from_camera: NDArray[Any], reach: int = 3) -> NDArray[np.float32]:
        """
        (H, W) metres: squares around the landmarks, nearer ones before farther ones, and 0 between them.
        """
        rows, xy = self.visible(world_from_camera)
        z = transform_points(invert_transform(world_from_camera), self.landmarks[rows])[:, 2]
        depth = np.zeros((self.camera.height, self.camera.width), np.float32)
        for k in np.argsort(-z):
            column, row = np.rint(xy[k]).astype(int)
            depth[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1] = z[k]
        return depth

    def rays(
        self, reference: Any, current: Any, rng: np.random.Generator, noise_px: float = 0.0, outlier_share: float = 0.0
    ) -> Any:
        """
        Rays of what both cameras see, row by row; outliers are anywhere in both images.
        """
        common = np.intersect1d(self.visible(reference)[0], self.visible(current)[0])
        wrong = rng.random(len(common)) < outlier_share
        pairs = []
        for pose in (reference, current):
            xy = self.camera.project(transform_points(invert_transform(pose), self.landmarks[common]))
            xy = xy + rng.normal(size=xy.shape) * noise_px
            xy[wrong] = rng.uniform((0, 0), (self.camera.width, self.camera.height), (wrong.sum(), 2))
            pairs.append(rays_from_pixels(self.camera, xy))
        return tuple(pairs)


class Player:
    """
    Shows prepared keypoints to a frontend; its images are blank, and that is no matter to it.
    """

    def __init__(self, config: Any = None, camera: Any = PINHOLE) -> None:
        self.camera = camera
        self.upcoming = []
        self.frontend = Frontend(lambda image: self.upcoming.pop(0), replace(config or FrontendConfig(), min_texture=0))
        self.seq = 0

    def show(self, keypoints: Any) -> Any:
        """
        The result of one more frame.
        """
        size = (480, 640) if self.camera is None else (self.camera.height, self.camera.width)
        self.upcoming.append(keypoints)
        frame = Frame(self.seq, self.seq * 33_000_000, np.zeros(size, np.uint8), self.camera)
        self.seq += 1
        return self.frontend.process(frame)

    def play(self, scene: Any, poses: Any, rng: np.random.Generator, **faults: Any) -> list[Any]:
        """
        The results of a camera at these poses.
        """
        return [self.show(scene.keypoints(pose, rng, **faults)) for pose in poses]


BASELINE = 0.2
RIG = make_pose((BASELINE, 0, 0))


@dataclass
class Rig:
    """
    A frontend behind one of the three sensors; its images are blank, its keypoints prepared.

    ``has_right`` and ``has_depth``: whether the second image, the depth image show anything.
    """

    sensor: str
    config: FrontendConfig
    camera: Any = PINHOLE
    right_camera: Any = PINHOLE
    left_from_right: Any = None
    has_right: bool = True
    has_depth: bool = True

    def __post_init__(self) -> None:
        self.upcoming: list[Keypoints] = []
        self.frontend = Frontend(lambda image: self.upcoming.pop(0), self.config)
        self.seq = 0

    @property
    def is_metric(self) -> bool:
        return self.sensor != 'mono'

    def frame(self, **more: Any) -> Frame:
        """
        The next frame, blank, without anything beside it.
        """
        size = (480, 640) if self.camera is None else (self.camera.height, self.camera.width)
        self.seq += 1
        return Frame(self.seq - 1, self.seq * 33_000_000, np.zeros(size, np.uint8), self.camera, **more)

    def show(self, keypoints: Keypoints, right: Keypoints | None = None, depth: Any = None) -> Any:
        """
        The result of one more frame: what the left camera finds, and what the sensor has beside it.
        """
        more: dict[str, Any] = {}
        self.upcoming = [keypoints]
        if self.sensor == 'stereo':
            camera = self.right_camera
            size = (480, 640) if camera is None else (camera.height, camera.width)
            self.upcoming.append(keypoints.take(slice(0)) if right is None else right)
            more['right'] = RightImage(0, np.zeros(size, np.uint8), camera, self.left_from_right)
        elif self.sensor == 'rgbd':
            size = (480, 640) if self.camera is None else (self.camera.height, self.camera.width)
            more['depth'] = DepthImage(0, np.zeros(size, np.float32) if depth is None else depth)
        return self.frontend.process(self.frame(**more))

    def look(self, scene: Scene, pose: Any, rng: np.random.Generator, **faults: Any) -> Any:
        """
        The result of a look at a scene from a pose.
        """
        scene = scene if self.camera is None else replace(scene, camera=self.camera)
        left = scene.keypoints(pose, rng, **faults)
        right = depth = None
        if self.sensor == 'stereo' and self.has_right:
            other = replace(scene, camera=self.right_camera or scene.camera)
            there = pose @ (RIG if self.left_from_right is None else self.left_from_right)
            right = other.keypoints(there, rng, **faults)
        if self.sensor == 'rgbd' and self.has_depth:
            depth = scene.depth_image(pose)
        return self.show(left, right, depth)

    def play(self, scene: Scene, poses: Any, rng: np.random.Generator, **faults: Any) -> list[Any]:
        """
        The results of looks from these poses.
        """
        return [self.look(scene, pose, rng, **faults) for pose in poses]


@pytest.fixture
def pose() -> Any:
    """
    Makes a transform of a translation and a rotation vector.
    """
    return make_pose


@pytest.fixture
def new_scene(rng: np.random.Generator) -> Callable[..., Scene]:
    """
    Makes a scene of landmarks, with descriptors that are hardly ever alike.
    """

    def make(landmarks: Any, camera: Any = PINHOLE, far: Any = np.inf) -> Scene:
        descriptors = rng.normal(size=(len(landmarks), 48))
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
        return Scene(np.asarray(landmarks, float), descriptors.astype(np.float32), camera, far)

    return make


@pytest.fixture
def room(rng: np.random.Generator, new_scene: Callable[..., Scene]) -> Scene:
    """
    Points at depths from 4 to 12, everywhere in the image.
    """
    return new_scene(rng.uniform((-9, -7, 4), (9, 7, 12), (2000, 3)))


@pytest.fixture
def wall(rng: np.random.Generator, new_scene: Callable[..., Scene]) -> Scene:
    """
    Points of one slanted plane, about 6 away.
    """
    points = rng.uniform((-7, -5, 0), (7, 5, 0), (600, 3))
    points[:, 2] = 6.0 + 0.5 * points[:, 0] - 0.2 * points[:, 1]
    return new_scene(points)


@pytest.fixture
def corridor(rng: np.random.Generator, new_scene: Callable[..., Scene]) -> Scene:
    """
    Walls, floor and ceiling along z, as a car sees a street.
    """
    points = rng.uniform((-3, -2, 0), (3, 2, 50), (1500, 3))
    side = rng.integers(0, 4, len(points))
    points[side == 0, 0], points[side == 1, 0] = -3.0, 3.0
    points[side == 2, 1], points[side == 3, 1] = -2.0, 2.0
    points[:, :2] *= rng.uniform(0.6, 1.0, (len(points), 1))
    return new_scene(points, far=20.0)


@pytest.fixture
def player() -> Player:
    """
    A frontend with the default settings and a calibrated camera.
    """
    return Player()


@pytest.fixture
def new_player() -> Any:
    """
    Makes frontends with other settings or another camera.
    """
    return Player


@pytest.fixture(params=['mono', 'stereo', 'rgbd'])
def sensor(request: pytest.FixtureRequest) -> str:
    """
    Each sensor in turn: what is asked of one is asked of all.
    """
    return str(request.param)


@pytest.fixture
def new_rig() -> Callable[..., Rig]:
    """
    Makes a frontend behind a sensor, with settings by their dotted names.
    """

    def make(sensor: str, settings: dict[str, Any] | None = None, **changes: Any) -> Rig:
        # There is nothing to see in blank images: no texture, no patches.
        given = {'sensor': sensor, 'min_texture': 0.0, 'alignment.window_px': 0} | (settings or {})
        if sensor == 'stereo':
            changes = {'left_from_right': RIG} | changes
        return Rig(sensor, build(FrontendConfig, nest(given)), **changes)

    return make


@pytest.fixture
def rig(new_rig: Callable[..., Rig], sensor: str) -> Rig:
    """
    A frontend behind each sensor in turn.
    """
    return new_rig(sensor)
