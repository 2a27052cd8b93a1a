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

from kp2d_ros.cli.command import add_method_option, add_settings, list_settings, run_command
from kp2d_ros.cli.evaluate_keypoints import add_pair_arguments, claim_reports
from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.files import write_json, write_text
from kp2d_ros.core.packages import missing_package, require_packages
from kp2d_ros.core.settings import build, parse_overrides, section
from kp2d_ros.evaluation.inlier.report import (
    InlierEvaluation,
    evaluation_as_dict,
    format_report,
    make_page,
    verdict,
)
from kp2d_ros.evaluation.inlier.run import InlierProtocol, evaluate_inlier
from kp2d_ros.evaluation.keypoints.methods import MethodRules, ModelConfig, build_methods
from kp2d_ros.evaluation.keypoints.run import EvaluationDesk, PredictionCache
from kp2d_ros.inference.models import MethodKind
from kp2d_ros.metrics.keypoint_protocol import KeypointProtocol
from kp2d_ros.odometry.matching import MatchingConfig
from kp2d_ros.pairs.homography_sets import SyntheticConfig, open_homography_set

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
    parser.epilog = 'settings and their defaults (matching.ratio=1 leaves more wrong matches to judge):\n'
    parser.epilog += list_settings(InlierSettings())
    add_method_option(parser)
    add_pair_arguments(parser)
    parser.add_argument(
        '--inlier-model', type=Path, metavar='PATH', help='default: NAME_inlier.safetensors beside the model'
    )
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
    require_packages('the report', 'jinja2', 'matplotlib')
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
    model = load_inlier_model(path, method.facts['model'], settings.model.device)
    images = open_homography_set(args.dataset, settings.size, settings.synthetic)
    desk = EvaluationDesk(images, protocol, PredictionCache(args.out / 'cache'))
    with claim_reports(args.out):
        bar = tqdm(desk.pairs, unit='pair', disable=True if args.quiet else None, leave=False)
        pairs = (desk.keypoint_pair(method, pair) for pair in bar)
        report = evaluate_inlier(pairs, model.judge, settings.matching, settings)
        evaluation = InlierEvaluation(desk.facts(), method.facts, path.name, settings, report)
        write_json(args.out / 'report.json', evaluation_as_dict(evaluation))
        write_text(args.out / 'report.html', make_page(evaluation))
    print(format_report(report))
    print('\n'.join(['', *(f'- {sentence}' for sentence in verdict(report))]))
    print(f'written {args.out}/report.html, report.json')
    return 0


main = partial(run_command, 'kp2d evaluate inlier', SUMMARY, add_arguments, run)

if __name__ == '__main__':
    raise SystemExit(main())
