# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import TrackingState
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.evaluation.odometry.recording import Recording, read_recording, write_recording
from kp2d_ros.metrics.frame_record import FrameRecord

MakeFrames = Callable[..., list[FrameRecord]]


def recording_of(frames: list[FrameRecord], odometry: Trajectory) -> Recording:
    return Recording('sift', 'opencv', 'cpu', 13, 12, 1, {'keypoints': 12, 'status': 11}, frames, odometry)


def test_a_recording_comes_back_as_it_was(truth: Trajectory, make_frames: MakeFrames, tmp_path: Path) -> None:
    frames = make_frames(truth, states={3: TrackingState.LOST}, segments={3: 1})
    written = recording_of(frames, truth)
    write_recording(written, tmp_path / 'run.json')
    found = read_recording(tmp_path / 'run.json')
    assert replace(found, frames=[], odometry=truth) == replace(written, frames=[], odometry=truth)
    np.testing.assert_array_equal(found.odometry.world_from_camera, truth.world_from_camera)
    np.testing.assert_array_equal(found.odometry.stamps_ns, truth.stamps_ns)
    assert len(found.frames) == len(frames)
    for one, other in zip(found.frames, frames, strict=True):
        assert replace(one, pose=None) == replace(other, pose=None)
        assert (one.pose is None) == (other.pose is None)
        if one.pose is not None and other.pose is not None:
            np.testing.assert_array_equal(one.pose.reference_from_current, other.pose.reference_from_current)
            np.testing.assert_array_equal(one.pose.covariance, other.pose.covariance)
            for name in ('reference_seq', 'reference_stamp_ns', 'state', 'scale', 'model', 'inlier_count', 'reason'):
                assert getattr(one.pose, name) == getattr(other.pose, name)


def test_an_empty_recording_comes_back_empty(tmp_path: Path) -> None:
    nothing = Trajectory(np.empty(0, np.int64), np.empty((0, 4, 4)))
    write_recording(recording_of([], nothing), tmp_path / 'run.json')
    found = read_recording(tmp_path / 'run.json')
    assert len(found.frames) == 0 and len(found.odometry) == 0


@pytest.mark.parametrize('text', ['', '[]', '{"odometry": {}}', '{"model_id": "sift"'])
def test_what_is_no_recording_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / 'run.json').write_text(text)
    with pytest.raises(DataError, match='cannot be read as a recording'):
        read_recording(tmp_path / 'run.json')
