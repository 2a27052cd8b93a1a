# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What one image costs, stage by stage, without ROS: the offline frontend over a simulated sequence.

One JSON line per extractor and stage: milliseconds of wall clock (median, p90, p99), then one line with the rate and
the processor time per image. The stage ``depth`` is what a second image costs (``--sensor stereo``, ``rgbd``). The
extractors take turns, round by round, so that a busy machine slows all of them.
``python benchmarks/frontend.py --help``
"""

from __future__ import annotations

import argparse
import json
from time import process_time

from kp2d_ros.cli.command import add_methods_option, split_methods
from kp2d_ros.core.records import Frame, Sensor
from kp2d_ros.evaluation.odometry.run import run_sequence
from kp2d_ros.inference.pipeline import build_extractor, build_frontend, configure_method, load_pipeline_config
from kp2d_ros.metrics.frame_record import FrameRecord, count_states, stage_spreads
from kp2d_ros.simulation.scene import SceneConfig, SimulatedSequence


def main() -> None:
    """
    Render once, then time every extractor.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('settings', nargs='*', metavar='KEY=VALUE', help='of the frontend: extractor.max_keypoints=500')
    add_methods_option(parser, 'sift,orb')
    parser.add_argument('--sensor', choices=[each.value for each in Sensor], default='mono')
    parser.add_argument('--width', type=int, default=640)
    parser.add_argument('--height', type=int, default=480)
    parser.add_argument('--frames', type=int, default=40)
    parser.add_argument('--rounds', type=int, default=3)
    arguments = parser.parse_intermixed_args()
    size = {'width': arguments.width, 'height': arguments.height}
    scene = SceneConfig(frames=arguments.frames, color=False, sensor=arguments.sensor, **size)
    frames = list(SimulatedSequence(scene))
    methods = split_methods(arguments.methods)
    records: dict[str, list[FrameRecord]] = {name: [] for name in methods}
    cpu_seconds = dict.fromkeys(methods, 0.0)
    for _ in range(arguments.rounds):
        for name in methods:
            begin = process_time()
            records[name] += run_once(frames, name, [f'sensor={arguments.sensor}', *arguments.settings])
            cpu_seconds[name] += process_time() - begin
    for name, found in records.items():
        cpu_ms = 1e3 * cpu_seconds[name] / (arguments.rounds * arguments.frames)
        report(f'{name} {arguments.sensor}', f'{arguments.width}x{arguments.height}', found, cpu_ms)


def run_once(frames: list[Frame], name: str, settings: list[str]) -> list[FrameRecord]:
    """
    One run from the first image on, without its first image, which warms up.
    """
    config = load_pipeline_config(overrides=settings)
    extractor = build_extractor(configure_method(name, config.extractor))
    return list(run_sequence(frames, build_frontend(config, extractor)))[1:]


def report(name: str, size: str, records: list[FrameRecord], cpu_ms: float) -> None:
    """
    Print the lines of one extractor.
    """
    common = {'benchmark': 'frontend', 'extractor': name, 'size': size}
    spreads = stage_spreads(records)
    for stage, spread in spreads.items():
        if stage != 'read':  # the images are in memory
            figures = {'median': spread.median, 'p90': spread.p90, 'p99': spread.p99}
            print_line({**common, 'stage': stage, 'unit': 'ms', **{k: round(v, 3) for k, v in figures.items()}})
    print_line(
        {
            **common,
            'images_per_s': round(1e3 / spreads['total'].mean, 2),
            'cpu_ms_per_image': round(cpu_ms, 2),
            'images': len(records),
            'states': count_states(records),
        }
    )


def print_line(values: dict[str, object]) -> None:
    """
    One figure as JSON.
    """
    print(json.dumps(values), flush=True)


if __name__ == '__main__':
    main()
