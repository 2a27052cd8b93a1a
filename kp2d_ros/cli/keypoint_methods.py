# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What can be evaluated, by name: OpenCV's detectors as they are, the extractors of the frontend, networks of this package
and ONNX models of others.

``orb``, ``sift``, ``akaze``: OpenCV with its defaults, as published figures were measured: whole pixels for ORB, plain
SIFT with one point for each orientation, its descriptors not normalised. ``frontend-orb``, ``frontend-sift``: the same
detectors as the frontend uses them, their points corrected to sub-pixel places, with RootSIFT.
``kp2d``: the network that suits the device; others that ship by their names. ``untrained:PRESET`` or
``untrained:PATH``: one without training, as the floor that a trained one must leave. A path: a checkpoint, an ONNX file
written by ``kp2d export``, or the YAML adapter of an ONNX model of others (:mod:`kp2d_ros.inference.adapted_onnx`).
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kp2d_ros.core.errors import BackendError, ConfigError, DataError
from kp2d_ros.core.records import ImageArray, Keypoints
from kp2d_ros.core.settings import setting, validate
from kp2d_ros.evaluation.fingerprint import hash_code, hash_file
from kp2d_ros.evaluation.keypoints.methods import OPENCV, OPENCV_VERSION, Method, MethodRules, opencv_method
from kp2d_ros.inference.extractor import ExtractorConfig
from kp2d_ros.inference.named_extractor import NETWORK, UNTRAINED
from kp2d_ros.inference.pipeline import build_extractor
from kp2d_ros.inference.shipped import default_name, shipped_file, shipped_names
from kp2d_ros.metrics.keypoint_pair import best_keypoints
from kp2d_ros.networks.config import PRESETS, network_config

FRONTEND = 'frontend-'
CHECKPOINTS = ('.safetensors', '.ckpt', '.pth', '.pt')
ADAPTERS = ('.yaml', '.yml')


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


def build_methods(texts: Sequence[str], rules: MethodRules, models: ModelConfig) -> list[Method]:
    """
    The methods of some names and paths.

    :raises ConfigError: if one is not known, or named twice.
    :raises DataError: if the file of a model cannot be read as such.
    :raises BackendError: if what one needs is not installed here.
    """
    if not texts:
        raise ConfigError(f'methods: found none, expected some of {_known()}')
    if len(set(texts)) < len(texts):
        raise ConfigError(f'methods: found {", ".join(texts)}, expected each once')
    return [_build(text, name, rules, models) for text, name in zip(texts, short_names(texts), strict=True)]


def short_names(texts: Sequence[str]) -> list[str]:
    """
    What tables call some methods: names as they are, files without folder and suffix where that tells them apart.
    """
    stems = [Path(text).stem if _is_path(text) and not text.startswith(UNTRAINED) else text for text in texts]
    return [stem if stems.count(stem) == 1 else text for stem, text in zip(stems, texts, strict=True)]


def _is_path(text: str) -> bool:
    return Path(text).suffix in (*CHECKPOINTS, *ADAPTERS, '.onnx') or '/' in text


def _known() -> str:
    others = [NETWORK, f'{FRONTEND}orb', f'{FRONTEND}sift', *shipped_names(), f'{UNTRAINED}PRESET']
    return f'{", ".join([*OPENCV, *others])}, or the path of a checkpoint, .onnx file or adapter (.yaml)'


def _build(text: str, name: str, rules: MethodRules, models: ModelConfig) -> Method:
    if text == NETWORK and (model := default_name(models.device)):
        return _network_method(model, text, rules, models)
    if text in OPENCV:
        return opencv_method(text, rules)
    if text in (f'{FRONTEND}orb', f'{FRONTEND}sift'):
        return _frontend_method(text, rules)
    if text.startswith(UNTRAINED):
        model = text.removeprefix(UNTRAINED)
        if not _path(model).is_file():
            network_config(model)  # a preset that is not there is refused with the nearest one
        return _network_method(model, text, rules, models)
    if text not in shipped_names() and not _path(text).is_file():
        hint = f'; to see a network without training: {UNTRAINED}{text}' if text in PRESETS else ''
        raise ConfigError(f'methods: found {text!r}, which is no file, expected one of {_known()}{hint}')
    if _path(text).suffix in ADAPTERS:
        return _adapted_method(_path(text), name, rules, models)
    return _network_method(text, name, rules, models)


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _all_candidates(rules: MethodRules, **settings: Any) -> ExtractorConfig:
    """
    Settings that leave the choice to the protocol: no suppression, no border, everything with a score.
    """
    return ExtractorConfig(
        max_keypoints=rules.candidates, score_threshold=0.0, border_px=0.0, nms_radius_px=0.0, **settings
    )


def _frontend_method(name: str, rules: MethodRules) -> Method:
    extractor = build_extractor(_all_candidates(rules, name=name.removeprefix(FRONTEND)))
    facts = {'kind': name, 'opencv': OPENCV_VERSION, 'source': hash_code(), 'candidates': rules.candidates}
    return Method(name, facts, extractor.extract)


def _network_method(model: str, name: str, rules: MethodRules, models: ModelConfig) -> Method:
    untrained = name.startswith(UNTRAINED)
    settings = {'device': models.device, 'precision': models.precision, 'threads': models.threads}
    config = _all_candidates(rules, name=NETWORK, model=model, allow_untrained=untrained, **settings)
    try:
        extractor = build_extractor(config)
    except DataError as error:
        hint = '; for a model of others name its adapter (.yaml)' if model.endswith('.onnx') else ''
        raise DataError(f'{error}{hint}') from error
    info = extractor.info
    path = shipped_file(model, models.device, 'auto') or _path(model)
    facts = {
        'kind': 'network',
        'model': info.model_id,
        'sha256': hash_file(path) if path.is_file() else '',  # the weights of a preset follow from its name
        'runtime': f'{info.backend} {_version(info.backend)}',
        'source': hash_code(),
        'device': info.device,
        'precision': models.precision,
        'candidates': rules.candidates,
        'channels': rules.color_order,
    }
    return Method(name, facts, _in_order(extractor.extract, rules))


def _adapted_method(path: Path, name: str, rules: MethodRules, models: ModelConfig) -> Method:
    try:
        from kp2d_ros.inference.adapted_onnx import AdaptedModel
        from kp2d_ros.inference.onnx_backend import OnnxOptions
    except ModuleNotFoundError as error:
        raise BackendError(
            f"{path}: needs the Python package {error.name}, which is not installed; try: pip install 'kp2d_ros[onnx]'"
        ) from error
    model = AdaptedModel(path, OnnxOptions(models.device, 'auto', models.threads))
    facts = {
        'kind': 'adapted',
        'sha256': hash_file(model.model_path),
        'adapter': hash_file(path),
        'runtime': f'onnxruntime {_version("onnxruntime")}',
        'source': hash_code(),
        'device': model.device,
        'candidates': rules.candidates,
    }
    return Method(name, facts, lambda image: best_keypoints(model.extract(image), rules.candidates))


def _in_order(detect: Callable[[ImageArray], Keypoints], rules: MethodRules) -> Callable[[ImageArray], Keypoints]:
    if rules.color_order == 'rgb':
        return detect
    return lambda image: detect(np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else image)


def _version(package: str) -> str:
    """
    Version of an installed package; empty where it is none.
    """
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ''
