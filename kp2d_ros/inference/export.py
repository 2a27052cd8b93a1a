# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Networks as ONNX files, each run beside torch before it is kept.

The graph goes from a float32 image (1, C, H, W) in [0, 1] to scores, points and the dense descriptor map; choosing
points and sampling descriptors stay outside, so that it holds nothing but convolutions and simple arithmetic.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from kp2d_ros.core.errors import BackendError, ConfigError
from kp2d_ros.core.files import atomic_path
from kp2d_ros.core.records import Float32Array, ImageArray
from kp2d_ros.inference.backend import RuntimeOptions
from kp2d_ros.inference.onnx_backend import OnnxBackend
from kp2d_ros.inference.onnx_file import INPUT, METADATA_KEY, OUTPUTS, OnnxMetadata, format_metadata
from kp2d_ros.inference.torch_backend import TorchBackend
from kp2d_ros.networks.build import fold_batch_norms
from kp2d_ros.networks.checkpoint import Checkpoint, network_from_checkpoint
from kp2d_ros.networks.network import KeypointNetwork

OPSET = 18

_MOST_CELLS = 512  # of the largest network's size_multiple along a side, if any size will do
_EXAMPLE_CELLS = 6, 8
_TEST_CELLS = ((6, 8), (9, 5))  # sizes of the comparison, in units of size_multiple, if any size will do
_TEST_POINTS = 200


@dataclass(frozen=True, slots=True)
class Differences:
    """
    Largest absolute differences between the outputs of torch and ONNX Runtime on the same images.

    ``xy_px`` is in pixels; ``descriptor`` compares elements of sampled descriptors of unit norm.
    """

    score: float
    xy_px: float
    descriptor: float


# Rounding alone gives 1e-7, 1e-4 px and 1e-7 at 640x480; a tenth of these would already move no match.
TOLERANCE = Differences(score=1e-3, xy_px=1e-2, descriptor=1e-3)


@dataclass(frozen=True, slots=True)
class ExportReport:
    """
    What was written, what it says of itself, and how far it is from torch.
    """

    path: Path
    byte_count: int
    metadata: OnnxMetadata
    differences: Differences


