# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The rules of the keypoint evaluation of KP2D (arXiv 1912.10615, its public code), and the variants of them.

The defaults are those of the public code, and what can be chosen otherwise is a setting with a name. Two things differ
from it whatever the settings:

- Paper differs: a pair with points in common view of which none is repeated has no localisation error. The public code
  divides by zero there, so that its mean over a set with such a pair is NaN; here the pair is left out and counted.
- Descriptors of the ResNet network are sampled at the places where training sampled them (``align_corners=True``). The
  public code samples them with ``align_corners=False`` when it evaluates, up to half an element of the map beside.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.records import Float64Array, ImageArray
from kp2d_ros.core.settings import setting, validate
from kp2d_ros.metrics.keypoint_pair import Size

ACCURACY_PX = tuple(range(1, 11))  # thresholds of the mean matching accuracy
CORNER_PX = (1, 3, 5)  # thresholds of homography correctness and of the area under its curve

# The sequences of HPatches that D2-Net leaves out for their size, and ALIKE, R2D2 and XFeat after it.
LARGE_SEQUENCES = 'large'
_LARGE = (
    'i_contruction',
    'i_crownnight',
    'i_dc',
    'i_pencils',
    'i_whitebuilding',
    'v_artisans',
    'v_astronautis',
    'v_talent',
)

_CELL = 8  # side of a cell of the networks whose cells define how many candidates everybody has
_TOP_SMALL, _TOP_LARGE, _LARGE_PIXELS = 300, 1000, 640 * 480


@dataclass(frozen=True, slots=True)
class KeypointProtocol:
    """
    How images are prepared, which keypoints take part, and how they are compared.
    """

    width: int = setting(320, 'columns that every image is resized to, the aspect not kept', minimum=16, maximum=8192)
    height: int = setting(240, 'rows that every image is resized to', minimum=16, maximum=8192)
    top_k: int = setting(
        0, 'best keypoints of an image that take part; 0: 300, from 640x480 on 1000', minimum=0, maximum=100_000
    )
    pool: int = setting(
        0,
        'candidates of every method before the choice; 0: as many as KP2D has usable cells (1064 at 320x240)',
        minimum=0,
        maximum=100_000,
    )
    threshold_px: float = setting(3.0, 'two points are the same one up to this', minimum=0.01, maximum=1000)
    half_pixel: bool = setting(
        False, 'scale the homographies with pixel centres at half pixels, as the resizing does; public code: false'
    )
    color_order: str = setting(
        'bgr', 'channels as the networks are handed them; public code: bgr', choices=('bgr', 'rgb')
    )
    exclude: tuple[str, ...] = setting(
        (), f'sequences to leave out; {LARGE_SEQUENCES}: the eight that D2-Net and its followers leave out'
    )
    average_empty: bool = setting(
        True, 'pairs without a point in common view count as -1 (public code); false: they are left out and counted'
    )
    covisible_matching: bool = setting(
        False, 'matching score over points in common view (as the papers say); public code: false'
    )
    orders: int = setting(
        10, 'random orders of the matches that homography correctness is averaged over', minimum=1, maximum=1000
    )
    seed: int = setting(0, 'of the random orders', minimum=0, maximum=2**31)
    ransac_px: float = setting(3.0, 'reprojection threshold of the homography', minimum=0.01, maximum=1000)
    ransac_iterations: int = setting(5000, 'most samples of the homography', minimum=1, maximum=10**6)
    ransac_confidence: float = setting(0.995, 'at which sampling ends', minimum=0.5, maximum=0.999999)

    def __post_init__(self) -> None:
        validate(self)
        if self.candidates < self.keypoints:
            raise ConfigError(
                f'pool: found {self.candidates} candidates, expected at least the {self.keypoints} that take part'
            )

    @property
    def size(self) -> Size:
        """
        Width and height of every image.
        """
        return self.width, self.height

    @property
    def keypoints(self) -> int:
        """
        Best keypoints of an image that take part.
        """
        if self.top_k:
            return self.top_k
        return _TOP_LARGE if self.width * self.height >= _LARGE_PIXELS else _TOP_SMALL

    @property
    def candidates(self) -> int:
        """
        Candidates of every method: without a number of its own, the cells of 8x8 pixels less the outermost ring.
        """
        if self.pool:
            return self.pool
        cells = max(self.width // _CELL - 2, 0) * max(self.height // _CELL - 2, 0)
        return max(cells, self.keypoints)

    def leaves_out(self, sequence: str) -> bool:
        """
        Whether a sequence does not take part.
        """
        return sequence in self.exclude or (LARGE_SEQUENCES in self.exclude and sequence in _LARGE)


def resize_for(protocol: KeypointProtocol, image: ImageArray) -> ImageArray:
    """
    An image at the size of the protocol: bilinear between neighbours, as the public code does it even where it shrinks.
    """
    if (image.shape[1], image.shape[0]) == protocol.size:
        return image
    return np.asarray(cv2.resize(image, protocol.size, interpolation=cv2.INTER_LINEAR), np.uint8)


def scale_homography(
    protocol: KeypointProtocol, target_from_source: Float64Array, source_size: Size, target_size: Size
) -> Float64Array:
    """
    The homography (3, 3) between the resized images of one between images of these sizes.
    """
    source = _resized_from_image(source_size, protocol)
    target = _resized_from_image(target_size, protocol)
    return np.asarray(target @ target_from_source @ np.linalg.inv(source))


def _resized_from_image(size: Size, protocol: KeypointProtocol) -> Float64Array:
    x, y = protocol.width / size[0], protocol.height / size[1]
    shift = 0.5 if protocol.half_pixel else 0.0
    return np.array([[x, 0, shift * (x - 1)], [0, y, shift * (y - 1)], [0, 0, 1.0]])
