# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
OpenCV's detectors behind the same protocol as the networks: baselines that need no weights.

SIFT and ORB as the frontend uses them detect more candidates than are wanted, so that suppression and spread have
something to choose from. OpenCV as it is: its defaults, as published figures were measured.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from kp2d_ros.core.checks import check_image
from kp2d_ros.core.errors import BackendError
from kp2d_ros.core.records import Float32Array, ImageArray, Keypoints
from kp2d_ros.inference.extractor import ExtractorConfig, ExtractorInfo, resize_image
from kp2d_ros.inference.selection import IndexArray, select

_POOL = 4  # candidates for each keypoint that is wanted
_SHORTLIST = 2  # of these, how many are refined

# OpenCV doubles the image with pixel edges on pixel edges, but halves the points as if centres fell on centres; this
# is there in every version (enable_precise_upscale, off by default, is not).
_SIFT_SHIFT = 0.25
_SIFT_DIM = 128
_SIFT_HALF_SCORE = 0.05  # the response that scores 0.5: contrast after the DoG, images in [0, 1]

_ORB_BYTES = 32
_ORB_LEVELS = 8
_ORB_FACTOR = 1.2
_ORB_EDGE_PX = 31  # OpenCV finds no point nearer to the edge of a level, and fails on images that shrink to nothing
_ORB_HALF_SCORE = 1e-3  # the Harris response that scores 0.5
_ORB_REFINE_PX = 3  # half side of the window of the refinement, in pixels of the level that saw the point
_ORB_REFINE_UNTIL = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 5, 0.01)


@dataclass(frozen=True, slots=True)
class _Candidates:
    """
    What a detector found in a gray image: (N, 2) pixels of it, (N,) scores below 1, (N, D) descriptors, (N,) levels.
    """

    xy: Float32Array
    scores: Float32Array
    descriptors: npt.NDArray[Any]
    levels: npt.NDArray[np.int64]

    def take(self, rows: IndexArray) -> _Candidates:
        return _Candidates(self.xy[rows], self.scores[rows], self.descriptors[rows], self.levels[rows])


class _Detector(Protocol):
    """
    A detector of OpenCV; ``refine`` moves what was chosen to its sub-pixel place, where ``detect`` did not.
    """

    model_id: str

    def detect(self, gray: ImageArray) -> _Candidates: ...

    def refine(self, gray: ImageArray, chosen: _Candidates) -> Float32Array: ...


class ClassicalExtractor:
    """
    Keypoints of a detector of OpenCV, chosen and mapped back like those of a network.
    """

    def __init__(self, config: ExtractorConfig) -> None:
        self._config = config
        self._detector: _Detector = _DETECTORS[config.name](config)
        self.info = ExtractorInfo(self._detector.model_id, 'opencv', 'cpu')

    def extract(self, image: ImageArray) -> Keypoints:
        """
        Keypoints of a uint8 image, (H, W) gray or (H, W, 3) RGB, best first.

        :raises ShapeError: if the image is not such an image.
        """
        check_image(image)
        height, width = image.shape[:2]
        resized = resize_image(image, self._config.max_side)
        gray = _gray(resized.image)
        found = self._detector.detect(gray)
        rule = self._config.rule
        shortlist = dataclasses.replace(rule, max_keypoints=_SHORTLIST * rule.max_keypoints)
        chosen = found.take(select(resized.input_from_image(found.xy), found.scores, width, height, shortlist))
        xy = resized.input_from_image(self._detector.refine(gray, chosen))
        rows = select(xy, chosen.scores, width, height, rule)  # again: two may have moved to one corner
        return Keypoints(xy[rows], chosen.scores[rows], chosen.descriptors[rows])

    def reconfigured(self, config: ExtractorConfig) -> ClassicalExtractor:
        """
        The same detector under other settings.
        """
        return ClassicalExtractor(dataclasses.replace(config, name=self._config.name))


