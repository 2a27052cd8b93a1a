# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
``kp2d draw``: keypoints, scores, matches and tracks on one's own image, pair, video, bag or folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path

import numpy as np

from kp2d_ros.cli.command import add_method_option, positive_float, positive_int, run_command, split_settings
from kp2d_ros.core.errors import ConfigError, DataError, Kp2dError
from kp2d_ros.core.records import BoolArray, ImageArray, Keypoints
from kp2d_ros.drawing.caption import add_caption
from kp2d_ros.drawing.files import PICTURE_SUFFIXES, is_video_name, open_sink, write_picture
from kp2d_ros.drawing.frame import draw_tracks
from kp2d_ros.drawing.keypoints import draw_keypoints, draw_scores, keypoint_legend, score_legend, shade
from kp2d_ros.drawing.matches import MODELS, MatchedPair, agreeing_matches, draw_matches, match_legend
from kp2d_ros.inference.classical import OpenCvExtractor
from kp2d_ros.inference.extractor import Extractor, Kp2dExtractor, MatchJudge, score_map
from kp2d_ros.inference.models import NETWORK, MethodKind, resolve
from kp2d_ros.inference.pipeline import (
    PipelineConfig,
    build_frontend,
    choose_model,
    choose_sensor,
    extract_shrunk,
    load_extractor,
    load_pipeline_config,
)
from kp2d_ros.odometry.mask import KeypointMask, free_pixels, load_mask
from kp2d_ros.odometry.matching import match
from kp2d_ros.recordings.image_decoding import read_image
from kp2d_ros.recordings.image_files import IMAGE_SUFFIXES
from kp2d_ros.recordings.sources import READING_OPTIONS, add_reading_options, open_sources

# Options that one kind of input alone takes.
_OF_FRAMES = ('max_frames', 'alone', *READING_OPTIONS)
_OF_PAIRS = ('ransac',)

SUMMARY = 'Draw keypoints and scores of an image, matches of a pair, or tracks through a video, a bag or a folder.'

_SIDES = (640, 1280)  # pictures are made this large, by their longer side


