# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Does each idea of KP2D pay? Short runs that differ from one another in what their row names.

The networks have the size of compact-m. No row is KP2D's public recipe: so short a run hardly begins with that. Where a
row does not say otherwise, the KP2D rows have a triplet margin of 0.5 (public code: 0.2) with semi-hard negatives
(hardest), a relaxation field of 8 px (4), no dropout (0.2), a weight of the IO loss of 0.1 (1; the row of V3 has 1) and
wide pairs without their fill. What two rows show is what they differ in, under these settings.

Every variant is trained with ``kp2d train`` and scored with ``kp2d evaluate keypoints``; what is finished already is
not done again, so the same command goes on after an interruption. Prints a table in Markdown.
``PYTHONPATH=. python benchmarks/ablation.py --help``
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from kp2d_ros.core.settings import merge

# KP2D's triplet loss with semi-hard negatives: with the hardest ones so short a run hardly begins.
_TRIPLET: dict[str, Any] = {'type': 'triplet', 'mining': 'semi_hard', 'margin': 0.5, 'weight': 1.0, 'relax_px': 8.0}
_INFONCE: dict[str, Any] = {'descriptor': {'type': 'infonce', 'weight': 0.5, 'temperature': 0.1}}
_BASE: dict[str, Any] = {
    'network_preset': 'compact-m',
    'network': {'with_drop': False, 'input_scale': 2.0, 'do_cross': True, 'do_upsample': True},
    'pairs_preset': 'wide',
    'pairs': {'homography': {'max_angle_deg': 40.0}},
    'loss': {'descriptor': _TRIPLET, 'inlier': {'weight': 0.1}, 'ignore_fill': True},
    'optimiser': {'learning_rate': 0.002, 'warmup_steps': 50, 'clip_norm': 5.0, 'ema_decay': 0.99},
}
_NO_IO: dict[str, Any] = {'loss': {'inlier': {'weight': 0.0}}}
_V0: dict[str, Any] = {'network': {'do_cross': False, 'do_upsample': False}, **_NO_IO}

# None takes a section out: what its preset says counts.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    'unsuperpoint': (
        'UnsuperPoint: losses and cells, on the network of V0',
        {**_V0, 'network': {**_V0['network'], 'location': 'sigmoid'}, 'loss_preset': 'unsuperpoint', 'loss': None},
    ),
    'v0': ('V0: KP2D without the three ideas', _V0),
    'v1': ('V1: cross-border cells', {'network': {'do_upsample': False}, **_NO_IO}),
    'v2': ('V2: and upsampled descriptors', _NO_IO),
    'v3': (
        'V3: IO-Net in place of the descriptor loss',
        {'loss': {'descriptor': {'type': 'none'}, 'inlier': {'weight': 1.0}}},
    ),
    'v4': ('V4: both', {}),
    'contrastive': ('V4, contrastive loss', {'loss': {'descriptor': {'type': 'contrastive'}}}),
    'hardest': ('V4, hardest negatives (paper)', {'loss': {'descriptor': {'mining': 'hardest', 'margin': 0.2}}}),
    'infonce': ('V4, InfoNCE', {'loss': _INFONCE}),
    'narrow': ('V4, homographies as in the public code', {'pairs': {'homography': {'sampler': 'inside'}}}),
    'public_pairs': (
        'V4, pairs as in the public code: views, light, noise',
        {'pairs_preset': 'official_code', 'pairs': None},
    ),
    'precise': (
        'V4, InfoNCE, more weight on locations and their order',
        {'loss': {**_INFONCE, 'location': {'weight': 2.0}, 'score': {'usp_factor': 3.0}}},
    ),
}
_FIGURES = ('repeatability', 'one_to_one', 'localisation_px', 'correct_1', 'correct_3', 'correct_5', 'matching_score')


def main() -> None:
    """
    Train and score what is missing, then print the table.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, nargs='+', required=True, help='photographs, as for kp2d train')
    parser.add_argument('--score', type=Path, required=True, help='what kp2d evaluate keypoints scores on')
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--variants', nargs='+', default=list(VARIANTS), choices=list(VARIANTS), metavar='NAME')
    parser.add_argument('--steps', type=int, default=600, help='of 8 pairs')
    parser.add_argument('--width', type=int, default=160)
    parser.add_argument('--height', type=int, default=120)
    parser.add_argument('--seeds', type=int, nargs='+', default=[42])
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    names = [f'{name}-{seed}' for seed in arguments.seeds for name in arguments.variants]
    for name in names:
        train(name, arguments)
    means = score([arguments.out / name / 'last.safetensors' for name in names], arguments)
    print_table(dict(zip(names, means, strict=True)))


def train(name: str, arguments: argparse.Namespace) -> None:
    """
    One run to its end.
    """
    folder = arguments.out / name
    variant, seed = name.rsplit('-', 1)
    recipe = arguments.out / f'{name}.yaml'
    settings = merge(merge(_BASE, VARIANTS[variant][1]), {'name': variant})
    recipe.write_text(yaml.safe_dump({key: value for key, value in settings.items() if value is not None}))
    command = [sys.executable, '-m', 'kp2d_ros.cli.main', 'train']
    if (folder / 'state.safetensors').is_file():
        command += ['--resume', str(folder)]
    else:
        command += [str(recipe), '--out', str(folder)]
        for path in arguments.data:
            command += ['--data', str(path)]
        command += [f'pairs.width={arguments.width}', f'pairs.height={arguments.height}', f'training.seed={seed}']
        command += [f'training.steps={arguments.steps}', 'training.precision=bf16', 'training.log_every=100']
    subprocess.run(command, check=True)


def score(checkpoints: list[Path], arguments: argparse.Namespace) -> list[dict[str, float]]:
    """
    The means of every network over all pairs.
    """
    means = []
    for checkpoint in checkpoints:
        report = arguments.out / f'{checkpoint.parent.name}-score'
        command = [sys.executable, '-m', 'kp2d_ros.cli.main', 'evaluate', 'keypoints', str(arguments.score), '--quiet']
        subprocess.run([*command, '--methods', str(checkpoint), '--out', str(report)], check=True)
        means.append(json.loads((report / 'report.json').read_text())['methods'][0]['means']['all'])
    return means


def print_table(means: dict[str, dict[str, float]]) -> None:
    """
    One row per run, in Markdown.
    """
    print('| | seed | Rep | Rep 1:1 | Loc | C1 | C3 | C5 | MS |')
    print('|---|---|---|---|---|---|---|---|---|')
    for name, found in means.items():
        variant, seed = name.rsplit('-', 1)
        cells = ' | '.join(f'{found[figure]:.3f}' for figure in _FIGURES)
        print(f'| {VARIANTS[variant][0]} | {seed} | {cells} |')


if __name__ == '__main__':
    main()
