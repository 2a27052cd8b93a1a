# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What every recording offers, whatever it is stored as.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from kp2d_ros.core.cameras import CameraModel
from kp2d_ros.core.checks import check_registered
from kp2d_ros.core.errors import DataError, ShapeError
from kp2d_ros.core.records import DepthImage, Float32Array, Float64Array, Frame, ImageArray, RightImage, Sensor
from kp2d_ros.core.trajectories import Trajectory


class SequenceReader(Protocol):
    """
    Images in the order they were taken.

    Iterating gives each frame once, numbered from 0; iterating again gives the same. ``camera`` is None without
    calibration. ``ground_truth`` is the trajectory of the camera's optical frame in a fixed world, at times of its own,
    or None. An image that cannot be read raises a DataError: a sequence with a hole would be scored as if it had none.
    """

    @property
    def name(self) -> str:
        """
        What the sequence is called in reports and file names.
        """

    @property
    def camera(self) -> CameraModel | None:
        """
        The camera of every frame.
        """

    @property
    def ground_truth(self) -> Trajectory | None:
        """
        Where the camera was.
        """

    def __len__(self) -> int:
        """
        Number of frames.
        """

    def __iter__(self) -> Iterator[Frame]:
        """
        The frames from the beginning.
        """


@dataclass(frozen=True, slots=True, eq=False)
class RecordedDepth:
    """
    A depth image (H, W) in metres of a recording, and where it is.
    """

    stamp_ns: int
    metres: Float32Array
    place: str


@dataclass(frozen=True, slots=True, eq=False)
class RecordedImage:
    """
    An image (H, W) or (H, W, 3) of a recording, and where it is, for who has to find it there; and what the second
    camera of a stereo rig, or the depth camera, saw at its time.
    """

    stamp_ns: int
    image: ImageArray
    place: str
    frame_id: str = ''
    right: RecordedImage | None = None
    depth: RecordedDepth | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """
    A sequence that is stored somewhere; each iteration reads it anew.

    ``read`` gives its images from the beginning, and a DataError for one that it cannot read: a gap would look like a
    jump of the camera. So does an image whose size is not the camera's. ``count`` is how many there should be, which
    for some videos is an estimate, and for the pairs of a bag the number of left or colour images. ``right_camera`` and
    ``left_from_right`` are those of a stereo rig (see :class:`~kp2d_ros.core.records.RightImage`), ``sensor`` says what
    every frame has.
    """

    name: str
    count: int
    read: Callable[[], Iterator[RecordedImage]]
    camera: CameraModel | None = None
    ground_truth: Trajectory | None = None
    sensor: Sensor = Sensor.MONO
    right_camera: CameraModel | None = None
    left_from_right: Float64Array | None = None

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Frame]:
        for seq, found in enumerate(self.read()):
            right, depth = self._right(found.right), _depth(found)
            try:
                yield Frame(seq, found.stamp_ns, found.image, self.camera, found.frame_id, right, depth)
            except ShapeError as error:
                raise DataError(f'{found.place}: {error}') from error

    def _right(self, found: RecordedImage | None) -> RightImage | None:
        if found is None:
            return None
        try:
            return RightImage(found.stamp_ns, found.image, self.right_camera, self.left_from_right)
        except ShapeError as error:
            raise DataError(f'{found.place}: {error}') from error


def _depth(image: RecordedImage) -> DepthImage | None:
    """
    The depth of an image, if it has one.

    :raises DataError: if its size is not that of the image, or smaller by a common factor.
    """
    found = image.depth
    if found is None:
        return None
    height, width = image.image.shape[:2]
    rows, columns = found.metres.shape
    try:
        check_registered((height, width), (rows, columns))
    except DataError as error:
        raise DataError(f'{found.place}: {error}') from error
    return DepthImage(found.stamp_ns, found.metres)
