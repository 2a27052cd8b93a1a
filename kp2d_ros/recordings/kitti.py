# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
KITTI odometry: ``sequences/NN/{image_0..3, calib.txt, times.txt}`` and ``poses/NN.txt``.

Geiger, Lenz, Urtasun: Are we ready for autonomous driving? CVPR 2012. The images are rectified.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.records import Sensor
from kp2d_ros.core.se3 import transform_from
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.recordings.camera_yaml import CameraInfoFields
from kp2d_ros.recordings.image_decoding import read_image
from kp2d_ros.recordings.image_files import RightFiles, StampedFiles, list_images, open_image_files
from kp2d_ros.recordings.sequence import Recording
from kp2d_ros.recordings.stereo_rig import left_from_right_of, report_rig
from kp2d_ros.recordings.text_tables import numbers_of, read_poses, read_rows, read_times

_CAMERAS = (0, 2, 1, 3)  # gray left, colour left, gray right, colour right: the first one that is there
_RIGHT = {0: 1, 2: 3}  # the right camera of a left one


def is_kitti(path: Path) -> bool:
    """
    Whether a folder is a KITTI odometry sequence, or the root of some.
    """
    return _is_sequence(path) or any(_is_sequence(folder) for folder in path.glob('sequences/*'))


def open_kitti(path: Path, camera: int | None = None, sensor: Sensor = Sensor.MONO) -> Recording:
    """
    A KITTI odometry sequence; images, times and poses belong together by the number in the image's name.

    Images may be fewer than times (a part of a sequence). Without poses (sequences 11 to 21) there is no ground truth.

    :param path: ``sequences/NN``, or the root if it holds only one sequence.
    :param camera: 0 to 3; None: the first one that is there, left before right, gray before colour.
    :param sensor: mono, or stereo: with the right camera beside the left one.
    :raises DataError: if the sequence is not clear, or a file is missing or not what it should be.
    :raises ConfigError: if the camera has none to its right.
    """
    folder = _find_sequence(path)
    present = [number for number in _CAMERAS if list_images(folder / f'image_{number}')]
    pairs = [left for left, right in _RIGHT.items() if {left, right} <= set(present)]
    by_default = [*(pairs if sensor is Sensor.STEREO else []), *present][0]
    number = by_default if camera is None else camera
    if number not in present:
        raise DataError(f'{folder}: found images of cameras {sorted(present)}, expected those of camera {camera}')
    projection = _read_projection(folder / 'calib.txt', number)
    times = read_times(folder / 'times.txt')
    files = _find_images(folder, number, times)
    model = _camera_of(files, projection)
    ground_truth = _read_ground_truth(folder, projection, times, [_index(image, len(times)) for image in files.paths])
    beside = _find_right(folder, number, projection, times) if sensor is Sensor.STEREO else None
    return open_image_files(f'kitti_{folder.name}', files, model, ground_truth, beside)


def _find_right(folder: Path, left: int, left_projection: npt.NDArray[np.float64], times: list[int]) -> RightFiles:
    if left not in _RIGHT:
        raise ConfigError(f'camera: found {left}, expected the left one of a pair: {" or ".join(map(str, _RIGHT))}')
    files = _find_images(folder, _RIGHT[left], times)
    if not files.paths:
        raise DataError(f'{folder}: found no right images, looked for image_{_RIGHT[left]}/')
    projection = _read_projection(folder / 'calib.txt', _RIGHT[left])
    camera = _camera_of(files, projection)
    fields = [
        CameraInfoFields(camera.width, camera.height, '', (), p[:, :3].ravel().tolist(), p.ravel().tolist())
        for p in (left_projection, projection)
    ]
    rig = left_from_right_of(fields[0], fields[1], True)
    report_rig(str(folder), rig)
    return RightFiles(files, camera, rig.left_from_right)


def _find_images(folder: Path, camera: int, times: list[int]) -> StampedFiles:
    images = list_images(folder / f'image_{camera}')
    return StampedFiles(images, [times[_index(image, len(times))] for image in images])


def _camera_of(files: StampedFiles, projection: npt.NDArray[np.float64]) -> CameraModel:
    height, width = read_image(files.paths[0]).shape[:2]
    return CameraModel(width, height, projection[:, :3].copy(), LensModel.PLUMB_BOB, np.zeros(5))


def _is_sequence(path: Path) -> bool:
    return (path / 'calib.txt').is_file() and any((path / f'image_{number}').is_dir() for number in _CAMERAS)


def _find_sequence(path: Path) -> Path:
    if _is_sequence(path):
        return path.resolve()
    found = sorted(folder.resolve() for folder in path.glob('sequences/*') if _is_sequence(folder))
    if len(found) != 1:
        names = ', '.join(folder.name for folder in found) or 'none'
        raise DataError(f'{path}: found the sequences {names}, expected one: name its folder, sequences/NN')
    return found[0]


def _index(image: Path, count: int) -> int:
    if not image.stem.isdecimal() or int(image.stem) >= count:
        raise DataError(f'{image}: found no time for this image, expected a number below the {count} of times.txt')
    return int(image.stem)


def _read_projection(path: Path, camera: int) -> npt.NDArray[np.float64]:
    """
    (3, 4) projection matrix of one camera, from points in the frame of camera 0.
    """
    for row in read_rows(path):
        label, _, numbers = row.text.partition(':')
        if label.strip() == f'P{camera}':
            return numbers_of(row, numbers.split(), 12).reshape(3, 4)
    raise DataError(f'{path}: found no line P{camera}:, expected one per camera')


def _read_ground_truth(
    folder: Path, projection: npt.NDArray[np.float64], times: list[int], indices: list[int]
) -> Trajectory | None:
    path = folder.parent.parent / 'poses' / f'{folder.name}.txt'
    if not path.is_file():
        return None
    world_from_left = read_poses(path)
    known = [index for index in indices if index < len(world_from_left)]
    # P = K [I | t]: the rectified cameras differ by a shift only.
    shift = np.linalg.inv(projection[:, :3]) @ projection[:, 3]
    left_from_camera = transform_from(np.eye(3), -shift)
    return Trajectory(np.array([times[index] for index in known], np.int64), world_from_left[known] @ left_from_camera)
