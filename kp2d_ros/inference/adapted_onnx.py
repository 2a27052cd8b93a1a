# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
ONNX models of others as extractors: a YAML file beside the model says what goes in and what comes out.

The model takes one image and gives keypoints, descriptors and, if it has them, scores; what it does in between is its
own matter. Nothing in the YAML file is executed. For instance::

    model: superpoint.onnx        # beside this file
    input: {channels: gray, scale: 0.00392156862745098, size_multiple: 8}
    output: {keypoints: keypoints, scores: scores, descriptors: descriptors, coordinates: pixels}
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from kp2d_ros.core.checks import check_image, check_shape
from kp2d_ros.core.errors import BackendError, ConfigError, DataError, ShapeError
from kp2d_ros.core.records import Float32Array, ImageArray, Keypoints
from kp2d_ros.core.settings import build, load_yaml, section, setting, validate
from kp2d_ros.inference.backend import RuntimeOptions
from kp2d_ros.inference.extractor import ExtractorConfig, ExtractorInfo
from kp2d_ros.inference.onnx_backend import RUNTIME_ERRORS, open_session

_TYPES: dict[str, type[np.generic]] = {
    'tensor(float)': np.float32,
    'tensor(float16)': np.float16,
    'tensor(uint8)': np.uint8,
}


@dataclass(frozen=True, slots=True)
class AdapterInput:
    """
    How an image becomes the input: a value is (pixel * scale - mean) / std, with pixels from 0 to 255.
    """

    name: str = setting('', 'input that takes the image; empty: the only one')
    channels: str = setting('rgb', 'order of the channels', choices=('gray', 'rgb', 'bgr'))
    layout: str = setting('nchw', 'order of the axes', choices=('nchw', 'nhwc'))
    scale: float = setting(1 / 255, 'factor of the pixels', minimum=1e-9, maximum=1e9)
    mean: tuple[float, ...] = setting((), 'one number, or one for each channel; empty: 0')
    std: tuple[float, ...] = setting((), 'one number, or one for each channel; empty: 1')
    size_multiple: int = setting(1, 'both sides are padded to multiples of this', minimum=1, maximum=4096)
    width: int = setting(0, 'images are resized to this; 0: they are not', minimum=0, maximum=16384)
    height: int = setting(0, 'images are resized to this; 0: they are not', minimum=0, maximum=16384)

    def __post_init__(self) -> None:
        validate(self)
        allowed = (0, 1, 1 if self.channels == 'gray' else 3)
        if len(self.mean) not in allowed or len(self.std) not in allowed or not all(s > 0 for s in self.std):
            raise ConfigError(
                f'mean, std: found {list(self.mean)} and {list(self.std)}, expected one number or one for each '
                'channel, those of std above 0'
            )
        if (self.width == 0) != (self.height == 0):
            raise ConfigError(f'width, height: found {self.width} and {self.height}, expected both or none')


@dataclass(frozen=True, slots=True)
class AdapterOutput:
    """
    What the outputs are called and what they mean; a leading axis of one image is dropped.

    ``keypoints`` are (N, 2), ``scores`` (N,), ``descriptors`` (N, D). ``coordinates``: ``pixels``; ``unit``, 0 to 1
    over the image; ``signed``, -1 to 1. ``origin``: whether they begin at the centre of the first pixel (and end at
    that of the last one) or at the outer edges.
    """

    keypoints: str = setting('keypoints', 'output with the points')
    scores: str = setting('', 'output with the scores; empty: the points come best first')
    descriptors: str = setting('descriptors', 'output with the descriptors')
    coordinates: str = setting('pixels', 'unit of the points', choices=('pixels', 'unit', 'signed'))
    origin: str = setting('centre', 'where the coordinates begin', choices=('centre', 'edge'))
    order: str = setting('xy', 'which coordinate comes first', choices=('xy', 'yx'))
    descriptors_in: str = setting('rows', 'whether a descriptor is a row or a column', choices=('rows', 'columns'))
    bits: bool = setting(False, 'descriptors are packed bits (uint8), compared by Hamming distance')

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, slots=True)
class OnnxAdapter:
    """
    A model of others: its file, by its place beside that of the adapter, and its input and output.
    """

    model: str = setting('', 'path of the .onnx file, relative to that of the adapter')
    input: AdapterInput = section(AdapterInput)
    output: AdapterOutput = section(AdapterOutput)

    def __post_init__(self) -> None:
        validate(self)
        if not self.model.endswith('.onnx'):
            raise ConfigError(f'model: found {self.model!r}, expected the path of an .onnx file')


