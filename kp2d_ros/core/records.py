# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The records that travel through the frontend: one image in, one result out.

Pixel (0, 0) is the centre of the top-left pixel. Camera frames are optical (x right, y down, z forward, REP-103).
Transforms are named ``a_from_b``: 4x4, mapping coordinates in b to coordinates in a. Time is integer nanoseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum, IntEnum
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.cameras import CameraModel
from kp2d_ros.core.checks import check_image, check_shape
from kp2d_ros.core.errors import ShapeError

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
ImageArray = npt.NDArray[np.uint8]
R = TypeVar('R', bound='Rows')

UNKNOWN_VARIANCE = 1e6  # of a pose of which nothing is known, as in RelativePose.msg


class Rows:
    """
    Records whose arrays, and whose records of this kind, have one row for each of the same things.
    """

    __slots__ = ()

    def take(self: R, index: npt.NDArray[np.int64] | BoolArray | slice) -> R:
        """
        The same of these rows in their order, or of the rows where a mask is true.
        """
        record: Any = self
        values = (getattr(record, each.name) for each in fields(record))
        taken = (_rows_of(value, index) for value in values)
        return type(record)(*taken)  # type: ignore[no-any-return]


def _rows_of(value: Any, index: npt.NDArray[np.int64] | BoolArray | slice) -> Any:
    if isinstance(value, Rows):
        return value.take(index)
    return value[index] if isinstance(value, np.ndarray) else value


class TrackingState(IntEnum):
    """
    What a relative pose is worth; the numbers are those of ``RelativePose.msg`` and ``FrontendStatus.msg``.
    """

    INITIALISING = 0
    OK = 1
    DEGRADED = 2
    LOST = 3
    STATIONARY = 4


class ScaleKind(IntEnum):
    """
    What the length of a translation means; the numbers are those of ``RelativePose.msg``.
    """

    UNIT_NORM = 0
    CHAINED = 1
    METRIC = 2


class PoseModel(IntEnum):
    """
    The geometry behind a relative pose; the numbers are those of ``RelativePose.msg``.
    """

    NONE = 0
    ESSENTIAL = 1
    HOMOGRAPHY = 2
    PNP = 3
    ROTATION = 4


class Sensor(str, Enum):
    """
    What the frontend looks with; only the last two know metres.
    """

    MONO = 'mono'
    STEREO = 'stereo'
    RGBD = 'rgbd'


@dataclass(frozen=True, slots=True, eq=False)
class RightImage:
    """
    The second image of a stereo pair, as ``image`` and ``camera`` of a :class:`Frame`; it need not be rectified.

    ``left_from_right`` is the pose (4, 4) of the right camera in the left one, in metres: a rectified pair has the
    identity but for ``[0, 3]``, the baseline, which is positive. None: not known, so there are no metres.

    :raises ShapeError: as :class:`Frame`.
    """

    stamp_ns: int
    image: ImageArray
    camera: CameraModel | None = None
    left_from_right: Float64Array | None = None

    def __post_init__(self) -> None:
        _check_camera_image('right camera', self.image, self.camera)
        if self.left_from_right is not None:
            check_shape('left_from_right', self.left_from_right, (4, 4))


@dataclass(frozen=True, slots=True, eq=False)
class DepthImage:
    """
    Depth registered to the image of a :class:`Frame`: ``metres`` (H, W) float32 along the optical axis.

    What is not a positive finite number was not measured (REP-117). The size may be smaller than that of the image by a
    common factor.

    :raises ShapeError: if it is not float32 of such a shape, for instance millimetres as a depth camera gives them.
    """

    stamp_ns: int
    metres: Float32Array

    def __post_init__(self) -> None:
        check_shape('depth', self.metres, ('H', 'W'))
        if self.metres.dtype != np.float32 or not self.metres.size:
            raise ShapeError(
                f'depth: found {self.metres.dtype} of shape {self.metres.shape}, expected float32 metres, at least one'
            )


@dataclass(frozen=True, slots=True)
class Frame:
    """
    One image with its time and, where it is known, its camera.

    ``image`` is uint8, (H, W) gray or (H, W, 3) RGB. ``seq`` counts the frames handed in by one source. ``camera`` is
    None without calibration: keypoints and matches still flow, poses do not. ``right`` and ``depth`` are what a stereo
    rig or a depth camera saw at the same time.

    :raises ShapeError: if the image is not uint8 of such a shape, or the camera is for another image size.
    """

    seq: int
    stamp_ns: int
    image: ImageArray
    camera: CameraModel | None = None
    frame_id: str = ''
    right: RightImage | None = None
    depth: DepthImage | None = None

    def __post_init__(self) -> None:
        _check_camera_image('camera', self.image, self.camera)


def _check_camera_image(name: str, image: ImageArray, camera: CameraModel | None) -> None:
    check_image(image)
    height, width = image.shape[:2]
    if camera is not None and (camera.width, camera.height) != (width, height):
        raise ShapeError(
            f'{name}: found a calibration for {camera.width}x{camera.height}, '
            f'expected one for the image size {width}x{height}'
        )


