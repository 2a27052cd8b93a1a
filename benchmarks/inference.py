# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Milliseconds per image and stage of each extractor: one JSON line per figure.

Every extractor has one image in each round, so that a busy moment of the machine touches them all: trust the ratios of
one run (``ratio``: to SIFT's total at that size) more than the milliseconds. Networks may be untrained, which takes as
long. ``python benchmarks/inference.py --help``
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from kp2d_ros.cli.command import add_methods_option, split_methods
from kp2d_ros.core.records import Float32Array, ImageArray
from kp2d_ros.inference.backend import DenseFeatures, KeypointBackend
from kp2d_ros.inference.export import export_onnx
from kp2d_ros.inference.extractor import Extractor, ExtractorConfig, Kp2dExtractor
from kp2d_ros.inference.models import method_names, resolve
from kp2d_ros.inference.pipeline import build_extractor, load_extractor
from kp2d_ros.inference.torch_backend import open_checkpoint

SIZES = ((320, 240), (640, 480))
BASELINE = 'sift'


class Stopwatch:
    """
    Milliseconds by stage, one entry per call, and how many keypoints the last image had.
    """

    def __init__(self) -> None:
        self.stages: dict[str, list[float]] = {}
        self.keypoints = 0

    def add(self, stage: str, start: float) -> None:
        """
        Note the time since a start (``time.perf_counter``).
        """
        self.stages.setdefault(stage, []).append((time.perf_counter() - start) * 1e3)


class TimedFeatures:
    """
    Features that note how long describing takes.
    """

    def __init__(self, features: DenseFeatures, watch: Stopwatch) -> None:
        self.score, self.xy = features.score, features.xy
        self._features, self._watch = features, watch

    def describe(self, xy: Float32Array) -> Float32Array:
        """
        (N, D) descriptors at (N, 2) pixels.
        """
        start = time.perf_counter()
        descriptors = self._features.describe(xy)
        self._watch.add('describe', start)
        return descriptors


class TimedBackend:
    """
    A backend that notes how long its network takes.
    """

    def __init__(self, backend: KeypointBackend, watch: Stopwatch) -> None:
        self.info = backend.info
        self._backend, self._watch = backend, watch

    def infer(self, image: ImageArray) -> TimedFeatures:
        """
        Run the network.
        """
        start = time.perf_counter()
        features = self._backend.infer(image)
        self._watch.add('network', start)
        return TimedFeatures(features, self._watch)


def textured_image(width: int, height: int) -> ImageArray:
    """
    An RGB image with structure at many sizes, the same each time.
    """
    rng = np.random.default_rng(0)
    image = np.zeros((height, width, 3), np.float32)
    for side in (6, 12, 25, 50, 100):
        coarse = rng.uniform(-1, 1, (side * 3 // 4, side, 3)).astype(np.float32)
        image += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(image * 50 + 128, 0, 255), np.uint8)


def build_extractors(methods: list[str], folder: Path, threads: int) -> dict[str, tuple[Extractor, Stopwatch]]:
    """
    ORB, SIFT, and each network on torch and on ONNX Runtime, on the CPU.
    """
    made: dict[str, tuple[Extractor, Stopwatch]] = {}
    for name in ('orb', 'sift'):
        made[name] = build_extractor(ExtractorConfig(name=name)), Stopwatch()
    config = ExtractorConfig(device='cpu', threads=threads)
    for word, name in zip(methods, method_names(methods), strict=True):
        choice = resolve(word, 'cpu', 'torch')
        path = folder / f'{name.replace(":", "_")}.onnx'
        export_onnx(open_checkpoint(choice), path)
        for one in (choice, replace(choice, runtime='onnxruntime', path=path)):
            extractor, watch = load_extractor(one, config), Stopwatch()
            if isinstance(extractor, Kp2dExtractor):
                made[f'{name} {one.runtime}'] = Kp2dExtractor(TimedBackend(extractor.backend, watch), config), watch
    return made


def measure(extractors: Mapping[str, tuple[Extractor, Stopwatch]], image: ImageArray, rounds: int) -> None:
    """
    Fill the stopwatches: one image per extractor and round, after one round that does not count.
    """
    for turn in range(rounds + 1):
        for extractor, watch in extractors.values():
            start = time.perf_counter()
            found = extractor.extract(image)
            watch.add('total', start)
            watch.keypoints = len(found)
            if turn == 0:
                watch.stages.clear()


def figures(extractors: Mapping[str, tuple[Extractor, Stopwatch]], size: str) -> list[dict[str, object]]:
    """
    One record per extractor and stage; what is neither network nor describing is ``select``.
    """
    medians = {name: float(np.median(watch.stages['total'])) for name, (_, watch) in extractors.items()}
    lines: list[dict[str, object]] = []
    for name, (_, watch) in extractors.items():
        stages = {stage: np.array(times) for stage, times in watch.stages.items()}
        if 'network' in stages:
            stages['select'] = stages['total'] - stages['network'] - stages.get('describe', np.zeros(1))
        for stage, times in stages.items():
            record: dict[str, object] = {'benchmark': 'inference', 'size': size, 'extractor': name, 'stage': stage}
            record |= {'median_ms': round(float(np.median(times)), 2), 'best_ms': round(float(times.min()), 2)}
            if stage == 'total':
                record |= {
                    'ratio': round(medians[name] / medians[BASELINE], 3),
                    'keypoints': watch.keypoints,
                }
            lines.append(record)
    return lines


def main(argv: list[str] | None = None) -> int:
    """
    Measure and print.
    """
    parser = argparse.ArgumentParser(description='Milliseconds per image and stage of each extractor.')
    add_methods_option(parser, 'untrained:compact-s')
    parser.add_argument('--rounds', type=int, default=15, help='images per extractor and size')
    parser.add_argument('--threads', type=int, default=0, help='threads of a network; 0: as the runtime decides')
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        extractors = build_extractors(split_methods(args.methods), Path(folder), args.threads)
        for width, height in SIZES:
            measure(extractors, textured_image(width, height), args.rounds)
            for line in figures(extractors, f'{width}x{height}'):
                print(json.dumps(line), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