def load_adapter(path: Path) -> OnnxAdapter:
    """
    The adapter in a YAML file.

    :raises ConfigError: if it cannot be read, or a key or value is none of an adapter.
    """
    try:
        return build(OnnxAdapter, load_yaml(path))
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if text.startswith(str(path)) else f'{path}: {text}') from error


class AdaptedModel:
    """
    A model of others on ONNX Runtime, which chooses its keypoints itself; the settings only bound their number.

    :param path: the YAML file of the adapter.
    :param max_keypoints: most keypoints of an image; 0: all.
    :raises ConfigError: if the adapter is none.
    :raises DataError: if the model cannot be read, or has no such input or output.
    :raises BackendError: if this ONNX Runtime cannot run it on that device.
    """

    def __init__(self, path: Path, options: RuntimeOptions | None = None, max_keypoints: int = 0) -> None:
        self._max_keypoints = max_keypoints
        self._adapter = load_adapter(path)
        self.model_path = path.parent / self._adapter.model
        self._session, (provider, _) = open_session(self.model_path, options or RuntimeOptions())
        device = provider.removesuffix('ExecutionProvider').lower()
        self.info = ExtractorInfo(self.model_path.stem, 'onnxruntime', device)
        self._input, self._type = self._find_input()
        wanted = self._adapter.output
        self._outputs = [name for name in (wanted.keypoints, wanted.descriptors, wanted.scores) if name]
        known = [output.name for output in self._session.get_outputs()]
        for name in self._outputs:
            if name not in known:
                raise DataError(f'{self.model_path}: found no output {name!r}, expected one of {", ".join(known)}')

    def reconfigured(self, config: ExtractorConfig) -> AdaptedModel:
        """
        The same model for another number of keypoints.
        """
        other = copy.copy(self)
        other._max_keypoints = config.max_keypoints
        return other

    def extract(self, image: ImageArray) -> Keypoints:
        """
        Keypoints of a uint8 image, (H, W) gray or (H, W, 3) RGB, best first.

        :raises ShapeError: if the image is not such an image.
        :raises BackendError: if the model fails, or its outputs have other shapes than the adapter says.
        """
        check_image(image)
        height, width = image.shape[:2]
        prepared, scale = _fit(image, self._adapter.input)
        batch = _batch(prepared, self._adapter.input, self._type)
        try:
            found = self._session.run(self._outputs, {self._input: batch})
            points, descriptors, scores = _shaped(found, self._adapter.output)
        except (*RUNTIME_ERRORS, ShapeError) as error:
            raise BackendError(f'{self.model_path} at {width}x{height}: {error}') from error
        pixels = _pixels(points, self._adapter.output, (prepared.shape[1], prepared.shape[0]))
        xy = np.asarray((pixels + 0.5) / scale - 0.5, np.float32)
        # What lies in the padding, or is not a number, is no keypoint.
        inside = (xy >= -0.5).all(axis=1) & (xy <= (width - 0.5, height - 0.5)).all(axis=1) & np.isfinite(scores)
        rows = np.flatnonzero(inside)
        rows = rows[np.argsort(-scores[rows], kind='stable')][: self._max_keypoints or None]
        return Keypoints(xy[rows], scores[rows], descriptors[rows])

    def _find_input(self) -> tuple[str, type[np.generic]]:
        inputs: dict[str, str] = {i.name: i.type for i in self._session.get_inputs()}
        wanted = self._adapter.input.name or next(iter(inputs), '')
        if wanted not in inputs or len(inputs) != 1:
            raise DataError(
                f'{self.model_path}: found inputs {", ".join(inputs)}, expected one alone, '
                f'{self._adapter.input.name or "of any name"}'
            )
        if inputs[wanted] not in _TYPES:
            raise DataError(f'{self.model_path}: found input {inputs[wanted]}, expected one of {", ".join(_TYPES)}')
        return wanted, _TYPES[inputs[wanted]]


