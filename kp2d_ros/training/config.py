# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Everything that a training run can be told, and the presets that ship with the package.

The defaults are those of the public KP2D code; ``PAPER_LOSSES`` are the paper's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.resources import find_shipped_file
from kp2d_ros.core.settings import Settings, build, load_yaml, merge, section, setting, unknown_name, validate
from kp2d_ros.networks.checkpoint import check_name
from kp2d_ros.networks.config import NetworkConfig, network_config
from kp2d_ros.pairs.loading import LoaderConfig
from kp2d_ros.pairs.pair_maker import PAIR_PRESETS, PairConfig

_REDUCTIONS = ('mean', 'sum')


@dataclass(frozen=True, slots=True)
class LocationLossConfig(Settings):
    """
    Location loss, eq. 3.
    """

    weight: float = setting(1.0, 'alpha: weight of the location loss', minimum=0)
    threshold_px: float = setting(4.0, 'eps_uv: pairs nearer than this after the warp count as matched', minimum=0)
    reduction: str = setting(
        'mean', 'mean over the matched pairs (public code) or sum over those of an image (paper)', choices=_REDUCTIONS
    )


@dataclass(frozen=True, slots=True)
class ScoreLossConfig(Settings):
    """
    Score losses, eq. 6.
    """

    weight: float = setting(1.0, 'lambda: weight of both score terms', minimum=0)
    usp_factor: float = setting(1.0, 'factor of the unsupervised-point term: 1 (public code) or 0.5 (paper)', minimum=0)
    consistency_weight: float = setting(2.0, 'weight of the consistency: 2 (public code) or 1 (paper)', minimum=0)
    consistency_partner: str = setting(
        'warped',
        'score compared with: bilinear at the warped position (public code) or that of the nearest keypoint (paper)',
        choices=('warped', 'nearest'),
    )
    consistency_domain: str = setting(
        'visible',
        'cells compared: all visible ones (public code) or the matched pairs (paper)',
        choices=('visible', 'matched'),
    )
    reduction: str = setting('mean', 'mean (public code) or sum over an image (paper)', choices=_REDUCTIONS)


@dataclass(frozen=True, slots=True)
class DescriptorLossConfig(Settings):
    """
    Descriptor losses: KP2D's triplet (eq. 5) and the ones it is compared with.
    """

    type: str = setting(
        'triplet',
        'triplet (KP2D), contrastive, infonce (all negatives at once), hinge (UnsuperPoint) or none',
        choices=('triplet', 'contrastive', 'infonce', 'hinge', 'none'),
    )
    weight: float = setting(2.0, 'beta: weight of the descriptor loss', minimum=0)
    mining: str = setting(
        'hardest', 'negative in the image: hardest (KP2D) or semi_hard (FaceNet)', choices=('hardest', 'semi_hard')
    )
    margin: float = setting(0.2, 'm: margin of the triplet loss', minimum=0)
    relax_px: float = setting(
        4.0, 'c: points this near in the target are no negatives: 4 (public code) or 8 (paper)', minimum=0
    )
    relax_shape: str = setting('box', 'shape of that field: box (public code) or circle', choices=('box', 'circle'))
    reduction: str = setting(
        'mean', 'over the points of an image: mean (public code) or sum (paper)', choices=_REDUCTIONS
    )
    contrastive_margin: float = setting(1.0, 'negatives are pushed this far away (contrastive)', minimum=0, maximum=2)
    temperature: float = setting(0.07, 'similarities are divided by this (infonce)', minimum=1e-3, maximum=10)
    hinge_balance: float = setting(250.0, 'lambda_d: weight of corresponding pairs (hinge)', minimum=0)
    hinge_positive_margin: float = setting(
        1.0, 'm_p: similarity wanted of corresponding pairs (hinge)', minimum=-1, maximum=1
    )
    hinge_negative_margin: float = setting(0.2, 'm_n: similarity allowed to other pairs (hinge)', minimum=-1, maximum=1)
    hinge_radius_px: float = setting(8.0, 'pairs nearer than this after the warp correspond (hinge)', minimum=0)
    decorrelation_weight: float = setting(
        0.0, 'weight of the decorrelation of descriptor elements (UnsuperPoint: 0.03)', minimum=0
    )


