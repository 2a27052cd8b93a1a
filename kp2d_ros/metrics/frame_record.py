# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a run of the frontend over a sequence leaves behind, whether it ran offline or as a node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from kp2d_ros.core.pose_path import PosePath
from kp2d_ros.core.records import FrontendResult, RelativePose, TrackingState
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.metrics.spread import Spread


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """
    What is kept of one frame: counts, the relative pose and the times, but no points.

    ``pose`` is None where there was nothing to relate the frame to. ``stage_ms`` holds milliseconds by stage.
    """

    seq: int
    stamp_ns: int
    state: TrackingState
    keypoint_count: int
    scale_segment: int
    pose: RelativePose | None = None
    stage_ms: Mapping[str, float] = field(default_factory=dict)

    @property
    def has_estimate(self) -> bool:
        """
        Whether the frame has a relative pose that says something.
        """
        return self.pose is not None and self.pose.is_estimate

    @classmethod
    def from_result(cls, result: FrontendResult, stage_ms: Mapping[str, float]) -> FrameRecord:
        """
        The record of a result; ``stage_ms`` is added to the stages that the result names itself.
        """
        return cls(
            seq=result.seq,
            stamp_ns=result.stamp_ns,
            state=result.state,
            keypoint_count=len(result.keypoints),
            scale_segment=result.scale_segment,
            pose=result.pose,
            stage_ms={**result.stage_ms, **stage_ms},
        )


@dataclass(frozen=True, slots=True)
class ScaleSegment:
    """
    A run of frames (both ends belong to it) whose translations have one common unit.
    """

    number: int
    first_seq: int
    last_seq: int
    frames: int


@dataclass(frozen=True, slots=True)
class Failure:
    """
    A run of LOST frames; ``seconds`` from its first frame to the one that was not lost any more, None where it lasts.
    """

    first_seq: int
    frames: int
    seconds: float | None


def chain_poses(frames: Sequence[FrameRecord]) -> Trajectory:
    """
    One trajectory from all relative poses; the camera of the first frame is the world.

    A frame without an estimate keeps the last pose. Where the scale chain breaks, the new segment goes on from the last
    pose in a unit of its own (:func:`scale_segments` says where). Frames whose stamp does not rise are left out.
    Without any estimate the trajectory is empty.
    """
    path = PosePath()
    stamps: list[int] = []
    poses = []
    for frame in frames:
        place = path.add(frame.seq, frame.stamp_ns, frame.pose)
        if not stamps or frame.stamp_ns > stamps[-1]:
            stamps.append(frame.stamp_ns)
            poses.append(place.world_from_camera)
    if not path.has_begun:
        return Trajectory(np.empty(0, np.int64), np.empty((0, 4, 4)))
    return Trajectory(np.array(stamps, np.int64), np.array(poses))


def scale_segments(frames: Sequence[FrameRecord]) -> list[ScaleSegment]:
    """
    The scale segments in the order of the frames.
    """
    segments = []
    for number, group in groupby(frames, key=lambda frame: frame.scale_segment):
        members = list(group)
        segments.append(ScaleSegment(number, members[0].seq, members[-1].seq, len(members)))
    return segments


def find_failures(frames: Sequence[FrameRecord]) -> list[Failure]:
    """
    The runs of LOST frames in their order.
    """
    failures, first = [], 0
    for state, group in groupby(frames, key=lambda frame: frame.state):
        run = list(group)
        after = first + len(run)
        if state is TrackingState.LOST:
            seconds = (frames[after].stamp_ns - run[0].stamp_ns) * 1e-9 if after < len(frames) else None
            failures.append(Failure(run[0].seq, len(run), seconds))
        first = after
    return failures


def count_states(frames: Sequence[FrameRecord]) -> dict[str, int]:
    """
    How many frames were in each state that occurred.
    """
    counts = Counter(frame.state for frame in frames)
    return {state.name: counts[state] for state in sorted(counts)}


def stage_spreads(frames: Sequence[FrameRecord]) -> dict[str, Spread]:
    """
    Milliseconds by stage, in the order in which the stages first occur.
    """
    stages = dict.fromkeys(stage for frame in frames for stage in frame.stage_ms)
    spreads = {stage: Spread.of(f.stage_ms[stage] for f in frames if stage in f.stage_ms) for stage in stages}
    return {stage: spread for stage, spread in spreads.items() if spread is not None}


class TrackLengths:
    """
    Counts in how many frames each track was seen, while the frames go by.
    """

    def __init__(self) -> None:
        self._frames = np.zeros(1024, np.int32)  # by the number of the track: they are handed out one after the other

    def add(self, result: FrontendResult) -> None:
        """
        Take the tracks of one frame.
        """
        needed = int(result.track_ids.max(initial=0)) + 1
        if needed > len(self._frames):
            self._frames = np.concatenate([self._frames, np.zeros(max(needed, len(self._frames)), np.int32)])
        self._frames[result.track_ids] = result.track_ages.astype(np.int32) + 1

    def spread(self) -> Spread | None:
        """
        Frames by track, of those that were seen at least twice; None if no keypoint was ever found again.
        """
        return Spread.of(self._frames[self._frames > 1])
