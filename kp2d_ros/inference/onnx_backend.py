# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Exported networks on ONNX Runtime: the fastest on a CPU, and without torch.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# Since 1.32 importing ONNX Runtime makes an identity of this machine in ~/.cache and a queue of events to send;
# disable_telemetry_events() comes too late for that.
os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')

import onnxruntime

from kp2d_ros.core.checks import check_shape
from kp2d_ros.core.errors import BackendError, DataError, ShapeError
from kp2d_ros.core.records import Float32Array, ImageArray
from kp2d_ros.core.sampling import sample_descriptors
from kp2d_ros.inference.backend import BackendInfo, RuntimeOptions, check_network_image
from kp2d_ros.inference.onnx_file import INPUT, METADATA_KEY, OUTPUTS, OnnxMetadata, parse_metadata, read_onnx_file

Provider = tuple[str, dict[str, Any]]

_CPU: Provider = ('CPUExecutionProvider', {})
_FATAL_ONLY = 4  # ONNX Runtime prints what it also raises
_STATES = ('EPFail', 'Fail', 'InvalidArgument', 'InvalidGraph', 'InvalidProtobuf', 'NotImplemented', 'RuntimeException')
RUNTIME_ERRORS = (
    RuntimeError,
    ValueError,
    *(getattr(onnxruntime.capi.onnxruntime_pybind11_state, name) for name in _STATES),
)


@dataclass(frozen=True, slots=True, eq=False)
class OnnxFeatures:
    """
    Scores, points and the (D, Hd, Wd) descriptor map of one image of ``width`` x ``height`` pixels.
    """

    score: Float32Array
    xy: Float32Array
    descriptors: Float32Array
    width: int
    height: int

    def describe(self, xy: Float32Array) -> Float32Array:
        """
        (N, D) descriptors of unit norm at (N, 2) pixels of the image.
        """
        return sample_descriptors(self.descriptors, xy, self.width, self.height)


class OnnxBackend:
    """
    A network that :mod:`kp2d_ros.inference.export` wrote.

    The device is ``auto`` (CUDA if this ONNX Runtime has it), ``cpu``, ``cuda``, ``cuda:1``, ``tensorrt`` or
    ``tensorrt:1``, the precision fp32, and with TensorRT also fp16.

    :raises DataError: if the file is damaged, takes weights from other files or was not written by the export.
    :raises BackendError: if this ONNX Runtime cannot run it on that device.
    """

    def __init__(self, path: Path, options: RuntimeOptions | None = None) -> None:
        options = options or RuntimeOptions()
        self._session, (kind, settings) = open_session(path, options)
        self._metadata = _read_metadata(path, self._session)
        config = self._metadata.config
        name = kind.removesuffix('ExecutionProvider').lower()
        self.info = BackendInfo(
            model_id=self._metadata.model_id,
            backend='onnxruntime',
            device=f'{name}:{settings["device_id"]}' if 'device_id' in settings else name,
            precision='fp16' if settings.get('trt_fp16_enable') else 'fp32',
            stride=config.cell,
            descriptor_dim=config.descriptor_dim,
            size_multiple=self._metadata.size_multiple,
            is_trained=self._metadata.is_trained,
        )

    @property
    def fixed_size(self) -> tuple[int, int]:
        """
        Height and width of the only images that the file takes, or (0, 0).
        """
        return self._metadata.height, self._metadata.width

    def infer(self, image: ImageArray) -> OnnxFeatures:
        """
        Run the network on a uint8 image, (H, W) gray or (H, W, 3) RGB, both sides multiples of ``size_multiple``.

        :raises ShapeError: if the image is not such an image, or the file was exported for another size.
        :raises BackendError: if the runtime fails, or its output has another shape than the file says.
        """
        check_network_image(image, self.info.size_multiple)
        height, width = image.shape[:2]
        wanted = self.fixed_size
        if wanted not in ((0, 0), (height, width)):
            raise ShapeError(
                f'image: found {width}x{height} pixels, expected {wanted[1]}x{wanted[0]}, the exported size'
            )
        try:
            score, xy, descriptors = self._session.run(
                OUTPUTS, {INPUT: _batch(image, self._metadata.config.image_channels)}
            )
            rows, columns = height // self.info.stride, width // self.info.stride
            check_shape('score', score, (1, 1, rows, columns))
            check_shape('xy', xy, (1, 2, rows, columns))
            check_shape('descriptors', descriptors, (1, self.info.descriptor_dim, 'Hd', 'Wd'))
        except (*RUNTIME_ERRORS, ShapeError) as error:
            raise BackendError(f'{self.info.model_id} on {self.info.device} at {width}x{height}: {error}') from error
        return OnnxFeatures(score[0, 0], np.ascontiguousarray(xy[0].transpose(1, 2, 0)), descriptors[0], width, height)