@dataclass(frozen=True, slots=True)
class InlierLossConfig(Settings):
    """
    IO-Net's loss, eq. 8, and the variants of related work.
    """

    weight: float = setting(1.0, 'weight of the IO loss; 0: no IO-Net is trained', minimum=0)
    type: str = setting(
        'regression',
        'regression to +-1 (KP2D), balanced_bce (Yi et al. 2018) or sampling (NG-RANSAC)',
        choices=('regression', 'balanced_bce', 'sampling'),
    )
    blocks: int = setting(4, 'residual blocks of IO-Net: 4 (KP2D) or 12 (Yi et al.)', minimum=1, maximum=24)
    pair_count: int = setting(300, 'K: pairs of the lowest scores per image', minimum=1)
    selection: str = setting(
        'separate',
        'K lowest points of each view on its own (public code) or K lowest pairs (paper)',
        choices=('separate', 'pairs'),
    )
    threshold_px: float = setting(4.0, 'pairs nearer than this after the warp are inliers', minimum=0)
    inlier_target_positive: bool = setting(True, 'target of an inlier: +1 (public code) or -1 (paper)')
    factor: float = setting(1.0, 'factor of the regression: 1 (public code) or 0.5 (paper)', minimum=0)
    reduction: str = setting(
        'mean', 'mean (public code) or sum over an image (paper); regression only', choices=_REDUCTIONS
    )
    minimum_inliers: int = setting(10, 'the loss is 0 unless the batch has more inliers than this', minimum=0)


@dataclass(frozen=True, slots=True)
class LossConfig(Settings):
    """
    The total loss: the weighted sum of its parts.
    """

    location: LocationLossConfig = section(LocationLossConfig)
    score: ScoreLossConfig = section(ScoreLossConfig)
    descriptor: DescriptorLossConfig = section(DescriptorLossConfig)
    inlier: InlierLossConfig = section(InlierLossConfig)
    ignore_fill: bool = setting(
        False, 'leave out cells that show black fill instead of the photograph (public code: they take part)'
    )
    uniform_weight: float = setting(0.0, 'weight of uniform positions within the cells (UnsuperPoint: 100)', minimum=0)


# What the paper says where the public code does something else; everything else is the default.
PAPER_LOSSES: dict[str, Any] = {
    'location': {'reduction': 'sum'},
    'score': {
        'usp_factor': 0.5,
        'consistency_weight': 1.0,
        'consistency_partner': 'nearest',
        'consistency_domain': 'matched',
        'reduction': 'sum',
    },
    'descriptor': {'relax_px': 8.0, 'reduction': 'sum'},
    'inlier': {'selection': 'pairs', 'inlier_target_positive': False, 'factor': 0.5, 'reduction': 'sum'},
}

# UnsuperPoint (arXiv 1907.04011), sections 3.2 and 4: its own weights.
UNSUPERPOINT_LOSSES: dict[str, Any] = {
    'location': {'weight': 1.0, 'reduction': 'sum'},
    'score': {**PAPER_LOSSES['score'], 'consistency_weight': 2.0},
    'descriptor': {'type': 'hinge', 'weight': 0.001, 'decorrelation_weight': 0.03},
    'inlier': {'weight': 0.0},
    'uniform_weight': 100.0,
}


@dataclass(frozen=True, slots=True)
class OptimiserConfig(Settings):
    """
    How the weights move; the defaults are the public recipe's.
    """

    learning_rate: float = setting(1e-3, 'highest learning rate of Adam', minimum=0)
    weight_decay: float = setting(0.0, 'decoupled weight decay (AdamW); 0: Adam', minimum=0)
    warmup_steps: int = setting(0, 'steps over which the learning rate rises from 0; at most a tenth of all', minimum=0)
    decay: str = setting(
        'halve',
        'constant, halve (at 4/5 of the steps, as the public recipe does at epoch 40 of 50) or cosine (to final_ratio)',
        choices=('constant', 'halve', 'cosine'),
    )
    final_ratio: float = setting(0.01, 'learning rate at the end over the highest one (cosine)', minimum=0, maximum=1)
    clip_norm: float = setting(0.0, 'largest norm of the gradient; 0: as it is', minimum=0)
    accumulate: int = setting(1, 'batches per step of the optimiser', minimum=1)
    ema_decay: float = setting(0.0, 'decay per step of the averaged weights; 0: no average', minimum=0, maximum=0.99999)


