# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
``kp2d draw``: keypoints, scores, matches and tracks on one's own image, pair, video, bag or folder.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from kp2d_ros.cli.command import add_method_option, positive_float, positive_int, run_command, split_settings
from kp2d_ros.core.errors import ConfigError, DataError, Kp2dError
from kp2d_ros.core.records import Float32Array, Frame, ImageArray, Keypoints
from kp2d_ros.drawing.caption import add_caption
from kp2d_ros.drawing.files import PICTURE_SUFFIXES, is_video_name, open_sink, write_picture
from kp2d_ros.drawing.keypoints import draw_keypoints, draw_scores, keypoint_legend, score_legend
from kp2d_ros.drawing.matches import MODELS, MatchedPair, agreeing_matches, draw_matches, match_legend
from kp2d_ros.drawing.tracks import draw_tracks
from kp2d_ros.inference.backend import KeypointBackend
from kp2d_ros.inference.classical import OpenCvExtractor
from kp2d_ros.inference.extractor import Extractor, Kp2dExtractor, MatchJudge
from kp2d_ros.inference.models import NETWORK, MethodKind, resolve
from kp2d_ros.inference.pipeline import (
    PipelineConfig,
    build_frontend,
    choose_model,
    extract_shrunk,
    load_extractor,
    load_pipeline_config,
)
from kp2d_ros.inference.score_map import score_map
from kp2d_ros.odometry.matching import match
from kp2d_ros.recordings.image_decoding import read_image
from kp2d_ros.recordings.image_files import IMAGE_SUFFIXES
from kp2d_ros.recordings.sources import add_reading_options, open_sources

SUMMARY = 'Draw keypoints and scores of an image, matches of a pair, or tracks through a video, a bag or a folder.'

_SIDES = (640, 1280)  # pictures are made this large, by their longer side


