# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
ORB-SLAM3 over the same images as the frontend, in the same run, scored in the same way.

Needs ``pip install pyorbslam3`` (0.1.1), which is no dependency. Loops are not closed. Its vocabulary only helps it to
find candidates for matches and places, so one made of the sequence's own descriptors serves. One JSON line per system.
``python benchmarks/orbslam3.py SOURCE --sensor stereo``; images whose lens distorts are not taken.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time, sleep
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from kp2d_ros.cli.command import add_methods_option, split_methods
from kp2d_ros.core.records import Frame
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.evaluation.odometry.run import run_sequence
from kp2d_ros.inference.pipeline import build_extractor, build_frontend, configure_method, load_pipeline_config
from kp2d_ros.metrics.frame_record import chain_poses
from kp2d_ros.metrics.trajectory import Alignment, score_trajectory
from kp2d_ros.recordings.sequence import Recording
from kp2d_ros.recordings.sources import open_sequence

BRANCHES, LEVELS = 10, 4  # of the vocabulary
VOCABULARY_IMAGES = 60  # with few words it ends with a segmentation fault
DEPTH_UNITS = 1000.0  # of the depth images that it is given, per metre
VIEWER = {  # it reads these although no window is opened
    'KeyFrameSize': 0.05,
    'KeyFrameLineWidth': 1.0,
    'GraphLineWidth': 0.9,
    'PointSize': 2.0,
    'CameraSize': 0.08,
    'CameraLineWidth': 3.0,
    'ViewpointX': 0.0,
    'ViewpointY': -0.7,
    'ViewpointZ': -1.8,
    'ViewpointF': 500.0,
    'imageViewScale': 1.0,
}