@dataclass(frozen=True, slots=True)
class LoopConfig(Settings):
    """
    The run: how long, on what, and what is left behind how often.
    """

    steps: int = setting(20000, 'steps of the optimiser', minimum=1)
    seed: int = setting(42, 'seed of the weights and of all augmentation', minimum=0, maximum=2**62)
    device: str = setting('auto', 'auto, cpu, cuda, cuda:1, ...')
    precision: str = setting('fp32', 'fp32, or mixed precision bf16 or fp16', choices=('fp32', 'bf16', 'fp16'))
    compile: bool = setting(False, 'torch.compile the keypoint network')
    channels_last: bool = setting(True, 'memory format of the images and the network')
    sync_batch_norm: bool = setting(False, 'batch norm over all processes (CUDA only)')
    validate_every: int = setting(500, 'steps between validations, beginning at 0; 0: only at the end', minimum=0)
    validation_pairs: int = setting(64, 'held-out synthetic pairs', minimum=1)
    save_every: int = setting(500, 'steps between saves of everything that resume needs', minimum=1)
    log_every: int = setting(10, 'steps between lines of metrics.csv', minimum=1)


# The files of config/training/.
PRESETS = (
    'compact-n', 'compact-s', 'compact-m', 'v0', 'v1', 'v2', 'v3', 'v4', 'v4-paper', 'resnet18', 'unsuperpoint',
)  # fmt: skip
_LOSS_PRESETS: Mapping[str, Mapping[str, Any]] = {
    'official_code': {},
    'paper': PAPER_LOSSES,
    'unsuperpoint': UNSUPERPOINT_LOSSES,
}


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """
    Everything that a training run can be told.
    """

    name: str = setting('kp2d', 'name of the trained network, the first part of its model id')
    network: NetworkConfig = section(NetworkConfig)
    initial: str = setting(
        '', 'checkpoint to start from, of this network or of a narrower one of its form; empty: random weights'
    )
    pretrained: str = setting('', 'torchvision file of ImageNet weights for the encoder of a resnet18; empty: random')
    pairs: PairConfig = section(PairConfig)
    loader: LoaderConfig = section(LoaderConfig)
    loss: LossConfig = section(LossConfig)
    optimiser: OptimiserConfig = section(OptimiserConfig)
    training: LoopConfig = section(LoopConfig)

    def __post_init__(self) -> None:
        validate(self)
        check_name(self.name)
        if self.loss.inlier.weight == 0 and self.loss.descriptor.type == 'none':
            raise ConfigError(
                'loss: found neither a descriptor nor an inlier loss, expected one that trains descriptors'
            )
        if self.initial and self.pretrained:
            raise ConfigError('pretrained: found it beside initial, expected one of them')


def load_train_config(preset: str, overrides: Mapping[str, Any]) -> TrainConfig:
    """
    The settings of a shipped preset or of a YAML file, with overrides laid over them.

    A file may name what it builds on: ``network_preset`` (v0, v4, compact-s, ...), ``pairs_preset`` (official_code,
    paper, wide) and ``loss_preset`` (official_code, paper, unsuperpoint); its own keys lie over those.

    :raises ConfigError: if the preset or a key is unknown, or a value does not fit.
    """
    values = merge(load_yaml(_preset_path(preset)), overrides)
    network = dataclasses.asdict(network_config(str(values.pop('network_preset', 'v4'))))
    pairs = _pick(PAIR_PRESETS, values.pop('pairs_preset', 'official_code'), 'pairs_preset')
    loss = _pick(_LOSS_PRESETS, values.pop('loss_preset', 'official_code'), 'loss_preset')
    return build(TrainConfig, merge({'network': network, 'pairs': pairs, 'loss': loss}, values))


def _preset_path(preset: str) -> Path:
    if preset.endswith(('.yaml', '.yml')):
        return Path(preset)
    try:
        return find_shipped_file(f'config/training/{preset}.yaml')
    except DataError as error:
        raise unknown_name('preset', preset, PRESETS, ' or a .yaml file') from error


def _pick(presets: Mapping[str, Mapping[str, Any]], name: Any, key: str) -> Mapping[str, Any]:
    if name not in presets:
        raise unknown_name(key, name, presets)
    return presets[name]
