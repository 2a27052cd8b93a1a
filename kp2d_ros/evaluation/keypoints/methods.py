# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What can be evaluated: something that finds and describes keypoints; and OpenCV's detectors as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from kp2d_ros.core.errors import BackendError
from kp2d_ros.core.records import ImageArray, Keypoints
from kp2d_ros.evaluation.fingerprint import hash_values
from kp2d_ros.metrics.keypoint_pair import best_keypoints

OPENCV_VERSION: str = cv2.__version__


@dataclass(frozen=True, slots=True)
class MethodRules:
    """
    What every method is held to: how many candidates it gives, and the order of the channels that networks are handed.
    """

    candidates: int
    color_order: str = 'rgb'


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """
    Something that finds and describes keypoints.

    ``detect`` takes an RGB image and gives at most the agreed number of candidates, best first, descriptors that are
    compared by Euclidean (float32) or Hamming distance (uint8). ``facts`` say all that its keypoints depend on:
    versions, settings, hashes of weights.
    """

    name: str
    facts: Mapping[str, Any]
    detect: Callable[[ImageArray], Keypoints]

    @property
    def fingerprint(self) -> str:
        """
        A hash of the facts: methods of one fingerprint find the same keypoints.
        """
        return hash_values(self.facts)


def opencv_method(name: str, rules: MethodRules) -> Method:
    """
    ``orb``, ``sift`` or ``akaze`` with OpenCV's defaults, as published figures were measured.

    Whole pixels for ORB; plain SIFT with one point for each orientation, its descriptors not normalised.

    :raises BackendError: if this OpenCV does not have it.
    """
    detector = OPENCV[name](rules.candidates)

    def detect(image: ImageArray) -> Keypoints:
        gray = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        try:
            points, descriptors = detector.detectAndCompute(gray, None)
        except cv2.error as error:
            raise BackendError(f'{name} in OpenCV {OPENCV_VERSION}: {" ".join(str(error).split())}') from error
        if not points:
            binary = detector.descriptorType() == cv2.CV_8U
            descriptors = np.empty((0, detector.descriptorSize()), np.uint8 if binary else np.float32)
        xy = np.array([point.pt for point in points], np.float32).reshape(-1, 2)
        scores = np.array([point.response for point in points], np.float32)
        # OpenCV gives more than it is asked for where several score the same.
        return best_keypoints(Keypoints(xy, scores, np.asarray(descriptors)), rules.candidates)

    return Method(name, {'kind': name, 'opencv': OPENCV_VERSION, 'candidates': rules.candidates}, detect)


def _orb(candidates: int) -> Any:
    return cv2.ORB.create(candidates)


def _sift(candidates: int) -> Any:
    return cv2.SIFT.create(candidates)


def _akaze(candidates: int) -> Any:
    # OpenCV 5 moved it into a module that its wheels lack.
    found = getattr(cv2, 'AKAZE', None) or getattr(getattr(cv2, 'xfeatures2d', None), 'AKAZE', None)
    make = getattr(found, 'create', None) or getattr(cv2, 'AKAZE_create', None)
    if make is None:
        raise BackendError(
            f'akaze: found OpenCV {OPENCV_VERSION}, whose Python module has no AKAZE, expected one that has it: '
            'OpenCV 4, or a build with xfeatures2d'
        )
    return make()


OPENCV: dict[str, Callable[[int], Any]] = {'orb': _orb, 'sift': _sift, 'akaze': _akaze}
