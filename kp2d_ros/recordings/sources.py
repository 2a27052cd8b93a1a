# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
From a path to the recording that lies there; and what to read of it, as options of a command.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kp2d_ros.core.cameras import CameraModel
from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.packages import install_command
from kp2d_ros.core.records import Sensor
from kp2d_ros.recordings.camera_yaml import read_camera
from kp2d_ros.recordings.euroc import is_euroc, open_euroc
from kp2d_ros.recordings.image_folder import is_image_folder, open_image_folder
from kp2d_ros.recordings.kitti import is_kitti, open_kitti
from kp2d_ros.recordings.sequence import Recording
from kp2d_ros.recordings.tartanair import is_tartanair, open_tartanair
from kp2d_ros.recordings.tum import is_tum, open_tum
from kp2d_ros.recordings.video_file import VIDEO_SUFFIXES, is_video, open_video

Option = str | int | float | None

BAG_SUFFIXES = frozenset({'.bag', '.db3', '.mcap'})


def find_bag(path: Path) -> Path | None:
    """
    The bag at a path: a bag file, a folder with metadata.yaml, or the only bag file in a folder; None without one.
    """
    if path.is_file():
        return path if path.suffix.lower() in BAG_SUFFIXES else None
    if (path / 'metadata.yaml').is_file():
        return path
    inside = [file for file in path.glob('*') if file.suffix.lower() in BAG_SUFFIXES]
    return inside[0] if len(inside) == 1 else None


def _open_bag(path: Path, **options: Any) -> Recording:
    try:
        from kp2d_ros.recordings.bags import open_bag
    except (ImportError, AttributeError) as error:  # absent, or of a version whose reading has no known limits
        hint = install_command("'rosbags>=0.11.9,<0.12'")
        raise DataError(f'{path}: reading a bag needs the package rosbags: {hint} ({error})') from error
    return open_bag(find_bag(path) or path, **options)


