# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
From an image to its keypoints: what an extractor is, its settings, and the one that runs a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np

from kp2d_ros.core.checks import check_image
from kp2d_ros.core.records import Float32Array, ImageArray, Keypoints, Matches
from kp2d_ros.core.settings import setting, validate
from kp2d_ros.inference.backend import KeypointBackend
from kp2d_ros.inference.selection import SelectionRule, select
from kp2d_ros.odometry.image_size import shrink_image


@dataclass(frozen=True, slots=True)
class ExtractorConfig:
    """
    What finds keypoints, and which of them are kept; lengths are pixels of the input image.
    """

    name: str = setting(
        'kp2d',
        'what finds the keypoints: the network, or OpenCV',
        choices=('kp2d', 'sift', 'orb'),
    )
    max_keypoints: int = setting(1000, 'most keypoints of an image', minimum=1, maximum=100_000, runtime=True)
    score_threshold: float = setting(
        0.0, 'a keypoint must score more than this', minimum=0.0, maximum=1.0, runtime=True
    )
    border_px: float = setting(
        4.0, 'least distance to the edge of the image, in pixels', minimum=0.0, maximum=1000.0, runtime=True
    )
    nms_radius_px: float = setting(
        4.0, 'no better keypoint is closer than this, in pixels; 0: off', minimum=0.0, maximum=1000.0, runtime=True
    )
    spread_grid: int = setting(
        0, 'spread the keypoints evenly over n x n parts of the image; 0: off', minimum=0, maximum=64, runtime=True
    )
    max_side: int = setting(
        0, 'shrink images whose longer side exceeds this, in pixels; 0: never', minimum=0, maximum=16384, runtime=True
    )
    root_sift: bool = setting(True, 'sift: compare square roots of its histograms (RootSIFT)')
    model: str = setting(
        '',
        'kp2d: name of a network that ships, untrained:PRESET, or path of a checkpoint, .onnx file or .yaml adapter; '
        'empty: the one that ships for the device',
    )
    backend: str = setting(
        'auto', 'kp2d: what runs the network; auto goes by the model', choices=('auto', 'torch', 'onnxruntime')
    )
    device: str = setting('auto', 'kp2d: where the network runs: auto, cpu, cuda, cuda:1, tensorrt (onnxruntime), ...')
    precision: str = setting(
        'auto',
        'kp2d: number format of the network; auto: fp16 on CUDA, else fp32',
        choices=('auto', 'fp32', 'fp16', 'bf16'),
    )
    threads: int = setting(
        0, 'kp2d: threads of the network on a CPU; 0: as the runtime decides', minimum=0, maximum=1024
    )
    compile: bool = setting(False, 'kp2d on torch: compile the network, in the first call with each image size')
    inlier_model: str = setting(
        '',
        'kp2d: IO-Net that judges matches: a path; auto: NAME_inlier.safetensors beside the model; empty: none',
    )

    def __post_init__(self) -> None:
        validate(self)

    @property
    def rule(self) -> SelectionRule:
        """
        Which candidates become keypoints.
        """
        return SelectionRule(
            max_keypoints=self.max_keypoints,
            score_threshold=self.score_threshold,
            border_px=self.border_px,
            nms_radius_px=self.nms_radius_px,
            spread_grid=self.spread_grid,
        )


@dataclass(frozen=True, slots=True)
class ExtractorInfo:
    """
    What makes the keypoints: ``model_id`` is ``sift``, ``orb`` or the name and hash of weights; descriptors compare
    only under the same one.
    """

    model_id: str
    backend: str
    device: str


class Extractor(Protocol):
    """
    From an image to its keypoints.
    """

    @property
    def info(self) -> ExtractorInfo:
        """
        What makes the keypoints.
        """

    def extract(self, image: ImageArray) -> Keypoints:
        """
        Keypoints of a uint8 image, (H, W) gray or (H, W, 3) RGB, best first; an image without any gives none.

        :raises ShapeError: if the image is not such an image.
        """

    def reconfigured(self, config: ExtractorConfig) -> Extractor:
        """
        The same extractor under other settings; those that need another one (``runtime`` is false) stay as they are.
        """


