# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
``kp2d evaluate inlier``: what an IO-Net is worth after training.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kp2d_ros.cli.command import add_method_option, add_settings, run_command
from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.packages import missing_package
from kp2d_ros.core.settings import build, flatten, parse_overrides, section
from kp2d_ros.evaluation.fingerprint import read_versions
from kp2d_ros.evaluation.inlier.report import InlierEvaluation, format_report, make_page, verdict, write_json
from kp2d_ros.evaluation.inlier.run import InlierProtocol, evaluate_inlier
from kp2d_ros.evaluation.keypoints.methods import MethodRules, ModelConfig, build_methods
from kp2d_ros.evaluation.keypoints.prediction_cache import PredictionCache
from kp2d_ros.evaluation.keypoints.run import EvaluationDesk, chosen_pairs
from kp2d_ros.inference.models import MethodKind
from kp2d_ros.metrics.keypoint_protocol import KeypointProtocol
from kp2d_ros.odometry.matching import MatchingConfig
from kp2d_ros.pairs.homography_sets import SyntheticConfig, open_homography_set, set_fingerprint

SUMMARY = 'How well an IO-Net tells right matches from wrong ones, and whether RANSAC is the better for it.'


@dataclass(frozen=True, slots=True)
class InlierSettings(InlierProtocol):
    """
    The protocol, which matches are judged, how pairs are made of photographs, and where networks run.
    """

    matching: MatchingConfig = section(MatchingConfig)
    synthetic: SyntheticConfig = section(SyntheticConfig)
    model: ModelConfig = section(ModelConfig)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    The options of the command.
    """
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    listing = '\n'.join(f'  {key}={value}\n      {info.description}' for key, value, info in flatten(InlierSettings()))
    parser.epilog = f'settings and their defaults (matching.ratio=1 leaves more wrong matches to judge):\n{listing}'
    parser.add_argument(
        'dataset', type=Path, metavar='DATASET', help='HPatches folder, or a folder or tar of photographs'
    )
    add_method_option(parser)
    parser.add_argument(
        '--inlier-model', type=Path, metavar='PATH', help='default: NAME_inlier.safetensors beside the model'
    )
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='for report.html, report.json, cache/')
    parser.add_argument('--quiet', action='store_true', help='no progress bar')
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """
    Evaluate, write the reports, print the table and the verdict.

    :raises Kp2dError: if the settings, the data, a model or the folder cannot be used.
    """
    from tqdm import tqdm

    try:
        from kp2d_ros.inference.inlier_model import load_inlier_model
    except ModuleNotFoundError as error:
        raise missing_package('IO-Net', error.name) from error
    settings = build(InlierSettings, parse_overrides(args.settings))
    protocol = KeypointProtocol(
        width=settings.width,
        height=settings.height,
        top_k=settings.keypoints,
        threshold_px=settings.right_px,
        half_pixel=True,
        color_order='rgb',
    )
    (method,) = build_methods([args.method], MethodRules(protocol.candidates), settings.model)
    path = args.inlier_model or method.choice.inlier_path
    if method.choice.kind is not MethodKind.NETWORK or path is None:
        raise ConfigError(f'--method: found {args.method}, expected a network of this package, which has an IO-Net')
    model_id = method.facts['model']
    model = load_inlier_model(path, model_id, settings.model.device)
    images = open_homography_set(args.dataset, settings.size, settings.synthetic)
    desk = EvaluationDesk(images, protocol, PredictionCache(args.out / 'cache'))
    chosen = chosen_pairs(images, protocol)
    bar = tqdm(chosen, unit='pair', disable=True if args.quiet else None, leave=False)
    report = evaluate_inlier(
        (desk.keypoint_pair(method, pair) for pair in bar), model.judge, settings.matching, settings
    )
    evaluation = InlierEvaluation(
        dataset=images.name,
        dataset_fingerprint=set_fingerprint(chosen, desk.fingerprints),
        model=method.facts,
        inlier_model=path.name,
        settings=settings,
        versions=read_versions(),
        report=report,
    )
    write_json(evaluation, args.out / 'report.json')
    make_page(evaluation).write(args.out / 'report.html')
    print(format_report(report))
    print('\n'.join(['', *(f'- {sentence}' for sentence in verdict(report))]))
    print(f'written {args.out}/report.html, report.json')
    return 0


main = partial(run_command, 'kp2d evaluate inlier', SUMMARY, add_arguments, run)

if __name__ == '__main__':
    raise SystemExit(main())
