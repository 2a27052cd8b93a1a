# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Recorded image sequences of any kind behind one interface.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kp2d_ros.core.cameras import CameraModel
from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Frame
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.recordings.camera_yaml import read_camera
from kp2d_ros.recordings.euroc import is_euroc, open_euroc
from kp2d_ros.recordings.image_files import ImageFileSequence
from kp2d_ros.recordings.image_folder import is_image_folder, open_image_folder
from kp2d_ros.recordings.kitti import is_kitti, open_kitti
from kp2d_ros.recordings.tum import is_tum, open_tum
from kp2d_ros.recordings.video_file import VIDEO_SUFFIXES, VideoSequence, open_video

if TYPE_CHECKING:
    from kp2d_ros.recordings.bags import BagSequence

BAG_SUFFIXES = frozenset({'.bag', '.db3', '.mcap'})


class SequenceReader(Protocol):
    """
    Images in the order they were taken.

    Iterating gives each frame once, numbered from 0; iterating again gives the same. ``camera`` is None without
    calibration. ``ground_truth`` is the trajectory of the camera's optical frame in a fixed world, at times of its own,
    or None. An image that cannot be read raises a DataError: a sequence with a hole would be scored as if it had none.
    """

    @property
    def name(self) -> str:
        """
        What the sequence is called in reports and file names.
        """

    @property
    def camera(self) -> CameraModel | None:
        """
        The camera of every frame.
        """

    @property
    def ground_truth(self) -> Trajectory | None:
        """
        Where the camera was.
        """

    def __len__(self) -> int:
        """
        Number of frames.
        """

    def __iter__(self) -> Iterator[Frame]:
        """
        The frames from the beginning.
        """


_FOLDERS: tuple[tuple[str, Callable[[Path], bool], Callable[[Path, int | None], ImageFileSequence]], ...] = (
    ('KITTI odometry (calib.txt, image_0; or sequences/NN)', is_kitti, open_kitti),
    ('EuRoC (mav0/cam0/data.csv)', is_euroc, open_euroc),
    ('TUM RGB-D (rgb.txt)', is_tum, lambda path, _: open_tum(path)),
    ('images (in images/ or the folder itself)', is_image_folder, lambda path, _: open_image_folder(path)),
)


def open_sequence(
    path: Path,
    *,
    image_topic: str | None = None,
    camera_info_topic: str | None = None,
    ground_truth_topic: str | None = None,
    camera: int | None = None,
    calibration: Path | None = None,
) -> SequenceReader:
    """
    Open a recorded sequence: a bag of ROS 2 (mcap, sqlite3) or ROS 1, a folder of KITTI, EuRoC, TUM or images, or a
    video file.

    :param image_topic: which images of a bag; None: the only ones.
    :param camera_info_topic: their calibration; None: ``camera_info`` beside the image topic.
    :param ground_truth_topic: poses of the camera in a bag; None: there is no ground truth.
    :param camera: which camera of a KITTI or EuRoC sequence; None: the left one.
    :param calibration: a camera YAML that replaces what the sequence says of its camera.
    :raises DataError: naming everything that was looked for, if nothing of it lies at the path.
    """
    path = Path(path)
    sequence: ImageFileSequence | BagSequence | VideoSequence
    bag = find_bag(path)
    if path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES:
        sequence = open_video(path)
    elif bag is not None:
        sequence = _open_bag(bag, image_topic, camera_info_topic, ground_truth_topic)
    else:
        sequence = _open_folder(path, camera)
    return sequence if calibration is None else replace(sequence, camera=read_camera(calibration))


def find_bag(path: Path) -> Path | None:
    """
    The bag at a path: a bag file, a folder with metadata.yaml, or the only bag file in a folder; None without one.
    """
    if path.is_file() and path.suffix in BAG_SUFFIXES:
        return path
    if (path / 'metadata.yaml').is_file():
        return path
    inside = [file for file in path.glob('*') if file.suffix in BAG_SUFFIXES] if path.is_dir() else []
    return inside[0] if len(inside) == 1 else None


def _open_bag(
    path: Path, image_topic: str | None, camera_info_topic: str | None, ground_truth_topic: str | None
) -> BagSequence:
    try:
        from kp2d_ros.recordings.bags import open_bag
    except ImportError as error:
        raise DataError(f'{path}: reading a bag needs the package rosbags: pip install rosbags ({error})') from error
    return open_bag(
        path,
        image_topic=image_topic,
        camera_info_topic=camera_info_topic,
        ground_truth_topic=ground_truth_topic,
    )


def _open_folder(path: Path, camera: int | None) -> ImageFileSequence:
    if not path.exists():
        raise DataError(f'{path}: does not exist, expected a bag or a folder of images')
    for _, fits, open_folder in _FOLDERS:
        if path.is_dir() and fits(path):
            return open_folder(path, camera)
    kinds = ', '.join(kind for kind, _, _ in _FOLDERS)
    raise DataError(
        f'{path}: found nothing to read, looked for a bag (metadata.yaml, or one file of '
        f'{", ".join(sorted(BAG_SUFFIXES))}), {kinds}, a video ({", ".join(sorted(VIDEO_SUFFIXES))})'
    )