class OpenCvExtractor:
    """
    ``opencv-orb``, ``opencv-sift`` or ``opencv-akaze``: OpenCV with its defaults.

    Whole pixels for ORB; plain SIFT with one point for each orientation.

    :param unit_norm: normalise descriptors, as matching wants them; else they have the length that OpenCV gives them.
    :raises BackendError: if this OpenCV does not have it.
    """

    def __init__(self, name: str, config: ExtractorConfig, unit_norm: bool = False) -> None:
        self._name = name
        self._unit_norm = unit_norm
        self._count = config.max_keypoints
        self._detector = _OPENCV[name](config.max_keypoints)
        self.info = ExtractorInfo(name, 'opencv', 'cpu')

    def extract(self, image: ImageArray) -> Keypoints:
        """
        Keypoints of a uint8 image, (H, W) gray or (H, W, 3) RGB, best first.

        :raises ShapeError: if the image is not such an image.
        :raises BackendError: if OpenCV fails.
        """
        check_image(image)
        try:
            points, descriptors = self._detector.detectAndCompute(_gray(image), None)
        except cv2.error as error:
            raise BackendError(f'{self._name} in OpenCV {cv2.__version__}: {" ".join(str(error).split())}') from error
        if not points:
            binary = self._detector.descriptorType() == cv2.CV_8U
            descriptors = np.empty((0, self._detector.descriptorSize()), np.uint8 if binary else np.float32)
        xy = np.array([point.pt for point in points], np.float32).reshape(-1, 2)
        scores = np.array([point.response for point in points], np.float32)
        if self._unit_norm and descriptors.dtype == np.float32:
            descriptors = descriptors / np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1e-12)
        # OpenCV gives more than it is asked for where several score the same.
        rows = np.argsort(-scores, kind='stable')[: self._count]
        return Keypoints(xy[rows], scores[rows], np.asarray(descriptors)[rows])

    def reconfigured(self, config: ExtractorConfig) -> OpenCvExtractor:
        """
        The same detector for another number of keypoints.
        """
        return OpenCvExtractor(self._name, config, self._unit_norm)


class _Sift:
    """
    SIFT, one point per location, its descriptors of unit length.
    """

    def __init__(self, config: ExtractorConfig) -> None:
        self._root = config.root_sift
        self.model_id = 'rootsift' if config.root_sift else 'sift'
        self._sift = cv2.SIFT.create(nfeatures=_POOL * config.max_keypoints)

    def detect(self, gray: ImageArray) -> _Candidates:
        points, histograms = self._sift.detectAndCompute(gray, None)
        if not points:
            return _nothing(np.empty((0, _SIFT_DIM), np.float32))
        xy = np.array([p.pt for p in points], np.float32)
        rows = _one_per_location(xy, np.array([p.angle for p in points]))
        responses = np.array([p.response for p in points], np.float32)
        descriptors = np.asarray(histograms, np.float32)
        if self._root:
            # Arandjelovic and Zisserman, 2012: the Euclidean distance becomes the Hellinger distance of histograms.
            descriptors = np.sqrt(descriptors)
        descriptors = descriptors / np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1e-12)
        levels = np.zeros(len(xy), np.int64)
        return _Candidates(xy - _SIFT_SHIFT, _soft_scores(responses, _SIFT_HALF_SCORE), descriptors, levels).take(rows)

    def refine(self, gray: ImageArray, chosen: _Candidates) -> Float32Array:
        return chosen.xy


