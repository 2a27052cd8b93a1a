# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Keypoints kept on disk, so that an evaluation that was interrupted, or that is widened, goes on from there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kp2d_ros.core.errors import DataError, ShapeError
from kp2d_ros.core.records import ImageArray, Keypoints

_DAMAGED = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, ShapeError)


@dataclass(frozen=True, slots=True)
class Prediction:
    """
    What a method found in one image, and how long that took.
    """

    keypoints: Keypoints
    milliseconds: float


class PredictionCache:
    """
    One file for each method and image: ``FOLDER/METHOD/IMAGE.npz``, plain arrays, never pickles.

    Both are named by hashes: another version of OpenCV, other weights, another size of the image are other files.
    Nothing is ever out of date; the folder may be deleted at any time.

    :param folder: None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def load(self, method: str, image: str) -> Prediction | None:
        """
        What was kept for the fingerprints of a method and an image; None if there is nothing, or it is damaged.
        """
        if self._folder is None:
            return None
        try:
            with np.load(self._path(method, image), allow_pickle=False) as stored:
                keypoints = Keypoints(stored['xy'], stored['scores'], stored['descriptors'])
                return Prediction(keypoints, float(stored['milliseconds']))
        except _DAMAGED:
            return None

    def store(self, method: str, image: str, prediction: Prediction) -> None:
        """
        Keep a prediction; a file is there as a whole or not at all.

        :raises DataError: if the folder cannot be written.
        """
        if self._folder is None:
            return
        path = self._path(method, image)
        part = path.with_name(f'.{path.stem}.{os.getpid()}.npz')
        found = prediction.keypoints
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(
                part,
                xy=found.xy,
                scores=found.scores,
                descriptors=found.descriptors,
                milliseconds=np.float64(prediction.milliseconds),
            )
            part.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise DataError(f'{path}: cannot be written: {error.strerror}') from error

    def _path(self, method: str, image: str) -> Path:
        return (self._folder or Path()) / method / f'{image}.npz'


def image_fingerprint(image: ImageArray) -> str:
    """
    A hash of the pixels and the size of an image.
    """
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()[:32]
