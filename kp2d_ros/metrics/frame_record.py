# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a run of the frontend over a sequence leaves behind, whether it ran offline or as a node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.records import FrontendResult, RelativePose, TrackingState
from kp2d_ros.core.trajectories import Trajectory

# The states in which ``reference_from_current`` is an estimate and not a place holder.
ESTIMATED = frozenset({TrackingState.OK, TrackingState.DEGRADED, TrackingState.STATIONARY})


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
        return self.pose is not None and self.pose.state in ESTIMATED

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


def chain_poses(frames: Sequence[FrameRecord]) -> Trajectory:
    """
    One trajectory from all relative poses; the camera of the first frame is the world.

    A frame without an estimate keeps the last pose. Where the scale chain breaks, the new segment goes on from the last
    pose in a unit of its own (:func:`scale_segments` says where). Frames whose stamp does not rise are left out.
    Without any estimate the trajectory is empty.
    """
    if not any(frame.has_estimate for frame in frames):
        return Trajectory(np.empty(0, np.int64), np.empty((0, 4, 4)))
    world_from: dict[int, npt.NDArray[np.float64]] = {}
    latest = np.eye(4)
    stamps: list[int] = []
    poses = []
    for frame in frames:
        if frame.pose is not None and frame.has_estimate:
            world_from_reference = world_from.get(frame.pose.reference_seq, latest)
            latest = world_from_reference @ frame.pose.reference_from_current
        world_from[frame.seq] = latest
        if not stamps or frame.stamp_ns > stamps[-1]:
            stamps.append(frame.stamp_ns)
            poses.append(latest)
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


def lost_runs(frames: Sequence[FrameRecord]) -> Iterator[list[FrameRecord]]:
    """
    The runs of neighbouring frames that were LOST.
    """
    for lost, group in groupby(frames, key=lambda frame: frame.state is TrackingState.LOST):
        if lost:
            yield list(group)
