# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import TrackingState
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.evaluation.odometry.report import RunInfo, make_report
from kp2d_ros.evaluation.odometry.run_file import read_run, write_run
from kp2d_ros.metrics.frame_record import FrameRecord, chain_poses

INFO = RunInfo('walk', 'sift', 'opencv', 'cpu', {'extractor.name': 'sift'})


def test_a_run_comes_back_as_it_was(
    truth: Trajectory, make_frames: Callable[..., list[FrameRecord]], tmp_path: Path
) -> None:
    states = {4: TrackingState.LOST, 7: TrackingState.DEGRADED}
    frames = make_frames(truth, unit=0.3, states=states, segments={6: 1})
    write_run(make_report(INFO, frames, truth), tmp_path / 'deep' / 'run', {'fingerprint': 'abc', 'frames': 0})
    stored = read_run(tmp_path / 'deep' / 'run' / 'run.json')
    assert (stored.values['fingerprint'], stored.values['frames']) == ('abc', 12)  # the report's own values win
    assert [f.state for f in stored.frames] == [f.state for f in frames]
    assert [f.stage_ms for f in stored.frames] == [f.stage_ms for f in frames]
    for old, new in zip(frames[1:], stored.frames[1:], strict=True):
        assert old.pose is not None and new.pose is not None
        assert new.pose.reference_stamp_ns == old.pose.reference_stamp_ns
        assert (new.pose.match_count, new.pose.inlier_count) == (200, 150)
        np.testing.assert_allclose(new.pose.reference_from_current, old.pose.reference_from_current, atol=1e-14)
    before, after = chain_poses(frames), chain_poses(stored.frames)
    np.testing.assert_array_equal(after.stamps_ns, before.stamps_ns)
    np.testing.assert_allclose(after.world_from_camera, before.world_from_camera, atol=1e-12)
    assert stored.frames[0].pose is None


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    for text in ('{', '{"per_frame": [{"seq": 1}]}', '[]'):
        (tmp_path / 'run.json').write_text(text)
        with pytest.raises(DataError, match='cannot be read as a run'):
            read_run(tmp_path / 'run.json')
