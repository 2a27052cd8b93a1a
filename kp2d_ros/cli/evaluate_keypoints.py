# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
``kp2d evaluate keypoints``: keypoints on pairs of images under known homographies, by the protocol of KP2D.
"""

from __future__ import annotations

import argparse
import importlib.util
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kp2d_ros.cli.command import add_methods_option, add_settings, list_settings, run_command, split_methods
from kp2d_ros.core.errors import BackendError, ConfigError
from kp2d_ros.core.settings import build, merge, parse_overrides, section
from kp2d_ros.evaluation.fingerprint import read_versions
from kp2d_ros.evaluation.keypoints.methods import MethodRules, ModelConfig, build_methods
from kp2d_ros.evaluation.keypoints.page import make_page
from kp2d_ros.evaluation.keypoints.prediction_cache import PredictionCache
from kp2d_ros.evaluation.keypoints.report import KeypointEvaluation, format_table, unknown_notes, write_json
from kp2d_ros.evaluation.keypoints.run import EvaluationDesk, chosen_pairs, evaluate_keypoints
from kp2d_ros.evaluation.keypoints.summary import verdict
from kp2d_ros.inference.models import METHODS_HELP
from kp2d_ros.metrics.keypoint_protocol import KeypointProtocol
from kp2d_ros.pairs.homography_sets import SyntheticConfig, open_homography_set, set_fingerprint

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
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f'{METHODS_HELP}\nsettings and their defaults:\n' + list_settings(KeypointSettings())
    parser.add_argument(
        'dataset',
        type=Path,
        metavar='DATASET',
        help='HPatches folder (i_* and v_* with images 1 to 6 and H_1_2 to H_1_6), or a folder or tar of photographs',
    )
    add_methods_option(parser, 'kp2d,opencv-orb,opencv-sift')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='for report.html, report.json, cache/')
    parser.add_argument('--size', metavar='WxH', help='short for width=W height=H: 320x240 (default) or 640x480')
    parser.add_argument('--no-cache', action='store_true', help='keep no keypoints in DIR/cache')
    parser.add_argument('--quiet', action='store_true', help='no progress bar')
    add_settings(parser, 'top_k=500')


def run(args: argparse.Namespace) -> int:
    """
    Evaluate, write the reports, print the table and the verdict.

    :raises Kp2dError: if the settings, the data, a method or the folder cannot be used.
    """
    from tqdm import tqdm

    if importlib.util.find_spec('matplotlib') is None:  # before the work, not after it
        raise BackendError("the report needs the Python package matplotlib: pip install 'kp2d_ros[evaluation]'")
    settings = build(KeypointSettings, merge(_parse_size(args.size), parse_overrides(args.settings)))
    rules = MethodRules(settings.candidates, settings.color_order)
    methods = build_methods(split_methods(args.methods), rules, settings.model)
    images = open_homography_set(args.dataset, settings.size, settings.synthetic)
    pairs = chosen_pairs(images, settings)
    desk = EvaluationDesk(images, settings, PredictionCache(None if args.no_cache else args.out / 'cache'))
    total = len(pairs) * len(methods)
    with tqdm(total=total, unit='pair', disable=True if args.quiet else None, leave=False) as bar:

        def on_pair(method: str) -> None:
            bar.set_description(method, refresh=False)
            bar.update()

        results = evaluate_keypoints(desk, pairs, methods, on_pair)
    evaluation = KeypointEvaluation(
        dataset=images.name,
        dataset_fingerprint=set_fingerprint(pairs, desk.fingerprints),
        image_count=len(desk.fingerprints),
        protocol=settings,
        versions=read_versions(),
        methods=results,
    )
    write_json(evaluation, args.out / 'report.json')
    make_page(evaluation, desk, methods).write(args.out / 'report.html')
    _print_evaluation(evaluation)
    print(f'written {args.out}/report.html, report.json')
    return 0


def _print_evaluation(evaluation: KeypointEvaluation) -> None:
    print(f'{evaluation.dataset}: {len(evaluation.methods[0].pairs)} pairs, means (* best)')
    print(format_table(evaluation.methods))
    print()
    for sentence in (*verdict(evaluation.methods), *unknown_notes(evaluation.methods)):
        print(f'- {sentence}')
    reused = sum(method.reused_count for method in evaluation.methods)
    if reused:
        print(f'- {reused} predictions came from the cache of an earlier run')


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