@dataclass(frozen=True, slots=True)
class _Method:
    """
    What finds the keypoints; ``backend`` is its network, None for classical ones.
    """

    extractor: Extractor
    backend: KeypointBackend | None
    config: PipelineConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    The options of the command.
    """
    parser.add_argument(
        'inputs',
        nargs='+',
        metavar='INPUT',
        help='an image; two images (their matches); or a video, bag or folder of KITTI, EuRoC, TUM RGB-D or images '
        '(tracks). Settings may follow, for instance matching.ratio=0.8 extractor.max_keypoints=300',
    )
    add_method_option(parser)
    parser.add_argument(
        '--out',
        required=True,
        type=Path,
        metavar='FILE|DIR',
        help='a picture (.png, .jpg) or a folder; for frames a folder or a video (.mp4, .avi)',
    )
    pair = parser.add_argument_group('of a pair')
    pair.add_argument('--ransac', choices=MODELS, help='colour the matches that agree with one geometry apart')
    pair.add_argument('--threshold-px', type=positive_float, default=3.0, help='of --ransac (default: %(default)s)')
    frames = parser.add_argument_group('of frames')
    frames.add_argument(
        '--every', type=positive_int, default=1, metavar='N', help='draw every Nth frame (default: all)'
    )
    frames.add_argument('--max-frames', type=positive_int, metavar='N', help='stop after so many frames')
    frames.add_argument('--alone', action='store_true', help='draw each frame as a single image, without tracks')
    frames.add_argument(
        '--fps', type=positive_float, default=10.0, help='pictures per second of a video (default: %(default)s)'
    )
    frames.add_argument('--quiet', action='store_true', help='no progress bar')
    parser.add_argument('--config', type=Path, metavar='YAML', help='file of settings, plain or of ROS parameters')
    add_reading_options(parser)


def run(args: argparse.Namespace) -> int:
    """
    Read, draw, write, and say what was written.

    :raises Kp2dError: if an input, the method or a setting cannot be used, or the output not be written.
    """
    words, settings = split_settings(args.inputs)
    paths = [Path(word) for word in words]
    if not 1 <= len(paths) <= 2:
        raise ConfigError(f'INPUT: found {len(paths)} paths, expected one, or two images')
    method = _find_method(args.method, load_pipeline_config(args.config, settings))
    if len(paths) == 2:
        return _draw_pair(paths[0], paths[1], method, args)
    if paths[0].suffix.lower() in IMAGE_SUFFIXES and not paths[0].is_dir():
        return _draw_image(paths[0], method, args.out)
    args.source = paths[0]
    return _draw_frames(method, args)


def _find_method(word: str, config: PipelineConfig) -> _Method:
    settings = config.extractor
    choice = choose_model(settings) if word == NETWORK else resolve(word, settings.device, settings.backend)
    if choice.kind is MethodKind.OPENCV:
        return _Method(OpenCvExtractor(word, settings, unit_norm=True), None, config)
    extractor = load_extractor(choice, settings)
    return _Method(extractor, extractor.backend if isinstance(extractor, Kp2dExtractor) else None, config)


def _extract(image: ImageArray, method: _Method) -> Keypoints:
    return extract_shrunk(method.extractor, image, method.config.max_side_px)


def _picture_factor(*images: ImageArray) -> float:
    """
    How much larger than the images a picture of them is: small ones double, large ones shrink.
    """
    longest = max(side for image in images for side in image.shape[:2])
    return 2.0 if longest < _SIDES[0] else min(1.0, _SIDES[1] / longest)


def _image_picture(image: ImageArray, method: _Method, name: str) -> ImageArray:
    """
    Keypoints, and beside them, for a network, the scores.
    """
    factor = _picture_factor(image)
    keypoints = _extract(image, method)
    picture = draw_keypoints(image, keypoints, len(keypoints), factor)
    legend = keypoint_legend()
    if method.backend is not None:
        limits = [side for side in (method.config.max_side_px, method.config.extractor.max_side) if side > 0]
        scores = score_map(method.backend, image, min(limits, default=0))
        lowest, highest = _range(scores)
        stretched = (scores - lowest) / max(highest - lowest, 1e-6)
        picture = np.concatenate([picture, draw_scores(stretched, (picture.shape[1], picture.shape[0]))], axis=1)
        legend += score_legend(lowest, highest)
    title = f'{name} ({image.shape[1]} x {image.shape[0]}): {len(keypoints)} keypoints of {_named(method)}'
    return add_caption(picture, title, legend)


def _range(scores: Float32Array) -> tuple[float, float]:
    """
    The lowest and the highest score; the outermost cells, which are 0 by definition, do not count.
    """
    inner = scores[scores > 0]
    return (float(inner.min()), float(inner.max())) if len(inner) else (0.0, 1.0)


def _draw_image(path: Path, method: _Method, out: Path) -> int:
    target = _picture_path(out, path.stem)
    write_picture(target, _image_picture(read_image(path), method, path.name))
    print(target)
    return 0


def _draw_pair(first: Path, second: Path, method: _Method, args: argparse.Namespace) -> int:
    for path in (first, second):
        if path.is_dir() or path.suffix.lower() not in IMAGE_SUFFIXES:
            raise DataError(f'{path}: is not an image file; expected two images, or one bag, video or folder')
    target = _picture_path(args.out, f'{first.stem}_{second.stem}')
    images = read_image(first), read_image(second)
    keypoints = _extract(images[0], method), _extract(images[1], method)
    matches = match(*keypoints, method.config.matching)
    inlier = agreeing_matches(keypoints, matches, args.ransac, args.threshold_px) if args.ransac else None
    probability = None
    if isinstance(method.extractor, MatchJudge) and images[0].shape[:2] == images[1].shape[:2]:
        probability = method.extractor.judge(*keypoints, matches, (images[0].shape[0], images[0].shape[1]))
    pair = MatchedPair(images, keypoints, matches, inlier, probability)
    counts = f'{len(keypoints[0])} and {len(keypoints[1])} keypoints of {_named(method)}, {len(matches)} matches'
    geometry = '' if inlier is None else f', {args.ransac} within {args.threshold_px:g} px'
    title = f'{first.name} - {second.name}: {counts}{geometry}'
    write_picture(target, add_caption(draw_matches(pair, _picture_factor(*images)), title, match_legend(pair)))
    print(f'{target}: {counts}' + ('' if inlier is None else f', {int(inlier.sum())} agree with one {args.ransac}'))
    return 0


def _draw_frames(method: _Method, args: argparse.Namespace) -> int:
    from tqdm import tqdm  # --help needs none of it

    (sequence,) = open_sources([args.source], args)
    frontend = build_frontend(method.config, method.extractor)
    total = len(sequence) if args.max_frames is None else min(args.max_frames, len(sequence))
    count = 0

    def picture_of(frame: Frame) -> ImageArray | None:
        title = f'{sequence.name}, frame {frame.seq}: {_named(method)}'
        is_wanted = frame.seq % args.every == 0
        if args.alone:
            return _image_picture(frame.image, method, f'{sequence.name}, frame {frame.seq}') if is_wanted else None
        result = frontend.process(frame)
        return draw_tracks(frame, result, title) if is_wanted else None

    frames = tqdm(islice(sequence, args.max_frames), total=total, unit='image', disable=args.quiet or None)
    ended_by: BaseException | None = None
    with open_sink(args.out, args.fps) as add:
        try:
            for frame in frames:
                picture = picture_of(frame)
                if picture is not None:
                    add(f'frame_{frame.seq:06d}', picture)
                    count += 1
        except (KeyboardInterrupt, Kp2dError) as error:  # what was drawn before is kept
            ended_by = error
    print(f'{args.out}: {count} pictures')
    if ended_by is not None:
        raise ended_by
    return 0


def _picture_path(out: Path, stem: str) -> Path:
    """
    The file itself, or one in a folder.

    :raises DataError: if it is the name of a video.
    """
    if is_video_name(out):
        raise DataError(f'{out}: found the name of a video for one picture, expected {", ".join(PICTURE_SUFFIXES)}')
    return out if out.suffix and not out.is_dir() else out / f'{stem}.png'


def _named(method: _Method) -> str:
    return method.extractor.info.model_id


main = partial(run_command, 'kp2d draw', SUMMARY, add_arguments, run)

if __name__ == '__main__':
    raise SystemExit(main())