@dataclass(frozen=True, slots=True)
class _Kind:
    """
    A kind of recording: its name in messages, what tells it, how it is opened, the sensors that it may hold beside one
    camera, and the options that it takes.
    """

    name: str
    fits: Callable[[Path], bool]
    open: Callable[..., Recording]
    sensors: tuple[Sensor, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def short_name(self) -> str:
        return self.name.partition(' (')[0]


_KINDS = (
    _Kind(
        f'a bag (metadata.yaml, or one file of {", ".join(sorted(BAG_SUFFIXES))})',
        lambda path: find_bag(path) is not None,
        _open_bag,
        (Sensor.STEREO, Sensor.RGBD),
        (
            *('image_topic', 'camera_info_topic', 'ground_truth_topic', 'right_topic', 'baseline'),
            *('depth_topic', 'depth_scale'),
        ),
    ),
    _Kind(
        *('KITTI odometry (calib.txt, image_0; or sequences/NN)', is_kitti, open_kitti),
        (Sensor.STEREO,),
        ('camera',),
    ),
    _Kind('EuRoC (mav0/cam0/data.csv)', is_euroc, open_euroc, (Sensor.STEREO,), ('camera',)),
    _Kind('TUM RGB-D (rgb.txt)', is_tum, open_tum, (Sensor.RGBD,), ('depth_scale',)),
    _Kind('TartanAir (image_left)', is_tartanair, open_tartanair, (Sensor.STEREO, Sensor.RGBD)),
    _Kind(
        *('images (in images/, left/ or the folder itself)', is_image_folder, open_image_folder),
        (Sensor.STEREO, Sensor.RGBD),
        ('baseline', 'depth_scale'),
    ),
    _Kind(f'a video ({", ".join(sorted(VIDEO_SUFFIXES))})', is_video, open_video),
)
_PARTNER_NAMES = {Sensor.STEREO: 'right images', Sensor.RGBD: 'depth images'}
_OPTION_SENSORS = {
    'right_topic': Sensor.STEREO,
    'baseline': Sensor.STEREO,
    'depth_topic': Sensor.RGBD,
    'depth_scale': Sensor.RGBD,
}


# The options of add_reading_options by their names in the parsed arguments.
READING_OPTIONS = ('sensor', 'calibration', *dict.fromkeys(name for kind in _KINDS for name in kind.options))


def open_sequences(
    paths: Sequence[Path], *, calibration: Path | None = None, sensor: str = Sensor.MONO.value, **options: Option
) -> list[Recording]:
    """
    Open recordings with options in common: each takes those that its kind has.

    :param calibration: a camera YAML that replaces what a recording says of its camera.
    :param sensor: ``mono``, ``stereo`` or ``rgbd``: what every frame has.
    :param options: ``image_topic``: which images of a bag, the left or colour ones of several; None: the only ones.
        ``camera_info_topic``: their calibration; None: ``camera_info`` beside them. ``ground_truth_topic``: poses of
        the camera in a bag; None: the topic named ``ground_truth``, if there is one. ``camera``: which one of KITTI or
        EuRoC; None: the left one. ``right_topic``: the right images of a bag; None: named as the left ones, with right
        for left. ``baseline``: metres between the cameras, where the recording does not say. ``depth_topic``: the depth
        images of a bag; None: the only ones. ``depth_scale``: metres that a 1 in them stands for; None: by the format.
    :raises DataError: naming everything that was looked for, if nothing of it lies at a path.
    :raises ConfigError: if an option is given that none of the recordings takes, or that goes with another sensor.
    """
    eye = _sensor_of(sensor)
    given = {name: value for name, value in options.items() if value is not None}
    kinds = [_kind_of(path) for path in paths]
    for name, value in given.items():
        if not any(name in kind.options for kind in kinds):
            takers = ' or '.join(kind.short_name for kind in _KINDS if name in kind.options)
            raise ConfigError(
                f'{name.replace("_", " ")}: found {value!r} for {paths[0]}, which is {kinds[0].short_name}, '
                f'expected none: it is an option of {takers}'
            )
        if _OPTION_SENSORS.get(name, eye) is not eye:
            raise ConfigError(
                f'{name.replace("_", " ")}: found {value!r} with the sensor {eye.value}, expected none: it goes with '
                f'{_OPTION_SENSORS[name].value}'
            )
    camera = None if calibration is None else read_camera(calibration)
    return [_calibrated(_open(path, kind, eye, given), camera) for path, kind in zip(paths, kinds, strict=True)]


def _sensor_of(word: str) -> Sensor:
    try:
        return Sensor(word)
    except ValueError as error:
        raise ConfigError(f'sensor: found {word!r}, expected {", ".join(each.value for each in Sensor)}') from error


def _open(path: Path, kind: _Kind, sensor: Sensor, given: Mapping[str, Option]) -> Recording:
    options: dict[str, Any] = {name: value for name, value in given.items() if name in kind.options}
    if sensor is Sensor.MONO:
        return kind.open(path, **options)
    if sensor not in kind.sensors:
        known = ' or '.join(each.value for each in (Sensor.MONO, *kind.sensors))
        raise DataError(
            f'{path}: is {kind.short_name}, which has no {_PARTNER_NAMES[sensor]}; found the sensor {sensor.value}, '
            f'expected {known}'
        )
    return kind.open(path, sensor=sensor, **options)


def _calibrated(sequence: Recording, camera: CameraModel | None) -> Recording:
    """
    The sequence with a camera of the user's own, which is also the right one where that is not known.
    """
    if camera is None:
        return sequence
    right = sequence.right_camera or (camera if sequence.sensor is Sensor.STEREO else None)
    return replace(sequence, camera=camera, right_camera=right)


def open_sequence(
    path: Path, *, calibration: Path | None = None, sensor: str = Sensor.MONO.value, **options: Option
) -> Recording:
    """
    Open a recording: a bag of ROS 2 (mcap, sqlite3) or ROS 1, a folder of KITTI, EuRoC, TUM, TartanAir or images, or a
    video.

    The options and errors are those of :func:`open_sequences`.
    """
    return open_sequences([Path(path)], calibration=calibration, sensor=sensor, **options)[0]


def _kind_of(path: Path) -> _Kind:
    if not path.exists():
        raise DataError(f'{path}: does not exist, expected a bag, a folder of images or a video')
    kind = next((kind for kind in _KINDS if kind.fits(path)), None)
    if kind is None:
        raise DataError(f'{path}: found nothing to read, looked for {", ".join(kind.name for kind in _KINDS)}')
    return kind


def require_rig(path: Path, sequence: Recording) -> None:
    """
    Refuse a stereo recording of which nobody knows how the cameras stand to each other.

    :raises ConfigError: saying what would help.
    """
    if sequence.sensor is not Sensor.STEREO:
        return
    if sequence.right_camera is None:
        raise ConfigError(f'{path}: the right camera is not calibrated, expected a calibration as of the left one')
    if sequence.left_from_right is None:
        raise ConfigError(
            f'{path}: the distance of the two cameras is not known, so there are no metres; '
            'name it with --baseline METRES'
        )


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """
    The source, and which part of it.
    """
    parser.add_argument(
        'source',
        type=Path,
        help='bag (rosbag2 mcap or sqlite3, ROS 1), folder of KITTI, EuRoC, TUM RGB-D, TartanAir or images, or video',
    )
    add_reading_options(parser)


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """
    Which part of a source, for a command that names its sources itself.
    """
    group = parser.add_argument_group('what to read')
    group.add_argument(
        '--sensor',
        choices=[each.value for each in Sensor],
        help='one camera, a stereo rig or a depth camera; the last two know metres; default: as set, else mono',
    )
    group.add_argument(
        '--image-topic', metavar='TOPIC', help='images of a bag, of the left or colour camera; default: the only ones'
    )
    group.add_argument('--camera-info-topic', metavar='TOPIC', help='default: camera_info beside the images')
    group.add_argument(
        '--ground-truth-topic', metavar='TOPIC', help='true poses in a bag; default: the one named ground_truth, if any'
    )
    group.add_argument('--camera', type=int, metavar='N', help='camera of KITTI or EuRoC; default: the left one')
    group.add_argument('--calibration', type=Path, metavar='YAML', help='camera YAML in place of the recorded one')
    group.add_argument(
        '--right-topic', metavar='TOPIC', help='stereo: right images of a bag; default: as the left ones, with "right"'
    )
    group.add_argument(
        '--baseline', type=_above_zero, metavar='METRES', help='stereo: between the cameras, where nothing says it'
    )
    group.add_argument('--depth-topic', metavar='TOPIC', help='rgbd: depth images of a bag; default: the only ones')
    group.add_argument(
        '--depth-scale', type=_above_zero, metavar='METRES', help='rgbd: what a 1 stands for; default: by the format'
    )


def _above_zero(text: str) -> float:
    with suppress(ValueError):
        if 0 < float(text) < float('inf'):
            return float(text)
    raise argparse.ArgumentTypeError(f'found {text!r}, expected a number above 0')


def open_sources(paths: Sequence[Path], args: argparse.Namespace, sensor: str | None = None) -> list[Recording]:
    """
    The recordings at some paths, read as the options of :func:`add_reading_options` say.

    :param sensor: what settings say where the options do not; None: nothing, so it is mono.
    :raises Kp2dError: as :func:`open_sequences` does.
    """
    options: dict[str, Any] = {name: getattr(args, name) for name in READING_OPTIONS}
    return open_sequences(paths, **{**options, 'sensor': args.sensor or sensor or Sensor.MONO.value})