@dataclass(frozen=True, slots=True)
class _Method:
    """
    What finds the keypoints, and how it was asked to.
    """

    extractor: Extractor
    config: PipelineConfig
    mask: KeypointMask

    @property
    def name(self) -> str:
        return self.extractor.info.model_id

    def extract(self, image: ImageArray) -> Keypoints:
        keypoints = extract_shrunk(self.extractor, image, self.config.max_side_px)
        return keypoints.take(self.mask.allows(keypoints.xy, (image.shape[0], image.shape[1])))

    @property
    def mask_note(self) -> str:
        """
        What the shade of a masked picture means.
        """
        return '' if self.mask.is_empty else ' (masked where it is red)'

    def shaded(self, image: ImageArray) -> ImageArray:
        """
        The image, darkened where the mask of the settings lies.
        """
        return image if self.mask.is_empty else shade(image, _free_pixels(self.mask, image.shape[0], image.shape[1]))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    The options of the command.
    """
    parser.add_argument(
        'inputs',
        nargs='+',
        metavar='INPUT',
        help='an image; two images (their matches); or a video, a bag, or a folder as replay takes it '
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
    config = choose_sensor(load_pipeline_config(args.config, settings), args.sensor)
    method = _find_method(args.method, config)
    are_images = [path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir() for path in paths]
    if len(paths) == 1:
        _refuse_options(_OF_PAIRS, 'a pair of images', args)
    if len(paths) == 1 and not are_images[0]:
        _draw_frames(paths[0], method, args)
    elif all(are_images):
        _refuse_options(_OF_FRAMES, 'a video, bag or folder', args)
        _draw_images(paths, method, args)
    else:
        path = paths[are_images.index(False)]
        raise DataError(f'{path}: is not an image file; expected two images, or one bag, video or folder')
    return 0


def _refuse_options(names: Sequence[str], owner: str, args: argparse.Namespace) -> None:
    for name in names:
        if getattr(args, name) not in (None, False):
            raise ConfigError(f'--{name.replace("_", "-")}: found for {args.inputs[0]}, expected for {owner} alone')


def _find_method(word: str, config: PipelineConfig) -> _Method:
    settings = config.extractor
    choice = choose_model(settings) if word == NETWORK else resolve(word, settings.device, settings.backend)
    mask = load_mask(config.mask, config.mask_border_px)
    if choice.kind is MethodKind.OPENCV:
        return _Method(OpenCvExtractor(word, settings, unit_norm=True), config, mask)
    return _Method(load_extractor(choice, settings), config, mask)


@lru_cache(maxsize=2)
def _free_pixels(mask: KeypointMask, height: int, width: int) -> BoolArray:
    return free_pixels(mask, (height, width))


def _picture_factor(*images: ImageArray) -> float:
    """
    How much larger than the images a picture of them is: small ones double, large ones shrink.
    """
    longest = max(side for image in images for side in image.shape[:2])
    return 2.0 if longest < _SIDES[0] else min(1.0, _SIDES[1] / longest)


def _draw_images(paths: list[Path], method: _Method, args: argparse.Namespace) -> None:
    """
    One image with its keypoints, or two with their matches.

    :raises DataError: if the picture has the name of a video.
    """
    target = args.out
    if is_video_name(target):
        raise DataError(f'{target}: found the name of a video for one picture, expected {", ".join(PICTURE_SUFFIXES)}')
    if not target.suffix or target.is_dir():
        target = target / f'{"_".join(path.stem for path in paths)}.png'
    if len(paths) == 1:
        picture, summary = _image_picture(read_image(paths[0]), method, f'{paths[0].name}{method.mask_note}'), ''
    else:
        picture, summary = _pair_picture(paths[0], paths[1], method, args)
    write_picture(target, picture)
    print(f'{target}{summary}')


def _image_picture(image: ImageArray, method: _Method, name: str) -> ImageArray:
    """
    Keypoints, and beside them, for a network, the scores.
    """
    keypoints = method.extract(image)
    picture = draw_keypoints(method.shaded(image), keypoints, len(keypoints), _picture_factor(image))
    legend = keypoint_legend()
    if isinstance(method.extractor, Kp2dExtractor):
        limits = [side for side in (method.config.max_side_px, method.config.extractor.max_side) if side > 0]
        scores = score_map(method.extractor.backend, image, min(limits, default=0))
        inner = scores[scores > 0]  # the outermost cells are 0 by definition
        lowest, highest = (float(inner.min()), float(inner.max())) if len(inner) else (0.0, 1.0)
        stretched = (scores - lowest) / max(highest - lowest, 1e-6)
        picture = np.concatenate([picture, draw_scores(stretched, (picture.shape[1], picture.shape[0]))], axis=1)
        legend += score_legend(lowest, highest)
    title = f'{name} ({image.shape[1]} x {image.shape[0]}): {len(keypoints)} keypoints of {method.name}'
    return add_caption(picture, title, legend)


def _pair_picture(first: Path, second: Path, method: _Method, args: argparse.Namespace) -> tuple[ImageArray, str]:
    """
    Two images with their matches, and the counts in words.
    """
    images = read_image(first), read_image(second)
    keypoints = method.extract(images[0]), method.extract(images[1])
    matches = match(*keypoints, method.config.matching)
    inlier = agreeing_matches(keypoints, matches, args.ransac, args.threshold_px) if args.ransac else None
    probability = None
    if isinstance(method.extractor, MatchJudge) and images[0].shape[:2] == images[1].shape[:2]:
        probability = method.extractor.judge(*keypoints, matches, (images[0].shape[0], images[0].shape[1]))
    pair = MatchedPair((method.shaded(images[0]), method.shaded(images[1])), keypoints, matches, inlier, probability)
    counts = f': {len(keypoints[0])} and {len(keypoints[1])} keypoints of {method.name}, {len(matches)} matches'
    geometry = '' if inlier is None else f', {args.ransac} within {args.threshold_px:g} px'
    agreeing = '' if inlier is None else f', {int(inlier.sum())} agree with one {args.ransac}'
    drawn = draw_matches(pair, _picture_factor(*images))
    return add_caption(drawn, f'{first.name} - {second.name}{counts}{geometry}', match_legend(pair)), counts + agreeing


def _draw_frames(source: Path, method: _Method, args: argparse.Namespace) -> None:
    from tqdm import tqdm  # --help needs none of it

    (sequence,) = open_sources([source], args, method.config.sensor)
    frontend = build_frontend(method.config, method.extractor)
    total = len(sequence) if args.max_frames is None else min(args.max_frames, len(sequence))
    frames = tqdm(islice(sequence, args.max_frames), total=total, unit='image', disable=args.quiet or None)
    count = 0
    ended_by: BaseException | None = None
    with open_sink(args.out, args.fps) as add:
        try:
            for frame in frames:
                title = f'{sequence.name}, frame {frame.seq}{method.mask_note}'
                result = None if args.alone else frontend.process(frame)
                if frame.seq % args.every != 0:
                    continue
                if result is None:
                    picture = _image_picture(frame.image, method, title)
                else:
                    shaded = replace(frame, image=method.shaded(frame.image))
                    picture = draw_tracks(shaded, result, f'{title}: {method.name}')
                add(f'frame_{frame.seq:06d}', picture)
                count += 1
        except (KeyboardInterrupt, Kp2dError) as error:  # what was drawn before is kept
            ended_by = error
    print(f'{args.out}: {count} pictures')
    if ended_by is not None:
        raise ended_by


main = partial(run_command, 'kp2d draw', SUMMARY, add_arguments, run)

if __name__ == '__main__':
    raise SystemExit(main())
