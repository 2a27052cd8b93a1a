# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the networks cost: multiplications, parameters, and milliseconds per image on the CPU; one JSON line per figure.

All networks take turns in every round, so that a busy machine slows all of them: trust ratios, and the best time more
than the median. On a machine that does other work, ``--threads 1`` and the processor time (``cpu``) are the figures to
compare. ``python benchmarks/networks.py --help``
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch

from kp2d_ros.inference.export import export_onnx
from kp2d_ros.networks import cells
from kp2d_ros.networks.build import build_network, count_macs, count_parameters, fold_batch_norms
from kp2d_ros.networks.checkpoint import checkpoint_from_network
from kp2d_ros.networks.config import PRESETS, network_config
from kp2d_ros.networks.network import KeypointNetwork

Timers = dict[str, Callable[[], object]]
_DEFAULT = ['v4', 'v0', 'resnet18', 'compact-m', 'compact-s', 'compact-n']


def main() -> None:
    """
    Build and export every network, then time them in turns.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--networks', nargs='+', default=_DEFAULT, choices=list(PRESETS), metavar='NAME')
    parser.add_argument('--width', type=int, default=320)
    parser.add_argument('--height', type=int, default=240)
    parser.add_argument('--points', type=int, default=300, help='descriptors per image')
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--threads', type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    timers, sizes = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.networks:
            network = build_network(network_config(name)).eval()
            height = -(-arguments.height // network.size_multiple) * network.size_multiple
            width = -(-arguments.width // network.size_multiple) * network.size_multiple
            sizes[name] = f'{width}x{height}'
            _print(name, sizes[name], figure='multiplications', value=count_macs(network, height, width))
            _print(name, sizes[name], figure='parameters', value=count_parameters(network))
            timers[name] = _timers(network, torch.rand(1, 3, height, width), arguments, Path(folder) / f'{name}.onnx')
        times = _measure(timers, arguments.rounds)
    for (name, figure), seconds in times.items():
        wall, cpu = zip(*seconds, strict=True)
        spent = {'median': statistics.median(wall), 'best': min(wall), 'cpu': min(cpu)}
        milliseconds = {key: round(value * 1e3, 3) for key, value in spent.items()}
        _print(name, sizes[name], figure=figure, unit='ms', threads=arguments.threads, **milliseconds)


def _timers(network: KeypointNetwork, image: torch.Tensor, arguments: argparse.Namespace, path: Path) -> Timers:
    """
    What is timed of one network, by the name of the figure.
    """
    height, width = image.shape[-2:]
    export_onnx(checkpoint_from_network(network, 'benchmark', is_trained=False), path, height, width)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    feed = {session.get_inputs()[0].name: image.numpy()}
    folded = fold_batch_norms(network)
    with torch.inference_mode():
        features = folded.forward_features(image)
        best = features.score.flatten().topk(min(arguments.points, features.score.numel())).indices
        xy = cells.points_from_map(features.xy)[:, best]

    def describe_densely() -> torch.Tensor:
        dense = folded.last_layer(features.penultimate)
        return cells.sample_descriptors(dense, xy, width, height)

    return {
        'torch as trained': lambda: network(image),
        'torch folded': lambda: folded(image),
        'onnxruntime': lambda: session.run(None, feed),
        'torch folded, without descriptors': lambda: folded.forward_features(image),
        'descriptors everywhere': describe_densely,
        'descriptors at the points': lambda: folded.describe(features, xy),
    }


def _measure(timers: dict[str, Timers], rounds: int) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """
    Seconds and processor seconds of every round, by network and figure; a first round that warms up is not kept.
    """
    times: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with torch.inference_mode():
        for number in range(rounds + 1):
            for name, figures in timers.items():
                for figure, run in figures.items():
                    start, cpu_start = time.perf_counter(), time.process_time()
                    run()
                    spent = time.perf_counter() - start, time.process_time() - cpu_start
                    if number > 0:
                        times.setdefault((name, figure), []).append(spent)
    return times


def _print(network: str, size: str, **figure: object) -> None:
    print(json.dumps({'benchmark': 'networks', 'network': network, 'size': size} | figure), flush=True)


if __name__ == '__main__':
    main()