def main() -> None:
    """
    Run all systems over one recording, one after the other.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path)
    parser.add_argument('settings', nargs='*', metavar='KEY=VALUE', help='of the frontend')
    add_methods_option(parser, 'kp2d')
    parser.add_argument('--sensor', choices=('mono', 'stereo', 'rgbd'), default='stereo')
    parser.add_argument('--max-frames', type=int)
    parser.add_argument('--features', type=int, default=2000, help='of ORB-SLAM3 per image')
    arguments = parser.parse_intermixed_args()
    sequence = open_sequence(arguments.source, sensor=arguments.sensor)
    frames = list(islice(sequence, arguments.max_frames))
    for name in split_methods(arguments.methods):
        config = load_pipeline_config(overrides=[f'sensor={arguments.sensor}', *arguments.settings])
        frontend = build_frontend(config, build_extractor(configure_method(name, config.extractor)))
        begin = process_time()
        records = list(run_sequence(frames, frontend))
        cpu_ms = 1e3 * (process_time() - begin) / len(frames)
        times = [record.stage_ms['total'] for record in records]
        report(name, sequence, chain_poses(records), sum(r.has_estimate for r in records) + 1, times, cpu_ms)
    with tempfile.TemporaryDirectory() as folder:
        run_orbslam3(sequence, frames, Path(folder), arguments.features)


def run_orbslam3(sequence: Recording, frames: list[Frame], folder: Path, features: int) -> None:
    """
    ORB-SLAM3 at the pace of the stamps, since its mapping runs beside.
    """
    import pyorbslam3  # type: ignore[import-not-found,unused-ignore]

    sensors = {'mono': 'MONOCULAR', 'stereo': 'STEREO', 'rgbd': 'RGBD'}
    write_vocabulary(folder / 'vocabulary.txt', frames)
    write_settings(folder / 'settings.yaml', sequence, frames, features)
    slam = pyorbslam3.Slam(
        vocab_file=str(folder / 'vocabulary.txt'),
        settings_file=str(folder / 'settings.yaml'),
        sensor=getattr(pyorbslam3.Sensor, sensors[sequence.sensor]),
    )
    stamps, poses, times = [], [], []
    begin, first_ns, start = process_time(), frames[0].stamp_ns, perf_counter()
    for frame in frames:
        sleep(max(0.0, (frame.stamp_ns - first_ns) * 1e-9 - (perf_counter() - start)))
        before = perf_counter()
        found = _track(slam, frame)
        times.append(1e3 * (perf_counter() - before))
        if found.pose_valid:
            stamps.append(frame.stamp_ns)
            poses.append(np.array(found.pose_wc, np.float64))
    cpu_ms = 1e3 * (process_time() - begin) / len(frames)
    slam.shutdown()
    report('ORB-SLAM3', sequence, Trajectory(np.array(stamps, np.int64), np.array(poses)), len(poses), times, cpu_ms)


def report(system: str, sequence: Recording, path: Trajectory, tracked: int, times: list[float], cpu_ms: float) -> None:
    """
    Print the line of one system.
    """
    line: dict[str, Any] = {'benchmark': 'orbslam3', 'system': system, 'sequence': sequence.name, 'tracked': tracked}
    line |= {'wall_ms_median': round(float(np.median(times)), 1), 'cpu_ms_per_image': round(cpu_ms, 1)}
    if sequence.ground_truth is not None and len(path):
        fitted = score_trajectory(path, sequence.ground_truth, Alignment.SIM3)
        rigid = score_trajectory(path, sequence.ground_truth, Alignment.SE3)
        line |= {
            'ate_m': round(rigid.ate.rms, 4),
            'ate_percent': round(100 * rigid.ate.rms / rigid.path_length, 3),
            'scale_error_percent': round(100 * (1 / fitted.scale - 1), 2),
            'ate_percent_after_sim3': round(100 * fitted.ate.rms / fitted.path_length, 3),
            'rotation_error_deg_median': round(rigid.rpe_rotation_deg.median, 4),
        }
    print(json.dumps(line), flush=True)


def write_settings(path: Path, sequence: Recording, frames: list[Frame], features: int) -> None:
    """
    Its settings, of the format 1.0; the pair of a rig is that of two pinhole cameras.
    """
    camera = sequence.camera
    if camera is None or camera.coefficients.any():
        raise SystemExit(f'{sequence.name}: found no calibration, or one with distortion, expected rectified images')
    rate = 1e9 * (len(frames) - 1) / max(frames[-1].stamp_ns - frames[0].stamp_ns, 1)
    right = sequence.right_camera or camera
    lines = ['%YAML:1.0', 'File.version: "1.0"', 'Camera.type: "PinHole"', 'Camera.RGB: 1', 'loopClosing: 0']
    lines += [f'Camera.width: {camera.width}', f'Camera.height: {camera.height}', f'Camera.fps: {round(rate)}']
    for number, each in ((1, camera), (2, right)):
        numbers = {'fx': each.fx, 'fy': each.fy, 'cx': each.matrix[0, 2], 'cy': each.matrix[1, 2]}
        numbers |= dict.fromkeys(('k1', 'k2', 'p1', 'p2'), 0.0)
        lines += [f'Camera{number}.{name}: {float(value)!r}' for name, value in numbers.items()]
    pose = np.eye(4) if sequence.left_from_right is None else sequence.left_from_right
    data = ', '.join(repr(float(value)) for value in pose.ravel())
    lines += ['Stereo.T_c1_c2: !!opencv-matrix', '   rows: 4', '   cols: 4', '   dt: f', f'   data: [{data}]']
    lines += ['Stereo.ThDepth: 40.0', 'Stereo.b: 0.075', f'RGBD.DepthMapFactor: {DEPTH_UNITS}']
    lines += [f'ORBextractor.nFeatures: {features}', 'ORBextractor.scaleFactor: 1.2', 'ORBextractor.nLevels: 8']
    lines += ['ORBextractor.iniThFAST: 20', 'ORBextractor.minThFAST: 7']
    lines += [f'Viewer.{name}: {value}' for name, value in VIEWER.items()]
    path.write_text('\n'.join(lines) + '\n')


def write_vocabulary(path: Path, frames: list[Frame]) -> None:
    """
    A tree of words (DBoW2's text format) out of the descriptors of some of the images.
    """
    finder = cv2.ORB_create(1500)  # type: ignore[attr-defined,unused-ignore]
    found = [
        finder.detectAndCompute(_gray(f.image), None)[1] for f in frames[:: max(1, len(frames) // VOCABULARY_IMAGES)]
    ]
    bits = np.unpackbits(np.concatenate([each for each in found if each is not None]), axis=1)
    lines: list[str] = [f'{BRANCHES} {LEVELS} 0 0']
    _branch(bits.astype(np.float32), 0, 1, np.random.default_rng(0), lines)
    path.write_text('\n'.join(lines))  # a last line break would be read as one more word, of random numbers


def _branch(bits: npt.NDArray[np.float32], parent: int, level: int, rng: np.random.Generator, lines: list[str]) -> None:
    """
    Add the words below a node: centres of the clusters of its descriptors (N, 256).
    """
    count = min(BRANCHES, len(bits))
    centres = bits[rng.choice(len(bits), count, replace=False)]
    for _ in range(4):
        nearest = np.argmax(bits @ (2 * centres - 1).T - centres.sum(axis=1), axis=1)
        for number in range(count):
            if (nearest == number).any():
                centres[number] = bits[nearest == number].mean(axis=0) > 0.5
    for number in range(count):
        inside = bits[nearest == number]
        is_leaf = level == LEVELS or len(inside) < 2 * BRANCHES
        word = ' '.join(map(str, np.packbits(centres[number].astype(np.uint8))))
        lines.append(f'{parent} {int(is_leaf)} {word} {1.0 if is_leaf else 0.0}')
        if not is_leaf:
            _branch(inside, len(lines) - 1, level + 1, rng, lines)


def _track(slam: Any, frame: Frame) -> Any:
    seconds = frame.stamp_ns * 1e-9
    if frame.right is not None:
        return slam.track_stereo(_gray(frame.image), _gray(frame.right.image), seconds)
    if frame.depth is not None:
        metres = np.nan_to_num(frame.depth.metres, nan=0.0, posinf=0.0)
        return slam.track_rgbd(_gray(frame.image), np.rint(metres * DEPTH_UNITS).astype(np.uint16), seconds)
    return slam.track_monocular(_gray(frame.image), seconds)


def _gray(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    gray = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.ascontiguousarray(gray)


if __name__ == '__main__':
    main()