class _Orb:
    """
    ORB, its whole pixels moved to the sub-pixel corners beside them, its descriptors packed bits.
    """

    model_id = 'orb'

    def __init__(self, config: ExtractorConfig) -> None:
        count = _POOL * config.max_keypoints
        self._orb = cv2.ORB.create(count, _ORB_FACTOR, _ORB_LEVELS, _ORB_EDGE_PX)

    def detect(self, gray: ImageArray) -> _Candidates:
        fits = min(gray.shape) > 2 * _ORB_EDGE_PX
        points, bits = self._orb.detectAndCompute(gray, None) if fits else ((), None)
        if not points:
            return _nothing(np.empty((0, _ORB_BYTES), np.uint8))
        xy = np.array([p.pt for p in points], np.float32)
        levels = np.array([p.octave for p in points])
        responses = np.array([p.response for p in points], np.float32)
        exact = _exact_orb_points(gray, xy, levels)
        return _Candidates(exact, _soft_scores(responses, _ORB_HALF_SCORE), np.asarray(bits), levels)

    def refine(self, gray: ImageArray, chosen: _Candidates) -> Float32Array:
        refined = np.empty_like(chosen.xy)
        size = np.array(gray.shape[::-1])
        window = (_ORB_REFINE_PX, _ORB_REFINE_PX)
        for level in np.unique(chosen.levels):
            here = chosen.levels == level
            level_size = np.rint(size / _ORB_FACTOR**level)
            image = cv2.resize(gray, level_size.astype(int).tolist(), interpolation=cv2.INTER_AREA)
            corners = ((chosen.xy[here] + 0.5) * (level_size / size) - 0.5).astype(np.float32).reshape(-1, 1, 2)
            cv2.cornerSubPix(image, corners, window, (-1, -1), _ORB_REFINE_UNTIL)
            refined[here] = (corners[:, 0] + 0.5) * (size / level_size) - 0.5
        return refined


def _gray(image: ImageArray) -> ImageArray:
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _soft_scores(responses: Float32Array, half: float) -> Float32Array:
    """
    Responses mapped to below 1 in the same order.
    """
    return np.asarray(responses / (np.abs(responses) + half), np.float32)


def _one_per_location(xy: Float32Array, angles: npt.NDArray[np.float64]) -> IndexArray:
    """
    Rows of the points without those that differ from another one in the angle alone; the smallest angle stays.

    SIFT repeats a point for each strong orientation of its surroundings. Twice the same pixel is one measurement, and
    a minimal sample of a pose that draws both is degenerate.
    """
    order = np.lexsort((angles, xy[:, 0], xy[:, 1]))
    first = np.ones(len(xy), np.bool_)
    first[1:] = (xy[order[1:]] != xy[order[:-1]]).any(axis=1)
    return np.sort(order[first])


def _exact_orb_points(gray: ImageArray, xy: Float32Array, levels: npt.NDArray[np.int64]) -> Float32Array:
    """
    Where ORB's points are: OpenCV multiplies the pixels of a level by its nominal factor, as if the first pixel centres
    of level and image fell together; but the levels are resized edge to edge, to whole sizes.
    """
    size = np.array(gray.shape[::-1])
    factors = (_ORB_FACTOR**levels)[:, None]
    return np.asarray((xy / factors + 0.5) * (size / np.rint(size / factors)) - 0.5, np.float32)


def _nothing(descriptors: npt.NDArray[Any]) -> _Candidates:
    return _Candidates(np.empty((0, 2), np.float32), np.empty(0, np.float32), descriptors, np.empty(0, np.int64))


def _akaze(count: int) -> Any:
    # OpenCV 5 moved it into a module that its wheels lack.
    found = getattr(cv2, 'AKAZE', None) or getattr(getattr(cv2, 'xfeatures2d', None), 'AKAZE', None)
    make = getattr(found, 'create', None) or getattr(cv2, 'AKAZE_create', None)
    if make is None:
        raise BackendError(
            f'akaze: found OpenCV {cv2.__version__}, whose Python module has no AKAZE, expected one that has it: '
            'OpenCV 4, or a build with xfeatures2d'
        )
    return make()


_DETECTORS: dict[str, type[_Sift] | type[_Orb]] = {'sift': _Sift, 'orb': _Orb}
_OPENCV: dict[str, Callable[[int], Any]] = {
    'opencv-orb': cv2.ORB.create,
    'opencv-sift': cv2.SIFT.create,
    'opencv-akaze': _akaze,
}
