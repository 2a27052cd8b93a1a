# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What can be evaluated: every method of :mod:`kp2d_ros.inference.models`, its choice of keypoints left to the protocol.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import ImageArray, Keypoints
from kp2d_ros.core.settings import setting, validate
from kp2d_ros.evaluation.fingerprint import hash_code, hash_file, hash_values
from kp2d_ros.inference.extractor import Extractor, ExtractorConfig
from kp2d_ros.inference.models import MethodKind, ModelChoice, method_names, resolve
from kp2d_ros.inference.pipeline import load_extractor


@dataclass(frozen=True, slots=True)
class MethodRules:
    """
    What every method is held to: how many candidates it gives, and the order of the channels that networks are handed.
    """

    candidates: int
    color_order: str = 'rgb'


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """
    Where networks run.
    """

    device: str = setting('auto', 'device of networks: auto, cpu, cuda, cuda:1, ...')
    precision: str = setting(
        'fp32', 'number format of networks; auto: fp16 on CUDA', choices=('auto', 'fp32', 'fp16', 'bf16')
    )
    threads: int = setting(0, 'threads of networks on a CPU; 0: as the runtime decides', minimum=0, maximum=1024)

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """
    Something that finds and describes keypoints.

    ``detect`` takes an RGB image and gives at most the agreed number of candidates, best first, descriptors that are
    compared by Euclidean (float32) or Hamming distance (uint8). ``facts`` say all that its keypoints depend on:
    versions, settings, hashes of weights. ``choice`` is what the word stands for.
    """

    name: str
    facts: Mapping[str, Any]
    detect: Callable[[ImageArray], Keypoints]
    choice: ModelChoice

    @property
    def fingerprint(self) -> str:
        """
        A hash of the facts: methods of one fingerprint find the same keypoints.
        """
        return hash_values(self.facts)


def build_methods(words: Sequence[str], rules: MethodRules, models: ModelConfig) -> list[Method]:
    """
    The methods of some words.

    :raises ConfigError: if one is not known, or named twice.
    :raises DataError: if the file of a model cannot be read as such.
    :raises BackendError: if what one needs is not installed here.
    """
    names = method_names(words)
    return [_build(resolve(word, models.device), name, rules, models) for word, name in zip(words, names, strict=True)]


def _build(choice: ModelChoice, name: str, rules: MethodRules, models: ModelConfig) -> Method:
    is_network = choice.kind is MethodKind.NETWORK
    # The choice is the protocol's: no suppression, no border, everything with a score.
    config = ExtractorConfig(
        max_keypoints=rules.candidates,
        score_threshold=0.0,
        border_px=0.0,
        nms_radius_px=0.0,
        device=models.device,
        precision=models.precision if is_network else 'auto',
        threads=models.threads,
    )
    try:
        extractor = load_extractor(choice, config)
    except DataError as error:
        is_onnx = is_network and choice.runtime == 'onnxruntime'
        raise DataError(f'{error}{"; for a model of others name its adapter (.yaml)" if is_onnx else ""}') from error
    detect = _in_bgr(extractor) if is_network and rules.color_order == 'bgr' else extractor.extract
    return Method(name, _facts(choice, extractor, rules, models), detect, choice)


def _facts(choice: ModelChoice, extractor: Extractor, rules: MethodRules, models: ModelConfig) -> dict[str, Any]:
    facts: dict[str, Any] = {'kind': choice.kind.value, 'candidates': rules.candidates}
    if choice.kind is MethodKind.OPENCV:
        return facts | {'kind': choice.word, 'opencv': cv2.__version__}
    facts |= {'source': hash_code()}
    if choice.kind is MethodKind.CLASSICAL:
        return facts | {'kind': choice.word, 'opencv': cv2.__version__}
    info = extractor.info
    # The weights of a preset follow from its name; an adapter names its model.
    file = getattr(extractor, 'model_path', choice.path)
    facts |= {
        'model': info.model_id,
        'sha256': '' if file is None else hash_file(file),
        'runtime': f'{info.backend} {_version(info.backend)}',
        'device': info.device,
    }
    if choice.kind is MethodKind.ADAPTED:
        return facts | {'adapter': '' if choice.path is None else hash_file(choice.path)}
    return facts | {'precision': models.precision, 'channels': rules.color_order}


def _version(package: str) -> str:
    """
    Version of an installed package; empty where it is installed under another name (onnxruntime-gpu).
    """
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ''


def _in_bgr(extractor: Extractor) -> Callable[[ImageArray], Keypoints]:
    return lambda image: extractor.extract(np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else image)
