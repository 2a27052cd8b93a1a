# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
``kp2d evaluate keypoints``: keypoints on pairs of images under known homographies, by the protocol of KP2D.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kp2d_ros.cli.command import add_methods_option, add_settings, list_settings, run_command, split_methods
from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.files import claim_folder, write_json, write_text
from kp2d_ros.core.packages import require_packages
from kp2d_ros.core.settings import build, merge, parse_overrides, section
from kp2d_ros.evaluation.keypoints.methods import MethodRules, ModelConfig, build_methods
from kp2d_ros.evaluation.keypoints.page import make_page
from kp2d_ros.evaluation.keypoints.run import EvaluationDesk, PredictionCache, evaluate_keypoints
from kp2d_ros.evaluation.keypoints.summary import (
    KeypointEvaluation,
    evaluation_as_dict,
    format_headlines,
    unknown_notes,
    verdict,
)
from kp2d_ros.inference.models import METHODS_HELP
from kp2d_ros.metrics.keypoint_protocol import KeypointProtocol
from kp2d_ros.pairs.homography_sets import SyntheticConfig, open_homography_set

SUMMARY = 'Repeatability, localisation, homographies and matching on image pairs whose homography is known.'


@dataclass(frozen=True, slots=True)
class KeypointSettings(KeypointProtocol):
    """
    The protocol, and beside it how pairs are made of photographs and where networks run.
    """

    synthetic: SyntheticConfig = section(SyntheticConfig)
    model: ModelConfig = section(ModelConfig)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    The options of the command.
    """
    parser.epilog = f'{METHODS_HELP}\nsettings and their defaults:\n' + list_settings(KeypointSettings())
    add_methods_option(parser, 'kp2d,opencv-orb,opencv-sift')
    add_pair_arguments(parser)
    parser.add_argument('--size', metavar='WxH', help='short for width=W height=H: 320x240 (default) or 640x480')
    parser.add_argument('--no-cache', action='store_true', help='keep no keypoints in DIR/cache')
    add_settings(parser, 'top_k=500')


def add_pair_arguments(parser: argparse.ArgumentParser) -> None:
    """
    What all commands take that evaluate pairs of images under known homographies.
    """
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        'dataset',
        type=Path,
        metavar='DATASET',
        help='HPatches folder (i_* and v_* with images 1 to 6 and H_1_2 to H_1_6), or a folder or tar of photographs',
    )
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='for report.html, report.json, cache/')
    parser.add_argument('--quiet', action='store_true', help='no progress bar')


@contextmanager
def claim_reports(out: Path) -> Iterator[None]:
    """
    Keep other runs out of the folder of an evaluation, and say what is kept of one that is interrupted.

    :raises DataError: at once, if nothing can be written there or another run writes there.
    """
    with claim_folder(out):
        try:
            yield
        except KeyboardInterrupt:
            if (out / 'cache').is_dir():
                print(f'{out}/cache keeps what was found: the same command goes on from there', file=sys.stderr)
            raise


def run(args: argparse.Namespace) -> int:
    """
    Evaluate, write the reports, print the table and the verdict.

    :raises Kp2dError: if the settings, the data, a method or the folder cannot be used.
    """
    from tqdm import tqdm

    require_packages('the report', 'jinja2', 'matplotlib')
    settings = build(KeypointSettings, merge(_parse_size(args.size), parse_overrides(args.settings)))
    rules = MethodRules(settings.candidates, settings.color_order)
    methods = build_methods(split_methods(args.methods), rules, settings.model)
    images = open_homography_set(args.dataset, settings.size, settings.synthetic)
    desk = EvaluationDesk(images, settings, PredictionCache(None if args.no_cache else args.out / 'cache'))
    total = len(desk.pairs) * len(methods)
    with (
        claim_reports(args.out),
        tqdm(total=total, unit='pair', disable=True if args.quiet else None, leave=False) as bar,
    ):

        def on_pair(method: str) -> None:
            bar.set_description(method, refresh=False)
            bar.update()

        results = evaluate_keypoints(desk, methods, on_pair)
        evaluation = KeypointEvaluation(desk.facts(), settings, results)
        write_json(args.out / 'report.json', evaluation_as_dict(evaluation))
        write_text(args.out / 'report.html', make_page(evaluation, desk, methods))
    print(f'{evaluation.data.name}: {evaluation.data.pairs} pairs, means (* best)\n{format_headlines(results)}\n')
    for sentence in (*verdict(results), *unknown_notes(results)):
        print(f'- {sentence}')
    reused = sum(method.reused_count for method in results)
    if reused:
        print(f'- {reused} predictions came from the cache of an earlier run')
    print(f'written {args.out}/report.html, report.json')
    return 0


def _parse_size(text: str | None) -> dict[str, int]:
    if text is None:
        return {}
    width, _, height = text.lower().partition('x')
    if not (width.isdecimal() and height.isdecimal()):
        raise ConfigError(f'--size: found {text!r}, expected for instance 640x480')
    return {'width': int(width), 'height': int(height)}


main = partial(run_command, 'kp2d evaluate keypoints', SUMMARY, add_arguments, run)


if __name__ == '__main__':
    raise SystemExit(main())