@dataclass(frozen=True, slots=True)
class Keypoints(Rows):
    """
    N keypoints of one image, best first.

    ``xy`` is (N, 2) float32 in pixels of the input image, sub-pixel; ``scores`` is (N,) float32, higher is better;
    ``descriptors`` is (N, D): float32 of unit norm (Euclidean distance), or uint8 packed bits (Hamming distance).
    Empty means (0, 2), (0,) and (0, D).

    :raises ShapeError: if the lengths do not agree or the descriptor type is neither.
    """

    xy: Float32Array
    scores: Float32Array
    descriptors: Float32Array | npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        check_shape('xy', self.xy, ('N', 2))
        check_shape('scores', self.scores, (len(self.xy),))
        check_shape('descriptors', self.descriptors, (len(self.xy), 'D'))
        if self.descriptors.dtype not in (np.float32, np.uint8):
            raise ShapeError(f'descriptors: found {self.descriptors.dtype}, expected float32 or uint8 (packed bits)')

    def __len__(self) -> int:
        return len(self.xy)

    @property
    def is_binary(self) -> bool:
        """
        Whether the descriptors are packed bits, compared by Hamming distance.
        """
        return self.descriptors.dtype == np.uint8


@dataclass(frozen=True, slots=True)
class Matches(Rows):
    """
    M one-to-one pairs of keypoints of a reference and a current image.

    ``reference_index`` and ``current_index`` are (M,) int64 rows of the two :class:`Keypoints`; ``scores`` is (M,)
    float32 in [0, 1], higher is better (1 minus the distance over the largest possible one).
    """

    reference_index: npt.NDArray[np.int64]
    current_index: npt.NDArray[np.int64]
    scores: Float32Array

    def __post_init__(self) -> None:
        check_shape('reference_index', self.reference_index, ('M',))
        check_shape('current_index', self.current_index, (len(self.reference_index),))
        check_shape('scores', self.scores, (len(self.reference_index),))

    def __len__(self) -> int:
        return len(self.reference_index)

    @classmethod
    def empty(cls) -> Matches:
        """
        No pairs at all.
        """
        index = np.empty(0, np.int64)
        return cls(index, index, np.empty(0, np.float32))


@dataclass(frozen=True, slots=True, kw_only=True)
class RelativePose:
    """
    The motion between the reference and the current frame, and what it is worth.

    ``reference_from_current`` is 4x4; its translation has the length that ``scale`` names. ``covariance`` is 6x6,
    row-major over (x, y, z, rotation about fixed x, y, z) as in ``geometry_msgs/PoseWithCovariance``, in the unit of
    the translation and radians. ``scale_segment`` counts the chains: translations of two CHAINED poses compare only
    within one segment. ``parallax_deg`` is the median angle between the two rays of an inlier after removing the
    rotation; ``rms_px`` the root mean square residual of the inliers. ``reason`` says in a sentence why the state is
    not OK; it is empty when it is.
    """

    reference_seq: int
    reference_stamp_ns: int
    state: TrackingState
    reference_from_current: Float64Array
    covariance: Float64Array
    scale: ScaleKind = ScaleKind.UNIT_NORM
    scale_segment: int = 0
    model: PoseModel = PoseModel.NONE
    match_count: int = 0
    inlier_count: int = 0
    parallax_deg: float = 0.0
    rms_px: float = 0.0
    reason: str = ''

    def __post_init__(self) -> None:
        check_shape('reference_from_current', self.reference_from_current, (4, 4))
        check_shape('covariance', self.covariance, (6, 6))

    @property
    def is_estimate(self) -> bool:
        """
        Whether ``reference_from_current`` says something; otherwise it only holds the place.
        """
        return self.state in (TrackingState.OK, TrackingState.DEGRADED, TrackingState.STATIONARY)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontendResult:
    """
    Everything that one frame gave.

    ``keypoints`` are as found, but for matched ones, which are aligned with the reference by their patches.
    ``bearing_xy`` is (N, 2) float32, the undistorted rays of the keypoints at z = 1, or None without calibration.
    ``inverse_depth`` (N,) along the optical axis of the camera, in the inverse unit of ``world_from_camera``, and their
    standard deviations ``inverse_depth_sigma`` (N,), infinite where nothing is known; None where no depth can be.
    ``track_ids`` (N,) uint32 live across frames and never come back; ``track_ages`` (N,) uint16 count the frames a
    track has been seen in before this one (0: new). ``reference_xy`` and ``current_xy`` are (M, 2) float32, the matched
    pixels; ``inlier`` is (M,) bool; ``inlier_probability`` is (M,) float32 or None where nothing estimates it.
    ``pose`` is None only for the first frame after a reset. ``world_from_camera`` is 4x4, the chain of the relative
    poses since the current scale segment began (identity there). ``stage_ms`` holds milliseconds by stage
    (``inference``, ``match``, ``pose``). ``working_size`` is the (height, width) that the image was worked on at: all
    pixels here are those of the image as it came.
    """

    seq: int
    stamp_ns: int
    keypoints: Keypoints
    bearing_xy: Float32Array | None
    track_ids: npt.NDArray[np.uint32]
    track_ages: npt.NDArray[np.uint16]
    matches: Matches
    reference_xy: Float32Array
    current_xy: Float32Array
    inlier: BoolArray
    inlier_probability: Float32Array | None
    pose: RelativePose | None
    state: TrackingState
    world_from_camera: Float64Array
    scale_segment: int
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    working_size: tuple[int, int] = (0, 0)
    inverse_depth: Float64Array | None = None
    inverse_depth_sigma: Float64Array | None = None