@runtime_checkable
class MatchJudge(Protocol):
    """
    An extractor that can also say how likely matches of its keypoints are right.
    """

    def judge(
        self, reference: Keypoints, current: Keypoints, matches: Matches, size: tuple[int, int]
    ) -> Float32Array | None:
        """
        (M,) in [0, 1] for M matches of two images of a size (height, width); None without a network that knows.
        """


class Kp2dExtractor:
    """
    Keypoints of a network: its grid of scores and points, chosen, described and mapped back to the input image.

    :param judge: the IO-Net that was trained with it; None: there is none.
    """

    def __init__(self, backend: KeypointBackend, config: ExtractorConfig, judge: MatchJudge | None = None) -> None:
        self.backend = backend
        self.info = ExtractorInfo(backend.info.model_id, backend.info.backend, backend.info.device)
        self._config = config
        self._judge = judge

    def extract(self, image: ImageArray) -> Keypoints:
        """
        Keypoints of a uint8 image, (H, W) gray or (H, W, 3) RGB, best first.

        :raises ShapeError: if the image is not such an image.
        """
        check_image(image)
        height, width = image.shape[:2]
        resized = resize_image(image, self._config.max_side, self.backend.info.size_multiple)
        features = self.backend.infer(resized.image)
        network_xy, scores = features.xy.reshape(-1, 2), features.score.reshape(-1)
        xy = resized.input_from_image(network_xy)
        rows = select(xy, scores, width, height, self._config.rule)
        return Keypoints(xy[rows], scores[rows], features.describe(network_xy[rows]))

    def reconfigured(self, config: ExtractorConfig) -> Kp2dExtractor:
        """
        The same network under other settings.
        """
        return Kp2dExtractor(self.backend, config, self._judge)

    def judge(
        self, reference: Keypoints, current: Keypoints, matches: Matches, size: tuple[int, int]
    ) -> Float32Array | None:
        """
        (M,) in [0, 1] for M matches of two images of a size (height, width); None without an IO-Net.
        """
        return None if self._judge is None else self._judge.judge(reference, current, matches, size)


@dataclass(frozen=True, slots=True)
class ResizedImage:
    """
    ``image`` holds the input at the top left, shrunk by ``scale_x`` and ``scale_y``, then padding.
    """

    image: ImageArray
    scale_x: float
    scale_y: float

    def input_from_image(self, xy: Float32Array) -> Float32Array:
        """
        Pixels (N, 2) of the input image of pixels of this one; pixel edges fall on pixel edges.
        """
        scale = np.array([self.scale_x, self.scale_y])
        return np.asarray((xy + 0.5) / scale - 0.5, np.float32)


def resize_image(image: ImageArray, max_side: int = 0, multiple: int = 1) -> ResizedImage:
    """
    Shrink an image so that its longer side is at most ``max_side`` (0: keep it) and pad it to multiples of a number.

    The aspect is kept to the nearest pixel, and the scale is exact per axis. The padding repeats the last row and
    column: a constant would be an edge to find keypoints on, and a mirrored image would hold them twice.
    """
    shrunk, scale = shrink_image(image, max_side)
    made = np.ascontiguousarray(shrunk)
    right, bottom = -made.shape[1] % multiple, -made.shape[0] % multiple
    if right or bottom:
        made = np.asarray(cv2.copyMakeBorder(made, 0, bottom, 0, right, cv2.BORDER_REPLICATE), np.uint8)
    return ResizedImage(made, *scale.tolist())


def score_map(backend: KeypointBackend, image: ImageArray, max_side: int = 0) -> Float32Array:
    """
    (H, W) scores in [0, 1] of a uint8 image, one colour per cell of the network; the padding is cut off.

    :param max_side: as for the keypoints: larger images are shrunk for the network.
    :raises ShapeError: if the image is not (H, W) gray or (H, W, 3) RGB.
    """
    check_image(image)
    height, width = image.shape[:2]
    info = backend.info
    resized = resize_image(image, max_side, info.size_multiple)
    cells = backend.infer(resized.image).score
    pixels = np.repeat(np.repeat(cells, info.stride, axis=0), info.stride, axis=1)
    shown = pixels[: round(height * resized.scale_y), : round(width * resized.scale_x)]
    return np.asarray(cv2.resize(shown, (width, height), interpolation=cv2.INTER_NEAREST), np.float32)