def find_providers(options: RuntimeOptions, available: Sequence[str]) -> list[Provider]:
    """
    The execution providers of a device, the one that shall run the network first.

    :raises BackendError: if the device is unknown, not in this ONNX Runtime, or does not run that precision.
    """
    kind, _, index = options.device.partition(':')
    if kind == 'auto':
        kind = 'cuda' if 'CUDAExecutionProvider' in available else 'cpu'
    names = {'cpu': _CPU[0], 'cuda': 'CUDAExecutionProvider', 'tensorrt': 'TensorrtExecutionProvider'}
    if kind not in names or (index and (kind == 'cpu' or not index.isdecimal())):
        raise BackendError(f'device: found {options.device!r}, expected auto, cpu, cuda, cuda:1, tensorrt, tensorrt:1')
    if names[kind] not in available:
        raise BackendError(
            f'device: found {options.device!r}, expected one that ONNX Runtime {onnxruntime.__version__} has: '
            f'{", ".join(available)}'
        )
    if options.precision not in ('auto', 'fp32') and (kind, options.precision) != ('tensorrt', 'fp16'):
        raise BackendError(
            f'precision: found {options.precision!r} for ONNX Runtime on {kind}, '
            'expected auto, fp32, or fp16 on tensorrt'
        )
    if kind == 'cpu':
        return [_CPU]
    device_id = int(index or 0)
    cuda: Provider = (names['cuda'], {'device_id': device_id})
    if kind == 'cuda':
        return [cuda, _CPU]
    cache = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'kp2d_ros' / 'tensorrt'
    engine = {
        'device_id': device_id,
        'trt_fp16_enable': options.precision == 'fp16',
        'trt_engine_cache_enable': True,
        'trt_engine_cache_path': str(cache),
    }
    return [(names['tensorrt'], engine), *([cuda] if cuda[0] in available else []), _CPU]


def open_session(path: Path, options: RuntimeOptions) -> tuple[onnxruntime.InferenceSession, Provider]:
    """
    An ONNX file, ready to run, and what runs it; ``RUNTIME_ERRORS`` are what running it may raise.

    :raises DataError: if the file is damaged or takes weights from other files.
    :raises BackendError: if this ONNX Runtime cannot run it on that device.
    """
    providers = find_providers(options, onnxruntime.get_available_providers())
    data = read_onnx_file(path)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _FATAL_ONLY
    settings.intra_op_num_threads = options.threads
    # Threads that spin between two images take the cores from the rest of the robot.
    settings.add_session_config_entry('session.intra_op.allow_spinning', '0')
    try:
        session = onnxruntime.InferenceSession(data, settings, providers=providers)
    except RUNTIME_ERRORS as error:
        raise BackendError(f'{path}: ONNX Runtime {onnxruntime.__version__} cannot open it: {error}') from error
    if session.get_providers()[0] != providers[0][0]:
        raise BackendError(
            f'{path}: ONNX Runtime fell back to {session.get_providers()[0]}, expected {providers[0][0]}; '
            'its libraries (CUDA, cuDNN, TensorRT) may be missing'
        )
    return session, providers[0]


def _read_metadata(path: Path, session: onnxruntime.InferenceSession) -> OnnxMetadata:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    names = [i.name for i in inputs], [o.name for o in outputs]
    if text is None or names != ([INPUT], list(OUTPUTS)):
        found = [', '.join(f'{v.name} {v.type}{v.shape}' for v in values) for values in (inputs, outputs)]
        raise DataError(
            f'{path}: found inputs {found[0]} and outputs {found[1]}, '
            f'expected {INPUT} and {", ".join(OUTPUTS)} of a file written by kp2d export'
        )
    try:
        return parse_metadata(text)
    except DataError as error:
        raise DataError(f'{path}: {error}') from error


def _batch(image: ImageArray, channels: int) -> Float32Array:
    """
    The image as (1, C, H, W) in [0, 1].
    """
    height, width = image.shape[:2]
    batch = np.empty((1, channels, height, width), np.float32)
    planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    if len(planes) > channels:
        np.mean(planes, axis=0, dtype=np.float32, out=batch[0, 0])
        batch *= np.float32(1 / 255)
    else:
        np.multiply(planes, np.float32(1 / 255), out=batch[0])
    return batch