def _fit(image: ImageArray, wanted: AdapterInput) -> tuple[ImageArray, npt.NDArray[np.float64]]:
    """
    The image resized and padded as the model wants it, and its scale (2,) along x and y.
    """
    height, width = image.shape[:2]
    made = image
    if wanted.width and (wanted.width, wanted.height) != (width, height):
        made = np.asarray(cv2.resize(image, (wanted.width, wanted.height), interpolation=cv2.INTER_LINEAR), np.uint8)
    scale = np.array([made.shape[1] / width, made.shape[0] / height])
    bottom, right = (-side % wanted.size_multiple for side in made.shape[:2])
    if right or bottom:
        made = np.asarray(cv2.copyMakeBorder(made, 0, bottom, 0, right, cv2.BORDER_REPLICATE), np.uint8)
    return made, scale


def _batch(image: ImageArray, wanted: AdapterInput, kind: type[np.generic]) -> npt.NDArray[Any]:
    if wanted.channels == 'gray':
        planes = image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
        planes = planes[:, :, None]
    else:
        planes = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
        planes = planes[:, :, ::-1] if wanted.channels == 'bgr' else planes
    if kind is not np.uint8:
        mean, std = (np.array(values, np.float32) for values in (wanted.mean or (0.0,), wanted.std or (1.0,)))
        planes = ((planes * np.float32(wanted.scale) - mean) / std).astype(kind)
    batch = planes[None] if wanted.layout == 'nhwc' else planes.transpose(2, 0, 1)[None]
    return np.ascontiguousarray(batch)


def _shaped(
    found: list[npt.NDArray[Any]], wanted: AdapterOutput
) -> tuple[Float32Array, npt.NDArray[Any], Float32Array]:
    """
    Points (N, 2), descriptors (N, D) of unit norm or bits, scores (N,).
    """
    points, descriptors = (_without_batch(array, 2) for array in found[:2])
    descriptors = descriptors.T if wanted.descriptors_in == 'columns' else descriptors
    check_shape(wanted.keypoints, points, ('N', 2))
    check_shape(wanted.descriptors, descriptors, (len(points), 'D'))
    if wanted.scores:
        scores = _without_batch(found[2], 1).astype(np.float32)
        check_shape(wanted.scores, scores, (len(points),))
    else:
        scores = np.linspace(1, 0, len(points), endpoint=False, dtype=np.float32)
    if not wanted.bits:
        descriptors = descriptors.astype(np.float32)
        descriptors = descriptors / np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1e-12)
    elif descriptors.dtype != np.uint8:
        raise ShapeError(f'{wanted.descriptors}: found {descriptors.dtype}, expected uint8 of packed bits')
    return points.astype(np.float32), np.ascontiguousarray(descriptors), scores


def _without_batch(array: npt.NDArray[Any], axes: int) -> npt.NDArray[Any]:
    while array.ndim > axes and array.shape[0] == 1:
        array = array[0]
    # A score of its own axis: (N, 1) instead of (N,).
    return array[:, 0] if array.ndim == axes + 1 and array.shape[-1] == 1 else array


def _pixels(points: Float32Array, wanted: AdapterOutput, size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """
    (N, 2) pixels of the model's image, x first, (0, 0) the centre of the first pixel.
    """
    xy = points.astype(np.float64)[:, ::-1] if wanted.order == 'yx' else points.astype(np.float64)
    shift = 0.5 if wanted.origin == 'edge' else 0.0
    if wanted.coordinates == 'pixels':
        return xy - shift
    share = (xy + 1) / 2 if wanted.coordinates == 'signed' else xy
    extent = np.array(size) if wanted.origin == 'edge' else np.array(size) - 1
    return np.asarray(share * extent - shift)
