# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from kp2d_ros.core.records import Frame, FrontendResult, Keypoints, Matches, TrackingState
from kp2d_ros.evaluation.odometry.runner import run_sequence


class Counting:
    """
    A frontend that finds as many points as the frame's number.
    """

    def process(self, frame: Frame) -> FrontendResult:
        count = frame.seq
        points = Keypoints(
            np.zeros((count, 2), np.float32), np.zeros(count, np.float32), np.zeros((count, 4), np.float32)
        )
        nothing = np.zeros((0, 2), np.float32)
        return FrontendResult(
            seq=frame.seq,
            stamp_ns=frame.stamp_ns,
            keypoints=points,
            bearing_xy=None,
            track_ids=np.zeros(count, np.uint32),
            track_ages=np.zeros(count, np.uint16),
            matches=Matches.empty(),
            reference_xy=nothing,
            current_xy=nothing,
            inlier=np.zeros(0, np.bool_),
            inlier_probability=None,
            pose=None,
            state=TrackingState.INITIALISING,
            world_from_camera=np.eye(4),
            scale_segment=7,
            stage_ms={'inference': 1.5},
        )


def frames(count: int) -> list[Frame]:
    return [Frame(k, 1000 + k, np.zeros((4, 6), np.uint8)) for k in range(count)]


def test_every_frame_is_recorded_in_order() -> None:
    records = run_sequence(frames(5), Counting())
    assert [(r.seq, r.stamp_ns, r.keypoint_count, r.scale_segment) for r in records] == [
        (k, 1000 + k, k, 7) for k in range(5)
    ]


def test_reading_and_processing_are_timed_beside_the_stages_of_the_result() -> None:
    (record,) = run_sequence(frames(1), Counting())
    assert set(record.stage_ms) == {'inference', 'read', 'total'}
    assert record.stage_ms['inference'] == 1.5
    assert record.stage_ms['total'] >= 0 and record.stage_ms['read'] >= 0


def test_the_observer_sees_each_frame_with_its_result() -> None:
    seen = []
    run_sequence(frames(3), Counting(), lambda frame, result: seen.append((frame.seq, result.seq)))
    assert seen == [(0, 0), (1, 1), (2, 2)]


def test_an_empty_sequence_gives_no_records() -> None:
    assert run_sequence([], Counting()) == []
