# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Fixtures that every test may use.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from kp2d_ros.core.cameras import CameraModel
from kp2d_ros.core.records import RelativePose, ScaleKind, TrackingState
from kp2d_ros.core.se3 import invert_transform, rotation_from_vector, transform_from
from kp2d_ros.core.settings import build
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.metrics.frame_record import FrameRecord
from kp2d_ros.simulation.scene import SceneConfig, SimulatedSequence

STEP_NS = 100_000_000


@pytest.fixture(scope='session')
def format_camera() -> Callable[[CameraModel], str]:
    """
    The YAML text of a camera, as camera_calibration writes it.
    """

    def write(camera: CameraModel) -> str:
        return (
            f'image_width: {camera.width}\nimage_height: {camera.height}\ndistortion_model: {camera.lens.value}\n'
            f'camera_matrix: {{rows: 3, cols: 3, data: {camera.matrix.ravel().tolist()}}}\n'
            f'distortion_coefficients: {{rows: 1, data: {camera.coefficients.tolist()}}}\n'
        )

    return write


@pytest.fixture
def truth() -> Trajectory:
    """
    Twelve poses, 10 Hz, along a bent path in space that also turns.
    """
    steps = np.arange(12.0)
    poses = [
        transform_from(
            rotation_from_vector(np.array([0.02, 0.05, -0.01]) * k), np.array([np.sin(0.3 * k), 0.1 * k**1.5, k])
        )
        for k in steps
    ]
    return Trajectory((10**18 + steps.astype(np.int64) * STEP_NS).astype(np.int64), np.array(poses))


@pytest.fixture
def make_frames() -> Callable[..., list[FrameRecord]]:
    """
    The records of a frontend that sees every motion of a trajectory rightly, in a unit of its own.
    """

    def make(
        trajectory: Trajectory,
        unit: float = 1.0,
        states: dict[int, TrackingState] | None = None,
        segments: dict[int, int] | None = None,
    ) -> list[FrameRecord]:
        states, segments = states or {}, segments or {}
        frames: list[FrameRecord] = []
        segment = 0
        for row, (stamp, pose) in enumerate(
            zip(trajectory.stamps_ns.tolist(), trajectory.world_from_camera, strict=True)
        ):
            segment = segments.get(row, segment)
            state = states.get(row, TrackingState.OK if row else TrackingState.INITIALISING)
            motion = np.eye(4)
            if row and state in (TrackingState.OK, TrackingState.DEGRADED):
                motion = invert_transform(trajectory.world_from_camera[row - 1]) @ pose
                motion[:3, 3] *= unit
            relative = RelativePose(
                reference_seq=row - 1,
                reference_stamp_ns=int(trajectory.stamps_ns[row - 1]),
                state=state,
                reference_from_current=motion,
                covariance=np.eye(6),
                scale=ScaleKind.CHAINED,
                scale_segment=segment,
                match_count=200,
                inlier_count=150,
            )
            stage_ms = {'inference': 10.0 + row, 'total': 20.0 + row}
            frames.append(FrameRecord(row, stamp, state, 500, segment, relative if row else None, stage_ms))
        return frames

    return make


@pytest.fixture(scope='session')
def simulate() -> Callable[..., SimulatedSequence]:
    """
    Makes short simulated sequences of small images, by settings of :class:`SceneConfig`: ``simulate(sensor='stereo')``.
    """

    def make(**changes: object) -> SimulatedSequence:
        settings: dict[str, object] = {'width': 160, 'height': 120, 'samples': 1, 'frames': 4, **changes}
        return SimulatedSequence(build(SceneConfig, settings))

    return make


@pytest.fixture
def rng() -> np.random.Generator:
    """
    A random stream that is the same in every run.
    """
    return np.random.default_rng(0)


@pytest.fixture
def hpatches(tmp_path: Path) -> Path:
    """
    A folder in the layout of HPatches: i_flat, six times one picture of blobs; v_shift, cut out 4 pixels further each.
    """
    random = np.random.default_rng(1)
    noise = random.integers(0, 256, (30, 42, 3), dtype=np.uint8)
    picture = cv2.resize(noise, (168, 120), interpolation=cv2.INTER_CUBIC)
    for sequence, step, suffix in (('i_flat', 0, 'png'), ('v_shift', 4, 'ppm')):
        folder = tmp_path / 'hpatches' / sequence
        folder.mkdir(parents=True)
        for number in range(1, 7):
            x = step * (number - 1)
            cv2.imwrite(str(folder / f'{number}.{suffix}'), picture[: 120 - 24, x : x + 144])
            if number > 1:
                np.savetxt(folder / f'H_1_{number}', np.array([[1.0, 0, -x], [0, 1, 0], [0, 0, 1]]))
    return tmp_path / 'hpatches'


@pytest.fixture
def quick_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Pictures of the odometry report that take no time, where a test is about something else.
    """
    png = cv2.imencode('.png', np.zeros((4, 4), np.uint8))[1].tobytes()
    for name in ('bar_chart', 'trajectory_picture', 'error_picture', 'curve_picture', 'time_chart'):
        monkeypatch.setattr(f'kp2d_ros.evaluation.odometry.page.{name}', lambda *_: png)


@pytest.fixture
def disk_that_holds() -> Callable[[int], AbstractContextManager[None]]:
    """
    While it lasts, no file of this process grows beyond so many bytes: for the call under test alone, because pytest
    writes its own report as well.
    """

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited
