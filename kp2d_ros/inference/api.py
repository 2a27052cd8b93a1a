# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The package in a few lines of Python, without ROS; ``kp2d_ros`` itself exports all of this.

::

    import cv2, kp2d_ros
    extractor = kp2d_ros.load_extractor('kp2d')
    first, second = (extractor.extract(cv2.imread(path), color='bgr') for path in ('a.jpg', 'b.jpg'))
    matches = kp2d_ros.match(first, second)

Images are uint8 arrays: (H, W), gray, or (H, W, 3), of which ``color`` must say whether they are RGB or BGR. OpenCV
reads BGR, most other packages RGB, and a network given the wrong one finds other keypoints without a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, cast

import cv2
import numpy as np
import numpy.typing as npt

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.checks import check_image
from kp2d_ros.core.errors import ConfigError, DataError, ShapeError
from kp2d_ros.core.records import Frame, FrontendResult, ImageArray, Keypoints, Matches, RelativePose
from kp2d_ros.core.settings import build
from kp2d_ros.inference.extractor import Extractor, ExtractorConfig
from kp2d_ros.inference.pipeline import (
    build_frontend,
    choose_model,
    choose_sensor,
    configure_method,
    extract_shrunk,
    load_pipeline_config,
)
from kp2d_ros.inference.pipeline import (
    load_extractor as load_choice,
)
from kp2d_ros.odometry.frontend import FrontendConfig
from kp2d_ros.odometry.matching import MatchingConfig
from kp2d_ros.odometry.matching import match as match_keypoints
from kp2d_ros.recordings.camera_yaml import fit_coefficients

Color = Literal['rgb', 'bgr', 'gray']
AnyImage = npt.NDArray[Any] | None  # checked when it comes; None is what cv2.imread gives for no image

_WORKING_SIDE_PX = FrontendConfig().max_side_px


class ImageExtractor:
    """
    Finds keypoints in images whose colour order is said with each of them; made by :func:`load_extractor`.

    :param extractor: what finds them in RGB or gray images.
    :param max_side_px: images whose longer side exceeds this are shrunk to it, which bounds time and memory; 0: none.
    """

    def __init__(self, extractor: Extractor, max_side_px: int = _WORKING_SIDE_PX) -> None:
        self.extractor = extractor
        self.info = extractor.info
        if max_side_px < 0:
            raise ConfigError(f'max_side_px: found {max_side_px}, expected pixels, or 0 for images as they are')
        self._max_side_px = max_side_px

    def extract(self, image: AnyImage, *, color: Color | None = None) -> Keypoints:
        """
        Keypoints of an image, best first, in its pixels: (0, 0) is the centre of the top-left one.

        :param image: uint8, (H, W) gray or (H, W, 3).
        :param color: ``'bgr'`` (as OpenCV reads) or ``'rgb'``; needed where the image has three channels.
        :raises ShapeError: if the image is no such image, or its colour order is not said.
        """
        return extract_shrunk(self.extractor, rgb_image(image, color), self._max_side_px)


def load_extractor(method: str = 'kp2d', *, max_side_px: int = _WORKING_SIDE_PX, **settings: Any) -> ImageExtractor:
    """
    An extractor by the word that every command takes as ``--method``.

    :param method: ``kp2d``, ``sift``, ``orb``, a network that ships, the path of one, or ``untrained:PRESET``.
    :param max_side_px: larger images are shrunk to this, in pixels; 0: none.
    :param settings: fields of :class:`~kp2d_ros.inference.extractor.ExtractorConfig`: ``max_keypoints=500``,
        ``device='cuda'``.
    :raises ConfigError: if the word or a setting is unknown, with the nearest one.
    :raises DataError: if the file of a network cannot be read as such.
    :raises BackendError: if its runtime or device is not there, with the command that installs it.
    """
    config = configure_method(method, build(ExtractorConfig, settings))
    return ImageExtractor(load_choice(choose_model(config), config), max_side_px)


def match(first: Keypoints, second: Keypoints, **settings: Any) -> Matches:
    """
    One-to-one matches of the keypoints of two images: ``first.xy[matches.reference_index]`` lie where
    ``second.xy[matches.current_index]`` do.

    :param settings: fields of :class:`~kp2d_ros.odometry.matching.MatchingConfig`: ``ratio=0.9``.
    :raises ShapeError: if the descriptors of the two are not of one kind.
    :raises ConfigError: if a setting is unknown, with the nearest one.
    """
    return match_keypoints(first, second, build(MatchingConfig, settings))


def camera_from_matrix(width: int, height: int, matrix: npt.ArrayLike, distortion: Sequence[float] = ()) -> CameraModel:
    """
    A camera by its (3, 3) pinhole matrix in pixels and OpenCV's distortion: none, k1, k2, p1, p2, with k3 if wanted, or
    the eight numbers of the rational model.

    :raises DataError: if these are not the numbers of a camera.
    """
    lens = LensModel.PLUMB_BOB if len(distortion) <= 5 else LensModel.RATIONAL_POLYNOMIAL
    return CameraModel(width, height, np.asarray(matrix, np.float64), lens, fit_coefficients(lens, distortion))


def run_frontend(
    frames: Iterable[Frame | AnyImage],
    extractor: ImageExtractor,
    *,
    camera: CameraModel | None = None,
    color: Color | None = None,
    sensor: str | None = None,
    settings: Sequence[str] = (),
) -> Iterator[FrontendResult]:
    """
    Keypoints, tracks, matches and the motion of the camera, frame by frame, each as soon as it is asked for.

    :param frames: images in the order they were taken, whose number is their stamp as well, or :class:`Frame` records,
        as recordings give them.
    :param camera: takes the place of what a record says; without one there are tracks, but no poses.
    :param color: of images, as for :meth:`ImageExtractor.extract`; records are RGB.
    :param sensor: ``stereo`` or ``rgbd``: every record has a ``right`` image or ``depth``, and poses are in metres;
        ``mono``: whatever is there is not looked at; None: as the settings say, which is mono by default.
    :param settings: of the frontend, as on the command line: ``['matching.ratio=0.8']``.
    :raises ShapeError: if an image is none, its colour order is not said, or the camera is for another size.
    :raises ConfigError: if a setting or the sensor is unknown, with the nearest one.
    :raises DataError: if a record lacks what the sensor sees.
    """
    frontend = build_frontend(choose_sensor(load_pipeline_config(overrides=settings), sensor), extractor.extractor)
    for seq, item in enumerate(frames):
        frame = item if isinstance(item, Frame) else Frame(seq, seq, rgb_image(item, color), camera)
        yield frontend.process(frame if camera is None else replace(frame, camera=camera))


def relative_pose(
    first: AnyImage,
    second: AnyImage,
    camera: CameraModel,
    extractor: ImageExtractor,
    *,
    color: Color | None = None,
    settings: Sequence[str] = (),
) -> RelativePose:
    """
    The motion between two images of one calibrated camera: ``reference_from_current`` maps points in the second
    camera's frame to the first one's. Its translation has length 1, for two images know no scale; ``state``, ``reason``
    and ``covariance`` say what it is worth.

    :param color: as for :meth:`ImageExtractor.extract`.
    :param settings: of the frontend, as on the command line.
    :raises ShapeError: if an image is none, or not of the camera's size.
    """
    last = [*run_frontend([first, second], extractor, camera=camera, color=color, settings=settings)][-1]
    return cast('RelativePose', last.pose)  # only a first frame has none


def rgb_image(image: AnyImage, color: Color | None) -> ImageArray:
    """
    A uint8 image as RGB (H, W, 3) or gray (H, W), which stays as it is.

    :raises ShapeError: if it is no such image, or it has three channels and their order is not said.
    :raises DataError: if it is None: OpenCV gives that for a file that it cannot read.
    """
    if image is None:
        raise DataError('image: found None, expected an array; cv2.imread gives None for a file that it cannot read')
    check_image(image)
    if color not in (None, 'rgb', 'bgr', 'gray') or (image.ndim == 3 and color not in ('rgb', 'bgr')):
        raise ShapeError(
            f'image: found {"three channels" if image.ndim == 3 else "one channel"} and color={color!r}, expected '
            "color='bgr' (as cv2.imread reads) or color='rgb' for three, color='gray' or none for one"
        )
    return image if image.ndim == 2 or color == 'rgb' else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