class _Outputs(nn.Module):
    """
    The network with a plain tuple as its output.
    """

    def __init__(self, network: KeypointNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = self.network(image)
        return maps.score, maps.xy, maps.descriptors


def export_onnx(checkpoint: Checkpoint, path: Path, height: int = 0, width: int = 0) -> ExportReport:
    """
    Write a network as an ONNX file and compare both on test images; a file that differs is not kept.

    :param height: height and width of the only size that the file shall take; 0 and 0 for any size.
    :raises ConfigError: if only one side is given, or a side is not a multiple of what the network needs.
    :raises DataError: if the file cannot be written.
    :raises BackendError: if the outputs differ by more than :data:`TOLERANCE`.
    """
    network = fold_batch_norms(network_from_checkpoint(checkpoint))
    metadata = OnnxMetadata(
        checkpoint.info.model_id,
        checkpoint.info.is_trained,
        checkpoint.info.config,
        network.size_multiple,
        height,
        width,
    )
    _check_size(metadata)
    with atomic_path(path) as part:
        part.touch()  # refused before the minute that a large network takes
        model = _traced(network, metadata)
        model.metadata_props.add(key=METADATA_KEY, value=format_metadata(metadata))
        part.write_bytes(model.SerializeToString())
        differences = compare(checkpoint, part)
        check_differences(path, differences)
    return ExportReport(path, path.stat().st_size, metadata, differences)


def compare(checkpoint: Checkpoint, path: Path) -> Differences:
    """
    Run torch and ONNX Runtime on the same images: noise, which every layer answers to, and a smooth picture.
    """
    expected = TorchBackend(checkpoint, RuntimeOptions('cpu', 'fp32'))
    found = OnnxBackend(path, RuntimeOptions('cpu'))
    worst = np.zeros(3)
    rng = np.random.default_rng(0)
    for image in _test_images(found.fixed_size, found.info.size_multiple, rng):
        here, there = expected.infer(image), found.infer(image)
        points = (rng.uniform(0, 1, (_TEST_POINTS, 2)) * np.subtract(image.shape[1::-1], 1)).astype(np.float32)
        pairs = (
            (here.score, there.score),
            (here.xy, there.xy),
            (here.describe(points), there.describe(points)),
        )
        worst = np.maximum(worst, [_largest_difference(a, b) for a, b in pairs])
    return Differences(*worst.tolist())


def check_differences(path: Path, differences: Differences) -> None:
    """
    Refuse a file whose outputs differ by more than :data:`TOLERANCE`.

    :raises BackendError: naming every difference.
    """
    found = (differences.score, differences.xy_px, differences.descriptor)
    allowed = (TOLERANCE.score, TOLERANCE.xy_px, TOLERANCE.descriptor)
    if not all(f <= a for f, a in zip(found, allowed, strict=True)):
        raise BackendError(
            f'{path}: is not kept: found differences to torch of {found[0]:.2g} in score, {found[1]:.2g} px, '
            f'{found[2]:.2g} in descriptors, expected at most {allowed[0]:g}, {allowed[1]:g} px, {allowed[2]:g}'
        )


def _check_size(metadata: OnnxMetadata) -> None:
    height, width, multiple = metadata.height, metadata.width, metadata.size_multiple
    if (height, width) != (0, 0) and (height < 1 or width < 1 or height % multiple or width % multiple):
        raise ConfigError(
            f'size: found {width}x{height} pixels, expected both sides to be multiples of {multiple}, '
            'or neither side for a file that takes any size'
        )


def _traced(network: KeypointNetwork, metadata: OnnxMetadata) -> onnx.ModelProto:
    multiple = network.size_multiple
    height, width = metadata.height, metadata.width
    shapes = None
    if (height, width) == (0, 0):
        rows, columns = (torch.export.Dim(name, min=1, max=_MOST_CELLS) for name in ('rows', 'columns'))
        shapes = {INPUT: {2: multiple * rows, 3: multiple * columns}}
        height, width = (multiple * cells for cells in _EXAMPLE_CELLS)
    example = torch.zeros(1, metadata.config.image_channels, height, width)
    with _quiet():
        program = torch.onnx.export(
            _Outputs(network).eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_shapes=shapes,
            verbose=False,
        )
    if program is None:
        raise BackendError(f'{metadata.model_id}: torch {torch.__version__} gave no ONNX model')
    model: onnx.ModelProto = program.model_proto
    _forget_sources(model)
    return model


def _forget_sources(model: onnx.ModelProto) -> None:
    """
    Remove what the exporter notes of where each part comes from: stack traces with the paths of this machine.
    """
    graph = model.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output):
        part.ClearField('metadata_props')
        part.ClearField('doc_string')


@contextmanager
def _quiet() -> Iterator[None]:
    """
    Without the exporter's own warnings, which are about torchvision being absent and about its own code.
    """
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(before)


def _test_images(fixed: tuple[int, int], multiple: int, rng: np.random.Generator) -> Iterator[ImageArray]:
    sizes = [fixed] if fixed != (0, 0) else [(r * multiple, c * multiple) for r, c in _TEST_CELLS]
    for height, width in sizes:
        yield rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        y, x = np.mgrid[:height, :width]
        waves = [np.sin(x / period + y / 17) for period in (5, 9, 23)]
        yield np.asarray(np.stack(waves, axis=2) * 127 + 128, np.uint8)


def _largest_difference(first: Float32Array, second: Float32Array) -> float:
    """
    Infinity if a number is not finite, so that it is never within a tolerance.
    """
    difference = np.abs(first - second).max(initial=0.0)
    return float(difference) if np.isfinite(difference) else np.inf
