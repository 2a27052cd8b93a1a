# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The plainest layout: a folder of images, and what one would lay beside it.
"""

from __future__ import annotations

from pathlib import Path

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Sensor
from kp2d_ros.recordings.camera_yaml import CameraFile, read_camera_file
from kp2d_ros.recordings.depth_files import DEPTH_SUFFIXES
from kp2d_ros.recordings.image_files import (
    NOMINAL_RATE_HZ,
    DepthFiles,
    RightFiles,
    StampedFiles,
    list_images,
    open_image_files,
)
from kp2d_ros.recordings.sequence import Recording
from kp2d_ros.recordings.stereo_rig import RigCalibration, left_from_right_of, rectified_rig, report_rig
from kp2d_ros.recordings.text_tables import read_times, read_truth_file

_FOLDERS = ('images', 'left', '')  # where images are looked for; the last is the folder itself


def is_image_folder(path: Path) -> bool:
    """
    Whether a folder holds images, itself, in ``images/`` or in ``left/``.
    """
    return any(list_images(path / inner) for inner in _FOLDERS)


def open_image_folder(
    path: Path, sensor: Sensor = Sensor.MONO, baseline: float = 0.0, depth_scale: float = 0.0
) -> Recording:
    """
    The images of ``images/``, of ``left/``, or of the folder itself, in the order of their names.

    Beside them may lie ``camera.yaml`` (as camera_calibration writes it), ``times.txt`` (seconds, one line per image)
    and ``poses.txt`` (camera in the world: 12 columns, one line per image, or a TUM trajectory). Without times.txt the
    images have the times of a trajectory of as many lines, or follow each other at the nominal rate.

    A stereo rig has its right images in ``right/``, with the names of the left ones, and its calibration in
    ``camera.yaml`` (or ``left.yaml``) and ``right.yaml``, as camera_calibration writes them for a pair. Two equal
    cameras whose images are rectified need no ``right.yaml`` but a line ``baseline: METRES`` in ``camera.yaml``.

    A depth camera has its images in ``depth/``, with the names of the colour ones: PNG of 16 bits in millimetres, or
    NumPy arrays in metres, unless a line ``depth_scale: METRES`` says what a 1 stands for.

    :param baseline: metres to the right camera, where the files say nothing.
    :param depth_scale: metres that a 1 stands for; 0: as the files say.
    :raises DataError: naming the file that is missing or not what it should be.
    """
    folder = path.resolve()
    images = next(found for inner in _FOLDERS if (found := list_images(folder / inner)))
    stamps = [round(i * 10**9 / NOMINAL_RATE_HZ) for i in range(len(images))]
    times, poses = folder / 'times.txt', folder / 'poses.txt'
    if times.is_file():
        stamps = read_times(times)
        if len(stamps) != len(images):
            raise DataError(f'{times}: found {len(stamps)} times, expected one for each of the {len(images)} images')
    ground_truth = read_truth_file(poses, stamps, partial=True) if poses.is_file() else None
    if ground_truth is not None and not times.is_file() and len(ground_truth) == len(images):
        stamps = ground_truth.stamps_ns.tolist()
    files = StampedFiles(images, stamps)
    known = _read_if_there(folder, 'camera.yaml') or _read_if_there(folder, 'left.yaml')
    beside: RightFiles | DepthFiles | None = None
    if sensor is Sensor.STEREO:
        beside = _find_right(folder, files, known, baseline)
    elif sensor is Sensor.RGBD:
        scale = depth_scale or (known.depth_scale if known else 0.0)
        beside = DepthFiles(_same_names(files, folder / 'depth', DEPTH_SUFFIXES), scale)
    return open_image_files(folder.name, files, known.camera if known else None, ground_truth, beside)


def _read_if_there(folder: Path, name: str) -> CameraFile | None:
    return read_camera_file(folder / name) if (folder / name).is_file() else None


def _find_right(folder: Path, files: StampedFiles, left: CameraFile | None, baseline: float) -> RightFiles:
    found = _same_names(files, folder / 'right')
    right = _read_if_there(folder, 'right.yaml')
    rig = RigCalibration(None, f'found no right.yaml beside {folder / "right"}, and no baseline in camera.yaml')
    length = baseline or (left.baseline if left else 0.0)
    if left is not None and right is not None:
        rig = left_from_right_of(left.fields, right.fields, False, length)
    elif length:
        rig, right = rectified_rig(length), left
    report_rig(str(folder), rig)
    return RightFiles(found, right.camera if right else None, rig.left_from_right)


def _same_names(files: StampedFiles, folder: Path, suffixes: frozenset[str] | None = None) -> StampedFiles:
    """
    The files of a folder that are called like images, whatever their type, with the times of those.

    :raises DataError: if there is none.
    """
    found = list_images(folder, suffixes) if suffixes else list_images(folder)
    stamps = {path.stem: stamp_ns for path, stamp_ns in zip(files.paths, files.stamps_ns, strict=True)}
    same = [path for path in found if path.stem in stamps]
    if not found:
        kind = 'right' if suffixes is None else 'depth'
        raise DataError(f'{folder.parent}: found no {kind} images, looked for {folder.name}/')
    if not same:
        example = files.paths[0].stem
        raise DataError(
            f'{folder}: found {len(found)} images, none of them called as an image of {files.paths[0].parent}, '
            f'expected {example}{"" if suffixes is None else ".png or .npy"} and so on'
        )
    return StampedFiles(same, [stamps[path.stem] for path in same])
